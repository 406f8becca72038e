"""Puts together what a daemon uses that shares its records and files with others: PostgreSQL, and an object store.

Only this module knows ``cluster``, whose libraries not everybody has.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from attrs import evolve, frozen
from twisted.logger import Logger

from onec_twisted import __version__
from onec_twisted.catalog.cache import NothingKnown
from onec_twisted.catalog.catalog import Catalog
from onec_twisted.catalog.recorder import Recorder
from onec_twisted.cluster.contents import epochs_of, on_record, segments_of
from onec_twisted.cluster.failover import LAST_MOMENTS, Acknowledged, Timelines
from onec_twisted.cluster.fetching import Fetched
from onec_twisted.cluster.keeping import KeepObjects
from onec_twisted.cluster.objects import ObjectStore, check_belonging
from onec_twisted.cluster.postgresql import PostgreSQL, connected
from onec_twisted.cluster.presence import BEAT_INTERVAL, TICK_INTERVAL, Presence
from onec_twisted.cluster.publishing import Publishing
from onec_twisted.cluster.putters import Putters
from onec_twisted.cluster.reading import FileReader
from onec_twisted.cluster.refusals import CannotUseCluster
from onec_twisted.cluster.relay import LOOK_INTERVAL, SharedRelay
from onec_twisted.cluster.s3 import S3
from onec_twisted.cluster.s3 import Tries as StoreTries
from onec_twisted.cluster.tables import create_tables, records_id
from onec_twisted.cluster.together import Together
from onec_twisted.daemon.assembly import even_clock, make_means, make_metrics, wall_clock
from onec_twisted.daemon.config import CannotStart
from onec_twisted.daemon.holdings import ERRAND_THREADS
from onec_twisted.daemon.parts import preparation_of
from onec_twisted.daemon.places import check_import_timeouts, words_of_catalog, words_of_store
from onec_twisted.daemon.service import cannot_be_written
from onec_twisted.daemon.upkeep import FOLDERS_INTERVAL, Folders, Outdated
from onec_twisted.delivery.tries import Tries
from onec_twisted.model.errors import CatalogBusy, InsufficientStorage, StorageRemoved
from onec_twisted.runtime.workers import DiskWorkers
from onec_twisted.storage.ending import Ending
from onec_twisted.storage.local import SCRATCH, MediaRootTaken, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from onec_twisted.daemon.config import Config
    from onec_twisted.daemon.parts import Means
    from onec_twisted.daemon.places import Place
    from onec_twisted.delivery.destinations import Destinations
    from onec_twisted.delivery.interfaces import IImporter
    from onec_twisted.delivery.relaying import IRelay
    from onec_twisted.ingest.space import Space
    from onec_twisted.runtime.fairness import Sharing

__all__ = ["SharedHoldings", "make_shared_holdings", "make_shared_means"]

NETWORK_THREADS = 64
"""Threads that wait for the server and the store."""

BEAT_THREADS = 2
"""Threads for heartbeats."""

TOUCHES_IN_TIME = 4
"""How often a session with pieces on their way is touched before it counts as quiet, or as of long ago."""

SMALL_PIECES = 8 << 20
"""Bytes of a piece below which a large file becomes very many objects."""


@frozen(eq=False, kw_only=True)
class SharedHoldings:
    """What a daemon holds of the machine and of the network: a scratch folder, connections, and threads."""

    scratch: Store
    """A media root of this daemon alone; nothing in it outlives the process."""
    ending: Ending
    store: ObjectStore
    database: PostgreSQL
    timelines: Timelines
    fetched: Fetched
    workers: DiskWorkers
    errands: DiskWorkers
    beats: DiskWorkers
    """Threads for heartbeats alone: others may all wait for the store."""
    _log = Logger()

    @property
    def place(self) -> str:
        """Return where uploads go, for the log."""
        return "the object store"

    def prepare(self, media_root: str) -> None:
        """Make the scratch folders, and try the server and the store. Blocks. Raises ``CannotStart``.

        Call it when the process has forked for the last time: the store's client does not work in a fork.
        """
        try:
            self.scratch.prepare()
            self.scratch.lock()
            self.fetched.prepare()
        except MediaRootTaken:
            raise CannotStart(
                f"--media-root={media_root}: another onec-exchange is using it; each daemon needs a folder of its own"
            ) from None
        except OSError as error:
            raise CannotStart(f"--media-root={media_root}: {cannot_be_written(error)}") from None
        records = self.scratch.database
        if records.exists():
            self._log.warn(
                "{folder} holds what a daemon without --catalog has received, which this one does not serve: "
                "onec-exchange migrate moves it",
                folder=media_root,
            )
        try:
            self.database.using(create_tables)
            self.database.using(self.timelines.check)
        except CannotUseCluster as cannot:
            raise CannotStart(str(cannot)) from None
        except CatalogBusy as error:
            raise CannotStart(f"--catalog: PostgreSQL cannot be used: {error}") from None
        except psycopg.Error as error:
            raise CannotStart(f"--catalog: {words_of_catalog(error)}") from None
        try:
            self.store.prepare()
            known, is_new = self.database.using(records_id)
            check_belonging(self.store.s3, known, has_none=is_new)
        except CannotUseCluster as cannot:
            raise CannotStart(f"--store: {cannot}") from None
        except (OSError, StorageRemoved, InsufficientStorage) as error:
            raise CannotStart(f"--store: {words_of_store(error)}") from None
        self._begin(media_root)

    def _begin(self, media_root: str) -> None:
        """Note that this daemon runs; say so if the one before it was killed. Raises ``CannotStart``."""
        try:
            was_broken_off = self.ending.begin()
        except OSError as error:
            raise CannotStart(f"--media-root={media_root}: {cannot_be_written(error)}") from None
        if was_broken_off:
            self._log.info(
                "the last run did not end by itself (kill -9, a crash or a power cut): nothing that was acknowledged "
                "is lost; nodes send again what was not"
            )

    def check(self) -> None:
        """Do nothing: server and store say themselves when they are gone."""

    def release(self) -> None:
        """End the threads after their queued work, and close the connections. Blocks."""
        while not (self.errands.is_stopped and self.workers.is_stopped):
            self.errands.stop()
            self.workers.stop()
        self.beats.stop()
        self.store.stop()
        self.database.close()
        self.ending.end()


def make_shared_holdings(place: Place, config: Config, reactor: Any) -> SharedHoldings:
    """Return the resources of a daemon among several; nothing is connected yet. Raises ``CannotStart``."""
    acknowledged = Acknowledged(even_clock)
    timelines = Timelines(connected, acknowledged)
    database = PostgreSQL(place.catalog, even_clock, timelines.connected, acknowledged.note)
    folder = Path(config.media_root).absolute()
    try:
        s3 = S3(place.store, place.keys, StoreTries())
    except CannotUseCluster as cannot:
        raise CannotStart(f"--store: {cannot}") from None

    def rows(sessid: str, name: str) -> Any:
        return database.read(segments_of, sessid, name)

    def blocks(sessid: str, name: str, size: int) -> Iterator[bytes]:
        return FileReader(s3, lambda: rows(sessid, name), size).blocks()

    scratch = Store(folder)
    return SharedHoldings(
        scratch=scratch,
        ending=Ending(scratch.temp),
        store=ObjectStore(
            s3=s3,
            putters=Putters(s3),
            scratch=f"{folder}/{SCRATCH}",
            segments_of=rows,
            epochs_of=partial(database.read, epochs_of),
            on_record=partial(database.read, on_record),
        ),
        database=database,
        timelines=timelines,
        fetched=Fetched(f"{folder}/imports", blocks),
        workers=DiskWorkers(reactor, NETWORK_THREADS),
        errands=DiskWorkers(reactor, ERRAND_THREADS),
        beats=DiskWorkers(reactor, BEAT_THREADS),
    )


def make_shared_means(reactor: Any, place: Place, config: Config, holdings: SharedHoldings) -> Means:
    """Return the means that the parts of a daemon among several use."""
    workers, errands, database = holdings.workers, holdings.errands, holdings.database
    if config.file_limit < SMALL_PIECES:
        Logger(namespace=__name__).warn(
            "--file-limit={limit} makes very many objects of a large file: choose 8M or more", limit=config.file_limit
        )
    metrics = make_metrics()
    catalog = Catalog(Recorder(database, workers, metrics, errands, known=NothingKnown()))
    quiet = min(config.session_ttl, *(settings.settle for _, settings in config.named_shops()))
    presence = Presence(
        database=database,
        workers=holdings.beats,
        clock=reactor,
        wall=wall_clock,
        name=place.name_now,
        version=__version__,
        touch_interval=min(quiet, LAST_MOMENTS) / TOUCHES_IN_TIME,
        busy=tuple,
        check=holdings.timelines.check,
    )
    shared = _Delivery(holdings, presence)
    plain = make_means(reactor, holdings, metrics, catalog)

    def importer_of(of_shop: Config) -> IImporter:
        check_import_timeouts(of_shop)
        if of_shop.importer == "keep":
            return KeepObjects(database, holdings.store, errands)
        return plain.importer_of(of_shop)

    return evolve(
        plain,
        now=presence.now,
        importer_of=importer_of,
        daemons=Together(catalog.files, presence, reactor),
        make_relay=shared.make_relay,
        tell_busy=shared.tell_busy,
        tell_state=shared.tell_state,
        everybody=presence.everybody,
        is_first=lambda: presence.is_first,
        timers=(
            (BEAT_INTERVAL, presence.beat),
            (BEAT_INTERVAL, holdings.timelines.report),
            (TICK_INTERVAL, presence.look),
            (TICK_INTERVAL, shared.check_safe),
            (LOOK_INTERVAL, shared.look),
            (BEAT_INTERVAL, Outdated(presence, reactor).look),
            (FOLDERS_INTERVAL, Folders(holdings.fetched, database, catalog.sessions, errands).tidy),
        ),
        at_end=(presence.leave,),
    )


class _Delivery:
    """Makes the relay of a daemon, and looks for it at what waits."""

    def __init__(self, holdings: SharedHoldings, presence: Presence) -> None:
        self._holdings, self._presence = holdings, presence
        self._relay: SharedRelay | None = None

    def look(self) -> Any:
        """Let the relay look."""
        return self._relay.look() if self._relay is not None and self._relay.running else None

    def check_safe(self) -> None:
        """Let the relay cancel what others may have taken over."""
        if self._relay is not None and self._relay.running:
            self._relay.check_safe()

    def tell_busy(self, busy: Callable[[], frozenset[str]]) -> None:
        """Touch from now on the sessions that have pieces on their way."""
        self._presence.busy = busy

    def tell_state(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Tell others from now on how this daemon is."""
        self._presence.state = state

    def make_relay(
        self, config: Config, means: Means, space: Space, destinations: Destinations, sharing: Sharing
    ) -> IRelay:
        """Return the relay."""
        holdings, catalog = self._holdings, means.catalog
        publishing = Publishing(
            records=catalog.handoffs,
            database=holdings.database,
            store=holdings.store,
            fetched=holdings.fetched,
            space=space,
            workers=holdings.errands,
            prepare=preparation_of(means, holdings.fetched, space, sharing),
            import_timeout=config.import_timeout,
        )
        tries = Tries(
            most=config.import_tries,
            files=catalog.files,
            records=catalog.handoffs,
            prepare=publishing,
            destinations=destinations,
            now=means.now,
            clock=means.reactor,
            metrics=means.metrics,
        )
        self._relay = SharedRelay(
            tries=tries,
            recorder=catalog.recorder,
            database=holdings.database,
            presence=self._presence,
            workers=holdings.workers,
            clock=means.reactor,
            chance=means.chance,
            sharing=sharing,
        )
        return self._relay
