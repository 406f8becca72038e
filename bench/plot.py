"""The plot: processor time per GB of all peers, as SVG. Pure values, the same every time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from attrs import frozen

from bench.goals import OURS
from bench.samples import Series, peers_of, spread, values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.samples import Sample, Spread

__all__ = ["Bar", "Group", "as_svg", "groups"]

MEASURE = "cpu s/GB"
TITLE = "Server processor time per GB received, 64 MB pieces"
FIGURES = (("large-1", "1 connection"), ("large-4", "4 connections"))

WIDTH = 760
LEFT = 150
RIGHT = 60
TOP = 78
BAR = 15
GAP = 3
GROUP = 2 * BAR + GAP + 13
"""Pixels from one peer to the next."""

STYLE = """\
text { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #24292f }
.ground { fill: #ffffff }
.title { font-size: 16px; font-weight: 600 }
.quiet { fill: #57606a; font-size: 12px }
.ours { font-weight: 700 }
.grid { stroke: #d0d7de; stroke-width: 1 }
.whisker { stroke: #24292f; stroke-width: 1.5; fill: none }
.b0 { fill: #0969da }
.b1 { fill: #8ec1f7 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.ground { fill: #0d1117 }
.quiet { fill: #9198a1 }
.grid { stroke: #30363d }
.whisker { stroke: #e6edf3 }
.b0 { fill: #4493f8 }
.b1 { fill: #1f4e8c }
}"""


@frozen
class Bar:
    """What one peer took with so many connections, in seconds per GB."""

    words: str
    measured: Spread


@frozen
class Group:
    """The bars of one peer; None stands for what was not measured."""

    peer: str
    bars: tuple[Bar | None, ...]


def groups(samples: Sequence[Sample]) -> list[Group]:
    """Return the bars of all peers, the one with the least first."""
    found = []
    for peer in peers_of(samples, FIGURES[0][0], MEASURE):
        bars = []
        for figure, words in FIGURES:
            measured = spread(list(values(samples, Series(figure, peer, MEASURE)).values()))
            bars.append(None if measured is None else Bar(words, measured))
        found.append(Group(peer, tuple(bars)))
    return found


def _step(greatest: float) -> float:
    """Return a round distance of grid lines, so that there are some four to eight."""
    rough = greatest / 5
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    described = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{described}>{escape(words)}</text>'


def _description(found: Sequence[Group]) -> str:
    sentences = []
    for group in found:
        parts = [f"{bar.measured.median:.2f} with {bar.words}" for bar in group.bars if bar is not None]
        sentences.append(f"{group.peer}: {', '.join(parts)}.")
    return "Seconds of processor time per gigabyte, medians; less is better. " + " ".join(sentences)


def as_svg(found: Sequence[Group], machine: str) -> str:
    """Return horizontal bars with their spread; ``machine`` is said below them."""
    greatest = max((bar.measured.high for group in found for bar in group.bars if bar is not None), default=1.0)
    step = _step(greatest)
    lines = math.ceil(greatest / step)
    scale = (WIDTH - LEFT - RIGHT) / (lines * step)
    bottom = TOP + GROUP * len(found)
    height = bottom + 62
    parts = [*_head(found, height), *_legend()]
    for number in range(lines + 1):
        x = LEFT + number * step * scale
        parts.append(f'<path class="grid" d="M{x:.1f} {TOP - 8}V{bottom}"/>')
        parts.append(_text(x, bottom + 18, f"{number * step:g}", "quiet", "middle"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, bottom + 34, "seconds per GB", "quiet", "middle"))
    for row, group in enumerate(found):
        y = TOP + GROUP * row
        parts.append(_text(LEFT - 10, y + BAR + 6, group.peer, "ours" if group.peer == OURS else "", "end"))
        for number, bar in enumerate(group.bars):
            if bar is not None:
                parts += _bar(bar, number, y + number * (BAR + GAP), scale)
    parts.append(_text(16, height - 10, machine, "quiet"))
    return "\n".join((*parts, "</svg>")) + "\n"


def _head(found: Sequence[Group], height: int) -> list[str]:
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    labels = 'role="img" aria-labelledby="title description"'
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {labels}>',
        f'<title id="title">{TITLE}</title>',
        f'<desc id="description">{escape(_description(found))}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}"/>',
        _text(16, 28, TITLE, "title"),
    ]


def _legend() -> list[str]:
    parts = []
    for number, (_, words) in enumerate(FIGURES):
        x = LEFT + 130 * number
        parts.append(f'<rect class="b{number}" x="{x}" y="43" width="12" height="12"/>')
        parts.append(_text(x + 18, 54, words, "quiet"))
    parts.append(_text(WIDTH - 16, 54, "less is better; whiskers: least and greatest", "quiet", "end"))
    return parts


def _bar(bar: Bar, number: int, y: float, scale: float) -> list[str]:
    middle, measured = y + BAR / 2, bar.measured
    low, high = LEFT + measured.low * scale, LEFT + measured.high * scale
    lines = [f'<rect class="b{number}" x="{LEFT}" y="{y}" width="{measured.median * scale:.1f}" height="{BAR}"/>']
    if measured.count > 1:
        ends = "".join(f"M{x:.1f} {middle - 4}V{middle + 4}" for x in (low, high))
        lines.append(f'<path class="whisker" d="M{low:.1f} {middle}H{high:.1f}{ends}"/>')
    lines.append(_text(high + 7, middle + 4.5, f"{measured.median:.2f}"))
    return lines
