"""What the past leads to expect: how much will be free on the disk, and which user has been silent for too long.

Pure functions of values. Times are in seconds since 1970, sizes in bytes.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onec_twisted.model.journal import ExchangeLine, Minute

__all__ = ["HOURS_AHEAD", "expected_free", "is_overdue", "silence_allowed"]

HOURS_AHEAD = 12
"""Hours for which the free disk is foretold."""

LEAST_KNOWN = 6 * 60
"""Minutes between the first and the last total from which a trend can be told."""

FEWEST_EXCHANGES = 5
"""Exchanges of a user from which a habit can be told."""

HABIT_SPAN = 8 * 86400.0
"""Seconds that exchanges have to span before a weekend is sure to be among their pauses."""

WEEKEND_SILENCE = 84 * 3600.0
"""Seconds from Friday evening to Tuesday morning: no shorter silence counts while no weekend is known."""

SHORTEST_SILENCE = 3600.0
"""Seconds of silence that never count."""


def expected_free(minutes: Sequence[Minute], hours: float = HOURS_AHEAD) -> float | None:
    """Return what will be free on the disk if it goes on like this; None if too little is known.

    The trend is that of least squares, and begins at the last known value.
    """
    known = [(minute.minute, float(minute.free)) for minute in minutes if minute.free > 0]
    if len(known) < 2 or known[-1][0] - known[0][0] < LEAST_KNOWN:
        return None
    middle = sum(place for place, _ in known) / len(known)
    mean = sum(free for _, free in known) / len(known)
    spread = sum((place - middle) ** 2 for place, _ in known)
    trend = sum((place - middle) * (free - mean) for place, free in known) / spread
    return max(0.0, known[-1][1] + trend * hours * 60)


def silence_allowed(recent: Sequence[ExchangeLine]) -> float | None:
    """Return for how many seconds a user may be silent: twice the longest pause so far; None if too little is known.

    ``recent`` are the user's last exchanges, the newest first.
    """
    if len(recent) < FEWEST_EXCHANGES:
        return None
    starts = [line.started for line in recent]
    longest = max(later - earlier for later, earlier in pairwise(starts))
    shortest = SHORTEST_SILENCE if starts[0] - starts[-1] >= HABIT_SPAN else WEEKEND_SILENCE
    return max(2 * longest, shortest)


def is_overdue(recent: Sequence[ExchangeLine], now: float) -> bool:
    """Return whether a user has been silent for longer than usual."""
    allowed = silence_allowed(recent)
    return allowed is not None and now - recent[0].started > allowed
