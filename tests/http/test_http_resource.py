"""What a resource raises becomes an answer."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any, cast
from weakref import ref

from attrs import define
from in_memory import flush_failures
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from onec_twisted.http.answer import Answer
from onec_twisted.http.interfaces import IStreamingResource
from onec_twisted.http.resource import RefusingResource
from onec_twisted.model.errors import ConnectionDropped, FileTooLarge, Refused, Unforeseen
from onec_twisted.runtime.metrics import Metrics

if TYPE_CHECKING:
    from onec_twisted.http.interfaces import IRequest


SENDER = IPv4Address("TCP", "203.0.113.9", 1)


class Raising(RefusingResource):
    """Raises what it is given."""

    def __init__(self, metrics: Metrics, raises: BaseException | None) -> None:
        super().__init__(metrics, lambda _: None)
        self._raises = raises

    async def carry_out(self, request: IRequest) -> Answer:
        if self._raises is not None:
            raise self._raises
        return Answer(body=b"done")

    def refusal(self, refused: Refused) -> Answer:
        return Answer(refused.status, refused.words.encode())


@define
class Asked:
    """A request."""

    address: Any = SENDER
    method: bytes = b"GET"
    uri: bytes = b"/a?sessid=secret"

    def getHeader(self, name: bytes) -> bytes | None:
        """Return the header of a login."""
        return b"Basic c2hvcDpzZWNyZXQ=" if name == b"authorization" else None

    path: bytes = b"/a"

    def getClientAddress(self) -> Any:
        return self.address


def answered(metrics: Metrics, raises: BaseException | None) -> Any:
    """Return the answer, or what was raised."""
    outcome: list[Any] = []
    request = cast("IRequest", Asked())
    Deferred.fromCoroutine(Raising(metrics, raises).respond(request)).addBoth(outcome.append)
    return outcome[0]


def test_what_is_refused_beforehand_is_not_carried_out() -> None:
    """It is counted, told the log and answered as any other refusal, and no cycle keeps its request."""
    metrics, request = Metrics(), Asked()
    kept, outcome = ref(request), list[Any]()
    asked = Raising(metrics, ZeroDivisionError()).respond(cast("IRequest", request), FileTooLarge())
    Deferred.fromCoroutine(asked).addBoth(outcome.append)
    assert outcome == [Answer(413, b"File too large")]
    assert metrics.registry.get_sample_value("onec_refusals_total", {"reason": "file_too_large"}) == 1
    gc.disable()
    try:
        del request, asked
        assert kept() is None
    finally:
        gc.enable()


def test_it_is_what_it_says() -> None:
    """The resource provides what the request asks of it."""
    assert verifyObject(IStreamingResource, Raising(Metrics(), None))


def test_what_is_carried_out() -> None:
    """Is answered as it is."""
    assert answered(Metrics(), None) == Answer(body=b"done")


def test_a_refusal(nothing_left_behind: list[dict[str, Any]]) -> None:
    """Is worded, counted and logged; no secret stands in the log."""
    metrics = Metrics()
    assert answered(metrics, FileTooLarge()) == Answer(413, b"File too large")
    assert metrics.refusals[FileTooLarge] == 1
    (event,) = nothing_left_behind
    assert (event["refused"], event["status"], event["peer"]) == ("FileTooLarge", 413, "203.0.113.9")
    assert "secret" not in str(event)


def test_what_nobody_thought_of(nothing_left_behind: list[dict[str, Any]]) -> None:
    """Is one of the refusals, and the traceback is in the log."""
    metrics = Metrics()
    assert answered(metrics, ZeroDivisionError()).status == 500
    assert metrics.refusals[Unforeseen] == 1
    assert [type(failure) for failure in flush_failures(nothing_left_behind)] == [ZeroDivisionError]


def test_nobody_is_left_to_hear() -> None:
    """Then there is no answer."""
    assert answered(Metrics(), ConnectionDropped()).check(ConnectionDropped)
