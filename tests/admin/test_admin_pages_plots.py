"""Plots, as the shapes that a browser draws."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import exchange_line, habit, read, source_of

from onec_twisted.admin.pages import plots
from onec_twisted.model.journal import STATES

if TYPE_CHECKING:
    from twisted.web.template import Tag


def paths(plot: Tag) -> dict[str | None, str]:
    """Return what each kind of path draws."""
    return {one["class"]: one["d"] or "" for one in read(plot).all("path")}


def numbers(drawn: str) -> list[float]:
    """Return the numbers of a path."""
    return [float(number) for number in re.findall(r"-?[\d.]+", drawn)]


@pytest.mark.parametrize(
    ("value", "base", "top"),
    [
        (0, 10, 1),
        (1, 10, 1),
        (3, 10, 3),
        (7, 10, 8),
        (41, 10, 50),
        (126, 10, 150),
        (1024, 1024, 1024),
        (1.4 * 2**30, 1024, 1.5 * 2**30),
        (900 * 1024, 1024, 1000 * 1024),
    ],
)
def test_the_top_of_a_scale(value: float, base: int, top: float) -> None:
    """A round number in the unit that people read."""
    assert plots.round_up(value, base) == pytest.approx(top)


@given(st.floats(0.001, 1e18), st.sampled_from([10, 1024]))
def test_a_scale_holds_its_value(value: float, base: int) -> None:
    """And wastes less than half of its room."""
    top = plots.round_up(value, base)

    assert value * 0.99999 <= top <= value * 2


def test_columns() -> None:
    """The highest of each; what nobody knows is not nought."""
    known = [(10, 5.0), (11, 7.0), (12, 1.0), (19, 2.0), (9, 9.0), (20, 9.0)]

    assert plots.columns(known, 10, 5, 2) == [7.0, 1.0, None, None, 2.0]


def test_bars() -> None:
    """One for each value; a small one can be seen, none stands for nought, and nothing is known in a gap."""
    drawn = paths(plots.bars([0.0, 10.0, 0.001, None, None, 5.0], 10.0, "received"))

    assert drawn["received"] == "M1 100V0h1V100ZM2 100V98h1V100ZM5 100V50h1V100Z"
    assert drawn["gap"] == "M3 0H5V100H3Z"


def test_no_bars() -> None:
    """An empty day is a plot all the same."""
    assert paths(plots.bars([0.0] * 10, 1.0, "received")) == {}


def test_a_curve_with_what_is_to_come() -> None:
    """It breaks where nothing is known; the level stands where it is, and what is expected ends at the right."""
    drawn = paths(plots.curve([10.0, 8.0, None, 6.0], 10.0, width=6, level=2.0, expected=4.0))

    assert drawn["curve"] == "M0 0L1 20M3 40"
    assert drawn["level"] == "M0 80H6"
    assert drawn["ahead"] == "M3 40L6 60"
    assert "ahead" not in paths(plots.curve([1.0], 1.0, width=6, level=0.0))
    assert "ahead" not in paths(plots.curve([None], 1.0, width=6, level=0.0, expected=1.0))


def test_spikes_of_two_kinds() -> None:
    """At their places, inside the plot."""
    drawn = paths(plots.spikes([(0.0, 5.0, True), (99.9, 10.0, False), (-5.0, 1.0, True)], 10.0, 100))

    assert drawn["took"] == "M0 100V50h2V100ZM0 100V90h2V100Z"
    assert drawn["refused"] == "M98 100V0h2V100Z"


def test_dots() -> None:
    """The newest at the right; each kind has a shape of its own, for whoever sees no colours."""
    states = ["succeeded", "failed", "running", "empty", "broken"]
    drawn = paths(plots.dots([exchange_line(state=state) for state in states]))

    assert drawn["dot ok"] == "M413 8h0"
    assert drawn["dot failed"] == "M395 4l8 8m0-8l-8 8M353 4l8 8m0-8l-8 8"
    assert drawn["dot running"].endswith("Z")
    assert drawn["dot nothing"] == "M371 8h0"


def test_every_state_has_a_kind() -> None:
    """Of four."""
    assert {plots.kind_of(exchange_line(state=state)) for state in STATES} == {"ok", "failed", "running", "nothing"}


def test_many_exchanges_are_few_bytes() -> None:
    """A row of dots is one path of each kind, and no more than thirty."""
    source = source_of(plots.dots(habit("u", 60, count=100).recent))

    assert source.count("h0") == plots.MOST_DOTS
    assert len(source) < 500


@given(st.lists(st.none() | st.floats(0, 1e15), max_size=50), st.floats(1e-3, 1e15))
def test_whatever_is_drawn_stays_inside(heights: list[float | None], top: float) -> None:
    """Of any values below any top."""
    for plot in (plots.bars(heights, top, "received"), plots.curve(heights, top, width=60, level=1.0, expected=2.0)):
        for drawn in paths(plot).values():
            assert all(0 <= number <= plots.PLOT_HEIGHT for number in numbers(drawn))


def test_nothing_is_styled_in_line() -> None:
    """The policy of the site forbids it; and a plot says nothing to a screen reader that its words do not say."""
    document = read(plots.bars([1.0], 1.0, "received"), plots.dots([exchange_line()]))

    assert not any("style" in attributes for _, attributes in document.tags)
    assert all(svg["aria-hidden"] == "true" for svg in document.all("svg"))


def test_labels_along_a_plot() -> None:
    """At equal distances, with both ends."""
    assert plots.ladder(-24, 0, 5) == [-24, -18, -12, -6, 0]
