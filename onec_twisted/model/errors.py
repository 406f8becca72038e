"""Every error that several parts share: all reasons to refuse a request, and three errors that refuse none.

Import them from here, not from ``refusals``: then all of them are loaded, and ``Metrics`` counts each from the start,
as zero.
"""

from __future__ import annotations

from onec_twisted.model.refusals.base import Refused, ShuttingDown, Unforeseen
from onec_twisted.model.refusals.files import (
    FileBusy,
    FileDamaged,
    FileInTheWay,
    FileSealed,
    InvalidFilename,
    InvalidOffset,
    MissingFilename,
    WrongOffset,
)
from onec_twisted.model.refusals.imports import (
    ArchivesBusy,
    ConfirmationFailed,
    FileNotFound,
    HandoffRunning,
    ImportFailed,
    OrdersUnavailable,
)
from onec_twisted.model.refusals.limits import (
    FileTooLarge,
    TooManyConnections,
    TooManyImports,
    TooManySessions,
    TooManyTries,
    TooManyUploads,
)
from onec_twisted.model.refusals.logins import (
    InvalidSession,
    MissingCredentials,
    MissingSessid,
    SessionEnded,
    SessionRestarted,
    WrongCredentials,
    WrongShop,
)
from onec_twisted.model.refusals.requests import (
    BodyTimedOut,
    ContradictoryHeaders,
    HeadersTimedOut,
    MalformedRequest,
    MethodNotAllowed,
    NoExchangeHere,
    TlsNotSpoken,
    UnknownMode,
    UploadTooSlow,
)
from onec_twisted.model.refusals.storage import (
    CatalogBusy,
    InsufficientStorage,
    ShopFull,
    StorageRemoved,
    StorageUnavailable,
    TooManyFiles,
)
from onec_twisted.model.refusals.uploads import (
    ChecksumMismatch,
    DigestMismatch,
    FileBegun,
    InvalidLength,
    TooManyUnfinished,
    UnsupportedVersion,
    UploadGone,
    UploadLocked,
    UploadNotFound,
    UploadOpen,
    UploadStalled,
    UploadTakenOver,
)

__all__ = [
    "ArchivesBusy",
    "BodyTimedOut",
    "CatalogBusy",
    "ChecksumMismatch",
    "ConfirmationFailed",
    "ConnectionDropped",
    "ContradictoryHeaders",
    "DigestMismatch",
    "FileBegun",
    "FileBusy",
    "FileDamaged",
    "FileInTheWay",
    "FileNotFound",
    "FileSealed",
    "FileTooLarge",
    "HandoffRunning",
    "HeadersTimedOut",
    "ImportFailed",
    "ImportInterrupted",
    "InsufficientStorage",
    "InvalidFilename",
    "InvalidLength",
    "InvalidOffset",
    "InvalidSession",
    "MalformedRequest",
    "MethodNotAllowed",
    "MissingCredentials",
    "MissingFilename",
    "MissingSessid",
    "NoExchangeHere",
    "OrdersUnavailable",
    "Refused",
    "SessionEnded",
    "SessionRestarted",
    "ShopFull",
    "ShuttingDown",
    "StorageRemoved",
    "StorageUnavailable",
    "SyncFailed",
    "TlsNotSpoken",
    "TooManyConnections",
    "TooManyFiles",
    "TooManyImports",
    "TooManySessions",
    "TooManyTries",
    "TooManyUnfinished",
    "TooManyUploads",
    "Unforeseen",
    "UnknownMode",
    "UnsupportedVersion",
    "UploadGone",
    "UploadLocked",
    "UploadNotFound",
    "UploadOpen",
    "UploadStalled",
    "UploadTakenOver",
    "UploadTooSlow",
    "WrongCredentials",
    "WrongOffset",
    "WrongShop",
]


class SyncFailed(OSError):
    """The disk failed to store what was written; the kernel may have dropped it, and more of the file with it."""


class ImportInterrupted(Exception):
    """An importer ended without a result; the message says why. Retried after at least ``retry_after`` seconds."""

    retry_after = 0.0


class ConnectionDropped(Exception):
    """The connection was lost during the body: nobody is left to receive an answer."""
