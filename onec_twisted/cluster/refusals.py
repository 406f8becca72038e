"""Why PostgreSQL or the object store cannot be used, in words for the administrator."""

from __future__ import annotations

__all__ = ["CannotUseCluster"]


class CannotUseCluster(Exception):
    """PostgreSQL or the object store cannot be used; the message says why, in one line, and what to do."""
