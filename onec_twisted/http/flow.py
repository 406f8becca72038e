"""Pauses and resumes the sender of a body, and checks that it is fast enough. Uses only the reactor's clock."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from attrs import define, field

from onec_twisted.model.errors import BodyTimedOut, UploadTooSlow

if TYPE_CHECKING:
    from twisted.internet.interfaces import IPushProducer, IReactorTime

__all__ = ["RATE_SAMPLES", "RATE_WINDOW", "Flow", "Pace"]

RATE_WINDOW = 60.0
"""Seconds over which the rate of a body is averaged."""

RATE_SAMPLES = 6
"""How often the rate is sampled in that time."""


@define(eq=False)
class Flow:
    """The only place that pauses and resumes the sender of a body, by TCP flow control.

    The sender waits while it is paused (``is_held``), and while a worker moves bytes from its socket
    (``is_moving``). Other code may resume the same transport: ``insist`` pauses it again.
    """

    transport: IPushProducer
    is_held: bool = field(default=False, init=False)
    is_moving: bool = field(default=False, init=False)

    def hold(self) -> None:
        """Pause the sender."""
        self.is_held = True
        self.transport.pauseProducing()

    def let_go(self) -> None:
        """Resume the sender, unless a worker is moving bytes."""
        self.is_held = False
        if not self.is_moving:
            self.transport.resumeProducing()

    def begin_move(self) -> None:
        """Hand the socket over to a worker."""
        self.is_moving = True
        self.transport.pauseProducing()

    def end_move(self) -> None:
        """Take the socket back."""
        self.is_moving = False
        if not self.is_held:
            self.transport.resumeProducing()

    def insist(self) -> None:
        """Pause the sender again: it was resumed elsewhere, or it had more data buffered."""
        self.transport.pauseProducing()


@define(eq=False)
class Pace:
    """Checks that a sender is fast enough.

    It may be silent for ``idle_timeout`` seconds, and has to send ``min_rate`` bytes per second on average over the
    last minute; 0 means no limit. Time in which we pause it is not counted against it.
    """

    clock: IReactorTime
    idle_timeout: float
    min_rate: int
    last_byte: float = field(default=0.0, init=False)
    """When the last byte arrived, or the sender was resumed, in seconds of ``clock``."""
    _samples: deque[int] = field(factory=partial(deque, maxlen=RATE_SAMPLES), init=False)
    """Bytes received at each sample; empty when we have paused the sender since the last one."""
    _next_sample: float = field(default=0.0, init=False)

    def begin(self, received: int) -> None:
        """Start, with ``received`` bytes so far."""
        self.last_byte = self.clock.seconds()
        self._samples.append(received)
        self._next_sample = self.last_byte + RATE_WINDOW / RATE_SAMPLES

    def rest(self) -> None:
        """Note that the sender is paused: a new minute starts when it is resumed."""
        self._samples.clear()

    def silence(self) -> float:
        """Return the seconds since the last byte."""
        return self.clock.seconds() - self.last_byte

    def look(self, received: int, *, is_waiting: bool) -> BodyTimedOut | UploadTooSlow | float:
        """Return why the sender is dropped, or in how many seconds to check again.

        ``received`` bytes have come so far; ``is_waiting`` means that the sender cannot send anything now.
        """
        silence = 0.0 if is_waiting else self.silence()
        if silence >= self.idle_timeout:
            return BodyTimedOut()
        pause = self.idle_timeout - silence
        if self.min_rate:
            now = self.clock.seconds()
            if now >= self._next_sample:
                if self._is_slow(received, is_waiting=is_waiting):
                    return UploadTooSlow()
                self._next_sample = now + RATE_WINDOW / RATE_SAMPLES
            pause = min(pause, self._next_sample - now)
        return pause

    def _is_slow(self, received: int, *, is_waiting: bool) -> bool:
        """Return whether too little has arrived in the last minute, if the sender was not paused in it."""
        if is_waiting:
            self._samples.clear()
            return False
        a_minute_ago = self._samples[0] if len(self._samples) == RATE_SAMPLES else None
        self._samples.append(received)
        return a_minute_ago is not None and received - a_minute_ago < self.min_rate * RATE_WINDOW
