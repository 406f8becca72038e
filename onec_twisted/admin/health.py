"""Whether the daemon can take an upload now, and why not."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

from attrs import define, frozen
from twisted.internet import defer
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from onec_twisted.overview import probe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from twisted.internet.interfaces import IReactorTime

    from onec_twisted.admin.status import Observed
    from onec_twisted.turns import Turns

__all__ = ["Health", "HealthCheck"]

PATIENCE = 5.0
"""Seconds that the disk and the database have to answer."""


@frozen
class Health:
    """What was found: the daemon is ready when there is no reason why not."""

    reasons: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        """Return whether uploads are taken."""
        return not self.reasons

    def as_json(self) -> bytes:
        """Return it for whoever asks; that it was asked for shows that the daemon lives."""
        return json.dumps({"live": True, "ready": self.ready, "reasons": list(self.reasons)}).encode("ascii") + b"\n"


@define(eq=False)
class HealthCheck:
    """Asks the disk and the database; ``clock`` limits how long."""

    observed: Observed
    turns: Turns
    clock: IReactorTime
    _log = Logger()

    async def look(self) -> Health:
        """Return how the daemon is."""
        if self.turns.closed:
            return Health(("the daemon is shutting down",))
        found = await gatherResults(
            [
                Deferred.fromCoroutine(self._tried("the media root", self._write)),
                Deferred.fromCoroutine(self._tried("the disk", self._room)),
                Deferred.fromCoroutine(self._tried("the database", self._database)),
            ]
        )
        return Health(tuple(reason for reason in found if reason))

    async def _tried(self, what: str, look: Callable[[], Awaitable[str]]) -> str:
        """Return the reason that a look has found, or that it found none in time; empty when all is well."""
        looking: Deferred[str] = Deferred.fromCoroutine(_awaited(look))
        looking.addTimeout(PATIENCE, self.clock)
        try:
            return await looking
        except defer.TimeoutError:
            return f"{what} has not answered for {PATIENCE:.0f} seconds"
        except OSError as error:
            return f"{what} cannot be written: {error.strerror}"
        except sqlite3.Error as error:
            return f"{what} cannot be written: {error}"
        except Exception as error:
            self._log.failure("the health of {what} could not be told", what=what)
            return f"{what} could not be asked: {type(error).__name__}"

    async def _write(self) -> str:
        await self.observed.workers(self.observed.store.probe)
        return ""

    async def _room(self) -> str:
        free = await self.observed.workers(self.observed.store.free)
        reserved = self.observed.min_free
        return "" if free > reserved else f"the disk has {free} bytes left, --min-free keeps {reserved}"

    async def _database(self) -> str:
        await self.observed.catalog.ask(probe)
        return ""


async def _awaited(look: Callable[[], Awaitable[str]]) -> str:
    return await look()
