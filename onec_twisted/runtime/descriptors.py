"""Detects when descriptors run out.

Strangers may open any number of connections, so the last descriptors are reserved for established ones: only a part
of all may become connections. Nor does a piece begin when few are left: they are for syncs, the database, importers,
the log and the status page. The number of a new descriptor shows how many are in use, as the system assigns the
lowest free one.
"""

from __future__ import annotations

import resource

__all__ = ["NEWCOMER_SHARE", "PIECE_SHARE", "is_scarce"]

NEWCOMER_SHARE = 4
"""One descriptor in this many is reserved, unavailable to new connections."""

PIECE_SHARE = 8
"""One descriptor in this many is also unavailable to pieces: to their files, and to duplicates of their sockets."""

MOST_DESCRIPTORS = 16384
"""The highest limit of which a share is reserved; a higher limit reserves no more, as nothing could need it."""


def is_scarce(number: int, kept: int) -> bool:
    """Return whether descriptor ``number``, or the last of that many, is reserved, as one in ``kept`` of all is."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit != resource.RLIM_INFINITY and number >= limit - min(limit, MOST_DESCRIPTORS) // kept
