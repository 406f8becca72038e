"""What the parts of the server ask of one another: bodies, their consumers and sockets, answers that stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

from onec_twisted.model.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from twisted.internet.defer import Deferred

    from onec_twisted.http.answer import Answer
    from onec_twisted.http.request import ExchangeRequest
    from onec_twisted.model.errors import Refused

__all__ = [
    "IAnswerStream",
    "IBody",
    "IBodyConsumer",
    "IBodySocket",
    "ILine",
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


class IAnswerStream(Interface):
    """The body of an answer, on its way from elsewhere. Also an ``IPushProducer``."""

    length: int | None = Attribute("Bytes that it has; None when that is unknown.")

    def write_to(write: Callable[[bytes], object]) -> Deferred[None]:
        """Write all of it; fires after the last byte, and fails when it breaks off."""


class IStreamingResource(Interface):
    """A resource that is asked as soon as the headers are complete."""

    def respond(request: ExchangeRequest, refused: Refused | None = None) -> Awaitable[Answer]:
        """Return the answer; ``request.body`` may still be on its way, and is drained if it is left alone.

        ``refused`` is why the request is refused whatever it asks for. Raises ``ConnectionDropped`` when nobody is
        left to hear an answer.
        """
