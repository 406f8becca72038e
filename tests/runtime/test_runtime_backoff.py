"""Tests for ``runtime.backoff``."""

from __future__ import annotations

from onec_twisted.runtime.backoff import Backoff


def test_pauses_double_and_have_an_end() -> None:
    """No try needs no pause, and thousands overflow nothing."""
    backoff = Backoff(0.5, 15.0)

    assert [backoff.after(tries) for tries in (0, 1, 2, 3, 5, 6, 10**6)] == [0.0, 0.5, 1.0, 2.0, 8.0, 15.0, 15.0]
