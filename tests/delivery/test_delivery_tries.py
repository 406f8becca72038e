"""How long a hand-off waits before its next try."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from onec_twisted.delivery.tries import TRY_PAUSE, pause_before


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_pauses(tries: int, chance: float) -> None:
    """They double up to an hour, and are spread over their second half."""
    pause = pause_before(tries, chance)

    assert 0.5 <= pause <= TRY_PAUSE.longest
    assert pause_before(tries, 0.0) <= pause <= pause_before(tries, 1.0) <= 2 * pause_before(tries, 0.0)
    assert pause_before(tries + 1, chance) == min(2 * pause, TRY_PAUSE.longest * (0.5 + chance / 2))
