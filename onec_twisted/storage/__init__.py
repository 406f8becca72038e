"""The store of files; ``local`` is the media root. Blocking functions, for workers.

Modules, each of which imports only from those above it:

* ``spelling``: the names that an entry of an archive may mean
* ``archive``: list an uploaded archive, and check that it is sound
* ``directory``: the names in an archive, in 8 bytes each
* ``whole``: folders that are whole, or not there
* ``document``: read a CommerceML document: whether it is well-formed, and what is in it
* ``unpacking``: unpack an archive into a folder
* ``gathering``: gather in one folder what a hand-off's importer needs
* ``interfaces``: what a store of files provides
* ``file``: one file, open for one piece: write, splice, sync, compare, roll back; no Twisted
* ``folders``: walk, recover and remove a session's folder; its manifest
* ``ending``: whether the last daemon ended by itself
* ``splice``: pipes between sockets and files, for splice
* ``copies``: copies of files that may grow meanwhile
* ``local``: the media root, and the only paths; no Twisted
"""
