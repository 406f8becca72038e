"""What is on record: sessions, files, hand-offs and uploads.

Modules, each of which imports only from those above it:

* ``sql.schema``: the tables, and their migrations
* ``sql.uploads``: SQL about the table of uploads
* ``sql.sessions``: SQL about sessions and files
* ``sql.handoffs``: SQL about hand-offs
* ``sql.resumable``: what is recorded of an upload, its file and its hand-off together
* ``sql.overview``: SQL for the administrator: how much there is, and what stands still
* ``sqlite``: the connections to SQLite, and what it says of failures in our words
* ``preparation``: what is done with the database before the daemon starts
* ``database``: three connections, and group commit
* ``cache``: sessions in use, in memory
* ``recorder``: writes and reads the database in workers; what may wait goes to the disk with what may not
* ``sessions``: sessions on record, without blocking; a session in use is answered from memory
* ``files``: files on record, without blocking
* ``handoffs``: hand-offs on record, without blocking
* ``catalog``: these three on one recorder
* ``registry``: uploads on record, without blocking
"""
