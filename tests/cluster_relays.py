"""Daemons that deliver together, in memory over one database of PostgreSQL's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field
from relayed import TRIES, destinations_to
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from onec_twisted.catalog.cache import NothingKnown
from onec_twisted.catalog.catalog import Catalog
from onec_twisted.catalog.recorder import Recorder
from onec_twisted.cluster.presence import Presence
from onec_twisted.cluster.relay import LOOK_INTERVAL, SharedRelay
from onec_twisted.delivery.tries import Tries
from onec_twisted.model.records import Segment, Written
from onec_twisted.runtime.fairness import Sharing
from onec_twisted.runtime.metrics import Metrics
from onec_twisted.testing import FakeImporter, inline

if TYPE_CHECKING:
    from onec_twisted.cluster.postgresql import PostgreSQL
    from onec_twisted.delivery.destinations import Destinations
    from onec_twisted.model.records import Handoff


def came(awaitable: Any) -> Any:
    """Return what has come of something, or raise it."""
    outcome = begun(awaitable)
    assert outcome, "nothing yet"
    if hasattr(outcome[0], "raiseException"):
        outcome[0].raiseException()
    return outcome[0]


def begun(awaitable: Any) -> list[Any]:
    """Begin something; the list holds what becomes of it."""
    outcome: list[Any] = []
    Deferred.fromCoroutine(awaitable).addBoth(outcome.append)
    return outcome


SESSID = "5" * 32


@define(eq=False)
class Relaying:
    """A daemon that delivers to an importer; its clock is its own, while what is due is told by PostgreSQL's."""

    database: PostgreSQL
    name: str = "one"
    clock: Clock = field(factory=Clock)
    importer: FakeImporter = field(factory=lambda: FakeImporter(patient=True))
    sharing: Sharing = field(factory=Sharing)
    catalog: Catalog = field(init=False)
    presence: Presence = field(init=False)
    relay: SharedRelay = field(init=False)
    destinations: Destinations = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Put it together, and tell the others."""
        recorder = Recorder(self.database, inline, Metrics(), inline, known=NothingKnown())
        self.catalog = catalog = Catalog(recorder)
        self.destinations = destinations_to(self.importer)
        self.presence = Presence(
            database=self.database,
            workers=inline,
            clock=self.clock,
            wall=lambda: 1000.0,
            name=lambda: self.name,
            version="1",
            touch_interval=10.0,
            busy=tuple,
        )
        tries = Tries(
            most=TRIES,
            files=catalog.files,
            records=catalog.handoffs,
            prepare=lambda handoff, *_: catalog.handoffs.described(handoff, f"/scratch/{handoff.sessid}"),
            destinations=self.destinations,
            now=self.clock.seconds,
            clock=self.clock,
            metrics=Metrics(),
        )
        self.relay = SharedRelay(
            tries=tries,
            recorder=recorder,
            database=self.database,
            presence=self.presence,
            workers=inline,
            clock=self.clock,
            chance=lambda: 1.0,
            sharing=self.sharing,
        )
        self.presence.beat()
        self.relay.startService()

    def sealed(self, name: str, sessid: str = SESSID, user: str = "shop", exchange_type: str = "catalog") -> Handoff:
        """Put a hand-off on record, and keep that from the relay."""
        sessions = self.catalog.sessions
        if came(sessions.find(sessid)) is None:
            came(sessions.open(sessid, sessid, user, 1.0))
        session = came(sessions.find(sessid))
        if came(self.catalog.files.find(sessid, name)) is None:
            written = Written(5, (Segment(0, 5, f"{sessid}/{name}", b"d"),), b"digest")
            came(self.catalog.files.commit(session, name, None, lambda: written, 1000, 1.0, answer=name))
        asked = self.catalog.handoffs.import_requested(session, exchange_type, name, "", 5, 2.0)
        handoff: Handoff = came(asked)
        return handoff

    def hand_off(
        self, name: str, sessid: str = SESSID, user: str = "shop", exchange_type: str = "catalog"
    ) -> Handoff:
        """Put a hand-off on record, and deliver it."""
        handoff = self.sealed(name, sessid, user, exchange_type)
        self.relay.add(handoff)
        return handoff

    def on_record(self, handoff: Handoff) -> Handoff:
        """Return what is on record of a hand-off."""
        found = came(self.catalog.handoffs.imported(handoff.sessid, handoff.filename))
        assert found is not None
        return found  # type: ignore[no-any-return]

    def run(self, seconds: float = LOOK_INTERVAL) -> None:
        """Let time pass."""
        for _ in range(round(seconds / LOOK_INTERVAL)):
            self.clock.advance(LOOK_INTERVAL)
            self.presence.look()
            self.presence.beat()
            self.relay.look()

    @property
    def delivered(self) -> list[str | None]:
        """Return the names that the importer was told, in order."""
        return [description.filename for description in self.importer.delivered]

    def due(self) -> None:
        """Let what pauses be due now."""
        self.database.using(lambda connection: connection.execute("UPDATE handoffs SET due = now()"))

    def vanish(self) -> None:
        """Be heard of no more, as when frozen."""
        self.database.using(
            lambda connection: connection.execute(
                "UPDATE daemons SET seen = now() - interval '10 s' WHERE id = %s", (self.presence.id,)
            )
        )
