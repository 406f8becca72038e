"""The common part of the protocols for resumable uploads.

Modules, each of which imports only from those above it:

* ``checksums``: digests of the bytes of a request
* ``claims``: the newest request for an upload takes precedence
* ``chunks``: append the body of one request: as far as it arrives, or all or nothing
"""
