"""Bytes in a store; ``local`` is the media root. Blocking functions, for workers.

Modules, each of which imports only from those above it:

* ``archive``: what lies in an uploaded archive, and whether it is sound
* ``directory``: the names in an archive, in 8 bytes each
* ``interfaces``: what a store of files provides
* ``file``: one file, open for one piece: write, splice, sync, compare, roll back; knows no Twisted
* ``folders``: what lies in a session's folder: walked, recovered, removed; its manifest
* ``splice``: between sockets and files: splice moves bytes through them
* ``local``: the media root: the only paths; knows no Twisted
"""
