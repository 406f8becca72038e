"""What this process has of its own: threads, counters, fair shares of both.

Modules, each of which imports only from those above it:

* ``backoff``: pauses between tries, each twice as long as the one before
* ``workers``: the threads that wait for the disk
* ``singleflight``: one call for all who ask for the same thing at the same time
* ``metrics``: what is counted and timed
* ``fairness``: who may have how much of what all share: no more than is left for the others
* ``descriptors``: whether descriptors run out
* ``presence``: says when the media root has vanished under the daemon
"""
