"""One call shared by all concurrent requests for the same thing."""

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
    """Calls in progress, each under the key of what it requests."""

    _waiting: dict[Hashable, list[Deferred[Answer]]] = field(factory=dict, init=False)

    def call(self, key: Hashable, ask: Callable[[], Coroutine[Deferred[Any], Any, Answer]]) -> Deferred[Answer]:
        """Fire with what ``ask`` returns, or fail with what it raises; a call in progress with this key is shared.

        Callers continue in the order in which they called, as pieces of a file must. A call after the answer came
        starts ``ask`` again.
        """
        answer: Deferred[Answer] = Deferred()
        waiting = self._waiting.setdefault(key, [])
        waiting.append(answer)
        if len(waiting) == 1:
            Deferred.fromCoroutine(ask()).addBoth(self._answer, key)
        return answer

    def _answer(self, outcome: Answer | Failure, key: Hashable) -> None:
        """Fire the Deferreds of all callers, in order."""
        for answer in self._waiting.pop(key):
            answer.callback(outcome)  # a Failure makes it an errback
