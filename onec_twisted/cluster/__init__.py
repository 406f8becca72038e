"""The second engine: PostgreSQL for what is on record, an object store for bytes; so several daemons serve alike.

Nothing but ``daemon`` imports it. Modules, each of which imports only from those above it:

* ``refusals``: why PostgreSQL or the object store cannot be used
* ``tables``: the tables, and their versions
* ``cursor``: a cursor that takes what SQLite takes
* ``contents``: what the records say of the objects of a session
* ``statements``: what every piece needs, in one statement each
* ``transactions``: what a step needs before and after it
* ``semaphore``: lets threads in by the order in which they came
* ``postgresql``: the database
* ``failover``: notices that a standby has taken over, and refuses what it may lack
* ``location``: where the object store is, and the keys to it
* ``s3``: the few verbs that are asked of an object store
* ``reading``: read a file from its segments
* ``putters``: the threads that put segments, and the memory they may take
* ``segments``: one file, open for one piece: spooled, cut, put
* ``objects``: the store of files
* ``presence``: this daemon as the others see it; whether it was away; the time that all share
* ``together``: whose answer to a piece counts
* ``claims``: which daemon delivers a hand-off, on record
* ``relay``: delivers hand-offs together with other daemons
* ``fetching``: fetches a session's files into a scratch folder, for importers that need them on a disk
* ``located``: a description whose files have addresses
* ``storing``: puts what was unpacked into the store
* ``publishing``: makes hand-offs ready: a site gets addresses of objects, a program a folder
* ``keeping``: the importer ``keep``, which writes its manifest into the store
* ``migrating``: SQL that takes the records of a daemon alone into PostgreSQL, and compares both
* ``carrying``: carries the files of a media root into the store, and compares both
"""
