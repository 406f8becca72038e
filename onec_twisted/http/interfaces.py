"""The interfaces between the parts of the server: bodies, their consumers and sockets, streamed answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IAddress

    from onec_twisted.http.answer import Answer
    from onec_twisted.model.errors import Refused

__all__ = [
    "IAcknowledgement",
    "IAnswerStream",
    "IBody",
    "IBodyConsumer",
    "IBodySocket",
    "IBodySource",
    "IConnection",
    "ILine",
    "IPeer",
    "IRequest",
    "ISocketConsumer",
    "IStreamingResource",
]


class IBodyConsumer(Interface):
    """Takes a body as it arrives."""

    def write(data: bytes) -> None:
        """Take the next bytes of the body; must not block."""


class ISocketConsumer(IBodyConsumer):
    """Takes a body also straight from its source, bypassing the reactor."""

    bulk: int = Attribute("Bytes that must wait in the socket to be worth moving.")

    def move(source: IBodySource, most: int) -> Deferred[int]:
        """Move at most ``most`` bytes of the body from a source to the end of what was written before.

        Fires with how many bytes have left the source, whatever became of them; never fails. Until it fires, nothing
        is written, and nothing else is read from the socket.
        """


class IBodySource(Interface):
    """What a worker takes the bytes of a body from, while the reactor leaves its connection alone."""

    is_plain: bool = Attribute("Whether the bytes in the socket are those of the body.")

    def fileno() -> int:
        """Return a descriptor of the socket that stays open until ``IBodySocket.release``."""

    def read(most: int) -> memoryview | None:
        """Return at most ``most`` bytes of the body, without waiting; None if none are complete yet.

        Returns no bytes when the reactor has to read: the connection has ended or failed, or costs too much to be
        read in bulk. What is returned is valid until the thread's next read.
        """


class IBodySocket(Interface):
    """The socket that a body of known length comes from."""

    def when_readable(moves: Callable[[], bool]) -> None:
        """Call ``moves`` before each read until ``release``; it returns True when it moves the bytes itself."""

    def waiting() -> int:
        """Return the number of bytes that wait in the socket."""

    def lend() -> IBodySource | None:
        """Lend the connection to a worker, until ``moved``; None if the reactor has to read from it now."""

    def moved(size: int) -> None:
        """Take the connection back, and count the bytes of the body that were moved; the last one ends the body."""

    def release() -> None:
        """Read from the socket as usual again."""


class IPeer(Interface):
    """Who waits for an answer at the other end of a connection."""

    def waits() -> bool:
        """Return whether it has not closed its end; may be called in any thread."""

    def close() -> None:
        """Release it: no further queries."""


class IBody(Interface):
    """The body of a request while it is received. Nothing of it is stored before ``stream_to``."""

    length: int | None = Attribute("Bytes announced by Content-Length; None when chunked.")
    received: int = Attribute("Bytes that came so far.")
    accepted: int = Attribute("Bytes of it that have been put on record; updated by the code that does so.")
    complete: bool = Attribute("Whether the last byte came.")
    begun: float = Attribute("When its request's headers were complete, in seconds of the reactor's clock.")

    def stream_to(consumer: IBodyConsumer, limit: int, too_large: BaseException) -> Deferred[None]:
        """Pass every byte to the consumer; fires after the last one.

        Fails with ``too_large`` past ``limit`` bytes, with ``BodyTimedOut`` when the sender falls silent, with
        ``UploadTooSlow`` when it is too slow, with ``ConnectionDropped`` when the connection is lost, or with the
        reason given to ``drop``. The consumer is not called again after a failure.
        """

    def pauseProducing() -> None:
        """Pause the sender, by TCP flow control."""

    def resumeProducing() -> None:
        """Resume the sender."""

    def silence() -> float:
        """Return for how many seconds the sender has sent nothing although it could."""

    def drop(reason: BaseException) -> None:
        """Accept no more of the body: ``stream_to`` fails with the reason. Does nothing once the body is complete."""

    def peer() -> IPeer:
        """Return the peer that sends it; the caller closes that. Raises ``OSError`` when no descriptor is left."""

    def left() -> list[bytes]:
        """Return, once, the bytes buffered before ``stream_to`` of a body that it has failed to pass on."""


class ILine(Interface):
    """A connection that can report what its peer has acknowledged, even after it has ended."""

    def unacknowledged() -> int:
        """Return the bytes of answers that the peer's machine has not acknowledged."""

    def over() -> bool:
        """Return whether nothing more can be acknowledged."""

    def close() -> None:
        """Release it: no further queries."""


class IAcknowledgement(Interface):
    """An answer whose arrival is tracked."""

    arrived: bool | None = Attribute("Whether it has arrived; None while that is open.")

    def sent(line: ILine | None) -> None:
        """Note that the answer was written to a line; None for one whose state cannot be read."""

    def look() -> None:
        """Query the kernel now."""

    def lost() -> None:
        """Note that the connection has ended, before the answer was written or after."""


class IConnection(Interface):
    """A connection that may be closed to make room for another."""

    transport: object = Attribute("What carries it.")

    def abort() -> None:
        """Abort it without an answer, and accept nothing more from it."""


class IAnswerStream(Interface):
    """The body of an answer, streamed from elsewhere. Also an ``IPushProducer``."""

    length: int | None = Attribute("Bytes that it has; None when that is unknown.")

    def write_to(write: Callable[[bytes], object]) -> Deferred[None]:
        """Write all of it; fires after the last byte, and fails when the body is cut short."""


class IRequest(Interface):
    """What a resource may ask of a request. Names in camelCase are those of Twisted's ``Request``."""

    method: bytes = Attribute("As it came.")
    uri: bytes = Attribute("The target, as it came.")
    postpath: list[bytes] = Attribute("The segments of the path below the resource, decoded.")
    body: IBody = Attribute("The body, which may still be on its way.")
    gone: bool = Attribute("Whether nobody is left to receive an answer.")
    trusted_proxy: bool = Attribute("Whether a trusted proxy sends it for its client.")

    def getHeader(name: bytes) -> bytes | None:
        """Return the last value of a header, by its name in lower case."""

    def joined(name: bytes) -> bytes | None:
        """Return all lines of a header as one list (RFC 9110 section 5.3), by its name in lower case."""

    def getCookie(name: bytes) -> bytes | None:
        """Return the value of a cookie."""

    def getClientAddress() -> IAddress:
        """Return the address of the client, which a trusted proxy may have reported."""

    def isSecure() -> bool:
        """Return whether the client's connection is TLS, to us or to a trusted proxy."""

    def notifyFinish() -> Deferred[None]:
        """Return a Deferred that fires when the answer is sent, and fails when the connection ends first."""

    def from_proxy(name: bytes) -> bytes:
        """Return the header value set by the proxy nearest the client; other proxies append theirs."""

    def interim(status: int, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Send an interim answer (RFC 9110 section 15.2) before the final one; return whether it was sent.

        ``status`` is 1xx with a name in ``http.server.REASONS``, other than 100, which is sent by itself, and 101.
        It is not sent to a client of HTTP/1.0, to one that does not read what was sent before or has gone, and not
        once the final answer has begun. Whether the client is to get any is for ``InterimResponses`` to say.
        """


class IStreamingResource(Interface):
    """A resource that is called as soon as the headers are complete."""

    def respond(request: IRequest, refused: Refused | None = None) -> Awaitable[Answer]:
        """Return the answer; ``request.body`` may still be arriving, and is drained if not consumed.

        ``refused`` is why the request is refused regardless of its content. Raises ``ConnectionDropped`` when nobody
        is left to receive an answer.
        """
