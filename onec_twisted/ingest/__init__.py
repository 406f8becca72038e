"""Turn a request body into committed bytes of a file, whichever protocol carries it.

Modules, each of which imports only from those above it:

* ``locks``: one writer per file; ``init`` takes precedence over all of them
* ``shoproom``: what the sessions of a shop may still hold together
* ``space``: reserve room on the disk and in the quota before the first byte
* ``transfers``: the transfers in progress, and their limit
* ``checkpoints``: when to record a long body that may be kept in part, before its end
* ``carriers``: take a body from its source to its file in a worker: a pipe in the kernel, or a buffer
* ``writers``: write a body to the disk by workers, from memory or from its source
* ``daemons``: whether other daemons serve the same sessions, and what a piece has to ask because of that
* ``engine``: what every append needs, and the frame around one: room, transfer, lock, metrics, log
* ``append``: write and record a body, all or nothing or as far as it arrives; cut off what is not on record
* ``proofs``: answers on their way, until their acknowledgement is on record
* ``received``: logs each file once, when its node goes on to another
* ``pieces``: what becomes of one piece: it is appended, confirmed, or discarded
"""
