"""Any order of events, against a model of plain bytes: the file is what was acknowledged."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from in_memory import CONFIG
from records import make_catalog, session_of
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock

from onec_twisted.catalog.preparation import create_catalog, recorded_lengths
from onec_twisted.catalog.sql import sessions as statements
from onec_twisted.daemon.parts import Means, make_parts
from onec_twisted.ingest.engine import Stored
from onec_twisted.ingest.pieces import Pieces
from onec_twisted.model.errors import ConnectionDropped, FileSealed, WrongOffset
from onec_twisted.model.names import SafeName
from onec_twisted.model.records import SUCCEEDED
from onec_twisted.runtime.metrics import Metrics
from onec_twisted.storage.local import Store
from onec_twisted.testing import FakeBody, FakeImporter, check_inline, examine_inline, inline, prepare_inline

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from onec_twisted.model.records import Session

SESSID = "0123456789abcdef" * 2
NAME = SafeName(("import_files", "a"))
LOTS = 2**40

DATA = st.one_of(st.binary(min_size=1, max_size=40), st.sampled_from([bytes(8), b"same"]))


class AnyOrder(RuleBasedStateMachine):
    """One file of one session, through every fault that a node and a daemon can meet."""

    @initialize()
    def begin(self) -> None:
        """Open a session on an empty disk."""
        self.folder = Path(tempfile.mkdtemp())
        self.model: bytes | None = None
        self.last = b""
        self.proven = False
        self.sealed = False
        self.start()
        self.now(self.catalog.sessions.open(SESSID, "token", "shop", 0.0))

    def start(self) -> None:
        """Start a daemon on what lies there; its timers are its own."""
        self.clock = Clock()
        self.store = Store(self.folder)
        self.store.prepare()
        self.store.lock()
        create_catalog(self.store.database)
        assert self.store.recover(recorded_lengths(self.store.database)) == []
        self.catalog = make_catalog(self.store.database, inline)
        means = Means(
            reactor=self.clock,
            now=self.clock.seconds,
            seconds=self.clock.seconds,
            workers=inline,
            errands=inline,
            metrics=Metrics(self.clock.seconds),
            store=self.store,
            free=lambda: inline(lambda: LOTS),
            catalog=self.catalog,
            importer_of=lambda _: FakeImporter(),
            orders_of=lambda _: None,
            examine=examine_inline,
            prepare=prepare_inline,
            check=check_inline,
        )
        parts = make_parts(evolve(CONFIG, body_limit=LOTS, session_quota=LOTS, min_free=0, access_log=False), means)
        self.pieces, self.proofs = Pieces(parts.ingest, parts.proofs, LOTS, LOTS, parts.received), parts.proofs

    def stop(self) -> None:
        """End the daemon as kill -9 does: what is not on record is gone."""
        self.catalog.recorder.close()
        self.store.unlock()

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.stop()
        shutil.rmtree(self.folder)

    def now(self, awaitable: Coroutine[Any, Any, Any] | Deferred[Any]) -> Any:
        """Return what has fired."""
        fired: list[Any] = []
        ensureDeferred(awaitable).addBoth(fired.append)
        return fired[0]

    def session(self) -> Session:
        """Return the session as it is now."""
        session: Session = self.now(self.catalog.sessions.find("token"))
        return session

    def send(self, body: FakeBody, offset: int | None = None) -> list[Any]:
        """Begin to send a piece."""
        outcome: list[Any] = []
        Deferred.fromCoroutine(self.pieces.take(self.session(), NAME, body, offset)).addBoth(outcome.append)
        return outcome

    def whole(self, data: bytes, offset: int | None = None) -> Any:
        """Send a whole piece; return what becomes of it."""
        body = FakeBody(len(data))
        outcome = self.send(body, offset)
        body.feed(data)
        body.end()
        return self.fired(outcome)

    def fired(self, outcome: list[Any]) -> Any:
        """Return what a piece has become: ``Stored``, or why it was refused."""
        return outcome[0].value if hasattr(outcome[0], "value") else outcome[0]

    def acknowledged(self, stored: Any, data: bytes, *, arrives: bool, claimed: bool = False) -> None:
        """Bring the model up to what was answered, and let the answer arrive or not."""
        if self.sealed:
            assert isinstance(stored, FileSealed), stored
            return
        assert isinstance(stored, Stored), stored
        repeat = data == self.last and not self.proven and not claimed
        if not repeat:
            self.model = (self.model or b"") + data
            self.last = data
        assert stored.committed == len(self.model or b"")
        self.proven = arrives
        assert stored.acknowledgement is not None
        if arrives:
            stored.acknowledgement.sent(None)
        else:
            stored.acknowledgement.lost()

    @rule(data=DATA, arrives=st.booleans())
    def piece(self, data: bytes, arrives: bool) -> None:
        """A piece; its answer arrives, or is lost."""
        self.acknowledged(self.whole(data), data, arrives=arrives)

    @rule(arrives=st.booleans())
    def the_last_piece_again(self, arrives: bool) -> None:
        """Because its answer was lost, or because the file is made so."""
        if self.last:
            self.acknowledged(self.whole(self.last), self.last, arrives=arrives)

    @rule(data=DATA, cut=st.integers(0, 40))
    def a_piece_that_breaks_off(self, data: bytes, cut: int) -> None:
        """At any byte."""
        body = FakeBody(len(data))
        outcome = self.send(body)
        body.feed(data[:cut])
        body.drop(ConnectionDropped())

        assert isinstance(outcome[0].value, FileSealed if self.sealed else ConnectionDropped)

    @rule(data=DATA, cut=st.integers(0, 40))
    def a_crash_in_the_middle(self, data: bytes, cut: int) -> None:
        """Bytes were written, and nothing recorded."""
        committed = None if self.model is None else len(self.model)
        file = self.store.open(session_of(SESSID), NAME, committed)
        file.write([data[:cut]])
        self.restart()

    @rule()
    def restart(self) -> None:
        """After kill -9: proofs that were not on record are forgotten."""
        record = self.now(self.catalog.files.find(SESSID, str(NAME)))
        self.proven = record is not None and record.proven
        self.stop()
        self.start()

    @rule()
    def a_moment_passes(self) -> None:
        """Proofs go on record."""
        self.clock.advance(1)
        record = self.now(self.catalog.files.find(SESSID, str(NAME)))
        assert record is None or record.proven == self.proven

    @rule(data=DATA, back=st.integers(-3, 60), arrives=st.booleans())
    def a_piece_that_tells_its_place(self, data: bytes, back: int, arrives: bool) -> None:
        """At the end, on what is held, or anywhere else."""
        held = self.model or b""
        offset = max(0, len(held) - back)
        outcome = self.whole(data, offset)
        if self.sealed:
            assert isinstance(outcome, FileSealed)
        elif offset == len(held):
            self.acknowledged(outcome, data, arrives=arrives, claimed=True)
        elif held[offset : offset + len(data)] == data:
            assert outcome == Stored(len(held), None, "held")
        else:
            assert isinstance(outcome, WrongOffset)

    @rule(one=DATA, two=DATA)
    def two_pieces_at_once(self, one: bytes, two: bytes) -> None:
        """The second waits for the first, whatever order their bytes come in."""
        first, second = FakeBody(len(one)), FakeBody(len(two))
        outcomes = self.send(first), self.send(second)
        first.feed(one)
        first.end()
        self.acknowledged(self.fired(outcomes[0]), one, arrives=True)
        second.feed(two)
        second.end()
        self.acknowledged(self.fired(outcomes[1]), two, arrives=True)

    @precondition(lambda self: self.model is not None)
    @rule()
    def init(self) -> None:
        """All of it is gone."""
        self.now(self.catalog.sessions.start_epoch(SESSID, 0.0, 0))
        self.proofs.forget(SESSID)
        self.store.discard(SESSID)
        self.model, self.last, self.proven, self.sealed = None, b"", False, False

    @precondition(lambda self: self.model is not None)
    @rule()
    def hand_off(self) -> None:
        """The file is asked for, and imported: it takes no piece any more."""
        asked = self.session(), "catalog", str(NAME), "", len(self.model or b""), 0.0
        handoff = self.now(self.catalog.handoffs.import_requested(*asked))
        self.now(self.catalog.handoffs.note_outcome(evolve(handoff, state=SUCCEEDED), 0.0))
        self.sealed = True

    @invariant()
    def memory_is_what_is_on_record(self) -> None:
        """What the catalog answers from memory stands in its database."""
        known = self.session(), self.now(self.catalog.files.find(SESSID, str(NAME)))
        token_hash = hashlib.sha256(b"token").hexdigest()
        session, files, _ = self.catalog.recorder.database.read(statements.session, token_hash, 1000)
        assert (evolve(known[0], touched=session.touched), known[1]) == (session, files.get(str(NAME)))

    @invariant()
    def the_file_is_what_was_acknowledged(self) -> None:
        """On the disk and on record."""
        if not hasattr(self, "store"):
            return
        path = self.store.temp / SESSID / str(NAME)
        record = self.now(self.catalog.files.find(SESSID, str(NAME)))

        assert (path.read_bytes() if path.exists() else None) == self.model
        assert (record.committed if record else None) == (None if self.model is None else len(self.model))


class AnyOrderByNeed(AnyOrder):
    """The same in a session that has too many files to be read with it: each is read when it is asked for."""

    def start(self) -> None:
        """Start a daemon that reads no file with a session."""
        super().start()
        self.catalog.sessions.files_at_once = 0

    @rule()
    def others_are_in_use(self) -> None:
        """The session is forgotten in memory, and read again."""
        self.catalog.recorder.known.forget(SESSID)


TestAnyOrderByNeed = AnyOrderByNeed.TestCase
TestAnyOrderByNeed.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)

TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
