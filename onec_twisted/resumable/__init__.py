"""The common part of the protocols for resumable uploads.

Modules, each of which imports only from those above it:

* ``checksums``: digests of the bytes of a request
* ``endings``: when a request completes its upload
* ``origins``: which origins' pages may upload, and the URLs of uploads behind a proxy
* ``claims``: the newest request for an upload takes precedence
* ``chunks``: the bytes of uploads on record: they grow, are handed off, and go
* ``appending``: append the body of one request: as far as it arrives, or all or nothing
* ``uploads``: who uploads, and how uploads begin, are found, and end
* ``door``: passes each request to its protocol
"""
