"""Why PostgreSQL or the object store cannot be used, in words for the administrator."""

from __future__ import annotations

__all__ = ["CannotUseCluster", "first_line"]


class CannotUseCluster(Exception):
    """PostgreSQL or the object store cannot be used; the message says why, in one line, and what to do."""


def first_line(error: Exception) -> str:
    """Return what an error of psycopg's says, in one line: libpq adds the statement, and where in it."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
