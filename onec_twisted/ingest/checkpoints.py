"""When what has come of a long body is put on record before its end: a crash takes little back. No Twisted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["CHECKPOINT_INTERVAL", "CHECKPOINT_SIZE", "Checkpoints"]

CHECKPOINT_SIZE = 32 * 1024 * 1024
"""Bytes after which a body that is kept in part is put on record."""

CHECKPOINT_INTERVAL = 5.0
"""Seconds after which it is, if anything has come."""


@define(eq=False)
class Checkpoints:
    """When what has come of a body is put on record, before its end.

    ``commit`` puts it on record, once a function that it is given has written the last of it in a worker; ``whole``
    is what only the end of the body may put on record, in its bytes: one more could come. ``seconds`` is a clock.
    """

    commit: Callable[[Callable[[], object]], Awaitable[None]]
    whole: int
    seconds: Callable[[], float]
    _passed: int = field(default=0, init=False)
    _at: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin now."""
        self._at = self.seconds()

    def due(self, size: int) -> bool:
        """Return whether so many bytes are to be put on record."""
        new = size - self._passed
        if new <= 0 or size >= self.whole:
            return False
        return new >= CHECKPOINT_SIZE or self.seconds() - self._at >= CHECKPOINT_INTERVAL

    def passed(self, size: int) -> None:
        """Note that so many bytes are on record."""
        self._passed, self._at = size, self.seconds()
