"""What a piece asks because of other daemons, and what becomes of it then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest
from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from zope.interface import implementer
from zope.interface.verify import verifyObject

from onec_twisted.http.interfaces import IPeer
from onec_twisted.ingest.daemons import Alone, IDaemons, Overtaken
from onec_twisted.ingest.pieces import Pieces
from onec_twisted.model.errors import ConnectionDropped, FileBusy, WrongOffset
from onec_twisted.model.names import SafeName
from onec_twisted.model.records import FileRecord, Session, Written
from onec_twisted.testing import FakeBody

if TYPE_CHECKING:
    from collections.abc import Callable

    from in_memory import InMemory

    from onec_twisted.http.acknowledgement import Acknowledgement
    from onec_twisted.http.interfaces import IBody

NAME = SafeName(("a",))


@implementer(IPeer)
class Gone:
    """A peer that has gone."""

    def waits(self) -> bool:
        """Return that it does not."""
        return False

    def close(self) -> None:
        """Do nothing."""


T = TypeVar("T")


@implementer(IDaemons)
@define(eq=False)
class Several:
    """Several daemons: what others do is what a test says."""

    is_alone: bool = False
    late: bool = False
    overtakes: bool = False
    same: bool = False
    lost: bool = False
    leaves: bool = False
    names: list[str] = field(factory=list)
    asked: list[Any] = field(factory=list)

    def name_answer(self) -> str:
        """Count them."""
        self.names.append(f"answer {len(self.names)}")
        return self.names[-1]

    async def check_in_time(self, session: Session, body: IBody) -> None:
        """Refuse what is late."""
        if self.late:
            raise FileBusy

    def guarded(self, body: IBody, write: Callable[[], T]) -> Callable[[], T]:
        """Write; then fail if nobody waits, or if others were first."""

        def written() -> T:
            done = write()
            if not body.peer().waits():
                raise ConnectionDropped
            if self.overtakes:
                raise Overtaken(cast("Written", done))
            return done

        return written

    def has_left(self, body: IBody) -> bool:
        """Ask."""
        return self.leaves

    async def was_lost(
        self, session: Session, name: str, record: FileRecord, acknowledgement: Acknowledgement | None, answer: str
    ) -> bool:
        """Note what it is asked about."""
        self.asked.append((acknowledgement, answer))
        return self.lost

    async def has_same(self, session: Session, name: str, before: int | None, written: Written, answer: str) -> bool:
        """Note what it is asked about."""
        self.asked.append((before, written.length, answer))
        return self.same

    async def claim(self, sessid: str, upload_id: str) -> int:
        """Count them."""
        self.asked.append((sessid, upload_id))
        return len(self.asked)

    async def confirm(self, session: Session) -> None:
        """Note it."""
        self.asked.append("confirmed")


@pytest.fixture
def several() -> Several:
    """Other daemons."""
    return Several()


@pytest.fixture
def session(exchange: InMemory) -> Session:
    """A session."""
    cookie, _ = exchange.checkauth()
    found: list[Any] = []
    Deferred.fromCoroutine(exchange.catalog.sessions.find(cookie.partition("=")[2])).addCallback(found.append)
    return found[0]  # type: ignore[no-any-return]


@pytest.fixture
def send(exchange: InMemory, session: Session, several: Several) -> Callable[..., Any]:
    """What sends a piece to one of several daemons, and returns what becomes of it."""
    made = exchange.pieces()
    pieces = Pieces(
        evolve(made.ingest, daemons=several), made.proofs, made.body_limit, made.session_quota, made.received
    )

    def send(data: bytes, offset: int | None = None, *, waits: bool = True) -> Any:
        body = FakeBody(len(data))
        if not waits:
            body.peer = Gone
        outcome: list[Any] = []
        Deferred.fromCoroutine(pieces.take(session, NAME, body, offset)).addBoth(outcome.append)
        body.feed(data)
        body.end()
        (came,) = outcome
        return getattr(came, "value", came)

    return send


def test_they_are_what_they_say() -> None:
    """One alone, and the several of this test, provide the interface."""
    assert verifyObject(IDaemons, Alone())
    assert verifyObject(IDaemons, Several())


def test_one_alone_names_nothing(exchange: InMemory, session: Session) -> None:
    """Neither its answers nor its records, and it writes what it was given to write."""
    alone = Alone()
    assert (alone.name_answer(), alone.is_alone) == ("", True)

    def write() -> Written:
        return Written(1)

    assert alone.guarded(FakeBody(), write) is write


def test_each_answer_has_its_name(send: Callable[..., Any], several: Several) -> None:
    """By which the proof that it arrived is recorded."""
    assert [send(b"one").acknowledgement.name, send(b"two").acknowledgement.name] == several.names


def test_what_comes_late_is_refused(exchange: InMemory, send: Callable[..., Any], several: Several) -> None:
    """A piece at the end of its file may have been stored elsewhere; one with an offset cannot be stored twice."""
    send(b"first")
    several.late = True
    assert isinstance(send(b"late"), FileBusy)
    assert send(b"second", 5).committed == 11
    assert list(exchange.files().values()) == [b"firstsecond"]


def test_what_nobody_waits_for_is_not_recorded(exchange: InMemory, send: Callable[..., Any]) -> None:
    """Its sender has gone on elsewhere; the file is as it was."""
    send(b"first")
    assert isinstance(send(b"second", waits=False), ConnectionDropped)
    assert list(exchange.files().values()) == [b"first"]


def test_what_another_daemon_stored_meanwhile_is_confirmed(send: Callable[..., Any], several: Several) -> None:
    """Under the name of the new answer, as the repeat that it is."""
    send(b"first")
    several.overtakes, several.same = True, True
    stored = send(b"second")
    assert (stored.committed, stored.outcome, stored.acknowledgement.name) == (11, "repeat", several.names[-1])
    assert several.asked == [(5, 11, several.names[-1])]


def test_another_piece_of_another_daemon_is_never_followed(
    exchange: InMemory, send: Callable[..., Any], several: Several
) -> None:
    """A piece that lost its place is refused, not moved: with an offset by the length, without one as busy."""
    send(b"first")
    several.overtakes = True
    assert isinstance(send(b"second"), FileBusy)
    assert isinstance(send(b"second", 5), WrongOffset)
    assert list(exchange.files().values()) == [b"first"]


def test_an_equal_piece_asks_whose_answer_counts(
    exchange: InMemory, send: Callable[..., Any], several: Several
) -> None:
    """An answer under another name than the record's counts no more; one that was lost makes it a repeat."""
    send(b"same")
    assert send(b"same").outcome == "stored"
    several.lost = True
    assert send(b"same").outcome == "repeat"
    assert several.asked == [(None, name) for name in several.names[1:]]
    assert list(exchange.files().values()) == [b"samesame"]


def test_an_answer_that_nobody_waits_for_is_lost(send: Callable[..., Any], several: Several) -> None:
    """Whatever takes it in the node's place: the same piece will come again."""
    several.leaves = True
    assert send(b"first").acknowledgement.arrived is False
    several.leaves = False
    assert send(b"second").acknowledgement.arrived is None


def test_what_was_only_read_is_confirmed_durably(send: Callable[..., Any], several: Several) -> None:
    """A piece that is stored already, by its offset."""
    send(b"first")
    assert send(b"first", 0).outcome == "held"
    assert several.asked == ["confirmed"]
