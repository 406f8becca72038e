"""Values and decisions: refusals, names, records. Nothing here uses Twisted, a disk or a clock.

Modules, each importing only from those above it:

* ``refusals.base``: what a refusal is: a class with its status and words
* ``refusals.requests``: requests that violate HTTP or the protocol, or arrive too slowly
* ``refusals.logins``: logins, and requests without a valid session
* ``refusals.files``: a file's name, offset or state
* ``refusals.storage``: a disk or database that is full, busy or unavailable
* ``refusals.limits``: too large, or too many at once
* ``refusals.imports``: imports, and requests for the site's orders
* ``refusals.uploads``: resumable uploads, common to all their protocols
* ``errors``: all of these refusals, and the other errors that several parts share: import them from here
* ``daemons``: one of the daemons that share records, as the others see it
* ``text``: bytes that a client sent, as text
* ``written``: parses what people write: sizes, durations, and small files, which may come from Windows
* ``shown``: makes foreign text safe to show: no terminal control characters, no passwords in URLs
* ``segments``: the rules for names on the disk, and the names that are the daemon's own
* ``document``: what is in a document, as a value
* ``names``: turns a filename as a node sends it into a safe relative path
* ``shops``: shops, and whose each user is
* ``records``: sessions, files and hand-offs as values
* ``journal``: what the journal says of exchanges, refusals and minutes, as values
* ``notice``: what somebody is told who does not look at the status page
* ``reloaded``: what came of reading the settings again
* ``uploads``: a resumable upload as a value, and whether it is complete
* ``description``: what an importer receives about a hand-off, and its JSON
"""
