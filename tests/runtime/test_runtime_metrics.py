"""What is counted, and what it is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from line import Line, post

from onec_twisted.model import errors
from onec_twisted.runtime.metrics import OUTCOMES, TRIES, Metrics, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from in_memory import InMemory


def test_what_can_be_counted_is_there_from_the_start() -> None:
    """Rates and alerts need a 0 before the first one."""
    registry = Metrics().registry

    for outcome in OUTCOMES:
        assert registry.get_sample_value("onec_pieces_total", {"outcome": outcome}) == 0
    for name in errors.__all__:
        refused = getattr(errors, name)
        if issubclass(refused, errors.Refused) and refused is not errors.Refused:
            assert registry.get_sample_value("onec_refusals_total", {"reason": reason_of(refused)}) == 0
    for outcome in TRIES:
        assert registry.get_sample_value("onec_handoff_tries_total", {"outcome": outcome}) == 0
    assert registry.get_sample_value("onec_received_bytes_total") == 0


def test_two_daemons_do_not_mix() -> None:
    """Each counts for itself."""
    one, two = Metrics(), Metrics()
    one.body(5, 3)

    assert [metrics.registry.get_sample_value("onec_received_bytes_total") for metrics in (one, two)] == [5, 0]


def test_reasons() -> None:
    """Each refusal has a label of its own, made of its name."""
    refusals = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.Refused)]
    reasons = {reason_of(one) for one in refusals}

    assert len(reasons) == len(refusals)
    assert {"file_too_large", "no_exchange_here", "wrong_credentials"} <= reasons


def test_build() -> None:
    """What runs here is told as labels."""
    metrics = Metrics()
    metrics.report_build(version="1", python="3")

    assert metrics.registry.get_sample_value("onec_build_info", {"version": "1", "python": "3"}) == 1


def test_times(clock_of: Callable[[], float]) -> None:
    """Seconds of the clock that it has; pieces that were not kept are not timed."""
    metrics = Metrics(clock_of)
    metrics.synced("file", metrics.seconds())
    metrics.piece("stored", 0, account="shop", accepted=1)
    metrics.piece("refused", 0, account="shop", accepted=0)

    assert metrics.registry.get_sample_value("onec_sync_duration_seconds_sum", {"target": "file"}) == 1
    assert metrics.registry.get_sample_value("onec_piece_duration_seconds_count") == 1
    assert metrics.registry.get_sample_value("onec_piece_duration_seconds_sum") == 3


@pytest.fixture
def clock_of() -> Callable[[], float]:
    """A clock that goes on by a second each time it is read."""
    ticks = iter(range(1, 100))
    return lambda: float(next(ticks))


def bytes_of(exchange: InMemory) -> tuple[float, float, float]:
    """Return the bytes that came, those that were appended, and those that were not."""
    received = exchange.metric("onec_received_bytes_total")
    accepted, discarded = exchange.metric("onec_accepted_bytes_total"), exchange.metric("onec_discarded_bytes_total")
    return received, accepted, discarded


@pytest.mark.parametrize("intake", ["buffered", "zero-copy"])
def test_bytes_add_up(make_exchange: Callable[..., InMemory], intake: str) -> None:
    """Whatever becomes of a body: accepted and discarded are what was received, accepted is what the files grew."""
    exchange = make_exchange(intake=intake)
    session = exchange.checkauth()

    def send(body: bytes, *headers: bytes, name: str = "a", cut: int = 0, chunks: int = 0) -> None:
        """Send a piece, or all but its last bytes."""
        line = Line(exchange.site)
        wire = post(session, name, body, *headers, chunks=chunks)
        line.send(wire[: len(wire) - cut])
        line.lose()

    send(b"x" * 100)
    assert bytes_of(exchange) == (100, 100, 0)
    send(b"y" * 50, chunks=7)
    assert bytes_of(exchange) == (150, 150, 0)
    send(b"z" * 100, cut=40)
    assert bytes_of(exchange) == (210, 150, 60)
    send(b"x" * 100, b"Upload-Offset: 0")
    assert bytes_of(exchange) == (310, 150, 160)
    send(b"x" * 100, b"Upload-Offset: 7")
    assert bytes_of(exchange) == (410, 150, 260)
    send(b"w" * 6000)
    assert bytes_of(exchange) == (6410, 150, 6260)
    send(b"w" * 30, name="..")
    assert bytes_of(exchange) == (6440, 150, 6290)

    assert sum(len(content) for content in exchange.files().values()) == 150
    pieces = {outcome: exchange.metric("onec_pieces_total", outcome=outcome) for outcome in OUTCOMES}
    assert pieces == {"stored": 2, "partial": 0, "repeat": 0, "held": 1, "refused": 2, "broken": 1, "failed": 0}
    assert exchange.metric("onec_refusals_total", reason="invalid_filename") == 1
    assert exchange.metric("onec_refusals_total", reason="wrong_offset") == 1
    assert len(exchange.parts.ingest.transfers) == 0
