"""The loads: uploads at full speed, requests whose latency is measured, and many slow uploads at once."""

from __future__ import annotations

import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import TYPE_CHECKING

from attrs import frozen

from bench.content import Stored
from bench.targets import Refused

if TYPE_CHECKING:
    from bench.content import Content
    from bench.generator import Marks
    from bench.targets import Exchange, ExchangeSender, Sender, Target

__all__ = ["Latencies", "Probe", "Sent", "SlowUploads", "Uploads"]

WARM_UP = 100_000
"""Bytes that every connection uploads before anything is measured."""

SMALL = 50_000
"""Bytes of the small piece of a probe."""

CHUNK = 2_000
"""Bytes that a slow upload sends at a time once it has become slow."""


@frozen
class Sent:
    """What was uploaded: seconds from the first byte to the last answer, bytes, and the files."""

    seconds: float
    size: int
    stored: tuple[Stored, ...]


@frozen
class Uploads:
    """Every connection uploads so many pieces of ``size`` bytes one after the other, each as a file of its own.

    With ``pieces`` 0 it goes on until it is told to end. ``names`` begins the names of all files; when there are
    two or more, they are for the first, second ... connection. Stops at the mark ``ready``, with the connections
    made and warm.
    """

    content: Content
    target: Target
    connections: int
    pieces: int
    size: int
    names: tuple[str, ...] = ("piece",)

    def run(self, marks: Marks) -> Sent:
        """Upload."""
        senders = [self.target.enter(self.content) for _ in range(self.connections)]
        once = secrets.token_hex(4)  # files of other rounds may still be there
        warm = [
            Stored(sender.upload(f"warm-{once}-{number}.bin", number, WARM_UP), number, WARM_UP)
            for number, sender in enumerate(senders)
        ]
        begin, end = Barrier(self.connections + 1), Event()
        with ThreadPoolExecutor(self.connections) as threads:
            work = [
                threads.submit(self._send, number, sender, once, begin, end) for number, sender in enumerate(senders)
            ]
            marks.reach("ready")
            begin.wait()
            if not self.pieces:
                while not marks.told() and not any(one.done() for one in work):
                    time.sleep(0.01)
                end.set()
            sent = [one.result() for one in work]
        first, last = min(one[0] for one in sent), max(one[1] for one in sent)
        stored = [file for one in sent for file in one[2]]
        return Sent(last - first, sum(file.size for file in stored), (*warm, *stored))

    def _send(
        self, number: int, sender: Sender, once: str, begin: Barrier, end: Event
    ) -> tuple[float, float, list[Stored]]:
        """Upload on one connection; return when that began and ended, and the files."""
        stored: list[Stored] = []
        begin.wait()
        first = time.monotonic()
        prefix = self.names[number % len(self.names)]
        while len(stored) < self.pieces or not (self.pieces or end.is_set()):
            piece = number * 1000 + len(stored)
            name = f"{prefix}-{once}-{piece}.bin"
            stored.append(Stored(sender.upload(name, piece, self.size), piece, self.size))
        return first, time.monotonic(), stored


@frozen
class Latencies:
    """Seconds that every checkauth and every small piece took, and the files."""

    checkauth: tuple[float, ...]
    piece: tuple[float, ...]
    stored: tuple[Stored, ...]


@frozen
class Probe:
    """A client that asks for a checkauth and sends a small piece in turn, and measures each.

    It does so ``count`` times, but not longer than ``seconds``, with a rest of some milliseconds after each.
    """

    content: Content
    target: Exchange
    count: int
    seconds: float

    def run(self, marks: Marks) -> Latencies:
        """Ask and measure."""
        sender = self.target.enter(self.content)
        sender.upload("warm.bin", 0, WARM_UP)
        stored = [Stored(sender.stored("warm.bin"), 0, WARM_UP)]
        logins: list[float] = []
        pieces: list[float] = []
        marks.reach("ready")
        end = time.monotonic() + self.seconds
        while len(pieces) < self.count and time.monotonic() < end:
            begin = time.monotonic()
            self.target.checkauth(sender.connection)
            logins.append(time.monotonic() - begin)
            time.sleep(REST)
            number = len(pieces)
            begin = time.monotonic()
            path = sender.upload(f"small-{number}.bin", number, SMALL)
            pieces.append(time.monotonic() - begin)
            time.sleep(REST)
            stored.append(Stored(path, number, SMALL))
        return Latencies(tuple(logins), tuple(pieces), tuple(stored))


REST = 0.005
"""Seconds between two requests of a probe: it is a guest, not a load."""


@frozen
class SlowUploads:
    """Many uploads at once, each of a session of its own, that become slow when part of the body is sent.

    Marks: ``ready`` when the sessions are open, ``slow`` when all uploads have been slow for ``seconds``.
    """

    content: Content
    target: Exchange
    count: int
    size: int
    sent: int
    seconds: float

    def run(self, marks: Marks) -> Sent:
        """Begin all uploads, trickle, and finish them all."""
        first = self.target.enter(self.content)
        first.upload("warm.bin", 0, WARM_UP)
        stored = [Stored(first.stored("warm.bin"), 0, WARM_UP)]
        senders = [self._session(first) for _ in range(self.count)]
        marks.reach("ready")
        began = time.monotonic()
        for number, sender in enumerate(senders):
            headers = {"Cookie": sender.cookie, "Content-Length": str(self.size)}
            head = sender.connection.head("POST", sender.location("slow.bin"), headers)
            sender.connection.open().sendall(head)
            self._send(sender, number, 0, self.sent)
        progress = self.sent
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            for number, sender in enumerate(senders):
                self._send(sender, number, progress, CHUNK)
            progress += CHUNK
            time.sleep(0.5)
        marks.reach("slow")
        for number, sender in enumerate(senders):
            self._send(sender, number, progress, self.size - progress)
        for number, sender in enumerate(senders):
            answer = sender.connection.answer()
            if answer.status != 200 or answer.body != b"success":
                raise Refused(f"answered {answer.status} {answer.body[:200]!r}")
            stored.append(Stored(sender.stored("slow.bin"), number, self.size))
        return Sent(time.monotonic() - began, self.count * self.size, tuple(stored))

    def _session(self, first: ExchangeSender) -> ExchangeSender:
        """Open a session over a connection that is there already; its own is not made yet."""
        cookie, sessid = self.target.checkauth(first.connection)
        return self.target.sender(self.content, cookie, sessid)

    def _send(self, sender: ExchangeSender, piece: int, start: int, length: int) -> None:
        """Send a part of a piece."""
        self.content.send(sender.connection.open(), piece, length, start)
