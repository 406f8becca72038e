"""Who pauses and resumes a sender, and whether it is fast enough."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from onec_twisted.http.flow import RATE_SAMPLES, RATE_WINDOW, Flow, Pace
from onec_twisted.model.errors import BodyTimedOut, UploadTooSlow


@pytest.mark.parametrize(
    ("steps", "paused"),
    [
        ((), False),
        (("hold",), True),
        (("hold", "let_go"), False),
        (("begin_move",), True),
        (("begin_move", "end_move"), False),
        (("begin_move", "hold", "end_move"), True),
        (("begin_move", "hold", "end_move", "let_go"), False),
        (("hold", "begin_move", "let_go"), True),
        (("hold", "begin_move", "let_go", "end_move"), False),
        (("insist",), True),
    ],
)
def test_a_sender_waits_while_anybody_has_a_reason(steps: tuple[str, ...], paused: bool) -> None:
    """Its consumer, or the worker that has its socket."""
    transport = StringTransport()
    flow = Flow(transport)
    for step in steps:
        getattr(flow, step)()

    assert (str(transport.producerState) == "paused") is paused


def test_a_silent_sender_is_given_up() -> None:
    """Unless it could bring nothing."""
    clock = Clock()
    pace = Pace(clock, 60, 0)
    pace.begin(0)
    clock.advance(50)
    assert pace.look(0, is_waiting=False) == 10
    clock.advance(10)
    assert pace.look(0, is_waiting=True) == 60
    assert isinstance(pace.look(0, is_waiting=False), BodyTimedOut)


@pytest.mark.parametrize(("rests", "slow"), [(False, True), (True, False)])
def test_a_slow_sender_is_given_up(rests: bool, slow: bool) -> None:
    """After a minute in which it was never held back."""
    clock = Clock()
    pace = Pace(clock, 1000, 10)
    pace.begin(0)
    verdict: object = None
    for number in range(RATE_SAMPLES):
        clock.advance(RATE_WINDOW / RATE_SAMPLES)
        if rests and number == 2:
            pace.rest()
        verdict = pace.look(number, is_waiting=False)

    assert isinstance(verdict, UploadTooSlow) is slow
