"""A time-out that is moved often and reached seldom: moving it costs no timer of the reactor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["Alarm"]


@define(eq=False)
class Alarm:
    """Calls ``ring`` once the time is over that was set last, in seconds of ``clock``.

    Only an earlier time moves the reactor's timer. One that is set to a later time, or stopped, is noticed when the
    timer goes off: a connection that carries a thousand requests a second sets it as often, and needs two timers a
    minute.
    """

    clock: IReactorTime
    ring: Callable[[], None]
    _at: float | None = field(default=None, init=False)
    """When it rings; None while it is stopped."""
    _call: IDelayedCall | None = field(default=None, init=False)
    _call_at: float = field(default=0.0, init=False)

    @property
    def is_set(self) -> bool:
        """Return whether it is going to ring."""
        return self._at is not None

    def set(self, seconds: float) -> None:
        """Ring in so many seconds from now, not when it was to ring before."""
        self._at = self.clock.seconds() + seconds
        if self._call is None or self._at < self._call_at:
            self._schedule(seconds)

    def stop(self) -> None:
        """Do not ring."""
        self._at = None

    def end(self) -> None:
        """Do not ring, and leave no timer behind: it is not needed any more."""
        self._at = None
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _schedule(self, seconds: float) -> None:
        if self._call is not None:
            self._call.cancel()
        self._call_at = self.clock.seconds() + seconds
        self._call = self.clock.callLater(seconds, self._look)

    def _look(self) -> None:
        """Ring, or wait for the rest of the time."""
        self._call = None
        if self._at is None:
            return
        left = self._at - self.clock.seconds()
        if left > 0:
            self._schedule(left)
        else:
            self._at = None
            self.ring()
