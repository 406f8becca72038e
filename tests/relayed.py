"""A relay with its catalog, and an importer that a test controls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field
from records import make_catalog
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock

from onec_twisted.catalog.preparation import create_catalog
from onec_twisted.delivery.destinations import Destination, Destinations
from onec_twisted.delivery.relay import Relay
from onec_twisted.model.records import Written
from onec_twisted.model.shops import DEFAULT_SHOP
from onec_twisted.runtime.fairness import Sharing
from onec_twisted.runtime.metrics import Metrics
from onec_twisted.storage.local import Store
from onec_twisted.testing import FakeImporter, inline

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from onec_twisted.catalog.catalog import Catalog
    from onec_twisted.delivery.interfaces import IImporter
    from onec_twisted.model.records import Handoff, Session

TRIES = 3


def destinations_to(importer: IImporter) -> Destinations:
    """Return where the hand-offs of the default shop go: to an importer, as they are."""
    destination = Destination(
        importer=importer, unpack_limits=None, check_documents=False, session_quota=2**40, settle=300.0
    )
    return Destinations({DEFAULT_SHOP: destination})


@define(eq=False)
class Site:
    """A relay, its catalog, and the importer that it delivers to."""

    folder: Path
    clock: Clock = field(factory=Clock)
    importer: FakeImporter = field(factory=lambda: FakeImporter(patient=True))
    sharing: Sharing = field(factory=Sharing)
    catalog: Catalog = field(init=False)
    relay: Relay = field(init=False)
    store: Store = field(init=False)

    def start(self) -> None:
        """Begin, or begin again after kill -9."""
        self.store = Store(self.folder)
        self.store.prepare()
        create_catalog(self.store.database)
        self.catalog = make_catalog(self.store.database, inline)
        self.relay = self.make_relay(self.catalog)
        self.relay.startService()

    def make_relay(self, catalog: Catalog) -> Relay:
        """Return a relay that spreads nothing."""
        return Relay(
            most_tries=TRIES,
            files=catalog.files,
            records=catalog.handoffs,
            prepare=lambda handoff, *_: catalog.handoffs.described(handoff, self.store.folder(handoff.sessid)),
            destinations=destinations_to(self.importer),
            now=self.clock.seconds,
            clock=self.clock,
            metrics=Metrics(),
            chance=lambda: 1.0,
            sharing=self.sharing,
        )

    def kill(self) -> None:
        """End without a word, and start again."""
        self.catalog.recorder.close()
        self.importer = FakeImporter(patient=True)
        self.start()

    def now(self, awaitable: Coroutine[Any, Any, Any] | Deferred[Any]) -> Any:
        """Return what has fired."""
        fired: list[Any] = []
        ensureDeferred(awaitable).addBoth(fired.append)
        return fired[0]

    def sealed(self, name: str, sessid: str = "s", user: str = "shop", exchange_type: str = "catalog") -> Handoff:
        """Put a hand-off on record, and keep that from the relay."""
        if self.now(self.catalog.sessions.find(sessid)) is None:
            self.now(self.catalog.sessions.open(sessid, sessid, user, 1.0))
        session: Session = self.now(self.catalog.sessions.find(sessid))
        if self.now(self.catalog.files.find(sessid, name)) is None:
            self.now(self.catalog.files.commit(session, name, None, lambda: Written(5), 1000, 1.0))
        asked = self.catalog.handoffs.import_requested(session, exchange_type, name, "", 5, 2.0)
        handoff: Handoff = self.now(asked)
        return handoff

    def hand_off(self, name: str, sessid: str = "s", user: str = "shop", exchange_type: str = "catalog") -> Handoff:
        """Put a hand-off on record, and deliver it."""
        handoff = self.sealed(name, sessid, user, exchange_type)
        self.relay.add(handoff)
        return handoff

    def retry(self, handoff: Handoff) -> Handoff:
        """Let a hand-off that has failed be tried again."""
        again: Handoff = self.now(self.catalog.handoffs.retry(handoff.id, 3.0))
        self.relay.add(again)
        return again

    def wait(self, handoff: Handoff, patience: float = 10.0) -> list[Handoff]:
        """Wait for a hand-off's end; what is returned fills when it comes."""
        outcomes: list[Handoff] = []
        ensureDeferred(self.relay.outcome(handoff, patience)).addCallback(outcomes.append)
        return outcomes

    def on_record(self, name: str, sessid: str = "s") -> Handoff:
        """Return what is on record of a hand-off."""
        found: Handoff = self.now(self.catalog.handoffs.imported(sessid, name))
        return found

    def idle(self, sessid: str, patience: float) -> list[Any]:
        """Wait until nothing of a session is left to deliver; what is returned fills when that is so."""
        done: list[Any] = []
        ensureDeferred(self.relay.idle(sessid, patience)).addBoth(done.append)
        return done

    @property
    def delivered(self) -> list[str | None]:
        """Return the names that the importer was told, in order."""
        return [description.filename for description in self.importer.delivered]
