"""Decodes the chunks of a body (RFC 9112 section 7.1), many at a time. No Twisted.

A chunk may carry a single byte: small chunks are cheap for the sender, and must not be expensive for us. A chunk
costs less than a microsecond here, and the caller limits how many are decoded at a time.
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
"""Bytes of a chunk-size line, with its extensions, or of a trailer line after the last chunk."""

MOST_TRAILERS = 16 * 1024
"""Bytes of all lines after the last chunk."""

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")

_END = b"\r\n"


class MalformedChunks(ValueError):
    """The data received is not a valid chunk."""


class Chunked:
    """A chunked body being received.

    ``ended`` is set once the last chunk has come; ``rest`` are the bytes after it, part of the next request.
    """

    def __init__(self) -> None:
        """Start before the first chunk."""
        self.ended = False
        self.rest = b""
        self._buffer = b""
        self._place = 0
        self._left = 0
        """Bytes still missing from the current chunk, including the CRLF after it; 0 between chunks."""
        self._trailers: int | None = None
        """Bytes of the lines after the last chunk; None before them."""

    def feed(self, data: bytes) -> None:
        """Take received bytes."""
        self._buffer = self._buffer[self._place :] + data
        self._place = 0

    def decode(self, most: int) -> tuple[bytes, int]:
        """Return the next bytes of the body, and how many chunks and lines were decoded.

        At most ``most`` of them: when that many were decoded, there may be more buffered. Raises ``MalformedChunks``.
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
                parts.append(buffer[place:end])  # the usual case: the whole chunk is there
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
        """Take the available part of an incomplete chunk; return where it ends, and whether the chunk is complete."""
        size = self._left - 2  # negative when only part of the CRLF is missing
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
        """Check that an incomplete line may still become valid. Raises ``MalformedChunks``."""
        end = self._buffer.find(_END, place, place + LONGEST_LINE)
        if end >= 0 or len(self._buffer) - place >= LONGEST_LINE:
            raise MalformedChunks("no size of a chunk")

    def _trailer(self) -> bool:
        """Skip a line after the last chunk; return whether it was complete. Raises ``MalformedChunks``."""
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
    """The chunked body of a request: what is decoded, and when.

    A channel sees a decoder, one that does not call back for each chunk. A body sees a transport, which pauses the
    sender; this also happens while received data waits to be decoded.

    ``received`` is called with bytes of the body, ``ended`` with the bytes after it, ``malformed`` for invalid
    chunks; decoding stops when ``is_open`` returns False.
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
        """Start with nothing."""
        self._transport = transport
        self._allowance = allowance
        self._received = received
        self._ended = ended
        self._malformed = malformed
        self._is_open = is_open
        self._chunks = Chunked()
        self._held = False
        self._waits = False
        """Whether data is waiting to be decoded."""

    def dataReceived(self, data: bytes) -> None:
        """Take received data, and decode as much of it as is allowed at once."""
        self._chunks.feed(data)
        if self._waits:
            self._transport.pauseProducing()  # it was resumed elsewhere
        else:
            self._decode(self._allowance.at_once())

    def pauseProducing(self) -> None:
        """Pause the sender."""
        self._held = True
        self._transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Resume the sender, once everything that it has sent is decoded."""
        self._held = False
        if not self._waits:
            self._transport.resumeProducing()

    def stopProducing(self) -> None:
        """Do nothing: a body is ended in other ways."""

    def _decode(self, most: int) -> None:
        """Decode what the limit permits, pass it on, and schedule the rest."""
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
        """Decode waiting data, unless the connection has ended."""
        if not self._is_open():
            return
        self._decode(most)
        if not self._waits and not self._held and not self._chunks.ended:
            self._transport.resumeProducing()
