"""Who is next: the hand-offs of a user, one after another, in the order in which they were sealed.

One that waits for its next try holds back younger ones of its type, so that no older document follows a newer one. No
clock, no records: ``relay`` has those.
"""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from onec_twisted.model.shown import harmless

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IDelayedCall

    from onec_twisted.model.records import Handoff

__all__ = ["WORDS_LIMIT", "Line", "Pending", "Prospect"]

WORDS_LIMIT = 1000
"""Most characters of an importer's message that are kept."""


@frozen
class Prospect:
    """What is to come of a hand-off: whether it ``runs``, the seconds to its next try, if any, and its progress."""

    runs: bool
    pause: float | None
    words: str


@define(eq=False)
class Pending:
    """A hand-off still to be delivered, and the requests that wait for its outcome."""

    handoff: Handoff
    progress: str = "Import waits for its turn"
    attempt: int = 0
    """See ``Description``."""
    delivering: bool = False
    pause: IDelayedCall | None = None
    """The end of the pause before its next try."""
    begun: float | None = None
    """When the try began whose outcome is not recorded yet, in seconds since 1970."""
    retry_after: float = 0.0
    """Seconds that the importer wants to pass before the next try."""
    is_cancelled: bool = False
    """Whether the try was cancelled because somebody else will make it: it does not count."""
    waiting: list[Deferred[None]] = field(factory=list)

    def note_progress(self, words: str) -> None:
        """Store a progress line for the person who waits."""
        if words.strip():
            self.progress = harmless(" ".join(words.strip()[:WORDS_LIMIT].splitlines()))

    def wake(self) -> None:
        """Wake the requests that wait."""
        while self.waiting:
            self.waiting.pop(0).callback(None)


@define(eq=False)
class Line:
    """The hand-offs of one user that are still to be delivered. ``served`` is set while that is under way."""

    served: bool = False
    _types: dict[str, list[Pending]] = field(factory=dict, init=False)
    """Those of each type, the oldest first."""

    @property
    def empty(self) -> bool:
        """Return whether nothing is left to deliver."""
        return not self._types

    def add(self, pending: Pending) -> None:
        """Put a hand-off in its place; one that is tried again is older than those that came after it."""
        insort(self._types.setdefault(pending.handoff.type, []), pending, key=lambda one: one.handoff.number)

    def remove(self, pending: Pending) -> None:
        """Remove a hand-off that has ended."""
        of_type = self._types[pending.handoff.type]
        of_type.remove(pending)
        if not of_type:
            del self._types[pending.handoff.type]

    def next(self) -> Pending | None:
        """Return the oldest hand-off that is not held back, None if there is none."""
        free = [of_type[0] for of_type in self._types.values() if of_type[0].pause is None]
        return min(free, key=lambda one: one.handoff.number, default=None)

    def said_of(self, pending: Pending) -> str:
        """Return the progress of a hand-off in words, or what it waits for."""
        first = self._types[pending.handoff.type][0]
        if first is pending or pending.delivering or first.pause is None:
            return pending.progress
        named = f", {first.handoff.filename}" if first.handoff.filename else ""
        return f"Import waits for an earlier one{named}: {first.progress}"
