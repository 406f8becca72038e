"""Refusals because of a limit on the size of a body, or on how many there may be at once."""

from __future__ import annotations

from onec_twisted.model.refusals.base import Refused, RetryLater

__all__ = [
    "FileTooLarge",
    "TooManyConnections",
    "TooManyImports",
    "TooManySessions",
    "TooManyTries",
    "TooManyUploads",
]


class FileTooLarge(Refused):
    """The body is larger than ``--body-limit``."""

    status, words = 413, "File too large"


class TooManyTries(RetryLater):
    """So many logins from one address wait to be checked that this one would wait too long."""

    status = 429
    words = "Too many logins at once - retry later"


class TooManyConnections(RetryLater):
    """The address has as many connections as ``--connections-per-address`` allows."""

    status = 429
    words = "Too many connections - retry later"


class TooManyUploads(RetryLater):
    """As many pieces are being received as ``--max-uploads`` allows."""

    words = "Too many uploads at once - retry later"


class TooManySessions(Refused):
    """The user has as many sessions as ``--sessions-per-user`` allows; old ones expire by themselves."""

    status, headers = 429, ((b"Retry-After", b"60"),)
    words = "Too many sessions of this user - retry later"


class TooManyImports(TooManySessions):
    """Too many imports of the user wait, or the session had too many, for another one to be recorded."""

    words = "Too many imports - retry later"
