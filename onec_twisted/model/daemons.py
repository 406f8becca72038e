"""One of the daemons that share records, as the others see it. No Twisted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LOST_FOR", "SILENT_AFTER", "DaemonLine"]

SILENT_AFTER = 7.0
"""Seconds without a heartbeat after which a daemon is shown as lost: by then another one does what is for all."""

LOST_FOR = 600.0
"""Seconds for which a lost daemon needs attention: another one may have been started in its place."""


@frozen(kw_only=True)
class DaemonLine:
    """A daemon: ``running`` seconds since its start, ``silent`` ones since its last heartbeat.

    ``state`` is what it told then: ``connections``, how many pieces are ``transferring``, and the first of them as
    ``transfers``, see ``Transfers.plain``. A daemon of another version may tell something else.
    """

    name: str
    version: str
    running: float
    silent: float
    is_this: bool
    state: Mapping[str, Any]

    @property
    def is_lost(self) -> bool:
        """Return whether it has not been seen for too long; one that was stopped is not on record."""
        return self.silent > SILENT_AFTER
