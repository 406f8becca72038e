"""Refusals of imports, and of requests for the site's orders."""

from __future__ import annotations

from onec_twisted.model.refusals.base import Refused, RetryLater

__all__ = [
    "ArchivesBusy",
    "ConfirmationFailed",
    "FileNotFound",
    "HandoffRunning",
    "ImportFailed",
    "OrdersUnavailable",
]


class FileNotFound(Refused):
    """``mode=import`` of a name that was never uploaded. An answer of the protocol, hence status 200."""

    status = 200

    def __init__(self, filename: str) -> None:
        """Name the file as the node requested it."""
        super().__init__(filename)
        self.words = f"File not found: {filename}"


class ImportFailed(Refused):
    """The importer reports a failure, in its own words. An answer of the protocol, hence status 200."""

    status = 200

    def __init__(self, words: str) -> None:
        """Keep the words: plain text, for a person at a 1C screen."""
        super().__init__(words)
        self.words = words.strip() or "Import failed"


class HandoffRunning(RetryLater):
    """``init`` arrived while files of the session were being handed off, which took too long."""

    words = "Session is being imported - retry later"


class ArchivesBusy(RetryLater):
    """So many archives of the session, its user or all users wait to be read that this one would wait too long."""

    words = "Too many archives at once - retry later"


class OrdersUnavailable(Refused):
    """The site returned no orders, or something else."""

    status = 502
    words = "The site gave no orders - retry later"


class ConfirmationFailed(Refused):
    """The site did not confirm that its orders were received; it may send them again."""

    status = 502
    words = "The site did not confirm - retry later"
