"""What the parts of the server ask of one another: bodies, their consumers and sockets, answers that stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IAddress
    from twisted.web.http_headers import Headers

    from onec_twisted.http.answer import Answer
    from onec_twisted.model.errors import Refused

__all__ = [
    "IAcknowledgement",
    "IAnswerStream",
    "IBody",
    "IBodyConsumer",
    "IBodySocket",
    "IConnection",
    "ILine",
    "IRequest",
    "ISocketConsumer",
    "IStreamingResource",
]


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
    """The body of a request while it comes in. Nothing of it is kept before ``stream_to``."""

    length: int | None = Attribute("Bytes announced by Content-Length; None when chunked.")
    received: int = Attribute("Bytes that came so far.")
    accepted: int = Attribute("Bytes of it that have been put on record; whoever does so notes it here.")
    complete: bool = Attribute("Whether the last byte came.")

    def stream_to(consumer: IBodyConsumer, limit: int, too_large: BaseException) -> Deferred[None]:
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
        """Take no more of it: ``stream_to`` fails with the reason. Does nothing once the body is complete."""

    def left() -> list[bytes]:
        """Return, once, what came before anybody wanted it of a body that ``stream_to`` has failed to give."""


class ILine(Interface):
    """A connection that can be asked what its peer has acknowledged, also when it has ended."""

    def unacknowledged() -> int:
        """Return the bytes of answers that the peer's machine has not acknowledged."""

    def over() -> bool:
        """Return whether nothing can be acknowledged any more."""

    def close() -> None:
        """Ask no more."""


class IAcknowledgement(Interface):
    """An answer that somebody wants to know the arrival of."""

    arrived: bool | None = Attribute("Whether it has arrived; None while that is open.")

    def sent(line: ILine | None) -> None:
        """Note that the answer was written to a line; None for one that cannot be asked."""

    def look() -> None:
        """Ask the kernel now."""

    def lost() -> None:
        """Note that the connection has ended, before the answer was written or after."""


class IConnection(Interface):
    """A connection that may have to make room for another."""

    transport: object = Attribute("What carries it.")

    def abort() -> None:
        """End it at once, without a word, and take nothing more from it."""


class IAnswerStream(Interface):
    """The body of an answer, on its way from elsewhere. Also an ``IPushProducer``."""

    length: int | None = Attribute("Bytes that it has; None when that is unknown.")

    def write_to(write: Callable[[bytes], object]) -> Deferred[None]:
        """Write all of it; fires after the last byte, and fails when it breaks off."""


class IRequest(Interface):
    """What a resource may ask of a request. Names in camelCase are those of Twisted's ``Request``."""

    method: bytes = Attribute("As it came.")
    uri: bytes = Attribute("The target, as it came.")
    postpath: list[bytes] = Attribute("The segments of the path below the resource, decoded.")
    requestHeaders: Headers = Attribute("All headers.")
    body: IBody = Attribute("The body, which may still be on its way.")
    gone: bool = Attribute("Whether nobody is left to receive an answer.")
    trusted_proxy: bool = Attribute("Whether a trusted proxy sends it for its client.")

    def getHeader(name: bytes) -> bytes | None:
        """Return the last value of a header."""

    def getCookie(name: bytes) -> bytes | None:
        """Return the value of a cookie."""

    def getClientAddress() -> IAddress:
        """Return the address of the client, which a trusted proxy may have reported."""

    def isSecure() -> bool:
        """Return whether the client's connection is TLS, to us or to a trusted proxy."""

    def notifyFinish() -> Deferred[None]:
        """Return a Deferred that fires when the answer is out, and fails when the connection ends before that."""

    def told_by_proxy(name: bytes) -> bytes:
        """Return the value of a header that the proxy next to the client has set; others append theirs."""


class IStreamingResource(Interface):
    """A resource that is asked as soon as the headers are complete."""

    def respond(request: IRequest, refused: Refused | None = None) -> Awaitable[Answer]:
        """Return the answer; ``request.body`` may still be on its way, and is drained if it is left alone.

        ``refused`` is why the request is refused whatever it asks for. Raises ``ConnectionDropped`` when nobody is
        left to receive an answer.
        """
