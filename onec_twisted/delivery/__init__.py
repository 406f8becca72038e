"""Delivers committed files to the site: the outbox, the importers, and the contents of archives.

Modules, each of which imports only from those above it:

* ``interfaces``: everything that the author of an importer imports
* ``client``: HTTP requests to the site, and their signature
* ``keep``: the importer that leaves files where they are
* ``program``: the importer that starts a program
* ``results``: what the text of a site's answer says
* ``webhook``: the importer that posts to a URL
* ``importers``: the available importers, as Twisted plugins
* ``notifiers``: how notices reach somebody
* ``processes``: starts the programs below that read archives
* ``destinations``: where the hand-offs of each shop go
* ``preparation``: makes a hand-off ready: starts ``prepare`` if its session has archives
* ``checking``: starts ``check`` for the documents of a hand-off; a broken one fails in words
* ``lines``: who is next among the hand-offs of a user
* ``tries``: one try to deliver a hand-off, and its record
* ``relaying``: what the parts ask of that which delivers hand-offs
* ``relay``: delivers hand-offs, each at least once, in order for each user
* ``examination``: starts ``examine`` for an archive, and terminates it
* ``peeking``: starts ``peek`` for an archive that a person looks into
* ``archives``: the contents of archives, each read once for all requests, with users taking turns
* ``handoffs``: what is handed off, and when

Standalone programs, run by path:

* ``launch``: supervises an importer's program, and terminates it when the daemon orders it to or dies
* ``confinement``: what the others share: limits, and their end with the daemon
* ``examine``: reads an archive in a separate process
* ``peek``: lists an archive in a separate process
* ``prepare``: unpacks archives in a separate process
* ``check``: reads documents in a separate process
"""
