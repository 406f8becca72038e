"""What the parts ask of one another. Each implementation is verified by a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from twisted.internet.defer import Deferred

    from onec_twisted.description import Description, UploadedFile
    from onec_twisted.errors import Refused
    from onec_twisted.names import SafeName
    from onec_twisted.request import ExchangeRequest
    from onec_twisted.wire import Answer
    from onec_twisted.workers import Workers

__all__ = [
    "IAnswerStream",
    "IBody",
    "IBodyConsumer",
    "IBodySocket",
    "IImporter",
    "IImporterFactory",
    "IKnowingChecker",
    "ILine",
    "INode",
    "IPieceFile",
    "ISocketConsumer",
    "IStore",
    "IStreamingResource",
    "Surroundings",
]


@frozen
class Surroundings:
    """What an importer may work with.

    ``timeout`` is in seconds for one try, ``secret`` signs what a site is sent, ``authorization`` is the header that
    says who asks there; the two are empty when there is none.
    """

    reactor: Any
    workers: Workers
    timeout: float
    secret: bytes = field(default=b"", repr=False)
    authorization: str = field(default="", repr=False)


class INode(Interface):
    """Who has logged in: what the portal gives for good credentials."""

    user: str = Attribute("The name that the node logs in with.")


class IKnowingChecker(Interface):
    """A checker of passwords that knows those again that it has found right, and who may log in at all.

    Beside ``twisted.cred``'s ``ICredentialsChecker``.
    """

    def knows(credentials: Any) -> Deferred[bool]:
        """Fire with whether a user name and a password are known to be right now, without a check that takes long."""

    def has(user: bytes) -> bool:
        """Return whether there was such a user at the last look; at once, and in any thread."""

    def look() -> None:
        """Look again who may log in, as is done now and then. Blocks, and may be called in any thread."""


class IBodyConsumer(Interface):
    """Takes a body as it arrives."""

    def write(data: bytes) -> None:
        """Take the next bytes of the body; must not block."""


class ISocketConsumer(IBodyConsumer):
    """Takes a body also from its socket, past the reactor."""

    bulk: int = Attribute("Bytes that must wait in the socket to be worth moving.")

    def move(socket: int, most: int) -> Deferred[int]:
        """Move bytes that wait in a socket, ``most`` of them at most, to behind what was written before.

        Fires with how many have left the socket, whatever became of them; never fails. Nothing is written, and
        nothing else is read from the socket, before it has fired.
        """


class IBodySocket(Interface):
    """The socket that a body of known length comes from."""

    def when_readable(moves: Callable[[], bool]) -> None:
        """Ask before each read from now on, until ``release``: one that moves the bytes itself returns True."""

    def waiting() -> int:
        """Return the bytes that wait in the socket."""

    def fileno() -> int:
        """Return a descriptor of the socket that stays open until ``release``."""

    def moved(size: int) -> None:
        """Count bytes of the body that somebody has taken from the socket; its last byte ends the body."""

    def release() -> None:
        """Read from the socket as ever."""


class IBody(Interface):
    """The body of a request while it comes in. Nothing of it is kept before ``deliver``."""

    length: int | None = Attribute("Bytes announced by Content-Length; None when chunked.")
    received: int = Attribute("Bytes that came so far.")
    accepted: int = Attribute("Bytes of it that have been put on record; whoever does so notes it here.")
    complete: bool = Attribute("Whether the last byte came.")

    def deliver(consumer: IBodyConsumer, limit: int, too_large: BaseException) -> Deferred[None]:
        """Give every byte to the consumer; fires after the last one.

        Fails with ``too_large`` past ``limit`` bytes, with ``BodyTimedOut`` when the sender falls silent, with
        ``UploadTooSlow`` when it brings too little, with ``ConnectionDropped`` when the connection breaks, or with
        what ``drop`` was given. The consumer hears nothing more after a failure.
        """

    def pauseProducing() -> None:
        """Hold the sender back: TCP tells it to wait."""

    def resumeProducing() -> None:
        """Let the sender go on."""

    def silence() -> float:
        """Return for how many seconds the sender has brought nothing although it could."""

    def drop(reason: BaseException) -> None:
        """Take no more of it: ``deliver`` fails with the reason. Does nothing once the body is complete."""

    def left() -> list[bytes]:
        """Return, once, what came before anybody wanted it of a body that ``deliver`` has failed to give."""


class ILine(Interface):
    """A connection that can be asked what its peer has acknowledged, also when it has ended."""

    def unacknowledged() -> int:
        """Return the bytes of answers that the peer's machine has not acknowledged."""

    def over() -> bool:
        """Return whether nothing can be acknowledged any more."""

    def close() -> None:
        """Ask no more."""


class IImporter(Interface):
    """Takes what was handed off, into the site."""

    def deliver(description: Description, progress: Callable[[str], None]) -> Awaitable[None]:
        """Import what is described, and return when that is done. Never called twice at once for one session.

        ``progress`` takes a line for the person who waits at the 1C screen. The same description may come again: when
        the daemon dies before it has noted the end. Raises ``ImportFailed`` with words for that person, and
        ``ImportInterrupted`` when it cannot say how it ended, and wants to be asked again. It may be cancelled.
        """


class IImporterFactory(Interface):
    """Makes an importer from what follows ``--importer=NAME:``. Provided by plugins, together with ``IPlugin``."""

    importerType: str = Attribute("The name, as in ``--importer=NAME:ARGUMENTS``.")
    importerHelp: str = Attribute("What it does, in a few lines, for ``--help-importers``.")
    argStringFormat: str = Attribute("What the arguments are, in a line.")

    def generateImporter(argstring: str, surroundings: Surroundings) -> IImporter:
        """Return the importer. Raises ``ValueError`` with words for the administrator."""


class IAnswerStream(Interface):
    """The body of an answer, on its way from elsewhere. Also an ``IPushProducer``."""

    length: int | None = Attribute("Bytes that it has; None when that is unknown.")

    def deliver(write: Callable[[bytes], object]) -> Deferred[None]:
        """Write all of it; fires after the last byte, and fails when it breaks off."""


class IStreamingResource(Interface):
    """A resource that is asked as soon as the headers are complete."""

    def respond(request: ExchangeRequest, refused: Refused | None = None) -> Awaitable[Answer]:
        """Return the answer; ``request.body`` may still be on its way, and is drained if it is left alone.

        ``refused`` is why the request is refused whatever it asks for. Raises ``ConnectionDropped`` when nobody is
        left to hear an answer.
        """


class IPieceFile(Interface):
    """One file, open for one piece. Its functions block: they are called in workers, one at a time."""

    def write(chunks: Sequence[bytes]) -> None:
        """Write behind what was written before; the first piece of bytes goes to the committed length."""

    def splice(pipe: int, size: int) -> None:
        """Write ``size`` bytes that wait in a pipe."""

    def finish() -> None:
        """Bring all of it to the disk, names of new files and folders included, and close."""

    def keep_first(size: int) -> None:
        """Take back what was written, in whole or in part, behind the first ``size`` bytes of it."""

    def feed(update: Callable[[bytes], object]) -> None:
        """Pass on what was written, from the committed length on, piece by piece."""

    def repeats(start: int) -> bool:
        """Return whether what was written equals, byte for byte, the committed bytes from ``start`` on."""

    def roll_back() -> None:
        """Make the file what it was before the piece, or remove it if it was not there, and close."""


class IStore(Interface):
    """The media root. Its functions block: they are called in workers."""

    def open(sessid: str, name: SafeName, committed: int | None) -> IPieceFile:
        """Open a file to write at its committed length in bytes; None makes a new file.

        What lies behind the committed length is cut off. Raises ``FileDamaged`` when the file is shorter,
        ``FileInTheWay`` for what is none of ours, ``StorageRemoved``.
        """

    def compare(sessid: str, name: SafeName, start: int, committed: int) -> IPieceFile:
        """Open a file whose bytes from ``start`` on a piece claims to repeat.

        Its ``write`` writes nothing, and raises ``WrongOffset`` when bytes differ, or go beyond what is committed.
        """

    def cut(sessid: str, name: SafeName, committed: int | None) -> None:
        """Make a file that is not open exactly ``committed`` bytes long; None removes it."""

    def folder(sessid: str) -> str:
        """Return the absolute path of a session's folder, which need not be there."""

    def open_archive(sessid: str, name: SafeName) -> int:
        """Return a descriptor to read an archive from; whoever asks closes it. Raises ``OSError``."""

    def sync(sessid: str, name: SafeName | None = None) -> None:
        """Bring a file of a session, or all, and their names, to the disk.

        Raises ``SyncFailed`` when the disk did not take them, any other ``OSError`` when it could not be asked.
        """

    def lost(sessid: str, files: Sequence[UploadedFile]) -> list[str]:
        """Return the names of those files that are not there, or are shorter."""

    def check() -> None:
        """See that the media root is the one that we began with; raises ``StorageRemoved`` when not."""

    def discard(sessid: str) -> None:
        """Remove the session's folder; that it is not there is fine."""

    def folders() -> dict[str, float]:
        """Return the sessids that have a folder, and when it was changed, in seconds since 1970."""

    def free() -> int:
        """Return the bytes that the disk has left for us; none when it could hence hold few other files."""

    def probe() -> None:
        """See that something can be written; raises ``OSError`` when not."""
