"""Plots as inline SVG: pure functions of values, which know no language.

Plots along time stretch to the width that they get; their labels are therefore no part of them, but of the page. All
looks come from classes: the policy of the site forbids inline styles.
"""

from __future__ import annotations

from math import floor, log10
from typing import TYPE_CHECKING

from twisted.web.template import Tag

from onec_twisted.model.journal import BROKEN, EMPTY, IMPORTING, RUNNING
from onec_twisted.model.records import FAILED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from onec_twisted.model.journal import ExchangeLine

__all__ = ["PLOT_HEIGHT", "bars", "columns", "curve", "dots", "kind_of", "ladder", "round_up", "spikes"]

PLOT_HEIGHT = 100
"""The height of a plot along time, in its own units."""

DOT_PITCH = 14
"""Units from one dot to the next; it is what a pointer can still hit."""

ROUND_STEPS = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
"""Round numbers between two powers of ten."""

MOST_DOTS = 30
"""Dots in one row."""


def round_up(value: float, base: int = 10) -> float:
    """Return the next round number in the largest unit that fits, a power of ``base``."""
    if value <= 0:
        return 1.0
    unit = 1.0
    while base != 10 and value / unit >= base:
        unit *= base
    power = 10.0 ** floor(log10(value / unit))
    return next(unit * power * step for step in ROUND_STEPS if unit * power * step >= value * 0.999999)


def columns(known: Iterable[tuple[int, float]], first: int, count: int, width: int) -> list[float | None]:
    """Return the highest value in each of ``count`` columns of ``width`` places; None where nothing is known."""
    found: list[float | None] = [None] * count
    for place, value in known:
        column = (place - first) // width
        if 0 <= column < count:
            found[column] = max(value, found[column] or 0.0)
    return found


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _height(value: float, top: float) -> float:
    """Return where a value lies from above."""
    return PLOT_HEIGHT * (1 - min(value, top) / top)


def _path(steps: Sequence[str], kind: str) -> list[Tag]:
    return [Tag("path")(d="".join(steps), class_=kind)] if steps else []


def _stretched(width: int, *made: list[Tag]) -> Tag:
    frame = Tag("svg")(made, class_="plot", focusable="false")
    frame.attributes.update(
        {"viewBox": f"0 0 {width} {PLOT_HEIGHT}", "preserveAspectRatio": "none", "aria-hidden": "true"}
    )
    return frame


def _gaps(known: Sequence[object | None]) -> list[str]:
    """Return rectangles over the places where nothing is known."""
    steps, begun = [], None
    for place, value in enumerate([*known, 0]):
        if value is None and begun is None:
            begun = place
        elif value is not None and begun is not None:
            steps.append(f"M{begun} 0H{place}V{PLOT_HEIGHT}H{begun}Z")
            begun = None
    return steps


def bars(heights: Sequence[float | None], top: float, kind: str) -> Tag:
    """Return a bar for each value that is not 0; a value is at least visible."""
    steps = [
        f"M{place} {PLOT_HEIGHT}V{_number(min(_height(value, top), PLOT_HEIGHT - 2))}h1V{PLOT_HEIGHT}Z"
        for place, value in enumerate(heights)
        if value
    ]
    return _stretched(len(heights), _path(_gaps(heights), "gap"), _path(steps, kind))


def curve(
    heights: Sequence[float | None], top: float, *, width: int, level: float, expected: float | None = None
) -> Tag:
    """Return a line through values, one at a ``level``, and where the first leads at ``width``, if that is known."""
    steps, last = [], None
    for place, value in enumerate(heights):
        if value is not None:
            steps.append(f"{'L' if last == place - 1 else 'M'}{place} {_number(_height(value, top))}")
            last = place
    height = _height(level, top)
    made = [
        Tag("path")(d=f"M0 {_number(height)}H{width}V{PLOT_HEIGHT}H0Z", class_="reserve"),
        Tag("path")(d=f"M0 {_number(height)}H{width}", class_="level"),
    ]
    ahead = []
    if expected is not None and last is not None:
        begun = _number(_height(heights[last] or 0.0, top))
        ahead = [f"M{last} {begun}L{width} {_number(_height(expected, top))}"]
    return _stretched(width, _path(_gaps(heights), "gap"), made, _path(steps, "curve"), _path(ahead, "ahead"))


def spikes(found: Iterable[tuple[float, float, bool]], top: float, width: int) -> Tag:
    """Return a bar for each value at a place, in two kinds: those that are good, and the others above them."""
    good: list[str] = []
    bad: list[str] = []
    for place, value, is_good in found:
        left = _number(min(max(place, 0.0), width - 2))
        step = f"M{left} {PLOT_HEIGHT}V{_number(min(_height(value, top), PLOT_HEIGHT - 3))}h2V{PLOT_HEIGHT}Z"
        (good if is_good else bad).append(step)
    return _stretched(width, _path(good, "took"), _path(bad, "refused"))


def kind_of(line: ExchangeLine) -> str:
    """Return how an exchange is drawn: ``ok``, ``failed``, ``running`` or ``nothing``."""
    if line.state == EMPTY:
        return "nothing"
    if line.state in {RUNNING, IMPORTING}:
        return "running"
    return "failed" if line.state in {FAILED, BROKEN} else "ok"


def dots(recent: Sequence[ExchangeLine]) -> Tag:
    """Return a row of dots, the newest at the right: full, a cross, a ring, or small where nothing came.

    One path draws all of a kind, as round ends of lines without length.
    """
    steps: dict[str, list[str]] = {"ok": [], "failed": [], "running": [], "nothing": []}
    width = MOST_DOTS * DOT_PITCH
    for place, line in enumerate(recent[:MOST_DOTS]):
        middle, kind = width - place * DOT_PITCH - DOT_PITCH // 2, kind_of(line)
        if kind == "failed":
            steps[kind].append(f"M{middle - 4} 4l8 8m0-8l-8 8")
        elif kind == "running":
            steps[kind].append(f"M{middle - 4} 8a4 4 0 1 0 8 0a4 4 0 1 0-8 0Z")
        else:
            steps[kind].append(f"M{middle} 8h0")
    row = Tag("svg")([_path(made, f"dot {kind}") for kind, made in steps.items()], class_="dots", focusable="false")
    row.attributes.update({"viewBox": f"0 0 {width} 16", "aria-hidden": "true"})
    return row


def ladder(first: float, last: float, steps: int) -> list[float]:
    """Return ``steps`` numbers in equal distances, from the first to the last: the labels along a plot."""
    return [first + (last - first) * step / (steps - 1) for step in range(steps)]
