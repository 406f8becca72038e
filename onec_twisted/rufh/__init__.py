"""Front door 3: resumable uploads over HTTP, as the IETF drafts them (draft-ietf-httpbis-resumable-upload).

Modules, each of which imports only from those above it:

* ``errors``: the refusals that only these uploads have
* ``fields``: parse the fields of a request into values, and format those of an answer
* ``limits``: the limits of an upload, as a field
* ``problems``: the two refusals whose answers programs read
* ``answers``: the answers to requests that are refused
* ``resource``: the resource: it carries out each method
"""
