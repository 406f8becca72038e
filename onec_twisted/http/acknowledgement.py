"""Whether an answer has reached its reader's machine: the kernel knows.

An answer has arrived when the peer's TCP has acknowledged it. The kernel is asked after the answer, again and again,
at the next request of the connection, and once more when the connection has ended. A connection that cannot be asked
counts as one that brings all that is written to it.
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
"""When the kernel is asked after an answer, unless a request of the connection comes before."""

LAST_CHANCE = 2.0
"""Seconds that acknowledgements may still take when the connection has ended."""


@implementer(IAcknowledgement)
@define(eq=False)
class Acknowledgement:
    """The answer to one piece, on its way. ``decided`` is called once, with whether it has arrived."""

    clock: IReactorTime
    decided: Callable[[bool], None]
    arrived: bool | None = field(default=None, init=False)
    _line: ILine | None = field(default=None, init=False)
    _call: IDelayedCall | None = field(default=None, init=False)
    _looks: int = field(default=0, init=False)
    _give_up: float | None = field(default=None, init=False)
    _waiting: list[Deferred[None]] = field(factory=list, init=False)

    def sent(self, line: ILine | None) -> None:
        """Note that the answer was written to a line; None for one that cannot be asked."""
        if line is None:
            self._decide(arrived=True)
        elif self.arrived is None:
            self._line = line
            self._look_later()
        else:
            line.close()

    def look(self) -> None:
        """Ask the kernel now."""
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
        """Ask no more: nobody wants to know. ``decided`` is not called."""
        if self.arrived is None:
            self.decided = _nobody
            self._decide(arrived=False)

    async def known(self, patience: float) -> bool:
        """Return whether the answer has arrived; one that is still open after ``patience`` seconds has not."""
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
        """Ask the kernel, and ask again later if it does not know yet."""
        self._call = None
        self.look()
        if self.arrived is not None or self._line is None:
            return
        if self._give_up is not None and (self._line.over() or self.clock.seconds() >= self._give_up):
            self._decide(arrived=False)
            return
        self._look_later()

    def _decide(self, *, arrived: bool) -> None:
        """Come to an end, once."""
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
    """Nobody wants to know."""


@define(eq=False)
class OpenAnswers:
    """The answers of one connection whose arrival somebody wants to know, in the order in which they were written."""

    transport: Any
    _open: tuple[IAcknowledgement, ...] = field(default=(), init=False)
    _line: SocketLine | None = field(default=None, init=False)

    def watch(self, acknowledgement: IAcknowledgement) -> None:
        """See an answer that was written arrive."""
        self._open = (*(one for one in self._open if one.arrived is None), acknowledgement)
        try:
            self._line = self._line or line_of(self.transport)
        except OSError:
            return  # no descriptor left to ask by: it counts as open, and as lost when the connection ends
        line = self._line.shared() if self._line is not None else None
        if line is not None and not is_plain(self.transport):
            write_through(self.transport)
            acknowledgement.sent(WrittenLine(line))
        else:
            acknowledgement.sent(line)

    def look(self) -> None:
        """Ask for all of them: a request that comes brings their acknowledgement with it."""
        for one in self._open:
            one.look()

    def lost(self) -> None:
        """Note that the connection has ended."""
        for one in self._open:
            one.lost()
        if self._line is not None:
            self._line.close()
