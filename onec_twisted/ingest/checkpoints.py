"""When to record a long body before its end, so that a crash loses little. No Twisted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["CHECKPOINT_INTERVAL", "CHECKPOINT_SIZE", "Checkpoints"]

CHECKPOINT_SIZE = 32 * 1024 * 1024
"""Bytes after which a body that may be kept in part is recorded."""

CHECKPOINT_INTERVAL = 5.0
"""Seconds after which it is recorded, if anything has arrived."""


@define(eq=False)
class Checkpoints:
    """When to record what has arrived of a body, before its end.

    ``commit`` records it after the function passed to it has written the rest in a worker. ``whole`` is a size in
    bytes that only the end of the body may record: one more byte could follow. ``seconds`` is a monotonic clock.
    """

    commit: Callable[[Callable[[], object]], Awaitable[None]]
    whole: int
    seconds: Callable[[], float]
    _passed: int = field(default=0, init=False)
    _at: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Start the interval."""
        self._at = self.seconds()

    def due(self, size: int) -> bool:
        """Return whether ``size`` bytes should be recorded now."""
        new = size - self._passed
        if new <= 0 or size >= self.whole:
            return False
        return new >= CHECKPOINT_SIZE or self.seconds() - self._at >= CHECKPOINT_INTERVAL

    def passed(self, size: int) -> None:
        """Note that ``size`` bytes are on record."""
        self._passed, self._at = size, self.seconds()
