"""What protocols of resumable uploads share.

Modules, each of which imports only from those above it:

* ``checksums``: digests of what a request has brought
* ``claims``: the newest request for an upload counts
* ``chunks``: what one request brings: kept as far as it came, or all of it or nothing
"""
