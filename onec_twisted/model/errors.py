"""Every reason to refuse a request, in one block: its status and the words that the node hears.

``exchange`` alone makes answers of them. The words are short and plain, for a person at 1C (docs/protocol.md, N3).
"""

from __future__ import annotations

# fmt: off
__all__ = [
    "ArchivesBusy", "BodyTimedOut", "CatalogBusy", "ConfirmationFailed", "ConnectionDropped",
    "ContradictoryHeaders", "FileBusy", "FileDamaged", "FileInTheWay", "FileNotFound",
    "FileSealed", "FileTooLarge", "HandoffRunning", "HeadersTimedOut", "ImportFailed", "ImportInterrupted",
    "InsufficientStorage", "InvalidFilename", "InvalidOffset", "InvalidSession", "MalformedRequest",
    "MethodNotAllowed", "MissingCredentials", "MissingFilename", "MissingSessid", "NoExchangeHere",
    "OrdersUnavailable", "Refused", "SessionEnded", "SessionRestarted", "ShuttingDown", "StorageRemoved",
    "StorageUnavailable", "SyncFailed", "TlsNotSpoken", "TooManyConnections", "TooManyFiles", "TooManyImports",
    "TooManySessions", "TooManyTries", "TooManyUploads", "Unforeseen", "UnknownMode", "UploadTooSlow",
    "WrongCredentials", "WrongOffset",
]
# fmt: on


class Refused(Exception):
    """Why a request is not carried out.

    ``status`` is of HTTP, ``words`` the second line of the answer, ``headers`` are pairs of name and value.
    """

    status = 400
    words = "Bad request"
    headers: tuple[tuple[bytes, bytes], ...] = ()


class RetryLater(Refused):
    """What passes by itself: the node may ask again in 5 seconds."""

    status = 503
    headers = ((b"Retry-After", b"5"),)


class MalformedRequest(Refused):
    """The bytes that came are no HTTP/1.1 request."""

    words = "Malformed request"


class TlsNotSpoken(Refused):
    """A node speaks TLS to a port that does not. It understands no answer, so the words are for the log."""

    words = "TLS came to a port without TLS - give 1C an address with http://, or listen with ssl:"


class ContradictoryHeaders(Refused):
    """A header that may stand once came several times, with different values: nobody knows which one is meant."""

    def __init__(self, name: str) -> None:
        """Name the header."""
        super().__init__(name)
        self.words = f"Header {name} came twice, with different values"


class UnknownMode(Refused):
    """The query names a type or a mode that the protocol does not have."""

    words = "Unknown mode"


class MissingFilename(Refused):
    """``mode=file`` or ``mode=import`` without a name."""

    words = "Missing filename"


class InvalidFilename(Refused):
    """The name would leave the session's folder, or no file system could hold it."""

    words = "Invalid filename"


class InvalidOffset(Refused):
    """``Upload-Offset`` or ``Content-Range`` cannot be understood, or say different things."""

    words = "Invalid offset"


class MissingCredentials(Refused):
    """``checkauth`` without a readable ``Authorization: Basic``: often a proxy has dropped it."""

    status = 401
    words = "No user name and password reached the server"
    headers = ((b"WWW-Authenticate", b'Basic realm="1C exchange", charset="UTF-8"'),)


class WrongCredentials(Refused):
    """``checkauth`` with a user or password that no checker accepts."""

    status, headers = 401, MissingCredentials.headers
    words = "Wrong user name or password"


class MissingSessid(Refused):
    """The session's public name is not in the query."""

    status = 403
    words = "Missing sessid"


class InvalidSession(Refused):
    """Cookie or sessid are wrong, unknown or expired."""

    status = 403
    words = "Invalid session"


class SessionEnded(Refused):
    """The administrator ended the session while this piece was on its way."""

    status = 403
    words = "Session was ended by the administrator"


class NoExchangeHere(Refused):
    """The path of the URL is none of ``--path``."""

    status = 404
    words = "No exchange at this address"


class FileNotFound(Refused):
    """``mode=import`` of a name that never came. An answer of the protocol, hence status 200."""

    status = 200

    def __init__(self, filename: str) -> None:
        """Name the file that the node asked for, as it asked."""
        super().__init__(filename)
        self.words = f"File not found: {filename}"


class ImportFailed(Refused):
    """The importer says no, in its own words. An answer of the protocol, hence status 200."""

    status = 200

    def __init__(self, words: str) -> None:
        """Keep the words: plain text, for a person at a 1C screen."""
        super().__init__(words)
        self.words = words.strip() or "Import failed"


class MethodNotAllowed(Refused):
    """A method that the mode does not take; ``file`` takes POST, the other modes GET or POST."""

    status = 405
    words = "Method not allowed"

    def __init__(self, allowed: bytes) -> None:
        """Tell the methods that are allowed, as RFC 9110 section 15.5.6 asks."""
        super().__init__(allowed)
        self.headers = ((b"Allow", allowed),)


class BodyTimedOut(Refused):
    """The body brought no byte for too long."""

    status, words = 408, "Upload timed out"


class UploadTooSlow(Refused):
    """The body brought less than ``--min-rate`` over the last minute."""

    status, words = 408, "Upload too slow"


class HeadersTimedOut(Refused):
    """The headers of a request took longer than ``--header-timeout``."""

    status, words = 408, "Request headers timed out"


class SessionRestarted(Refused):
    """``init`` started a new epoch while this piece was on its way: it belongs to the old one."""

    status, words = 409, "Session was initialised again"


class WrongOffset(Refused):
    """A piece that tells its place does not begin where the file ends, and is not held already."""

    status = 409

    def __init__(self, committed: int) -> None:
        """Tell the file's committed length in bytes, where the next piece is to begin."""
        super().__init__(committed)
        self.words = f"Expected offset {committed}"


class FileSealed(Refused):
    """The file was handed off: what the site has been told of does not change."""

    status, words = 409, "File was handed off already - init starts anew"


class FileTooLarge(Refused):
    """The body is larger than ``--body-limit``."""

    status, words = 413, "File too large"


class TooManyTries(RetryLater):
    """So many logins of one address are being checked that this one would wait too long."""

    status = 429
    words = "Too many logins at once - retry later"


class TooManyConnections(RetryLater):
    """The address has as many connections as ``--connections-per-address`` allows."""

    status = 429
    words = "Too many connections - retry later"


class TooManySessions(Refused):
    """The user has as many sessions as ``--sessions-per-user`` allows; old ones end by themselves."""

    status, headers = 429, ((b"Retry-After", b"60"),)
    words = "Too many sessions of this user - retry later"


class TooManyImports(TooManySessions):
    """So many imports of the user wait, or the session had so many, that no other is put on record."""

    words = "Too many imports - retry later"


class FileDamaged(Refused):
    """The file on disk is shorter than what was acknowledged; only ``init`` cures it."""

    status, words = 500, "File damaged"


class Unforeseen(Refused):
    """Anything that nobody thought of; the traceback is in the log."""

    status, words = 500, "Internal server error"


class StorageUnavailable(RetryLater):
    """The system does not let us at our files now: no descriptor is left, or a right is missing. That passes."""

    words = "Storage unavailable - retry later"


class StorageRemoved(Refused):
    """The media root or the database was removed, or others stand in their places: what we write would be lost."""

    status = 503
    words = "Storage was removed from the server - tell its administrator"
    headers = ((b"Retry-After", b"60"),)


class FileInTheWay(Refused):
    """In a file's place there is something that we did not make, and never write to; ``init`` moves it away."""

    status = 503
    headers = ((b"Retry-After", b"60"),)

    def __init__(self, name: str) -> None:
        """Name the file, relative to its session's folder."""
        super().__init__(name)
        self.words = f"Something else is in the place of {name} - tell the server's administrator"


class FileBusy(RetryLater):
    """The file's turn did not come within ``--lock-timeout``."""

    words = "File busy - retry later"


class CatalogBusy(RetryLater):
    """Another process has the database to itself, and does not let go."""

    words = "Database busy - retry later"


class TooManyUploads(RetryLater):
    """As many pieces are on their way as ``--max-uploads`` allows."""

    words = "Too many uploads at once - retry later"


class HandoffRunning(RetryLater):
    """``init`` came while files of the session are being handed off, and that took too long."""

    words = "Session is being imported - retry later"


class ArchivesBusy(RetryLater):
    """So many archives of the session, of its user or of all wait to be read that this one would wait too long."""

    words = "Too many archives at once - retry later"


class OrdersUnavailable(Refused):
    """The site gives no orders, or something else."""

    status = 502
    words = "The site gave no orders - retry later"


class ConfirmationFailed(Refused):
    """The site did not hear that its orders were taken; it may give them again."""

    status = 502
    words = "The site did not confirm - retry later"


class ShuttingDown(RetryLater):
    """The daemon is about to end."""

    words = "Server is shutting down - retry later"


class InsufficientStorage(Refused):
    """The disk or the session's quota has no room for the body."""

    status = 507
    words = "Insufficient storage"


class TooManyFiles(InsufficientStorage):
    """The session has as many files as one may have, whatever their size."""

    words = "Too many files in one session"


class SyncFailed(OSError):
    """The disk did not take what was written; the kernel may have dropped it, and more of the file with it."""


class ImportInterrupted(Exception):
    """An importer could not say how it ended, in words, and is asked again after ``retry_after`` seconds at least."""

    retry_after = 0.0


class ConnectionDropped(Exception):
    """The body broke off: nobody is left to hear an answer."""
