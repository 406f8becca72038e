"""Daemons that take pieces in together, over one database of PostgreSQL's and one store of objects in memory.

A daemon does what it is let do: each hop to a worker waits for ``step``. So it can be frozen anywhere in a piece.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Any, cast

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from onec_twisted.catalog.cache import NothingKnown
from onec_twisted.catalog.catalog import Catalog
from onec_twisted.catalog.recorder import Recorder
from onec_twisted.catalog.sql import sessions
from onec_twisted.cluster.presence import Presence
from onec_twisted.cluster.together import Together
from onec_twisted.http.interfaces import IPeer
from onec_twisted.ingest.engine import Ingest
from onec_twisted.ingest.locks import FileLocks
from onec_twisted.ingest.pieces import Pieces
from onec_twisted.ingest.proofs import Proofs
from onec_twisted.ingest.received import ReceivedFiles
from onec_twisted.ingest.shoproom import ShopRooms
from onec_twisted.ingest.space import Space
from onec_twisted.ingest.transfers import Transfers
from onec_twisted.ingest.writers import WRITERS
from onec_twisted.model.records import Segment, Session, Written
from onec_twisted.runtime.metrics import Metrics
from onec_twisted.testing import FakeBody, LateWorkers, inline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onec_twisted.cluster.postgresql import PostgreSQL
    from onec_twisted.ingest.daemons import IDaemons
    from onec_twisted.model.names import SafeName
    from onec_twisted.model.records import FileRecord
    from onec_twisted.storage.interfaces import IStore

QUOTA = 10**6


@implementer(IPeer)
class Gone:
    """A peer that has gone."""

    def waits(self) -> bool:
        """Return that it does not."""
        return False

    def close(self) -> None:
        """Do nothing."""


@define(eq=False)
class Waiting(FakeBody):
    """A body that has come as a whole, and waits until somebody wants it."""

    data: bytes = b""

    def stream_to(self, *args: Any) -> Deferred[None]:
        """Pass it on."""
        streamed = super().stream_to(*args)
        self.feed(self.data)
        self.end()
        return streamed


@define(eq=False)
class Piece:
    """A piece of one segment, which is put into the heap when it is finished."""

    objects: dict[str, bytes]
    committed: int
    data: bytes = b""

    def write(self, chunks: Sequence[bytes | memoryview]) -> None:
        """Keep it."""
        self.data += b"".join(chunks)

    def finish(self) -> Written:
        """Put it."""
        key, digest = secrets.token_hex(8), hashlib.sha256(self.data).digest()
        self.objects[key] = self.data
        segment = Segment(self.committed, len(self.data), key, digest)
        return Written(self.committed + len(self.data), (segment,) if self.data else (), digest)

    def repeats(self, record: FileRecord) -> bool:
        """Compare the digests."""
        is_as_long = len(self.data) == record.committed - record.last_start
        return is_as_long and hashlib.sha256(self.data).digest() == record.digest

    def roll_back(self) -> None:
        """Forget it."""


@define(eq=False)
class Heap:
    """The objects, by key; nothing of it is ever written twice."""

    objects: dict[str, bytes] = field(factory=dict)

    def open(self, session: Session, name: SafeName, committed: int | None) -> Piece:
        """Open a file."""
        return Piece(self.objects, committed or 0)

    def cut(self, *args: Any) -> None:
        """Do nothing."""


@define(eq=False)
class Daemon:
    """One of the daemons. ``rules`` may replace what it asks of the others."""

    database: PostgreSQL
    heap: Heap
    rules: Callable[[Together], IDaemons] = lambda together: together
    clock: Clock = field(factory=Clock)
    workers: LateWorkers = field(factory=LateWorkers)
    catalog: Catalog = field(init=False)
    presence: Presence = field(init=False)
    pieces: Pieces = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Put it together."""
        metrics = Metrics()
        recorder = Recorder(self.database, self.workers, metrics, self.workers, known=NothingKnown())
        self.catalog = Catalog(recorder)
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
        self.presence.beat()
        together = Together(self.catalog.files, self.presence, self.clock)
        seconds = self.clock.seconds
        ingest = Ingest(
            sessions=self.catalog.sessions,
            files=self.catalog.files,
            store=cast("IStore", self.heap),
            locks=FileLocks(self.clock, 30.0),
            space=Space(lambda: inline(lambda: 10**9), seconds, 0),
            shop_rooms=ShopRooms(self.catalog.sessions.held_by, seconds),
            transfers=Transfers(seconds),
            workers=self.workers,
            writer=WRITERS["buffered"],
            metrics=metrics,
            daemons=self.rules(together),
            now=self.presence.now,
            logs_each=False,
        )
        proofs = Proofs(self.catalog.files, self.clock)
        self.pieces = Pieces(ingest, proofs, QUOTA, QUOTA, ReceivedFiles())

    def step(self) -> None:
        """Do one hop of what waits, and let a little time pass."""
        self.workers.run()
        self.clock.advance(0.05)
        self.presence.look()

    def send(self, session: Session, name: SafeName, body: Waiting) -> list[Any]:
        """Begin to take a piece in; the list holds what becomes of it."""
        outcome: list[Any] = []
        Deferred.fromCoroutine(self.pieces.take(session, name, body, None)).addBoth(outcome.append)
        return outcome

    def session(self, token_hash: str) -> Session:
        """Return the session as it is on record."""
        found: Session = self.database.read(sessions.session, token_hash, 0)[0]
        return found
