"""What was measured: samples, the series that they make, medians and spread. Pure values."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Sample", "Series", "Spread", "peers_of", "percentile", "ratios", "spread", "values"]


@frozen
class Series:
    """Names what was measured: in which figure, of which peer, and what.

    The unit is the last word of ``measure``, as in ``cpu s/GB``.
    """

    figure: str
    peer: str
    measure: str


@frozen
class Sample:
    """One measured value of a series, in one round."""

    series: Series
    round: int
    value: float


@frozen
class Spread:
    """The median of some values, the least and the greatest of them, and how many there were."""

    median: float
    low: float
    high: float
    count: int


def spread(numbers: Sequence[float]) -> Spread | None:
    """Return the median and the spread; None when there are no numbers."""
    if not numbers:
        return None
    return Spread(statistics.median(numbers), min(numbers), max(numbers), len(numbers))


def percentile(numbers: Sequence[float], share: float) -> float:
    """Return the smallest of the numbers that is not exceeded by a ``share`` (0 to 1) of them."""
    if not numbers:
        raise ValueError("no numbers")
    return sorted(numbers)[max(0, math.ceil(share * len(numbers)) - 1)]


def values(samples: Iterable[Sample], series: Series) -> dict[int, float]:
    """Return what a series has measured, by round."""
    return {sample.round: sample.value for sample in samples if sample.series == series}


def ratios(samples: Sequence[Sample], of: Series, against: Series) -> list[float]:
    """Return one series divided by another, round by round; a round that lacks one of them is left out.

    Rounds are compared and not medians: what disturbs a round disturbs both.
    """
    above, below = values(samples, of), values(samples, against)
    return [above[number] / below[number] for number in sorted(above) if below.get(number)]


def peers_of(samples: Sequence[Sample], figure: str, measure: str) -> list[str]:
    """Return the peers that have a figure, the best median (the least) first."""
    names = {
        sample.series.peer for sample in samples if (sample.series.figure, sample.series.measure) == (figure, measure)
    }
    found = [(spread(list(values(samples, Series(figure, name, measure)).values())), name) for name in names]
    return [name for measured, name in sorted((one.median, name) for one, name in found if one is not None)]
