"""Whether descriptors run out.

Strangers may take as many as they like, so the last ones are kept for those who are in: no more than a part of all
are connections. Nor does a piece begin when there are but few: they are for syncs, the database, importers, the log
and the status page. How many there are the number of a new one tells: the system gives the lowest that is free.
"""

from __future__ import annotations

import resource

__all__ = ["NEWCOMER_SHARE", "PIECE_SHARE", "is_scarce"]

NEWCOMER_SHARE = 4
"""One in so many is kept from new connections."""

PIECE_SHARE = 8
"""One in so many is kept from pieces as well: from their files, and from their sockets' duplicates."""

MOST_DESCRIPTORS = 16384
"""Descriptors of which parts are kept; of a higher limit no more is, for nobody can need it."""


def is_scarce(number: int, kept: int) -> bool:
    """Return whether a descriptor of this number, or the last of so many, is kept: one in ``kept`` of all is."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit != resource.RLIM_INFINITY and number >= limit - min(limit, MOST_DESCRIPTORS) // kept
