"""The store of files; ``local`` is the media root. Blocking functions, for workers.

Modules, each of which imports only from those above it:

* ``archive``: list an uploaded archive, and check that it is sound
* ``directory``: the names in an archive, in 8 bytes each
* ``document``: read a CommerceML document: whether it is well-formed, and what is in it
* ``interfaces``: what a store of files provides
* ``file``: one file, open for one piece: write, splice, sync, compare, roll back; no Twisted
* ``folders``: walk, recover and remove a session's folder; its manifest
* ``splice``: pipes between sockets and files, for splice
* ``local``: the media root, and the only paths; no Twisted
"""
