"""The real channel, with bytes cut anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from in_memory import InMemory, flush_failures, occupied, server_of
from line import Line, post
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.resource import Resource
from zope.interface import implementer
from zope.interface.verify import verifyObject

from onec_twisted.exchange.orders import Document
from onec_twisted.http.answer import Answer
from onec_twisted.http.body import DRAIN_LIMIT, DRAIN_PAUSE, DRAIN_TIME
from onec_twisted.http.head import parse_head
from onec_twisted.http.interfaces import IConnection, IRequest, IStreamingResource
from onec_twisted.http.request import SLOW_NODE, ExchangeRequest
from onec_twisted.http.site import ExchangeSite
from onec_twisted.ingest.proofs import PROOF_DELAY
from onec_twisted.testing import FakeBody, LateWorkers

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.model.errors import Refused

OK = b"HTTP/1.1 200 OK\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


FORMS = pytest.mark.parametrize("chunks", [0, 3], ids=["content-length", "chunked"])


@FORMS
def test_any_cut_of_the_wire_means_the_same(exchange: InMemory, chunks: int) -> None:
    """Wherever a read of the socket ends."""
    session = exchange.checkauth()
    wire = post(session, "zzzz", b"0123456789", chunks=chunks)
    for cut in range(len(wire) + 1):
        name = f"{cut:04}"
        sent = wire.replace(b"zzzz", name.encode())
        answered = Line(exchange.site).send(sent[:cut], sent[cut:])

        assert answered.startswith(OK)
        assert answered.endswith(b"\r\n\r\nsuccess")
        assert exchange.files()[f"{session[1]}/{name}"] == b"0123456789"


@FORMS
def test_a_connection_that_breaks_at_any_byte_changes_nothing(exchange: InMemory, chunks: int) -> None:
    """The file stays exactly as long as was acknowledged."""
    session = exchange.checkauth()
    first = Line(exchange.site)
    first.send(post(session, "a", b"first"))
    first.lose()
    exchange.clock.advance(PROOF_DELAY)
    wire = post(session, "a", b"0123456789", chunks=chunks)
    for cut in range(len(wire)):
        line = Line(exchange.site)
        line.send(wire[:cut])
        line.lose()

        assert exchange.files() == {f"{session[1]}/a": b"first"}
    assert exchange.clock.getDelayedCalls() == []


@FORMS
def test_byte_by_byte(exchange: InMemory, chunks: int) -> None:
    """The slowest sender there is."""
    session = exchange.checkauth()
    wire = post(session, "a", b"0123456789", chunks=chunks)
    Line(exchange.site).send(*[wire[place : place + 1] for place in range(len(wire))])

    assert exchange.files() == {f"{session[1]}/a": b"0123456789"}


def test_pipelined_requests_are_answered_in_order(exchange: InMemory) -> None:
    """A body's end and the next request may share a read."""
    session = exchange.checkauth()
    line = Line(exchange.site)
    answered = line.send(b"".join(post(session, "a", part) for part in (b"1", b"22", b"333")))

    assert [int(part.split(b"\r\n")[0]) for part in answered.split(b"Upload-Offset: ")[1:]] == [1, 3, 6]
    assert exchange.files() == {f"{session[1]}/a": b"122333"}
    assert not line.closed


def test_an_asked_for_body_is_continued_once(exchange: InMemory) -> None:
    """``100 Continue`` comes when the headers are accepted, before the answer."""
    session = exchange.checkauth()
    wire = post(session, "a", b"x" * 10, b"Expect: 100-continue")
    line = Line(exchange.site)
    assert line.send(wire[:-10]) == CONTINUE
    answered = line.send(wire[-10:])

    assert answered.startswith(CONTINUE + OK)
    assert answered.count(b"100 Continue") == 1


@pytest.mark.parametrize("refusal", ["sessid", "cookie", "name", "length", "quota", "disk", "damaged", "none"])
def test_a_body_refused_at_the_headers_is_not_asked_for(make_exchange: Callable[..., InMemory], refusal: str) -> None:
    """No ``100``, an answer that closes, and nothing stored."""
    exchange = make_exchange(session_quota=600 if refusal == "quota" else 20_000)
    session = exchange.checkauth()
    Line(exchange.site).send(post(session, "a", b"first"))
    cookie, sessid = session
    path = exchange.folder / "1c_temp" / sessid / "a"
    session = ("x=y" if refusal == "cookie" else cookie, "0" * 32 if refusal == "sessid" else sessid)
    name = "..%2Fa" if refusal == "name" else "a"
    wire = post(session, name, b"x" * (6000 if refusal == "length" else 1000), b"Expect: 100-continue")
    if refusal == "disk":
        exchange.store.free_bytes = 1500
        exchange.clock.advance(1)
    if refusal == "damaged":
        path.write_bytes(b"fir")
    line = Line(exchange.site)
    answered = line.send(wire[: wire.index(b"\r\n\r\n") + 4])
    if refusal in ("none", "damaged"):  # damage shows when the file is opened, after the body
        assert answered == CONTINUE
        line.lose()
        return

    assert b"100 Continue" not in answered
    assert b"\r\nConnection: close\r\n" in answered
    assert b"\r\n\r\nfailure\n" in answered
    assert path.read_bytes() == b"first"
    line.lose()


def test_a_refused_sender_can_read_its_answer(exchange: InMemory) -> None:
    """It still sends: up to 8 MiB are thrown away, then the connection is closed."""
    session = exchange.checkauth()
    wire = post(session, "a", b"").replace(b"Content-Length: 0", b"Content-Length: 30000000")
    line = Line(exchange.site)
    answered = line.send(wire)
    assert answered.startswith(b"HTTP/1.1 413 ")
    assert answered.endswith(b"failure\nFile too large")
    exchange.clock.advance(DRAIN_PAUSE)
    sent = 0
    while not line.closed:
        line.send(b"x" * 65536)
        sent += 65536

    assert sent == DRAIN_LIMIT
    assert line.answered == answered
    line.lose()


def test_a_refused_sender_that_stalls_is_closed(exchange: InMemory) -> None:
    """After 2 s."""
    session = exchange.checkauth()
    line = Line(exchange.site)
    line.send(post(session, "a", b"").replace(b"Content-Length: 0", b"Content-Length: 30000000"))
    exchange.clock.advance(DRAIN_PAUSE)
    exchange.clock.advance(DRAIN_TIME - 0.1)
    assert not line.closed
    exchange.clock.advance(0.1)

    assert line.closed
    line.lose()


def test_a_refused_body_that_ends_closes_the_connection(exchange: InMemory) -> None:
    """As the answer said; the answer stands once in the access log."""
    session = exchange.checkauth()
    line = Line(exchange.site)
    line.send(post(("x=y", session[1]), "a", b"x" * 100))

    assert line.closed
    assert line.answered.count(b"HTTP/1.1") == 1
    line.lose()
    assert exchange.clock.getDelayedCalls() == []


def test_a_chunked_body_over_the_limit_is_cut_off(exchange: InMemory) -> None:
    """It is truncated away, and its sender hears why."""
    session = exchange.checkauth()
    line = Line(exchange.site)
    answered = line.send(post(session, "a", b"x" * 5001, chunks=1000))

    assert answered.startswith(b"HTTP/1.1 413 ")
    assert exchange.files() == {}
    line.send(post(session, "a", b"x" * 5000, chunks=1000))
    assert exchange.files() == {}
    Line(exchange.site).send(post(session, "a", b"x" * 5000, chunks=1000))
    assert exchange.files() == {f"{session[1]}/a": b"x" * 5000}


def test_broken_chunks_change_nothing(exchange: InMemory) -> None:
    """They are answered, and the connection closed; the file is as it was."""
    session = exchange.checkauth()
    line = Line(exchange.site)
    wire = post(session, "a", b"0123456789", chunks=5).replace(b"0\r\n\r\n", b"nonsense\r\n")
    assert line.send(wire).startswith(b"HTTP/1.1 400 ")
    assert line.answered.endswith(b"\r\n\r\nfailure\nMalformed request")
    assert line.closed
    line.lose()

    assert exchange.files() == {}


def test_a_silent_body_is_dropped(exchange: InMemory) -> None:
    """After the idle time-out, with an answer; a byte in between starts the time anew."""
    session = exchange.checkauth()
    wire = post(session, "a", b"x" * 10)
    line = Line(exchange.site)
    line.send(wire[:-5])
    exchange.clock.advance(59)
    line.send(wire[-5:-4])
    exchange.clock.advance(59)
    assert line.answered == b""
    exchange.clock.advance(1)

    assert line.answered.startswith(b"HTTP/1.1 408 ")
    assert exchange.files() == {}
    exchange.clock.advance(DRAIN_TIME)
    assert line.closed
    line.lose()


def test_time_stands_still_while_we_hold_the_sender_back(make_exchange: Callable[..., InMemory]) -> None:
    """Our slow disk costs the node nothing; neither time-out runs."""
    workers = LateWorkers()
    exchange = make_exchange(workers=workers, body_limit=2**30, session_quota=2**30)
    exchange.store.free_bytes = 2**40
    session = exchange.checkauth()
    line = Line(exchange.site)
    size = 2**20
    line.send(post(session, "a", b"").replace(b"Content-Length: 0", b"Content-Length: %d" % size))
    while workers.waiting:
        workers.run()
    sent = 0
    while str(line.transport.producerState) == "producing":
        line.send(b"x" * 65536)
        sent += 65536
    exchange.clock.advance(1000)
    assert not line.closed
    while workers.waiting:
        workers.run()
    assert str(line.transport.producerState) == "producing"
    line.send(b"x" * (size - sent))
    while workers.waiting:
        workers.run()

    assert line.answered.endswith(b"\r\n\r\nsuccess")


def test_a_piece_waits_for_its_file_and_hears_503(exchange: InMemory) -> None:
    """Its bytes are not taken meanwhile; after the lock's time-out it may come again."""
    session = exchange.checkauth()
    over = occupied(exchange, session)
    line = Line(exchange.site)
    line.send(post(session, "a", b"0123456789", b"Expect: 100-continue")[:-10])
    exchange.clock.advance(29)
    assert line.answered == b""
    exchange.clock.advance(1)

    assert line.answered.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: 5\r\n" in line.answered
    assert line.answered.endswith(b"failure\nFile busy - retry later")
    over.callback(None)
    line.lose()


def test_two_pieces_at_the_same_time_do_not_interleave(exchange: InMemory) -> None:
    """The first to come is written first, however their bytes arrive."""
    session = exchange.checkauth()
    first, second = (post(session, "a", mark * 1000) for mark in (b"1", b"2"))
    one, two = Line(exchange.site), Line(exchange.site)
    one.send(first[:-900])
    two.send(second[:-800])
    for place in range(900, 0, -100):
        one.send(first[-place : len(first) - place + 100])
        if place <= 800:
            two.send(second[-place : len(second) - place + 100])

    assert exchange.files() == {f"{session[1]}/a": b"1" * 1000 + b"2" * 1000}
    assert one.answered.endswith(b"success")
    assert two.answered.endswith(b"success")


def test_a_silent_writer_makes_way_for_the_same_piece_again(exchange: InMemory) -> None:
    """The client vanished without a word and came back: its piece is stored once."""
    session = exchange.checkauth()
    wire = post(session, "a", b"0123456789")
    dead, alive = Line(exchange.site), Line(exchange.site)
    dead.send(wire[:-3])
    alive.send(wire)
    assert alive.answered == b""
    for _ in range(5):
        exchange.clock.advance(1)

    assert alive.answered.endswith(b"success")
    assert dead.answered.startswith(b"HTTP/1.1 408 ")
    assert exchange.files() == {f"{session[1]}/a": b"0123456789"}
    dead.lose()


def test_init_drops_a_piece_on_its_way(exchange: InMemory) -> None:
    """Late pieces of the old epoch never appear."""
    cookie, sessid = session = exchange.checkauth()
    wire = post(session, "a", b"0123456789")
    line = Line(exchange.site)
    line.send(wire[:-3])
    exchange.request("GET", f"type=catalog&mode=init&sessid={sessid}", Cookie=cookie)
    line.send(wire[-3:])

    assert line.answered.startswith(b"HTTP/1.1 409 ")
    assert exchange.files() == {}
    line.lose()


def test_the_connection_lives_on_and_times_out_when_idle(exchange: InMemory) -> None:
    """A node re-uses its connection; one that says nothing more is closed."""
    session = exchange.checkauth()
    line = Line(exchange.site)
    for _ in range(3):
        exchange.clock.advance(50)
        line.send(post(session, "a", b"x"))
    assert line.answered.count(OK) == 3
    exchange.clock.advance(59)
    assert not line.closed
    exchange.clock.advance(2)

    assert line.closed
    line.lose()


def test_an_answer_to_nobody(exchange: InMemory) -> None:
    """A connection that is lost while its piece waits is not answered, and its piece not stored."""
    session = exchange.checkauth()
    over = occupied(exchange, session)
    line = Line(exchange.site)
    line.send(post(session, "a", b"x"))
    line.lose()
    over.callback(None)

    assert line.answered == b""
    assert exchange.files() == {}


def test_http_1_0_asks_for_nothing(exchange: InMemory) -> None:
    """RFC 9110 section 10.1.1: its ``Expect`` is ignored."""
    session = exchange.checkauth()
    wire = post(session, "a", b"x", b"Expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0")

    assert CONTINUE not in Line(exchange.site).send(wire[:-1], wire[-1:])


def test_nothing_is_parsed_after_a_malformed_request(exchange: InMemory) -> None:
    """TLS goes on delivering after the connection is closed."""
    line = Line(exchange.site)
    answered = line.send(b"BAD\r\n", b"A: b\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n")

    assert answered.count(b"HTTP/1.1") == 1
    line.lose()


def test_a_connection_that_we_closed_ends(exchange: InMemory) -> None:
    """By force, when its peer does not let it."""
    line = Line(exchange.site)
    line.send(b"BAD\r\n")
    exchange.clock.advance(4.9)
    assert not line.transport.disconnected
    exchange.clock.advance(0.1)

    assert line.transport.disconnected
    line.lose()


def test_small_chunks_cost_little(exchange: InMemory) -> None:
    """A million chunks of a byte are not kept as a million objects while their file is busy."""
    session = exchange.checkauth()
    over = occupied(exchange, session)
    line = Line(exchange.site)
    line.send(post(session, "a", b"x" * 4000, chunks=1))
    body = line.protocol.request.body
    assert sum(map(len, body._early)) == 4000
    over.callback(None)

    assert line.answered.endswith(b"success")


def test_http_1_0(exchange: InMemory) -> None:
    """Answered with a length, and closed."""
    session = exchange.checkauth()
    line = Line(exchange.site)
    answered = line.send(post(session, "a", b"x").replace(b"HTTP/1.1", b"HTTP/1.0"))

    assert answered.startswith(b"HTTP/1.0 200 OK\r\n")
    assert b"Content-Length: 7\r\n" in answered
    assert line.closed


def test_head_has_no_body(exchange: InMemory) -> None:
    """RFC 9110 section 9.3.2."""
    answered = Line(exchange.site).send(b"HEAD /1c_exchange.php?type=catalog&mode=init HTTP/1.1\r\nHost: x\r\n\r\n")

    assert answered.startswith(b"HTTP/1.1 405 ")
    assert answered.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "head",
    [
        b"nonsense\r\n",
        b"POST /x HTTP/3.0\r\n",
        b"POST /\x01 HTTP/1.1\r\n",
        b"POST /x HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /x HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST /" + b"x" * 20000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 600 + b"\r\n",
    ],
)
def test_what_is_no_http(exchange: InMemory, head: bytes) -> None:
    """It is told so in the protocol's words, once, and the connection is closed."""
    line = Line(exchange.site)
    answered = line.send(head)

    assert answered.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answered.endswith(b"\r\n\r\nfailure\nMalformed request")
    assert answered.count(b"HTTP/1.1") == 1
    assert line.closed
    line.lose()


def test_broken_chunks_of_a_refused_body(exchange: InMemory) -> None:
    """One request has one answer."""
    session = exchange.checkauth()
    line = Line(exchange.site)
    wire = post(("x=y", session[1]), "a", b"0123456789", chunks=5).replace(b"0\r\n\r\n", b"nonsense\r\n")
    answered = line.send(wire)

    assert answered.startswith(b"HTTP/1.1 403 ")
    assert answered.count(b"HTTP/1.1") == 1
    assert line.closed
    line.lose()


@pytest.mark.parametrize("encoding", ["utf-8", "cp1251"])
def test_names_that_are_not_encoded(exchange: InMemory, encoding: str) -> None:
    """Nodes concatenate names as they are: blanks, brackets and Russian letters stand in the request line."""
    session = exchange.checkauth()
    name = "\\Reports\\Exchange_(Узел обмена [1])2026-11-22.zip"
    wire = post(session, "NAME", b"PK").replace(b"NAME", name.encode(encoding))

    assert Line(exchange.site).send(wire).endswith(b"\r\n\r\nsuccess")
    assert exchange.files() == {f"{session[1]}/Reports/Exchange_(Узел обмена [1])2026-11-22.zip": b"PK"}


@implementer(IStreamingResource)
class Broken(Resource):
    """A resource that raises."""

    isLeaf = True

    async def respond(self, request: IRequest, refused: Refused | None = None) -> Answer:
        """Raise."""
        raise ZeroDivisionError


@implementer(IStreamingResource)
class Telling(Resource):
    """A resource whose answer comes from elsewhere."""

    isLeaf = True

    async def respond(self, request: IRequest, refused: Refused | None = None) -> Answer:
        """Return a document that has ended."""
        document = Document(Clock(), None)
        document.makeConnection(StringTransport())
        document.dataReceived(b"<?xml?>")
        document.connectionLost(Failure(ResponseDone()))
        return Answer(stream=document)


def test_a_slow_node_has_time_for_the_end_of_a_document(clock: Clock) -> None:
    """It may still wait in our buffers when all of it was passed on, and the connection is to be closed."""
    line = Line(ExchangeSite(Telling(), server_of(clock)))
    line.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert line.closed
    clock.advance(SLOW_NODE - 1)
    assert not line.transport.disconnected
    clock.advance(1)
    assert line.transport.disconnected


@pytest.mark.parametrize("root", [Broken(), Resource()])
def test_a_resource_that_fails(root: Resource, clock: Clock, nothing_left_behind: list[dict[str, Any]]) -> None:
    """One that raises, or that cannot stream, is an internal error, and the log has the traceback."""
    answered = Line(ExchangeSite(root, server_of(clock))).send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    assert answered.startswith(b"HTTP/1.1 500 ")
    assert answered.endswith(b"failure\nInternal server error")
    assert len(flush_failures(nothing_left_behind)) == 1


def test_it_is_what_it_says(exchange: InMemory) -> None:
    """A request has what its resource may ask, and a channel what others may have to end."""
    channel: Any = exchange.site.buildProtocol(None)
    channel.makeConnection(StringTransport())
    channel.head = parse_head(b"GET / HTTP/1.0")
    request = ExchangeRequest(channel)
    request.body = FakeBody()  # type: ignore[assignment]
    assert verifyObject(IRequest, request)
    assert verifyObject(IConnection, channel)
    channel.connectionLost(Failure(ConnectionDone()))
