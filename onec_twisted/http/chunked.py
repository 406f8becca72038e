"""The chunks of a body (RFC 9112 section 7.1), decoded many at a time. No Twisted.

A chunk may carry a single byte: what a sender makes of its bytes is cheap for it, and must not be dear for us. Here a
chunk costs less than a microsecond, and whoever decodes says how many of them may be decoded at a time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IPushProducer

    from onec_twisted.http.allowance import Allowance

__all__ = ["Chunked", "ChunkedBody", "MalformedChunks"]

LONGEST_LINE = 1024
"""Bytes of a line that tells a chunk's size, with its extensions, or of a line after the last chunk."""

MOST_TRAILERS = 16 * 1024
"""Bytes of all lines after the last chunk."""

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")

_END = b"\r\n"


class MalformedChunks(ValueError):
    """What came is no chunk."""


class Chunked:
    """A body in chunks, on its way in.

    ``ended`` says that the last chunk has come, and ``rest`` what came behind it, of the next request.
    """

    def __init__(self) -> None:
        """Begin before the first chunk."""
        self.ended = False
        self.rest = b""
        self._buffer = b""
        self._place = 0
        self._left = 0
        """Bytes of the chunk at hand that are still to come, with the line's end behind it; 0 between chunks."""
        self._trailers: int | None = None
        """Bytes of the lines after the last chunk; None before them."""

    def feed(self, data: bytes) -> None:
        """Take what came."""
        self._buffer = self._buffer[self._place :] + data
        self._place = 0

    def decode(self, most: int) -> tuple[bytes, int]:
        """Return the next bytes of the body, and how many chunks and lines they cost.

        No more than ``most``: when it cost so much, there may be more in what was fed. Raises ``MalformedChunks``.
        """
        parts: list[bytes] = []
        buffer, place, cost = self._buffer, self._place, 0
        while self._trailers is None and cost < most:
            if self._left:
                place, is_over = self._rest_of_chunk(place, parts)
                if not is_over:
                    break
            while cost < most and (found := _SIZE.match(buffer, place)) is not None:
                cost += 1
                place = found.end()
                end = place + int(found[1], 16)
                if end == place or not buffer.startswith(_END, end):
                    break
                parts.append(buffer[place:end])  # nearly always: all of a chunk is there
                place = end + 2
            else:
                if cost < most and place < len(buffer):
                    self._wait_for_line(place)
                break
            if end == place:
                self._trailers = 0
            else:
                self._left = end - place + 2
        self._place = place
        while self._trailers is not None and cost < most and not self.ended and self._trailer():
            cost += 1
        return parts[0] if len(parts) == 1 else b"".join(parts), cost

    def _rest_of_chunk(self, place: int, parts: list[bytes]) -> tuple[int, bool]:
        """Take what is there of a chunk that is not complete; return where it ends, and whether that is its end."""
        size = self._left - 2  # what is missing of the line's end makes it negative
        if size > 0:
            part = self._buffer[place : place + size]
            if part:
                parts.append(part)
            place += len(part)
            self._left -= len(part)
            if self._left > 2:
                return place, False
        end = self._buffer[place : place + self._left]
        if not _END[2 - self._left :].startswith(end):
            raise MalformedChunks("a chunk is longer than its size")
        self._left -= len(end)
        return place + len(end), not self._left

    def _wait_for_line(self, place: int) -> None:
        """See that a line whose end has not come may still become one. Raises ``MalformedChunks``."""
        end = self._buffer.find(_END, place, place + LONGEST_LINE)
        if end >= 0 or len(self._buffer) - place >= LONGEST_LINE:
            raise MalformedChunks("no size of a chunk")

    def _trailer(self) -> bool:
        """Pass over a line after the last chunk; return whether all of it was there. Raises ``MalformedChunks``."""
        end = self._buffer.find(_END, self._place)
        size = (end if end >= 0 else len(self._buffer)) - self._place
        self._trailers = (self._trailers or 0) + (size + 2 if end >= 0 else 0)
        if size > LONGEST_LINE or self._trailers > MOST_TRAILERS:
            raise MalformedChunks("too much behind the last chunk")
        if end < 0:
            return False
        self._place = end + 2
        if not size:
            self.ended = True
            self.rest, self._buffer, self._place = self._buffer[self._place :], b"", 0
        return True


class ChunkedBody:
    """The body of a request in chunks: what is decoded, and when.

    To a channel it is a decoder, one that does not call back for each chunk; to the body it is the transport, which
    holds the sender back, as it does while what was sent waits to be decoded.

    ``received`` is called with bytes of the body, ``ended`` with what came behind it, ``malformed`` for what is no
    chunk; nothing is decoded any more when ``is_open`` says no.
    """

    def __init__(
        self,
        transport: IPushProducer,
        allowance: Allowance,
        received: Callable[[bytes], None],
        ended: Callable[[bytes], None],
        malformed: Callable[[], None],
        is_open: Callable[[], bool],
    ) -> None:
        """Begin with nothing."""
        self._transport = transport
        self._allowance = allowance
        self._received = received
        self._ended = ended
        self._malformed = malformed
        self._is_open = is_open
        self._chunks = Chunked()
        self._held = False
        self._waits = False
        """Whether something is left to be decoded."""

    def dataReceived(self, data: bytes) -> None:
        """Take what came, and decode as much of it as one may at once."""
        self._chunks.feed(data)
        if self._waits:
            self._transport.pauseProducing()  # somebody else has let it go on
        else:
            self._decode(self._allowance.at_once())

    def pauseProducing(self) -> None:
        """Hold the sender back."""
        self._held = True
        self._transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Let the sender go on, when all that it has sent is decoded."""
        self._held = False
        if not self._waits:
            self._transport.resumeProducing()

    def stopProducing(self) -> None:
        """Do nothing: a body ends in other ways."""

    def _decode(self, most: int) -> None:
        """Pass on what may be decoded now; what is left is decoded later."""
        try:
            data, cost = self._chunks.decode(most)
        except MalformedChunks:
            self._malformed()
            return
        self._allowance.spend(cost)
        self._waits = cost >= most and not self._chunks.ended
        if self._waits:
            self._transport.pauseProducing()
            self._allowance.wait(self._go_on)
        if data:
            self._received(data)
        if self._chunks.ended:
            self._ended(self._chunks.rest)

    def _go_on(self, most: int) -> None:
        """Decode what waits, unless the connection is at its end."""
        if not self._is_open():
            return
        self._decode(most)
        if not self._waits and not self._held and not self._chunks.ended:
            self._transport.resumeProducing()
