"""The body of a request while it comes in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from zope.interface import implementer
from zope.interface.verify import verifyObject

from onec_twisted.http.body import DRAIN_LIMIT, DRAIN_PAUSE, DRAIN_TIME, EARLY_LIMIT, Body, State
from onec_twisted.http.interfaces import IBody, IBodyConsumer, IBodySocket, ISocketConsumer
from onec_twisted.http.sources import SocketSource
from onec_twisted.model.errors import BodyTimedOut, ConnectionDropped, FileTooLarge, UploadTooSlow
from onec_twisted.testing import FakeBody

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.http.interfaces import IBodySource

IDLE = 60.0


@implementer(IBodyConsumer)
@define
class Consumer:
    """Keeps what it is given."""

    data: bytes = b""

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.data += data


@define
class Bench:
    """A body with a transport and a clock that a test holds in its hand."""

    length: int | None = None
    clock: Clock = field(factory=Clock)
    transport: StringTransport = field(factory=StringTransport)
    consumer: Consumer = field(factory=Consumer)
    accepted: list[None] = field(factory=list)
    outcome: list[object] = field(factory=list)
    min_rate: int = 0
    body: Body = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make the body."""
        self.body = Body(
            self.transport,
            self.clock,
            self.length,
            IDLE,
            lambda: self.accepted.append(None),
            min_rate=self.min_rate,
        )

    def stream_to(self, limit: int = 10**9) -> None:
        """Want the body; ``outcome`` becomes ``[None]`` or the error."""
        streamed: Deferred[None] = self.body.stream_to(self.consumer, limit, FileTooLarge())
        streamed.addCallbacks(self.outcome.append, lambda failure: self.outcome.append(failure.value))

    @property
    def held(self) -> bool:
        """Return whether the sender is held back."""
        return str(self.transport.producerState) == "paused"


@pytest.mark.parametrize("kind", [Body, FakeBody])
def test_it_is_what_it_says(kind: type) -> None:
    """Body and its fake provide the interface."""
    assert verifyObject(IBody, Bench().body if kind is Body else FakeBody())


def test_bytes_come_through_in_order() -> None:
    """Early ones first, then those that arrive."""
    bench = Bench()
    bench.body.data_received(b"a")
    bench.body.data_received(b"b")
    bench.stream_to()
    bench.body.data_received(b"c")
    bench.body.ended()

    assert (bench.consumer.data, bench.outcome, len(bench.accepted)) == (b"abc", [None], 1)
    assert bench.body.received == 3
    assert bench.clock.getDelayedCalls() == []


def test_a_body_that_came_whole_before_anybody_wanted_it() -> None:
    """Nothing is left to wait for."""
    bench = Bench(length=1)
    bench.body.data_received(b"a")
    bench.body.ended()
    bench.stream_to()

    assert (bench.consumer.data, bench.outcome) == (b"a", [None])


def test_a_body_that_came_whole_with_its_head() -> None:
    """It is complete as soon as it is wanted, and takes no timer; its end, which is told later, changes nothing."""
    bench = Bench(length=3)
    bench.body.data_received(b"abc")
    assert not bench.body.complete
    bench.stream_to()
    assert (bench.consumer.data, bench.outcome, bench.body.complete) == (b"abc", [None], True)
    assert bench.clock.getDelayedCalls() == []
    bench.body.ended()

    assert (bench.outcome, bench.body.state) == ([None], State.OVER)


def test_early_bytes_are_bounded() -> None:
    """The sender is held back until somebody wants the body, and then let go."""
    bench = Bench()
    bench.body.data_received(b"a" * (EARLY_LIMIT - 1))
    assert not bench.held
    bench.body.data_received(b"b")
    assert bench.held
    bench.stream_to()
    assert not bench.held
    bench.body.lost()


@pytest.mark.parametrize("early", [True, False])
def test_too_many_bytes(early: bool) -> None:
    """The limit holds for early bytes too, and the consumer hears nothing beyond it."""
    bench = Bench()
    if early:
        bench.body.data_received(b"12345")
    bench.stream_to(limit=4)
    if not early:
        bench.body.data_received(b"1234")
        bench.body.data_received(b"5")
    bench.body.data_received(b"6")

    assert isinstance(bench.outcome[0], FileTooLarge)
    assert len(bench.consumer.data) <= 4


def test_a_silent_sender_is_dropped() -> None:
    """Each byte starts the time anew."""
    bench = Bench()
    bench.stream_to()
    bench.clock.advance(IDLE - 1)
    bench.body.data_received(b"a")
    bench.clock.advance(IDLE - 1)
    assert bench.outcome == []
    assert bench.body.silence() == IDLE - 1
    bench.clock.advance(1)

    assert isinstance(bench.outcome[0], BodyTimedOut)


def test_a_sender_that_we_hold_back_is_not_silent() -> None:
    """Our slow disk is not its fault."""
    bench = Bench()
    bench.stream_to()
    bench.body.pauseProducing()
    bench.clock.advance(10 * IDLE)
    assert (bench.outcome, bench.body.silence()) == ([], 0)
    bench.body.resumeProducing()
    bench.clock.advance(IDLE - 1)
    assert bench.outcome == []
    bench.clock.advance(IDLE)

    assert isinstance(bench.outcome[0], BodyTimedOut)


@pytest.mark.parametrize("end", ["lost", "dropped", "drained"])
def test_what_came_before_anybody_wanted_it_is_left(end: str) -> None:
    """For those who keep what comes, once; nothing is left of what is thrown away."""
    bench = Bench(length=10)
    bench.body.data_received(b"ab")
    bench.body.data_received(b"c")
    if end == "lost":
        bench.body.lost()
    elif end == "dropped":
        bench.body.drop(BodyTimedOut())
    else:
        bench.body.drain(lambda: None)
    bench.stream_to()
    assert isinstance(bench.outcome[0], Exception)
    assert bench.consumer.data == b""
    assert bench.body.left() == ([] if end == "drained" else [b"ab", b"c"])
    assert bench.body.left() == []


@pytest.mark.parametrize("wanted", [True, False])
def test_a_lost_connection(wanted: bool) -> None:
    """Whoever waits for the body hears of it, and so does whoever asks later."""
    bench = Bench()
    if wanted:
        bench.stream_to()
    bench.body.data_received(b"a")
    bench.body.lost()
    if not wanted:
        bench.stream_to()
        assert bench.accepted == []

    assert isinstance(bench.outcome[0], ConnectionDropped)


def test_drop_is_too_late_for_a_complete_body() -> None:
    """All of it is here, and is being recorded."""
    bench = Bench()
    bench.stream_to()
    bench.body.ended()
    bench.body.drop(BodyTimedOut())

    assert bench.outcome == [None]


def test_a_refused_body_is_drained_a_while() -> None:
    """By bytes: the sender is held back a moment, let go, and when enough has come the connection may close."""
    bench = Bench()
    bench.body.data_received(b"x" * EARLY_LIMIT)
    ended: list[None] = []
    bench.body.drain(lambda: ended.append(None))
    assert bench.held
    bench.clock.advance(DRAIN_PAUSE)
    assert not bench.held
    bench.body.data_received(b"x" * (DRAIN_LIMIT - 1))
    assert ended == []
    bench.body.data_received(b"xx")

    assert ended == [None]
    bench.body.data_received(b"more")
    assert ended == [None]


def test_a_refused_body_is_drained_by_time() -> None:
    """A sender that stalls does not keep the connection."""
    bench = Bench()
    ended: list[None] = []
    bench.body.drain(lambda: ended.append(None))
    bench.clock.advance(DRAIN_PAUSE)
    assert ended == []
    bench.clock.advance(DRAIN_TIME)

    assert ended == [None]


def test_a_refused_body_that_is_short_is_drained_at_once() -> None:
    """It will come to its end: no proxy is cut off in it."""
    bench = Bench(length=DRAIN_LIMIT)
    bench.body.data_received(b"x" * EARLY_LIMIT)
    bench.body.drain(lambda: None)

    assert not bench.held
    bench.body.lost()


@pytest.mark.parametrize("end", ["ended", "lost"])
def test_a_drain_that_ends_by_itself(end: str) -> None:
    """The request hears of it in another way, and no timer is left."""
    bench = Bench()
    ended: list[None] = []
    bench.body.drain(lambda: ended.append(None))
    getattr(bench.body, end)()

    assert ended == []
    assert bench.clock.getDelayedCalls() == []


@pytest.mark.parametrize(("per_second", "dropped"), [(9, True), (10, False)])
def test_a_body_that_drips(per_second: int, dropped: bool) -> None:
    """After a minute at less than the least rate it is dropped; at that rate it may go on for hours."""
    bench = Bench(min_rate=10)
    bench.stream_to()
    while not bench.outcome and bench.clock.seconds() < 600:
        bench.body.data_received(b"x" * per_second)
        bench.clock.advance(1)

    assert [type(outcome) for outcome in bench.outcome] == ([UploadTooSlow] if dropped else [])
    assert bench.clock.seconds() == (60 if dropped else 600)
    bench.body.lost()


def test_a_body_that_becomes_slow() -> None:
    """The last minute counts, not what was brought before."""
    bench = Bench(min_rate=10)
    bench.stream_to()
    bench.body.data_received(b"x" * 100_000)
    for _ in range(80):
        bench.body.data_received(b"x")
        bench.clock.advance(1)

    assert [type(outcome) for outcome in bench.outcome] == [UploadTooSlow]


def test_a_sender_that_we_hold_back_is_not_slow() -> None:
    """Its minute begins anew when it may go on."""
    bench = Bench(min_rate=10)
    bench.stream_to()
    for _ in range(50):
        bench.clock.advance(5)
        bench.body.pauseProducing()
        bench.clock.advance(50)
        bench.body.resumeProducing()

    assert bench.outcome == []
    bench.body.lost()


@implementer(ISocketConsumer)
@define
class Mover(Consumer):
    """Takes a body also from its socket, when a test says so."""

    bulk: int = 1
    moving: list[Deferred[int]] = field(factory=list)

    def move(self, source: IBodySource, most: int) -> Deferred[int]:
        """Wait for the test."""
        self.moving.append(Deferred())
        return self.moving[-1]


@implementer(IBodySocket)
@define
class Socket:
    """A socket in which there is always something; says what it is asked for."""

    moves: Callable[[], bool] = lambda: False
    lends: bool = True
    released: int = 0
    taken: int = 0

    def when_readable(self, moves: Callable[[], bool]) -> None:
        """Ask from now on."""
        self.moves = moves

    def waiting(self) -> int:
        """Return what waits."""
        return 10

    def lend(self) -> IBodySource | None:
        """Lend what a worker needs, or nothing."""
        return SocketSource(0) if self.lends else None

    def moved(self, size: int) -> None:
        """Count."""
        self.taken += size

    def release(self) -> None:
        """Count."""
        self.released += 1


@define
class Journey:
    """A body that a test takes from state to state."""

    transport: StringTransport = field(factory=StringTransport)
    clock: Clock = field(factory=Clock)
    socket: Socket = field(factory=Socket)
    consumer: Mover = field(factory=Mover)
    ends: list[object] = field(factory=list)
    body: Body = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make a body of 100 bytes."""
        self.body = Body(self.transport, self.clock, 100, IDLE, lambda: None, self.socket)

    def step(self, event: str) -> None:
        """Let one thing happen."""
        body = self.body
        events: dict[str, Callable[[], object]] = {
            "wanted": lambda: body.stream_to(self.consumer, 10**9, FileTooLarge()).addBoth(self.ends.append),
            "comes": lambda: body.data_received(b"x"),
            "hold": body.pauseProducing,
            "let go": body.resumeProducing,
            "readable": self.socket.moves,
            "moved": lambda: self.consumer.moving.pop().callback(10),
            "drop": lambda: body.drop(BodyTimedOut()),
            "lost": body.lost,
            "ended": body.ended,
            "drain": lambda: body.drain(lambda: None),
            "drained": lambda: self.clock.advance(DRAIN_TIME),
            "silence": lambda: self.clock.advance(IDLE),
        }
        events[event]()


WAYS = {
    State.WAITING: (),
    State.READ: ("wanted",),
    State.HELD: ("wanted", "hold"),
    State.MOVED: ("wanted", "readable"),
    State.DRAINED: ("drain",),
    State.OVER: ("drop",),
}
"""How a body comes into each state."""

STEPS = {
    State.WAITING: {"wanted": State.READ, "drop": State.OVER, "ended": State.OVER, "drain": State.DRAINED},
    State.READ: {
        "hold": State.HELD,
        "readable": State.MOVED,
        "drop": State.OVER,
        "ended": State.OVER,
        "silence": State.OVER,
        "drain": State.DRAINED,
    },
    State.HELD: {
        "let go": State.READ,
        "readable": State.MOVED,  # somebody else has resumed the sender
        "drop": State.OVER,
        "ended": State.OVER,
        "drain": State.DRAINED,
    },
    State.MOVED: {"moved": State.READ, "drop": State.OVER, "drain": State.DRAINED},
    State.DRAINED: {"ended": State.OVER, "drained": State.OVER, "silence": State.OVER},
    State.OVER: {"drain": State.DRAINED},
}
"""Where each event leads; the connection that breaks ends all, and whatever is not here changes nothing."""

EVENTS = sorted({event for steps in STEPS.values() for event in steps} | {"comes", "lost"})

IMPOSSIBLE = {(state, "moved") for state in State if state is not State.MOVED} | {
    (State.MOVED, "ended"),  # the last byte is counted when it has been moved
    (State.MOVED, "comes"),
    (State.READ, "wanted"),
    (State.HELD, "wanted"),
    (State.MOVED, "wanted"),
}


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", State)
def test_each_step(state: State, event: str) -> None:
    """From every state, with every event: and the sender is paused where it has to wait, and only there."""
    if (state, event) in IMPOSSIBLE:
        return
    journey = Journey()
    for one in WAYS[state]:
        journey.step(one)
    assert journey.body.state is state
    journey.step(event)

    after = State.OVER if event == "lost" else STEPS[state].get(event, state)
    assert journey.body.state is after
    paused = str(journey.transport.producerState) == "paused"
    if after in {State.HELD, State.MOVED}:
        assert paused
    if after is State.READ:
        assert not paused


@pytest.mark.parametrize("hold", [True, False])
def test_what_is_moved_does_not_let_a_sender_go_that_is_held_back(hold: bool) -> None:
    """The consumer has said so meanwhile."""
    journey = Journey()
    for one in ("wanted", "readable", *(["hold"] if hold else []), "moved"):
        journey.step(one)

    assert journey.body.state is (State.HELD if hold else State.READ)
    assert (str(journey.transport.producerState) == "paused") is hold
    assert (journey.body.received, journey.socket.taken) == (10, 10)


def test_a_socket_that_a_worker_has_is_given_back_when_it_is_done() -> None:
    """Not while it moves what nobody wants any more."""
    journey = Journey()
    for one in ("wanted", "readable", "drop"):
        journey.step(one)
    assert journey.socket.released == 0
    journey.step("moved")

    assert journey.socket.released == 1


def test_a_socket_that_cannot_be_lent_is_read() -> None:
    """The body goes on as one that comes from no socket."""
    journey = Journey(socket=Socket(lends=False))
    journey.step("wanted")
    assert not journey.socket.moves()

    assert journey.body.state is State.READ
    assert journey.consumer.moving == []
    journey.step("lost")
