"""The records of sessions, files, hand-offs and uploads.

Modules, each of which imports only from those above it:

* ``sql.schema``: the tables, and their migrations
* ``sql.uploads``: SQL for the table of uploads
* ``sql.kept``: SQL for the folders of earlier epochs
* ``sql.journal``: SQL that keeps the journal, which outlives sessions
* ``sql.sessions``: SQL for sessions and files
* ``sql.contents``: SQL for what a session holds
* ``sql.handoffs``: SQL for hand-offs
* ``sql.outcomes``: SQL for what becomes of them
* ``sql.resumable``: SQL for an upload together with its session, file and hand-off
* ``sql.overview``: SQL for the administrator: how much is on record, and what is stuck
* ``sql.history``: SQL that reads the journal
* ``sql.shops``: SQL for how much of each shop is on record
* ``interfaces``: what a database provides
* ``sqlite``: the connections to SQLite; it translates SQLite's errors
* ``preparation``: prepare the database before the daemon starts
* ``database``: three connections, and group commit
* ``cache``: sessions in use, in memory
* ``recorder``: write and read the database in workers; records that may wait join the next commit
* ``sessions``: session records, without blocking; sessions in use are read from memory
* ``files``: file records, without blocking
* ``handoffs``: hand-off records, without blocking
* ``journal``: the journal, without blocking
* ``refused``: collects refused requests for the journal
* ``catalog``: these four on one recorder
* ``registry``: upload records, without blocking
"""
