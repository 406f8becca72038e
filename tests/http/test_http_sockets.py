"""Bodies from real sockets, past the reactor and through it: nobody can tell the difference."""

from __future__ import annotations

import errno
import random
import socket
import ssl
import struct
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from announcing import heard_in
from attrs import define, frozen
from certificates import make_certificate
from OpenSSL.SSL import TLS_METHOD
from pytest_twisted import ensureDeferred
from twisted.internet.defer import gatherResults, maybeDeferred
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.internet.task import Clock, LoopingCall, deferLater
from twisted.internet.threads import deferToThread
from twisted.protocols.tls import BufferingTLSTransport, _AggregateSmallWrites
from twisted.web.resource import Resource, getChildForRequest
from zope.interface import implementer
from zope.interface.verify import verifyClass

from onec_twisted.http import sources
from onec_twisted.http.body import Body, State
from onec_twisted.http.interfaces import ILine, IRequest, IStreamingResource
from onec_twisted.http.sockets import SocketLine, WrittenLine
from onec_twisted.ingest import carriers
from onec_twisted.model.errors import InsufficientStorage
from onec_twisted.runtime.workers import DiskWorkers
from onec_twisted.storage import splice as pipes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from certificates import Certificate
    from in_memory import InMemory

    from onec_twisted.http.answer import Answer
    from onec_twisted.model.errors import Refused

LARGE = random.Random(1).randbytes(3_000_000)
LOTS = 2**30
PATIENCE = 20
"""Seconds after which a client gives up."""


@frozen
class Served:
    """An exchange at a real port, or at a path, and one session of it."""

    exchange: InMemory
    address: str | tuple[str, int]
    cookie: str
    sessid: str
    context: ssl.SSLContext | None = None

    def connect(self) -> socket.socket:
        """Open a connection."""
        line = socket.socket(socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET)
        line.settimeout(PATIENCE)
        line.connect(self.address)
        return line if self.context is None else self.context.wrap_socket(line, server_hostname="localhost")

    def post(self, name: str, body: bytes, *more: str, length: int | None = None) -> bytes:
        """Return the bytes of a piece; ``length`` is what it says of itself, where that is not its body's."""
        lines = (
            f"POST /1c_exchange.php?type=catalog&mode=file&filename={name}&sessid={self.sessid} HTTP/1.1",
            "Host: shop.example",
            f"Cookie: {self.cookie}",
            f"Content-Length: {len(body) if length is None else length}",
            *more,
        )
        return "\r\n".join((*lines, "", "")).encode() + body

    def stored(self) -> dict[str, bytes]:
        """Return what the session holds."""
        files = self.exchange.files()
        return {path.removeprefix(f"{self.sessid}/"): data for path, data in files.items()}


def answers(line: socket.socket, times: int = 1) -> list[bytes]:
    """Read answers to the end of their bodies; those that never come are left out."""
    read = b""
    found: list[bytes] = []
    while len(found) < times:
        head, blank, rest = read.partition(b"\r\n\r\n")
        if blank:
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            if len(rest) >= length:
                found.append(head.split(b" ")[1] + b" " + rest[:length])
                read = rest[length:]
                continue
        try:
            block = line.recv(65536)
        except ConnectionError:
            break
        if not block:
            break
        read += block
    return found


SUCCESS = b"200 success"


@pytest.fixture(params=["buffered", "zero-copy", "auto"])
def intake(request: pytest.FixtureRequest) -> str:
    """Each way that bodies come in."""
    return str(request.param)


@pytest.fixture(params=["tcp", "unix", "TLSv1_2", "TLSv1_3"])
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of socket."""
    return str(request.param)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """The certificate of an exchange that speaks TLS."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def served(
    kind: str, intake: str, make_exchange: Callable[..., InMemory], tmp_path: Path, certificate: Certificate
) -> Iterator[Served]:
    """An exchange that listens, with real threads for its disk."""
    from twisted.internet import reactor

    workers = DiskWorkers(reactor, 4)
    exchange = make_exchange(workers=workers, body_limit=LOTS, session_quota=LOTS, intake=intake)
    exchange.store.free_bytes = 2**40
    cookie, sessid = exchange.checkauth()
    place = str(tmp_path / "line")
    listening: Any = reactor
    if kind == "unix":
        port = listening.listenUNIX(place, exchange.site)
    elif kind == "tcp":
        port = listening.listenTCP(0, exchange.site, interface="127.0.0.1")
    else:
        keys = DefaultOpenSSLContextFactory(str(certificate.key), str(certificate.chain), TLS_METHOD)
        port = listening.listenSSL(0, exchange.site, keys, interface="127.0.0.1")
    context = certificate.trusted() if kind.startswith("TLS") else None
    if context is not None:
        context.minimum_version = context.maximum_version = ssl.TLSVersion[kind]
    yield Served(exchange, place if kind == "unix" else ("127.0.0.1", port.getHost().port), cookie, sessid, context)
    pytest_twisted.blockon(maybeDeferred(port.stopListening))
    while exchange.parts.locks.busy(sessid) or len(exchange.parts.proofs):
        exchange.clock.advance(1)
        pytest_twisted.blockon(deferLater(reactor, 0.01))
    workers.stop()


def test_they_are_what_they_say() -> None:
    """What the house asks of a connection, and the names of Twisted that it stands on."""
    assert verifyClass(ILine, SocketLine)
    assert verifyClass(ILine, WrittenLine)
    assert callable(_AggregateSmallWrites(bytes, Clock()).flush)
    assert "_aggregator" in BufferingTLSTransport.__init__.__code__.co_names


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what was acknowledged")
def test_what_is_written_behind_an_answer_does_not_count() -> None:
    """TLS writes a word of its own when a connection ends, which a peer that is gone never acknowledges."""

    @define(eq=False)
    class Asked(SocketLine):
        """What the kernel says, one after another: what was acknowledged, and what was not."""

        told: list[int]

        def acknowledged(self) -> int:
            return self.told.pop(0)

        def unacknowledged(self) -> int:
            return self.told.pop(0)

    line = WrittenLine(Asked([100, 50, 120, 30, 120]))  # 20 were acknowledged while it asked
    line._line.told = [120, 149, 150, 151]  # type: ignore[attr-defined]
    assert [line.unacknowledged() for _ in range(4)] == [30, 1, 0, 0]


@ensureDeferred
async def test_a_large_piece_and_what_follows_it(served: Served) -> None:
    """Byte for byte; the next request may stand right behind its last byte."""

    def talk() -> list[bytes]:
        with served.connect() as line:
            line.sendall(served.post("a", LARGE) + served.post("b", b"small") + served.post("a", LARGE[:100_000]))
            return answers(line, 3)

    assert await deferToThread(talk) == [SUCCESS] * 3
    assert served.stored() == {"a": LARGE + LARGE[:100_000], "b": b"small"}


@ensureDeferred
async def test_a_piece_in_parts(served: Served) -> None:
    """Whatever part comes at a time."""
    chance = random.Random(2)

    def talk() -> list[bytes]:
        with served.connect() as line:
            wire = served.post("a", LARGE)
            while wire:
                part = chance.choice([1, 100, 5000, 200_000, 700_000])
                line.sendall(wire[:part])
                wire = wire[part:]
                if chance.random() < 0.3:
                    time.sleep(0.01)  # the other side has read it
            return answers(line)

    assert await deferToThread(talk) == [SUCCESS]
    assert served.stored() == {"a": LARGE}


@pytest.mark.parametrize("how", ["FIN", "half", "RST"])
@pytest.mark.parametrize("part", [1, 1000, 300_000, len(LARGE) - 1])
@ensureDeferred
async def test_a_piece_that_breaks_off(served: Served, how: str, part: int) -> None:
    """At any byte, in any way: the file is what it was before."""

    def talk(*, breaks: bool) -> list[bytes]:
        with served.connect() as line:
            line.sendall(served.post("a", b"before") if not breaks else served.post("a", LARGE)[: part - len(LARGE)])
            if not breaks:
                return answers(line)
            if how == "half":
                line.shutdown(socket.SHUT_WR)
                return answers(line)
            if how == "RST":
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return []

    assert await deferToThread(talk, breaks=False) == [SUCCESS]
    assert await deferToThread(talk, breaks=True) == []
    assert await deferToThread(talk, breaks=False) == [SUCCESS]  # waits for its turn, so the other is over
    assert served.stored() == {"a": b"beforebefore"}


@ensureDeferred
async def test_pieces_of_one_file_at_once(served: Served) -> None:
    """They take turns, each whole."""
    bodies = [bytes([n]) * 1_000_000 for n in range(4)]

    def talk(body: bytes) -> list[bytes]:
        with served.connect() as line:
            line.sendall(served.post("a", body))
            return answers(line)

    outcomes = await gatherResults([deferToThread(talk, body) for body in bodies])
    assert outcomes == [[SUCCESS]] * 4
    data = served.stored()["a"]
    parts = [data[start : start + 1_000_000] for start in range(0, len(data), 1_000_000)]
    assert sorted(parts) == bodies


@ensureDeferred
async def test_a_sender_that_falls_silent(served: Served) -> None:
    """It is dropped after the same time, and hears of it; time does not run while it sends."""

    def begin() -> socket.socket:
        line = served.connect()
        line.sendall(served.post("a", LARGE)[:-5])
        return line

    line = await deferToThread(begin)
    received = len(LARGE) - 5
    clock = served.exchange.clock

    def reached() -> bool:
        sessions = served.exchange.parts.locks._sessions.values()
        writers = [file.writer for session in sessions for file in session.files.values()]
        return any(
            isinstance(writer, Body)
            and writer.received == received
            and writer.state is State.READ  # while it waits for the disk its sender has all the time
            for writer in writers
        )

    while not reached():
        await deferToThread(time.sleep, 0.01)
    clock.advance(59)
    assert reached()
    clock.advance(1)

    def hear() -> list[bytes]:
        with line:
            return answers(line)

    assert await deferToThread(hear) == [b"408 failure\nUpload timed out"]
    assert served.stored() == {}
    clock.advance(2)


@ensureDeferred
async def test_a_disk_that_is_full(served: Served) -> None:
    """The sender hears of it although it has more to send, and the file is what it was."""
    served.exchange.store.on_write = InsufficientStorage()

    def talk() -> list[bytes]:
        with served.connect() as line:
            line.sendall(served.post("a", LARGE))
            return answers(line)

    assert await deferToThread(talk) == [b"507 failure\nInsufficient storage"]
    assert served.stored() == {}


@ensureDeferred
async def test_init_in_the_middle(served: Served) -> None:
    """The piece that is on its way is dropped, wherever its bytes are."""
    begun = threading.Event()

    def send() -> list[bytes]:
        with served.connect() as line:
            line.sendall(served.post("a", LARGE)[:-1])
            begun.set()
            return answers(line)

    def restart() -> list[bytes]:
        begun.wait(PATIENCE)
        with served.connect() as line:
            line.sendall(
                f"GET /1c_exchange.php?type=catalog&mode=init&sessid={served.sessid} HTTP/1.1\r\nHost: x\r\n"
                f"Cookie: {served.cookie}\r\n\r\n".encode()
            )
            return answers(line)

    sending, restarting = deferToThread(send), deferToThread(restart)
    assert (await restarting)[0].startswith(b"200 zip=yes")
    assert await sending == [b"409 failure\nSession was initialised again"]
    assert served.stored() == {}


@ensureDeferred
async def test_a_repeat_is_compared(served: Served) -> None:
    """A range that is held already is confirmed, and one that differs refused, whatever way it comes."""

    def talk() -> list[bytes]:
        with served.connect() as line:
            line.sendall(served.post("a", LARGE) + served.post("a", LARGE, "Upload-Offset: 0"))
            heard = answers(line, 2)
            line.sendall(served.post("a", LARGE[:-1] + b"?", "Upload-Offset: 0"))
            return heard + answers(line)

    heard = await deferToThread(talk)
    assert heard[:2] == [SUCCESS] * 2
    assert heard[2] == b"409 failure\nExpected offset %d" % len(LARGE)
    assert served.stored() == {"a": LARGE}


@implementer(IStreamingResource)
class Ticking(Resource):
    """Sends interim answers all the time while the resource behind it works."""

    isLeaf = True

    def __init__(self, behind: Any) -> None:
        """Stand before another."""
        super().__init__()
        self.behind = behind
        self.sent: Counter[State] = Counter()
        """How many were sent, by what became of the body at that time."""

    async def respond(self, request: IRequest, refused: Refused | None = None) -> Answer:
        """Let the other one answer."""
        body: Any = request.body

        def tick() -> None:
            if request.interim(104, ((b"Upload-Offset", b"%d" % body.received),)):
                self.sent[body.state] += 1

        ticking: Any = LoopingCall(tick)
        ticking.start(0.001)
        try:
            return await IStreamingResource(getChildForRequest(self.behind, request)).respond(request, refused)
        finally:
            ticking.stop()


@ensureDeferred
async def test_interim_answers_while_a_body_comes(served: Served, intake: str) -> None:
    """They arrive meanwhile, also while a worker has the connection; what is final stands behind all of them."""
    site: Any = served.exchange.site
    site.resource = ticking = Ticking(site.resource)
    wire = served.post("a", LARGE)
    step = len(wire) // 5 + 1

    def talk() -> list[tuple[int, bytes]]:
        received, before = b"", 0
        with served.connect() as line:
            for begin in range(0, len(wire), step):
                line.sendall(wire[begin : begin + step])
                while len(heard_in(received)) == before:
                    received += line.recv(65536)
                before = len(heard_in(received))
            line.sendall(served.post("b", b"small"))
            while [status for status, *_ in heard_in(received)].count(200) < 2:
                received += line.recv(65536)
        return [(status, body) for status, _, body in heard_in(received)]

    heard = await deferToThread(talk)
    finals = [place for place, (status, _) in enumerate(heard) if status != 104]
    assert [heard[place] for place in finals] == [(200, b"success")] * 2
    assert finals[0] >= 4
    assert finals[1] == len(heard) - 1
    assert len(heard) == sum(ticking.sent.values()) + 2
    assert (ticking.sent[State.MOVED] > 0) == (intake != "buffered")
    assert served.stored() == {"a": LARGE, "b": b"small"}


@pytest.mark.parametrize("kind", ["tcp"], indirect=True)
@ensureDeferred
async def test_urgent_data(served: Served) -> None:
    """It is no part of the stream: what cannot be moved past is read, and no worker turns in circles."""

    def talk() -> list[bytes]:
        with served.connect() as line:
            line.sendall(served.post("a", LARGE)[: -len(LARGE) // 2])
            line.send(b"!", socket.MSG_OOB)
            line.sendall(LARGE[len(LARGE) - len(LARGE) // 2 :])
            return answers(line)

    assert await deferToThread(talk) == [SUCCESS]
    assert served.stored() == {"a": LARGE}


@ensureDeferred
async def test_no_descriptor_left(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one for the socket or for a pipe the body is read, as ever."""

    def none_left(*_: int) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    def talk() -> list[bytes]:
        with served.connect() as line:
            line.sendall(served.post("a", LARGE))
            return answers(line)

    monkeypatch.setattr(carriers, "_PIPES", pipes.Pipes())
    monkeypatch.setattr(pipes, "_new_pipe", none_left)
    assert await deferToThread(talk) == [SUCCESS]
    monkeypatch.setattr(sources, "duplicate", none_left)
    assert await deferToThread(talk) == [SUCCESS]
    assert served.stored() == {"a": LARGE * 2}
