"""What is to be expected of a disk, and of a user."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from pages import DAY, GB, NOW, habit, minutes

from onec_twisted.admin.outlook import LEAST_KNOWN, WEEKEND_SILENCE, expected_free, is_overdue, silence_allowed

MB = 2**20


def test_a_disk_that_fills() -> None:
    """It goes on as it went, from where it is."""
    assert expected_free(minutes(1440, free=10 * GB, loss=MB)) == pytest.approx(10 * GB - 720 * MB)
    assert expected_free(minutes(1440, free=10 * GB)) == pytest.approx(10 * GB)


def test_a_disk_that_will_be_full() -> None:
    """There is no less than nothing."""
    assert expected_free(minutes(1440, free=100 * MB, loss=MB)) == 0.0


@pytest.mark.parametrize("count", [0, 1, 2, LEAST_KNOWN])
def test_too_little_is_known(count: int) -> None:
    """One large upload is no trend."""
    assert expected_free(minutes(count, loss=MB)) is None
    assert expected_free(minutes(LEAST_KNOWN + 1, loss=MB)) is not None


@given(st.lists(st.integers(0, 2**62), max_size=50), st.integers(0, 600))
def test_whatever_was_free(free: list[int], step: int) -> None:
    """There is a number that is not negative, or none."""
    made = tuple(one for value in free for one in minutes(1, free=value))
    spread = tuple(evolve(one, minute=one.minute + place * step) for place, one in enumerate(made))
    expected = expected_free(spread)

    assert expected is None or expected >= 0


@pytest.mark.parametrize(
    ("pause", "allowed"),
    [(DAY, 2 * DAY), (7 * DAY, 14 * DAY), (900, WEEKEND_SILENCE), (86400 * 0.5, WEEKEND_SILENCE)],
)
def test_twice_the_longest_pause(pause: float, allowed: float) -> None:
    """But a weekend at least, if none is among the known pauses."""
    row = habit("u", pause)

    assert silence_allowed(row.recent) == allowed
    assert not is_overdue(row.recent, row.recent[0].started + allowed)
    assert is_overdue(row.recent, row.recent[0].started + allowed + 1)


def test_a_user_without_a_habit() -> None:
    """Nobody can be late who has come four times."""
    assert silence_allowed(habit("u", 60, count=4).recent) is None
    assert not is_overdue(habit("u", 60, count=4).recent, NOW + 365 * DAY)
    assert not is_overdue((), NOW)
