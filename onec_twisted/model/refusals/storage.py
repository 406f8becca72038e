"""Refusals because the disk or the database is full, busy or unavailable."""

from __future__ import annotations

from onec_twisted.model.refusals.base import Refused, RetryLater

__all__ = [
    "CatalogBusy",
    "InsufficientStorage",
    "ShopFull",
    "StorageRemoved",
    "StorageUnavailable",
    "TooManyFiles",
]


class InsufficientStorage(Refused):
    """The disk or the session's quota has no room for the body."""

    status = 507
    words = "Insufficient storage"


class TooManyFiles(InsufficientStorage):
    """The session has as many files as one may have, whatever their size."""

    words = "Too many files in one session"


class ShopFull(InsufficientStorage):
    """The sessions of the shop hold as much as they may together."""

    words = "The shop has no room left on the server - retry later"


class StorageUnavailable(RetryLater):
    """The system temporarily denies access to our files: no descriptor is left, or a permission is missing."""

    words = "Storage unavailable - retry later"


class StorageRemoved(Refused):
    """The media root or the database was removed or replaced: anything written would be lost."""

    status = 503
    words = "Storage was removed from the server - tell its administrator"
    headers = ((b"Retry-After", b"60"),)


class CatalogBusy(RetryLater):
    """Another process holds the database lock, and does not release it."""

    words = "Database busy - retry later"
