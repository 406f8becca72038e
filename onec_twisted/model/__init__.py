"""Values and decisions: refusals, names, records. Nothing here knows Twisted, a disk or a clock.

Modules, each of which imports only from those above it:

* ``errors``: every reason to refuse that more than one place knows, each a class with its status and words
* ``upload_errors``: refusals of resumable uploads, whatever their protocol
* ``text``: bytes that a client sent, as text
* ``written``: what people write: sizes, times, and small files, which may come from Windows
* ``shown``: what others say, without what a terminal would obey; addresses without passwords
* ``names``: a filename as a node sends it, to a safe relative path
* ``records``: sessions, files and hand-offs as values
* ``uploads``: a resumable upload as a value, and whether it is whole
* ``description``: what an importer is told, and its JSON
"""
