"""One call for all who ask for the same thing at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

    from twisted.python.failure import Failure

__all__ = ["SingleFlight"]

Answer = TypeVar("Answer")


@define(eq=False)
class SingleFlight(Generic[Answer]):
    """Calls that have not been answered yet, each under the key of what it asks for."""

    _waiting: dict[Hashable, list[Deferred[Answer]]] = field(factory=dict, init=False)

    def call(self, key: Hashable, ask: Callable[[], Coroutine[Deferred[Any], Any, Answer]]) -> Deferred[Answer]:
        """Fire with what ``ask`` returns, or fail with what it raises; it is called unless one with the key runs.

        Those who wait go on in the order in which they asked: pieces of a file do. Who asks later than the answer
        came causes a new call.
        """
        answer: Deferred[Answer] = Deferred()
        waiting = self._waiting.setdefault(key, [])
        waiting.append(answer)
        if len(waiting) == 1:
            Deferred.fromCoroutine(ask()).addBoth(self._answer, key)
        return answer

    def _answer(self, outcome: Answer | Failure, key: Hashable) -> None:
        """Tell all who wait, the first one first."""
        for answer in self._waiting.pop(key):
            answer.callback(outcome)  # a Failure makes it an errback
