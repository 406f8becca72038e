"""Every reason to refuse a request, in one block: its status and the words that the node receives.

Only ``exchange`` turns them into answers. The words are short and plain, for a person at 1C (docs/protocol.md, N3).
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


class MalformedRequest(Refused):
    """The bytes received are not an HTTP/1.1 request."""

    words = "Malformed request"


class TlsNotSpoken(Refused):
    """A node speaks TLS to a port without TLS. It understands no answer, so the words are for the log."""

    words = "TLS came to a port without TLS - give 1C an address with http://, or listen with ssl:"


class ContradictoryHeaders(Refused):
    """A single-valued header came several times, with different values: it is unclear which one is meant."""

    def __init__(self, name: str) -> None:
        """Name the header."""
        super().__init__(name)
        self.words = f"Header {name} came twice, with different values"


class UnknownMode(Refused):
    """The query names a type or a mode that the protocol does not define."""

    words = "Unknown mode"


class MissingFilename(Refused):
    """``mode=file`` or ``mode=import`` without a name."""

    words = "Missing filename"


class InvalidFilename(Refused):
    """The name would leave the session's folder, or no file system could store it."""

    words = "Invalid filename"


class InvalidOffset(Refused):
    """``Upload-Offset`` or ``Content-Range`` is malformed, or they contradict each other."""

    words = "Invalid offset"


class MissingCredentials(Refused):
    """``checkauth`` without a readable ``Authorization: Basic``, often because a proxy has dropped it."""

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
    """The cookie or sessid is wrong, unknown or expired."""

    status = 403
    words = "Invalid session"


class SessionEnded(Refused):
    """The administrator ended the session while this piece was being received."""

    status = 403
    words = "Session was ended by the administrator"


class NoExchangeHere(Refused):
    """The path of the URL is not one of ``--path``."""

    status = 404
    words = "No exchange at this address"


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


class MethodNotAllowed(Refused):
    """A method that the mode does not accept; ``file`` accepts POST, the other modes GET or POST."""

    status = 405
    words = "Method not allowed"

    def __init__(self, allowed: bytes) -> None:
        """List the methods that are allowed, as RFC 9110 section 15.5.6 requires."""
        super().__init__(allowed)
        self.headers = ((b"Allow", allowed),)


class BodyTimedOut(Refused):
    """No byte of the body came for too long."""

    status, words = 408, "Upload timed out"


class UploadTooSlow(Refused):
    """The body came slower than ``--min-rate`` over the last minute."""

    status, words = 408, "Upload too slow"


class HeadersTimedOut(Refused):
    """The headers of a request took longer than ``--header-timeout``."""

    status, words = 408, "Request headers timed out"


class SessionRestarted(Refused):
    """``init`` started a new epoch while this piece was being received: it belongs to the old one."""

    status, words = 409, "Session was initialised again"


class WrongOffset(Refused):
    """A piece with an offset does not begin where the file ends, and its bytes are not stored already."""

    status = 409

    def __init__(self, committed: int) -> None:
        """Report the file's committed length in bytes, where the next piece has to begin."""
        super().__init__(committed)
        self.words = f"Expected offset {committed}"


class FileSealed(Refused):
    """The file was handed off: what was reported to the site must not change."""

    status, words = 409, "File was handed off already - init starts anew"


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


class TooManySessions(Refused):
    """The user has as many sessions as ``--sessions-per-user`` allows; old ones expire by themselves."""

    status, headers = 429, ((b"Retry-After", b"60"),)
    words = "Too many sessions of this user - retry later"


class TooManyImports(TooManySessions):
    """Too many imports of the user wait, or the session had too many, for another one to be recorded."""

    words = "Too many imports - retry later"


class FileDamaged(Refused):
    """The file on disk is shorter than what was acknowledged; only ``init`` resolves this."""

    status, words = 500, "File damaged"


class Unforeseen(Refused):
    """Any unforeseen error; the traceback is in the log."""

    status, words = 500, "Internal server error"


class StorageUnavailable(RetryLater):
    """The system temporarily denies access to our files: no descriptor is left, or a permission is missing."""

    words = "Storage unavailable - retry later"


class StorageRemoved(Refused):
    """The media root or the database was removed or replaced: anything written would be lost."""

    status = 503
    words = "Storage was removed from the server - tell its administrator"
    headers = ((b"Retry-After", b"60"),)


class FileInTheWay(Refused):
    """Something that we did not create is in a file's place; we never write to it, and ``init`` moves it away."""

    status = 503
    headers = ((b"Retry-After", b"60"),)

    def __init__(self, name: str) -> None:
        """Name the file, relative to its session's folder."""
        super().__init__(name)
        self.words = f"Something else is in the place of {name} - tell the server's administrator"


class FileBusy(RetryLater):
    """The file's lock was not available within ``--lock-timeout``."""

    words = "File busy - retry later"


class CatalogBusy(RetryLater):
    """Another process holds the database lock, and does not release it."""

    words = "Database busy - retry later"


class TooManyUploads(RetryLater):
    """As many pieces are being received as ``--max-uploads`` allows."""

    words = "Too many uploads at once - retry later"


class HandoffRunning(RetryLater):
    """``init`` came while files of the session are being handed off, which took too long."""

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


class ShuttingDown(RetryLater):
    """The daemon is about to stop."""

    words = "Server is shutting down - retry later"


class InsufficientStorage(Refused):
    """The disk or the session's quota has no room for the body."""

    status = 507
    words = "Insufficient storage"


class TooManyFiles(InsufficientStorage):
    """The session has as many files as one may have, whatever their size."""

    words = "Too many files in one session"


class SyncFailed(OSError):
    """The disk failed to store what was written; the kernel may have dropped it, and more of the file with it."""


class ImportInterrupted(Exception):
    """An importer ended without a result; the message says why. Retried after at least ``retry_after`` seconds."""

    retry_after = 0.0


class ConnectionDropped(Exception):
    """The connection was lost during the body: nobody is left to receive an answer."""
