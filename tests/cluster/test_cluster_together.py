"""Two daemons on the same records, in memory over one database: whose answer to a piece counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from onec_twisted.catalog.cache import NothingKnown
from onec_twisted.catalog.files import FileRecords
from onec_twisted.catalog.recorder import Recorder
from onec_twisted.catalog.sql import sessions as steps
from onec_twisted.cluster.presence import AWAY_AFTER, Presence
from onec_twisted.cluster.together import Together
from onec_twisted.http.acknowledgement import Acknowledgement
from onec_twisted.http.interfaces import IPeer
from onec_twisted.ingest.daemons import REPEAT_PATIENCE, IDaemons
from onec_twisted.model.errors import ConnectionDropped, FileBusy
from onec_twisted.model.records import FileRecord, Segment, Session, Written
from onec_twisted.runtime.metrics import Metrics
from onec_twisted.testing import FakeBody, inline

if TYPE_CHECKING:
    from onec_twisted.cluster.postgresql import PostgreSQL

SESSID = "5" * 32
SESSION = Session(SESSID, "shop", 1, 0, 1.0)
PIECE = Written(5, (Segment(0, 5, "key", b"d"),), b"digest")


@implementer(IPeer)
class Gone:
    """A peer that has gone."""

    def waits(self) -> bool:
        """Return that it does not."""
        return False

    def close(self) -> None:
        """Do nothing."""


@define(eq=False)
class Daemon:
    """One of the daemons."""

    database: PostgreSQL
    clock: Clock = field(factory=Clock)
    files: FileRecords = field(init=False)
    presence: Presence = field(init=False)
    together: Together = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Put it together."""
        recorder = Recorder(self.database, inline, Metrics(), inline, known=NothingKnown())
        self.files = FileRecords(recorder)
        self.presence = Presence(
            database=self.database,
            workers=inline,
            clock=self.clock,
            wall=lambda: 1000.0,
            name=lambda: "one",
            version="1",
            touch_interval=10.0,
            busy=tuple,
        )
        self.together = Together(self.files, self.presence, self.clock)

    def store(self, answer: str, before: int | None = None, written: Written = PIECE) -> None:
        """Put a piece on record."""
        self.came(self.files.commit(SESSION, "a", before, lambda: written, 100, 2.0, answer=answer))

    def record(self) -> FileRecord:
        """Return what is on record of the file."""
        found = self.came(self.files.find(SESSID, "a"))
        assert isinstance(found, FileRecord)
        return found

    def came(self, awaitable: Any) -> Any:
        """Return what has come of something, or raise it."""
        came = self.begun(awaitable)
        assert came, "nothing yet"
        if hasattr(came[0], "raiseException"):
            came[0].raiseException()
        return came[0]

    def begun(self, awaitable: Any) -> list[Any]:
        """Begin something; the list holds what becomes of it."""
        outcome: list[Any] = []
        Deferred.fromCoroutine(awaitable).addBoth(outcome.append)
        return outcome

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(int(seconds / 0.05)):
            self.clock.advance(0.05)
            self.presence.look()


@pytest.fixture
def daemon(database: PostgreSQL) -> Daemon:
    """A daemon, and one session."""
    database.record([(steps.open_session, (SESSID, "hash", "shop", 1.0))])
    return Daemon(database)


def test_it_is_what_it_says(daemon: Daemon) -> None:
    """Each answer has a name of its own."""
    assert verifyObject(IDaemons, daemon.together)
    assert len({daemon.together.name_answer() for _ in range(100)}) == 100


def test_a_sender_that_has_gone(daemon: Daemon) -> None:
    """Is not served any more, at no moment: what nobody waits for is written, and not recorded."""
    body = FakeBody(5)
    daemon.came(daemon.together.check_in_time(SESSION, body))
    assert daemon.together.guarded(body, lambda: PIECE)() is PIECE
    assert not daemon.together.has_left(body)
    body.peer = Gone
    with pytest.raises(ConnectionDropped):
        daemon.came(daemon.together.check_in_time(SESSION, body))
    with pytest.raises(ConnectionDropped):
        daemon.together.guarded(body, lambda: PIECE)()
    assert daemon.together.has_left(body)


@pytest.mark.parametrize("is_used", [False, True])
def test_what_came_before_an_absence(daemon: Daemon, is_used: bool) -> None:
    """Is refused if somebody has used the session since: the node may have gone on elsewhere."""
    daemon.presence.beat()
    daemon.presence.look()
    body = FakeBody(5, begun=daemon.clock.seconds())
    daemon.clock.advance(AWAY_AFTER + 1)
    if is_used:
        daemon.database.record([(steps.touch, (SESSID, daemon.presence.now()))])
        with pytest.raises(FileBusy):
            daemon.came(daemon.together.check_in_time(SESSION, body))
    else:
        daemon.came(daemon.together.check_in_time(SESSION, body))
    later = FakeBody(5, begun=daemon.clock.seconds() + 1)
    daemon.came(daemon.together.check_in_time(SESSION, later))


def test_its_own_answer(daemon: Daemon) -> None:
    """Is known as with one daemon; if it was lost, the new one counts at once."""
    daemon.store("mine")
    for arrived in (True, False):
        acknowledgement = Acknowledgement(daemon.clock, lambda _: None, "mine")
        acknowledgement.sent(None) if arrived else acknowledgement.lost()
        asked = daemon.together.was_lost(SESSION, "a", daemon.record(), acknowledgement, "new")
        assert daemon.came(asked) is not arrived
    assert daemon.record().answer == "new"


def test_an_answer_of_another_daemon(daemon: Daemon) -> None:
    """Is waited for: a proof makes an equal piece a new one."""
    other = Daemon(daemon.database)
    other.store("theirs")
    outcome = daemon.begun(daemon.together.was_lost(SESSION, "a", daemon.record(), None, "mine"))
    daemon.wait(REPEAT_PATIENCE / 2)
    assert outcome == []
    other.files.prove(SESSION, "a", 5, lambda _: None, "theirs")
    other.files.record_proofs()
    daemon.wait(0.1)

    assert outcome == [False]
    assert daemon.record().answer == "theirs"


def test_an_answer_of_another_daemon_that_nobody_proves(daemon: Daemon) -> None:
    """Is taken over after a while; a proof that comes then changes nothing."""
    other = Daemon(daemon.database)
    other.store("theirs")
    outcome = daemon.begun(daemon.together.was_lost(SESSION, "a", daemon.record(), None, "mine"))
    daemon.wait(REPEAT_PATIENCE + 0.1)
    assert outcome == [True]
    other.files.prove(SESSION, "a", 5, lambda _: None, "theirs")
    other.files.record_proofs()
    assert (daemon.record().answer, daemon.record().proven) == ("mine", False)


@pytest.mark.parametrize("how", ["answer", "length", "gone"])
def test_a_file_that_another_daemon_has_in_hand(daemon: Daemon, how: str) -> None:
    """Nobody appends behind it: the node comes again."""
    daemon.store("theirs")
    outcome = daemon.begun(daemon.together.was_lost(SESSION, "a", daemon.record(), None, "mine"))
    if how == "answer":
        daemon.came(Daemon(daemon.database).together._take(SESSION, "a", "theirs", "third"))
    elif how == "length":
        daemon.store("more", 5, Written(8, (Segment(5, 3, "other", b"d"),), b"other"))
    else:
        daemon.database.record([(steps.start_epoch, (SESSID, 3.0, 0))])
    daemon.wait(0.1)
    assert outcome[0].check(FileBusy)


def test_a_piece_that_another_daemon_has_stored(daemon: Daemon) -> None:
    """It is the same if it begins there, and has the digest; then it is taken over as a repeat is."""
    daemon.store("theirs")
    same = daemon.begun(daemon.together.has_same(SESSION, "a", None, PIECE, "mine"))
    daemon.wait(REPEAT_PATIENCE + 0.1)
    assert same == [True]
    assert daemon.record().answer == "mine"
    for before, written in ((None, Written(5, (), b"another")), (3, PIECE), (None, Written(6, (), b"digest"))):
        assert not daemon.came(daemon.together.has_same(SESSION, "a", before, written, "mine"))
    daemon.files.prove(SESSION, "a", 5, lambda _: None, "mine")
    daemon.files.record_proofs()
    assert not daemon.came(daemon.together.has_same(SESSION, "a", None, PIECE, "mine"))


def test_what_was_only_read_is_confirmed(daemon: Daemon) -> None:
    """By a write of its own, before anybody is told."""
    daemon.presence.beat()
    daemon.came(daemon.together.confirm(SESSION))
    assert daemon.database.read(steps.session, "hash", 0)[0].touched == pytest.approx(daemon.presence.now(), abs=1)
