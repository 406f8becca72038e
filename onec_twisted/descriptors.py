"""Whether descriptors run out, as the number of a new one tells: the system gives the lowest that is free.

Strangers may take as many as they like, so the last ones are kept for those who are in: first no newcomer is let in
any more, then no piece begins, and what is left is for syncs, the database, importers, the log and the status page.
"""

from __future__ import annotations

import resource

__all__ = ["NEWCOMERS", "PIECES", "is_scarce"]

NEWCOMERS = 4
"""One in so many is kept from new connections."""

PIECES = 8
"""One in so many is kept from pieces as well: from their files, and from their sockets' duplicates."""

MOST = 16384
"""Descriptors of which parts are kept; of a higher limit no more is, for nobody can need it."""


def is_scarce(number: int, kept: int) -> bool:
    """Return whether a descriptor of this number is one of those that are kept: one in ``kept`` of all."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit != resource.RLIM_INFINITY and number >= limit - min(limit, MOST) // kept
