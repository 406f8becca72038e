"""Figures of a load."""

from __future__ import annotations

import pytest

from onec_twisted.node.load import Report, percentile


@pytest.mark.parametrize(("percent", "value"), [(50, 50.0), (99, 99.0), (100, 100.0), (1, 1.0)])
def test_percentiles(percent: int, value: float) -> None:
    """The value that so many do not exceed."""
    assert percentile(tuple(float(one) for one in range(1, 101)), percent) == value
    assert percentile((7.0,), percent) == 7.0
    assert percentile((), percent) == 0.0


def test_a_report() -> None:
    """In milliseconds and megabytes; one without pieces too."""
    report = Report(2.0, 4_000_000, (0.01, 0.02, 0.5), ("no",))

    assert report.as_dict() == {
        "pieces": 3,
        "pieces_per_s": 1.5,
        "mb_per_s": 2.0,
        "p50_ms": 20.0,
        "p90_ms": 500.0,
        "p99_ms": 500.0,
        "max_ms": 500.0,
        "failures": 1,
    }
    assert Report(1.0, 0, (), ()).as_dict()["max_ms"] == 0.0
