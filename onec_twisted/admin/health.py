"""Whether the daemon can accept an upload now, and why not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from attrs import define, field, frozen
from twisted.internet import defer
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from onec_twisted.admin.status import STATUS_PATIENCE
from onec_twisted.catalog.sqlite import DatabaseFailed
from onec_twisted.model.errors import CatalogBusy, StorageRemoved
from onec_twisted.runtime.presence import REMOVED
from onec_twisted.runtime.singleflight import SingleFlight

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from onec_twisted.admin.status import Observed
    from onec_twisted.ingest.locks import FileLocks

__all__ = ["Health", "HealthCheck"]

HEALTH_FRESH_FOR = 1.0
"""Seconds that a result is cached: more frequent requests do not reach the disk."""


@frozen
class Health:
    """The result of a check: the daemon is ready if there is no reason against it."""

    reasons: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        """Return whether uploads are accepted."""
        return not self.reasons

    def as_json(self) -> bytes:
        """Return the result as JSON; any response shows that the daemon is live."""
        return json.dumps({"live": True, "ready": self.ready, "reasons": list(self.reasons)}).encode("ascii") + b"\n"


@define(eq=False)
class HealthCheck:
    """Checks the disk and the database, once for concurrent requests, and skips checks that are still unanswered."""

    observed: Observed
    locks: FileLocks
    _found: Health | None = field(default=None, init=False)
    _found_at: float = field(default=0.0, init=False)
    _looking: SingleFlight[Health] = field(factory=SingleFlight, init=False)
    _owing: set[str] = field(factory=set, init=False)
    _log = Logger()

    async def look(self) -> Health:
        """Return the daemon's health."""
        if self.locks.closed:
            return Health(("the daemon is shutting down",))
        if self._found is not None and self.observed.seconds() - self._found_at < HEALTH_FRESH_FOR:
            return self._found
        return await self._looking.call("health", self._look)

    async def _look(self) -> Health:
        found = await gatherResults(
            [
                Deferred.fromCoroutine(self._tried("the media root", self._write)),
                Deferred.fromCoroutine(self._tried("the disk", self._room)),
                Deferred.fromCoroutine(self._tried("the database", self._database)),
            ]
        )
        self._found = Health(tuple(dict.fromkeys(reason for reason in found if reason)))
        self._found_at = self.observed.seconds()
        return self._found

    async def _tried(self, what: str, look: Callable[[], Awaitable[str]]) -> str:
        """Return the reason that a check reported, or that it timed out; empty if it passed."""
        late = f"{what} has not answered for {STATUS_PATIENCE:.0f} seconds"
        if what in self._owing:
            return late
        try:
            return await self.observed.within(self._checked(what, look))
        except defer.TimeoutError:
            return late
        except StorageRemoved:
            return REMOVED
        except (OSError, DatabaseFailed, CatalogBusy) as error:
            return f"{what} cannot be written: {getattr(error, 'strerror', error)}"
        except Exception as error:
            self._log.failure("the health of {what} could not be checked", what=what)
            return f"{what} could not be asked: {type(error).__name__}"

    async def _checked(self, what: str, look: Callable[[], Awaitable[str]]) -> str:
        """Run a check, which counts as unanswered until it ends, however late."""
        self._owing.add(what)
        try:
            return await look()
        finally:
            self._owing.discard(what)

    async def _write(self) -> str:
        await self.observed.workers(self.observed.store.probe)
        return ""

    async def _room(self) -> str:
        free = await self.observed.workers(self.observed.store.free)
        reserved = self.observed.min_free()
        return "" if free > reserved else f"the disk has {free} bytes left, --min-free keeps {reserved}"

    async def _database(self) -> str:
        recorder = self.observed.recorder
        await recorder.probe()
        return ""
