"""A body that a worker takes from its connection: TLS goes on as if Twisted had read every record."""

from __future__ import annotations

import errno
import inspect
import os
import random
import re
import socket
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, evolve, field, frozen
from certificates import make_certificate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from libssl import UPDATE_NOT_REQUESTED, UPDATE_REQUESTED, KeyChanger, libssl
from line import Line, post
from OpenSSL import SSL
from OpenSSL._util import ffi, lib
from tls_line import VERSIONS, TlsLine, TlsNode
from twisted.internet.error import ConnectionLost
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface.verify import verifyClass, verifyObject

from onec_twisted.http import sources
from onec_twisted.http.interfaces import IBodySocket, IBodySource
from onec_twisted.http.sockets import FIRST_READ, LARGE_RECORD, LEAST_READ
from onec_twisted.http.sources import READ_BEYOND, BodySocket, SocketSource, TlsBodySocket, TlsSource, socket_of
from onec_twisted.model.errors import ShuttingDown
from onec_twisted.storage import splice
from onec_twisted.testing import LateWorkers

if TYPE_CHECKING:
    from collections.abc import Callable

    from certificates import Certificate
    from in_memory import InMemory

LOTS = 2**30
BODY = random.Random(3).randbytes(100_000)
SUCCESS = b"\r\n\r\nsuccess"
DATE = re.compile(rb"Date: [^\r]+\r\n")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """The certificate of the site."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    """Each version of TLS."""
    return str(request.param)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no worker wait for what a test has not sent."""
    monkeypatch.setattr(splice, "READABLE_WAIT", 0)


@define(eq=False)
class Site:
    """An exchange whose workers a test sets going, one session of it, and connections to it."""

    exchange: InMemory
    certificate: Certificate
    session: tuple[str, str] = field(init=False)
    lines: list[TlsLine] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        """Open the session."""
        self.exchange.store.free_bytes = 2**40
        self.session = self.exchange.checkauth()

    def connect(self, node: Any) -> TlsLine:
        """Connect a node."""
        self.lines.append(TlsLine(self.exchange, self.certificate, node))
        return self.lines[-1]

    def post(self, name: str, body: bytes, length: int | None = None) -> bytes:
        """Return a piece; ``length`` is what it says of itself, where that is not its body's."""
        said = f"Content-Length: {len(body)}\r\n".encode()
        wire = post(self.session, name, body)
        return wire if length is None else wire.replace(said, f"Content-Length: {length}\r\n".encode())

    @property
    def workers(self) -> LateWorkers:
        """Return the workers."""
        workers = self.exchange.means.workers
        assert isinstance(workers, LateWorkers)
        return workers

    def stored(self) -> dict[str, bytes]:
        """Return what the session holds."""
        folder = self.exchange.folder / "1c_temp" / self.session[1]
        return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}

    def close(self) -> None:
        """End all connections, and let what waits for that run out."""
        for line in self.lines:
            line.close()
            line.settle()
        while self.exchange.clock.getDelayedCalls() and self.exchange.parts.proofs:
            self.exchange.clock.advance(1)
        self.exchange.clock.advance(1)
        self.lines.clear()


@pytest.fixture
def make_site(make_exchange: Callable[..., InMemory], certificate: Certificate) -> Any:
    """Make sites that take bodies in some way."""
    made: list[Site] = []

    def make(intake: str = "zero-copy", **changes: Any) -> Site:
        settings = {"body_limit": LOTS, "session_quota": LOTS, "file_limit": 10**6, "intake": intake, **changes}
        made.append(Site(make_exchange(workers=LateWorkers(), **settings), certificate))
        return made[-1]

    yield make
    for site in made:
        site.close()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    """A site that lends whatever comes."""
    return make_site()


def lent(site: Site, version: str, body: bytes = BODY, sent: int | None = None) -> TlsLine:
    """Return a connection that a worker has, which has not begun; ``sent`` bytes of the piece have been sent."""
    line = site.connect(TlsNode.make(version))
    wire = site.post("a", body)
    line.send(line.node.records(wire[: len(wire) - len(body)]))
    line.settle()
    line.send(line.node.records(body[:sent]))
    line.step()
    assert line.is_lent
    return line


def test_they_are_what_they_say() -> None:
    """What the house asks of sockets and sources, and the names of others that they stand on."""
    assert verifyClass(IBodySocket, BodySocket)
    assert verifyClass(IBodySocket, TlsBodySocket)
    assert verifyObject(IBodySource, SocketSource(0))
    assert verifyObject(IBodySource, TlsSource(0, None))


def test_the_names_of_twisted_and_pyopenssl(site: Site, version: str) -> None:
    """A connection is where Twisted has it, and Twisted asks nothing else of it but what the stand-in answers."""
    tls: Any = site.connect(TlsNode.make(version)).tls
    connection = tls._tlsConnection

    assert type(connection) is SSL.Connection
    assert (tls._handshakeDone, tls._lostTLSConnection, tls._appSendBuffer) == (True, False, [])
    assert isinstance(connection._ssl, ffi.CData)
    assert callable(connection._raise_ssl_error)
    assert callable(lib.SSL_read)
    assert vars(sources)["lib"] is lib
    assert "recv" not in vars(connection)
    asked = set(re.findall(r"self\._tlsConnection\.(\w+)", inspect.getsource(TLSMemoryBIOProtocol)))
    before = {"do_handshake", "bio_write", "get_peer_certificate", "get_alpn_proto_negotiated"}
    assert asked - before - {"get_next_proto_negotiated"} == {"send", "recv", "bio_read", "bio_shutdown", "shutdown"}
    assert all(hasattr(sources._StandIn, name) for name in asked - before - {"get_next_proto_negotiated"})


@pytest.mark.parametrize("reader", ["bindings", "recv_into"])
def test_a_piece_and_what_follows_it(
    make_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch, version: str, reader: str
) -> None:
    """The next requests may be in the record of its last byte; a later pyOpenSSL may have other bindings."""
    if reader == "recv_into":
        monkeypatch.setattr(sources, "lib", None)
    site = make_site()
    line = site.connect(TlsNode.make(version))
    large = BODY * 6
    line.send(line.node.records(site.post("a", large) + site.post("b", b"small") + site.post("a", large)))
    line.settle()

    assert line.node.received.count(SUCCESS) == 3
    assert site.stored() == {"a": large * 2, "b": b"small"}


def test_what_is_behind_a_body_is_left_to_the_reactor(site: Site, version: str) -> None:
    """No more than a record and a little is read of it, however much waits."""
    line = lent(site, version, BODY[:20_000])
    behind = line.node.records(b"G" * 200_000)
    line.send(behind)
    took: list[int] = []
    source = line.tls._tlsConnection.source
    bio_write = source.connection.bio_write

    def taken(data: memoryview) -> int:
        took.append(len(data))
        return int(bio_write(data))

    source.connection.bio_write = taken
    site.workers.run()
    del source.connection.bio_write

    assert sum(took) <= 20_000 + 2 * READ_BEYOND
    line.settle()
    assert site.stored() == {"a": BODY[:20_000]}


@pytest.mark.parametrize("room", [1, 100, 20_000])
def test_a_buffer_that_is_full_before_all_is_decrypted(
    site: Site, monkeypatch: pytest.MonkeyPatch, version: str, room: int
) -> None:
    """What is in OpenSSL already comes before the socket is read again."""
    body = BODY[: room * 40]
    monkeypatch.setattr(sources, "RECORD_SPARE", room - sources.READ_SIZE)
    monkeypatch.setattr(sources, "_BUFFERS", sources._Buffers())
    line = lent(site, version, body)
    line.settle()

    assert line.node.received.endswith(SUCCESS)
    assert site.stored() == {"a": body}


def test_a_record_in_two_parts(site: Site, version: str) -> None:
    """At any byte of its head, its body and its tag: the reactor may read the one, and a worker the other."""
    cut, length = 0, 1
    while cut <= length:
        line = site.connect(TlsNode.make(version))
        wire = site.post(f"{cut:03}", b"0123456789")
        line.send(line.node.records(wire[:-10]))
        line.settle()
        sent = line.node.records(b"01234") + line.node.records(b"56789")
        length = len(sent)
        line.send(sent[:cut])
        line.settle()
        line.send(sent[cut:])
        line.settle()

        assert line.node.received.endswith(SUCCESS)
        line.close()
        cut += 1
    assert site.stored() == {f"{name:03}": b"0123456789" for name in range(length + 1)}


def test_a_connection_that_ends_at_any_byte(site: Site, version: str) -> None:
    """Of a record's head, its body and its tag: nothing is stored."""
    cut, length = 0, 1
    while cut < length:
        line = site.connect(TlsNode.make(version))
        line.send(line.node.records(site.post("a", b"", length=10)))
        line.settle()
        sent = line.node.records(b"01234") + line.node.records(b"56789")
        length = len(sent)
        line.send(sent[:cut])
        line.end("FIN")
        line.settle()

        assert not line.transport.connected
        cut += 1
    assert site.stored() == {}


@frozen
class Outcome:
    """What a node hears, how its connection ends, and what is stored."""

    received: bytes
    ended: str | None
    is_open: bool
    stored: dict[str, bytes]


def outcome(site: Site, node: Any, script: Callable[[Site, Any], list[bytes]], end: str | None = None) -> Outcome:
    """Send the parts that a script makes, one after another, end the connection, and return what came of it."""
    site.session = site.exchange.checkauth()
    line = site.connect(node)
    for part in script(site, node):
        line.send(part)
        line.settle()
        line.send(node.to_send())
    line.settle()
    is_open = bool(line.transport.connected) and not line.transport.disconnecting
    if end is not None:
        line.end(end)
        line.settle()
    came = Outcome(DATE.sub(b"", node.received), node.ended, is_open, site.stored())
    site.close()
    return came


def flipped(data: bytes, place: int) -> bytes:
    """Return bytes of which one is another."""
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def broken_records(place: int) -> Callable[[Site, Any], list[bytes]]:
    """Return a script whose fourth record is broken at some byte."""

    def script(site: Site, node: Any) -> list[bytes]:
        wire = site.post("a", BODY)
        begun = node.records(wire[:-60_000])
        record = node.records(wire[-60_000:-50_000])
        return [begun, flipped(record, place) + node.records(wire[-50_000:])]

    return script


def closed(site: Site, node: Any) -> list[bytes]:
    """Close TLS in the middle of a body, as TLS demands it."""
    return [node.records(site.post("a", BODY)[:-50_000]) + node.close_notify()]


def closed_and_more(site: Site, node: Any) -> list[bytes]:
    """Close TLS, and send records all the same."""
    wire = site.post("a", BODY)
    begun, rest = node.records(wire[:-50_000]), node.records(wire[-50_000:])
    return [begun + node.close_notify() + rest]


def alert(site: Site, node: Any) -> list[bytes]:
    """End with a fatal alert: what the server sends makes no sense to the node."""
    begun = node.records(site.post("a", BODY)[:-50_000])
    node.take(b"\x17\x03\x03\x00\x20" + bytes(32))
    return [begun + node.to_send()]


def other_words(site: Site, node: Any) -> list[bytes]:
    """Go on without TLS."""
    wire = site.post("a", BODY)
    return [node.records(wire[:-50_000]) + wire[-50_000:]]


def renegotiation(site: Site, node: Any) -> list[bytes]:
    """Ask for a new handshake in the middle of a body, which TLS 1.3 has not."""
    wire = site.post("a", BODY)
    begun = node.records(wire[:-50_000])
    try:
        node.connection.renegotiate()
        node.connection.do_handshake()
    except SSL.WantReadError:
        pass
    except SSL.Error:
        return [begun, node.records(wire[-50_000:])]
    return [begun + node.to_send(), b""]


def pipelined(site: Site, node: Any) -> list[bytes]:
    """Send requests of which each ends in the record where the next begins."""
    return [node.records(b"".join(site.post(name, BODY[:20_000]) for name in "abc"))]


def nonsense_behind(site: Site, node: Any) -> list[bytes]:
    """Send what is not HTTP behind a body, in its last record."""
    return [node.records(site.post("a", BODY) + b"nonsense\r\n\r\n")]


def too_long(site: Site, node: Any) -> list[bytes]:
    """Send a body that its site refuses, whole."""
    return [node.records(site.post("a", BODY, length=2**31))]


SCRIPTS = [
    closed,
    closed_and_more,
    alert,
    other_words,
    renegotiation,
    pipelined,
    nonsense_behind,
    too_long,
]


@pytest.mark.parametrize("end", [None, "FIN", "half"])
@pytest.mark.parametrize("script", [*SCRIPTS, *map(broken_records, (0, 1, 3, 4, 5, 1000, 10_005))])
def test_all_is_as_twisted_does_it(
    make_site: Callable[..., Site], version: str, script: Callable[[Site, Any], list[bytes]], end: str | None
) -> None:
    """Alerts, ends and errors: what a node hears, and what is stored, is the same when a worker meets them."""
    read, moved = (outcome(make_site(way), TlsNode.make(version), script, end) for way in ("buffered", "zero-copy"))

    assert moved == read


def test_tls_that_ends_right_behind_a_body(site: Site, version: str) -> None:
    """The body is stored; Twisted sends no answer once the other side has closed."""
    line = site.connect(TlsNode.make(version))
    line.send(line.node.records(site.post("a", BODY)) + line.node.close_notify())
    line.settle()

    assert site.stored() == {"a": BODY}
    assert line.node.ended == "close_notify"
    assert not line.transport.connected


@frozen
class Mail:
    """Pieces on one connection: the sizes of their bodies and records, where reads are cut, and what is broken."""

    sizes: list[int]
    record: int
    parts: list[int]
    broken: int | None

    def __call__(self, site: Site, node: Any) -> list[bytes]:
        """Return the parts, the last of which has all the rest."""
        wire = b"".join(site.post("a", BODY[:size]) for size in self.sizes)
        sent = node.records(wire, self.record)
        if self.broken is not None:
            sent = flipped(sent, self.broken % len(sent))
        cuts = [0]
        for part in self.parts:
            cuts.append(min(len(sent), cuts[-1] + part))
        return [sent[start:end] for start, end in zip(cuts, [*cuts[1:], len(sent)], strict=True)]


MAIL = st.builds(
    Mail,
    sizes=st.lists(st.one_of(st.integers(1, 200), st.integers(200, len(BODY))), min_size=1, max_size=3),
    record=st.sampled_from([1000, 5000, 16384]),
    parts=st.lists(st.one_of(st.integers(1, 30), st.integers(30, 40_000)), max_size=12),
    broken=st.one_of(st.none(), st.integers(0, 2**20)),
)


def test_any_mail_in_any_parts(make_site: Callable[..., Site], version: str) -> None:
    """However reads are cut, and whichever byte is broken: all is as if the reactor had read it."""
    sites = [make_site(way) for way in ("buffered", "zero-copy")]

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(MAIL)
    def same(mail: Mail) -> None:
        read, moved = (outcome(site, TlsNode.make(version), mail) for site in sites)
        if mail.broken is None:
            assert moved.received.count(SUCCESS) == len(mail.sizes)
        elif moved.received.startswith(read.received):
            read = evolve(read, received=moved.received)  # the last answer was quicker than the broken record
        assert moved == read

    same()


LIBSSL = libssl()


@pytest.mark.skipif(LIBSSL is None, reason="this Python has no OpenSSL of the system")
@pytest.mark.parametrize("intake", ["buffered", "zero-copy"])
def test_keys_that_change_in_a_body(make_site: Callable[..., Site], intake: str) -> None:
    """The server's change with the first answer behind them if they shall, and all goes on."""
    site = make_site(intake)
    node = KeyChanger.make(LIBSSL)
    line = site.connect(node)
    line.send(node.records(site.post("a", b"", length=len(BODY))))
    line.settle()
    for start, how in ((0, UPDATE_REQUESTED), (30_000, UPDATE_NOT_REQUESTED), (60_000, UPDATE_REQUESTED)):
        line.send(node.records(BODY[start : start + 10_000]) + node.change_keys(how))
        line.settle()
        line.send(node.change_keys(how) + node.records(BODY[start + 10_000 : start + 30_000]))
        line.settle()
    line.send(node.records(BODY[90_000:] + site.post("a", BODY)))
    line.settle()
    node.close()

    assert node.received.count(SUCCESS) == 2
    assert site.stored() == {"a": BODY * 2}


# What the reactor does while a worker has the connection


def test_an_answer_waits_for_the_worker(site: Site, version: str) -> None:
    """Twisted keeps it, and sends it when the connection is back."""
    line = lent(site, version, sent=50_000)
    line.channel.transport.write(b"early")
    line.settle(work=False)
    assert line.node.received == b""
    line.settle()
    assert line.node.received == b"early"
    line.send(line.node.records(BODY[50_000:]))
    line.settle()

    assert line.node.received.endswith(SUCCESS)
    assert site.stored() == {"a": BODY}


@pytest.mark.parametrize("words", [b"", b"bye"])
def test_a_connection_that_we_close(site: Site, version: str, words: bytes) -> None:
    """TLS is shut down, behind what was written, when the connection is back."""
    line = lent(site, version, sent=50_000)
    if words:
        line.channel.transport.write(words)
    line.channel.loseConnection()
    line.settle(work=False)
    assert (line.node.received, line.node.ended) == (b"", None)
    line.settle()
    assert (line.node.received, line.node.ended) == (words, "close_notify")
    line.send(line.node.close_notify())
    line.settle()

    assert not line.transport.connected
    assert site.stored() == {}


def descriptors() -> int:
    """Return how many descriptors are open."""
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="only Linux lists them")
@pytest.mark.parametrize("how", ["abort", "lost", "abort and back"])
def test_a_connection_that_breaks(site: Site, version: str, how: str) -> None:
    """It is over at once; what the worker does then is for nobody, and nothing is left open."""
    before = descriptors()
    line = lent(site, version, sent=50_000)
    if how == "lost":
        line.transport.connectionLost(Failure(ConnectionLost()))
    else:
        line.channel.abort()
    if how == "abort and back":
        site.workers.run()
    line.step()
    assert not line.transport.connected
    line.settle()
    line.line.close()

    assert site.stored() == {}
    assert descriptors() == before
    assert line.tls._tlsConnection is None


def test_a_body_that_is_dropped(site: Site, version: str) -> None:
    """Its sender hears why; the worker has stopped before."""
    line = lent(site, version, sent=50_000)
    site.exchange.parts.locks.drop_all(ShuttingDown)
    line.settle()

    assert b" 503 " in line.node.received
    assert site.stored() == {}
    line.send(line.node.records(BODY[50_000:]))
    line.settle()


def test_time_does_not_run_while_a_worker_reads(site: Site, version: str) -> None:
    """Its sender has all the time that we take, and its own again when the connection is back."""
    line = lent(site, version, sent=50_000)
    site.exchange.clock.advance(600)
    line.settle()
    site.exchange.clock.advance(59)
    line.settle()
    assert line.node.received == b""
    site.exchange.clock.advance(1)
    line.settle()

    assert b" 408 " in line.node.received
    assert site.stored() == {}


def test_tiny_records_are_not_for_workers(site: Site, version: str) -> None:
    """One that meets them gives the connection back; it is lent again when they have become large."""
    line = lent(site, version, sent=20_000)
    source = line.tls._tlsConnection.source
    line.send(line.node.records(BODY[20_000:23_000], 10))
    line.settle()
    assert source.are_tiny
    assert not line.is_lent
    line.send(line.node.records(BODY[23_000:24_000], 10))
    line.settle(work=False)
    assert not line.is_lent
    assert line.transport.bufferSize == LEAST_READ
    for start in range(24_000, 24_000 + 8 * LARGE_RECORD, LARGE_RECORD):
        line.send(line.node.records(BODY[start : start + LARGE_RECORD]))
        line.settle()
    line.send(line.node.records(BODY[24_000 + 8 * LARGE_RECORD :]))
    line.step()
    assert line.is_lent
    line.settle()

    assert line.transport.bufferSize >= FIRST_READ
    assert line.node.received.endswith(SUCCESS)
    assert site.stored() == {"a": BODY}


def test_a_connection_that_twisted_needs_is_not_lent(site: Site, version: str) -> None:
    """One that is ending, or that has to read before it can write."""
    line = site.connect(TlsNode.make(version))
    line.send(line.node.records(site.post("a", BODY)[:-50_000]))
    line.settle()
    source = socket_of(line.channel, 1)
    assert isinstance(source, TlsBodySocket)
    for name, value in (("_appSendBuffer", [b"x"]), ("disconnecting", True), ("_lostTLSConnection", True)):
        usual = getattr(line.tls, name)
        setattr(line.tls, name, value)
        assert source.lend() is None
        setattr(line.tls, name, usual)
    assert source.lend() is not None
    source.moved(0)
    source.release()


def test_no_descriptor_is_left(site: Site, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """Then the reactor reads, as ever."""

    def none_left(_: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(sources, "duplicate", none_left)
    line = site.connect(TlsNode.make(version))
    line.send(line.node.records(site.post("a", BODY)))
    line.settle(work=False)
    assert not line.is_lent
    line.settle()

    assert site.stored() == {"a": BODY}


def test_what_is_written_just_before_goes_out_first(site: Site, version: str) -> None:
    """Twisted collects small writes until its next turn: the connection is not lent before they are in it."""
    line = site.connect(TlsNode.make(version))
    line.send(line.node.records(site.post("a", BODY)[:-50_000]))
    line.settle()
    line.channel.transport.write(b"small")
    line.send(line.node.records(BODY[-50_000:]))
    line.transport.doRead()
    assert line.is_lent
    line.settle(work=False)
    assert line.node.received == b"small"
    line.settle()

    assert site.stored() == {"a": BODY}


def test_which_bodies_come_from_sockets(site: Site) -> None:
    """Those of known length, over TCP or TLS."""
    line = site.connect(TlsNode.make("1.3"))
    assert isinstance(socket_of(line.channel, 5), TlsBodySocket)
    assert socket_of(line.channel, None) is None
    assert socket_of(line.channel, 0) is None
    channel: Any = Line(site.exchange.site).protocol
    assert socket_of(channel, 5) is None
    channel.transport = line.transport
    assert type(socket_of(channel, 5)) is BodySocket


def test_a_socket_without_tls_is_read_as_it_is() -> None:
    """Where nothing waits, at its end, and when it has failed."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    source = SocketSource(ours.fileno())
    read = [source.read(10)]
    theirs.send(b"0123456789abc")
    read += [memoryview(bytes(source.read(10) or b"?")) for _ in range(2)]
    theirs.close()
    read += [source.read(10), SocketSource(10**6).read(10)]
    ours.close()

    assert read == [None, b"0123456789", b"abc", b"", b""]
