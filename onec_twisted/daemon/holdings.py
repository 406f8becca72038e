"""What a daemon holds of its machine: the media root with its database, and threads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from attrs import frozen

from onec_twisted.catalog.database import Database
from onec_twisted.daemon.service import prepare
from onec_twisted.runtime.workers import DiskWorkers
from onec_twisted.storage.ending import Ending
from onec_twisted.storage.local import Store

if TYPE_CHECKING:
    from onec_twisted.catalog.interfaces import IDatabase
    from onec_twisted.daemon.config import Config
    from onec_twisted.storage.interfaces import IStore

__all__ = ["ERRAND_THREADS", "AnyHoldings", "Holdings", "make_holdings"]

WORKER_THREADS = 16
"""Threads that wait for the disk."""

ERRAND_THREADS = 4
"""Threads for work that may take seconds with thousands of files; pieces do not need them."""


class AnyHoldings(Protocol):
    """What a daemon holds: its own, or what it shares with others."""

    @property
    def store(self) -> IStore:
        """Return where files are."""

    @property
    def database(self) -> IDatabase:
        """Return where records are."""

    @property
    def workers(self) -> DiskWorkers:
        """Return the threads for what a piece waits for."""

    @property
    def errands(self) -> DiskWorkers:
        """Return the threads for long work."""

    @property
    def place(self) -> str:
        """Return where uploads go, for the log."""

    def prepare(self, media_root: str) -> None:
        """Make all of it ready. Blocks. Raises ``CannotStart``."""

    def check(self) -> None:
        """Check that it is still there. Blocks. Raises ``StorageRemoved``."""

    def release(self) -> None:
        """End the threads after their queued work, and close what is open. Blocks."""


@frozen(eq=False, kw_only=True)
class Holdings:
    """The machine's resources that a daemon holds: the media root with its database, and threads."""

    store: Store
    ending: Ending
    database: Database
    workers: DiskWorkers
    errands: DiskWorkers

    @property
    def place(self) -> str:
        """Return where uploads go, for the log."""
        return str(self.store.temp)

    def prepare(self, media_root: str) -> None:
        """Make the media root ready; ``media_root`` is how the administrator wrote it. Raises ``CannotStart``."""
        prepare(self.store, media_root, self.ending)

    def check(self) -> None:
        """Check that the media root and its database still exist. Blocks. Raises ``StorageRemoved``."""
        self.store.check()
        self.database.check()

    def release(self) -> None:
        """End the threads after their queued work, and close the database. Blocks."""
        while not (self.errands.is_stopped and self.workers.is_stopped):  # the work of either may go on in the other
            self.errands.stop()
            self.workers.stop()
        self.database.close()
        self.ending.end()


def make_holdings(config: Config, reactor: Any) -> Holdings:
    """Return the resources of a real daemon; nothing on disk is touched yet."""
    store = Store(Path(config.media_root).absolute(), synced=config.synced)
    return Holdings(
        store=store,
        ending=Ending(store.temp),
        database=Database(store.database, synced=store.synced),
        workers=DiskWorkers(reactor, WORKER_THREADS),
        errands=DiskWorkers(reactor, ERRAND_THREADS),
    )
