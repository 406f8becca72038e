"""Values and decisions: refusals, names, records. Nothing here uses Twisted, a disk or a clock.

Modules, each importing only from those above it:

* ``errors``: all reasons to refuse a request that several parts share, each a class with its status and words
* ``upload_errors``: refusals of resumable uploads, common to all their protocols
* ``text``: bytes that a client sent, as text
* ``written``: parses what people write: sizes, durations, and small files, which may come from Windows
* ``shown``: makes foreign text safe to show: no terminal control characters, no passwords in URLs
* ``names``: turns a filename as a node sends it into a safe relative path
* ``records``: sessions, files and hand-offs as values
* ``uploads``: a resumable upload as a value, and whether it is complete
* ``description``: what an importer receives about a hand-off, and its JSON
"""
