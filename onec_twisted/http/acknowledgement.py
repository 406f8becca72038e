"""Finds out from the kernel whether an answer has reached the peer's machine.

An answer has arrived when the peer's TCP has acknowledged it. The kernel is polled after the answer is written, at
the connection's next request, and once more when the connection has ended. A connection whose kernel state cannot be
read is assumed to deliver everything that is written to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field
from twisted.internet.defer import Deferred
from zope.interface import implementer

from onec_twisted.http.interfaces import IAcknowledgement
from onec_twisted.http.sockets import SocketLine, WrittenLine, is_plain, line_of, write_through
from onec_twisted.runtime.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from onec_twisted.http.interfaces import ILine

__all__ = ["Acknowledgement", "OpenAnswers"]

LOOKS = Backoff(first=0.02, longest=1.0)
"""When the kernel is polled after an answer, unless the connection's next request comes first."""

LAST_CHANCE = 2.0
"""Seconds that acknowledgements may still take after the connection has ended."""


@implementer(IAcknowledgement)
@define(eq=False)
class Acknowledgement:
    """The answer to one piece, in transit. ``decided`` is called once, with whether it has arrived.

    ``name`` tells it from the answers of other daemons; it is empty where there are none.
    """

    clock: IReactorTime
    decided: Callable[[bool], None]
    name: str = ""
    arrived: bool | None = field(default=None, init=False)
    _line: ILine | None = field(default=None, init=False)
    _call: IDelayedCall | None = field(default=None, init=False)
    _looks: int = field(default=0, init=False)
    _give_up: float | None = field(default=None, init=False)
    _waiting: list[Deferred[None]] = field(factory=list, init=False)

    def sent(self, line: ILine | None) -> None:
        """Note that the answer was written to a line; None for one whose state cannot be read."""
        if line is None:
            self._decide(arrived=True)
        elif self.arrived is None:
            self._line = line
            self._look_later()
        else:
            line.close()

    def look(self) -> None:
        """Query the kernel now."""
        if self._line is not None and self._line.unacknowledged() == 0:
            self._decide(arrived=True)

    def lost(self) -> None:
        """Note that the connection has ended, before the answer was written or after."""
        self.look()
        if self.arrived is None:
            if self._line is None or self._line.over():
                self._decide(arrived=False)
            elif self._give_up is None:
                self._give_up = self.clock.seconds() + LAST_CHANCE

    def forget(self) -> None:
        """Stop polling: the outcome is no longer needed. ``decided`` is not called."""
        if self.arrived is None:
            self.decided = _nobody
            self._decide(arrived=False)

    async def known(self, patience: float) -> bool:
        """Return whether the answer has arrived; if still undecided after ``patience`` seconds, it has not."""
        self.look()
        if self.arrived is None:
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            give_up = self.clock.callLater(patience, self._decide, arrived=False)
            await waiting
            if give_up.active():
                give_up.cancel()
        return bool(self.arrived)

    def _look_later(self) -> None:
        self._looks += 1
        self._call = self.clock.callLater(LOOKS.after(self._looks), self._look_again)

    def _look_again(self) -> None:
        """Query the kernel, and again later if it does not know yet."""
        self._call = None
        self.look()
        if self.arrived is not None or self._line is None:
            return
        if self._give_up is not None and (self._line.over() or self.clock.seconds() >= self._give_up):
            self._decide(arrived=False)
            return
        self._look_later()

    def _decide(self, *, arrived: bool) -> None:
        """Record the outcome, once."""
        if self.arrived is not None:
            return
        self.arrived = arrived
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._line is not None:
            self._line.close()
            self._line = None
        waiting, self._waiting = self._waiting, []
        self.decided(arrived)
        for one in waiting:
            one.callback(None)


def _nobody(_: bool) -> None:
    """Ignore the outcome."""


@define(eq=False)
class OpenAnswers:
    """The answers of one connection whose arrival is tracked, in the order in which they were written."""

    transport: Any
    _open: tuple[IAcknowledgement, ...] = field(default=(), init=False)
    _line: SocketLine | None = field(default=None, init=False)

    def watch(self, acknowledgement: IAcknowledgement) -> None:
        """Track the arrival of an answer that was written."""
        self._open = (*(one for one in self._open if one.arrived is None), acknowledgement)
        try:
            self._line = self._line or line_of(self.transport)
        except OSError:
            return  # no descriptor left to query: undecided, and lost when the connection ends
        line = self._line.shared() if self._line is not None else None
        if line is not None and not is_plain(self.transport):
            write_through(self.transport)
            acknowledgement.sent(WrittenLine(line))
        else:
            acknowledgement.sent(line)

    def look(self) -> None:
        """Check all of them: an incoming request carries their acknowledgement with it."""
        for one in self._open:
            one.look()

    def lost(self) -> None:
        """Note that the connection has ended."""
        for one in self._open:
            one.lost()
        if self._line is not None:
            self._line.close()
