"""Detects when the daemon's storage disappears: it may be removed or unmounted under a running daemon.

Requests are then refused by the parts that need what is missing; this module logs the change once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from onec_twisted.model.errors import StorageRemoved

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.runtime.workers import Workers

__all__ = ["PRESENCE_INTERVAL", "REMOVED", "Presence"]

PRESENCE_INTERVAL = 5.0
"""Seconds between two checks."""

REMOVED = "the media root or its database was removed or replaced; put it back, or restart the daemon"
"""The message for the administrator."""


@define(eq=False)
class Presence:
    """Checks the storage periodically: ``look`` blocks, and raises ``StorageRemoved`` when something is missing."""

    look: Callable[[], None]
    workers: Workers
    _is_missing: bool = field(default=False, init=False)
    _log = Logger()

    def once(self) -> Deferred[None]:
        """Check once, and log what has changed."""
        return Deferred.fromCoroutine(self._once())

    async def _once(self) -> None:
        was_missing = self._is_missing
        try:
            await self.workers(self.look)
            self._is_missing = False
        except StorageRemoved:
            self._is_missing = True
        except OSError as error:
            self._log.warn("the media root cannot be checked ({reason})", reason=str(error))
            return
        if self._is_missing and not was_missing:
            self._log.critical(
                "{what}: until then all requests are refused, because uploads would be lost", what=REMOVED
            )
        elif was_missing and not self._is_missing:
            self._log.info("the media root and its database are back")
