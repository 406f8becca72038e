"""Committed files reach the site: the outbox, the importers, and what lies in archives.

Modules, each of which imports only from those above it:

* ``interfaces``: all that the author of an importer imports
* ``client``: how the site is asked, and the signature
* ``keep``: the importer that leaves files where they are
* ``program``: the importer that starts a program
* ``webhook``: the importer that asks an address
* ``importers``: which importers there are: Twisted plugins
* ``relay``: delivers hand-offs, each at least once, one after another in a session
* ``examination``: starts ``examine`` for an archive, and ends it
* ``archives``: what lies in archives: read once for all who ask, users take turns
* ``handoffs``: what is handed off, and when

Programs of their own, run by their paths:

* ``launch``: runs beside an importer's program, and ends it when the daemon says so, or dies
* ``examine``: reads an archive, in a process of its own
"""
