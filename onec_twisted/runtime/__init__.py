"""The process's own resources: threads, counters, and fair shares of them.

Modules, each importing only from those above it:

* ``backoff``: pauses between retries, each twice as long as the one before
* ``workers``: the threads that wait for the disk
* ``singleflight``: one call shared by all concurrent requests for the same thing
* ``tallies``: what is counted for each shop
* ``metrics``: what is counted and timed
* ``fairness``: shares a resource among users: nobody gets more than is left for the others
* ``descriptors``: detects when descriptors run out
* ``presence``: reports when the media root was removed under the running daemon
* ``seldom``: what is logged only once a minute
"""
