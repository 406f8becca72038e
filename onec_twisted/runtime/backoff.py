"""Exponential back-off: the longer something fails, the longer the pause before the next retry."""

from __future__ import annotations

from attrs import frozen

__all__ = ["Backoff"]

_MOST_DOUBLINGS = 30
"""How often a pause is doubled at most: enough for any pause, and no overflow after thousands of tries."""


@frozen
class Backoff:
    """Pauses in seconds: the ``first``, doubled with each further try, at most ``longest``."""

    first: float
    longest: float

    def after(self, tries: int) -> float:
        """Return the seconds to wait after ``tries`` tries; 0 after none."""
        if tries < 1:
            return 0.0
        return min(self.longest, self.first * 2.0 ** min(tries - 1, _MOST_DOUBLINGS))
