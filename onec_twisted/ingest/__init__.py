"""A request body becomes committed bytes of a file, whichever protocol brings it.

Modules, each of which imports only from those above it:

* ``locks``: one writer for each file, and ``init`` before all of them
* ``space``: room on the disk and in the quota, promised before the first byte
* ``transfers``: the bodies on their way, and how many there may be
* ``checkpoints``: when a long body that is kept in part is put on record before its end
* ``writers``: a body on its way to the disk: by workers, or past Python by splice
* ``engine``: what every append needs, and the frame around one: room, transfer, lock, metrics, log
* ``append``: a body on the disk and on record: all or nothing, or as far as it comes; what is not on record is cut
  off
* ``proofs``: answers on their way, until it is on record that they arrived
* ``pieces``: what becomes of one piece: appended, confirmed, or nothing
"""
