"""The base of all refusals, and the two that any request may get."""

from __future__ import annotations

__all__ = ["Refused", "RetryLater", "ShuttingDown", "Unforeseen"]


class Refused(Exception):
    """Why a request is refused.

    ``status`` is the HTTP status, ``words`` the second line of the answer, ``headers`` are pairs of name and value.
    """

    status = 400
    words = "Bad request"
    headers: tuple[tuple[bytes, bytes], ...] = ()


class RetryLater(Refused):
    """A temporary condition: the node may retry in 5 seconds."""

    status = 503
    headers = ((b"Retry-After", b"5"),)


class Unforeseen(Refused):
    """Any unforeseen error; the traceback is in the log."""

    status, words = 500, "Internal server error"


class ShuttingDown(RetryLater):
    """The daemon is about to stop."""

    words = "Server is shutting down - retry later"
