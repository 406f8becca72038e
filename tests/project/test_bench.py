"""The benchmark's arithmetic, and that docs/speed.md, in both languages, has what it measured."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "bench" / "results"


@pytest.fixture(scope="module")
def bench() -> Iterator[Any]:
    """The package, by its place: the checkout itself is not on the path."""
    spec = importlib.util.spec_from_file_location("bench", ROOT / "bench" / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    module.__path__ = [str(ROOT / "bench")]
    sys.modules["bench"] = module
    spec.loader.exec_module(module)
    yield lambda name: importlib.import_module(f"bench.{name}")
    for name in [name for name in sys.modules if name.partition(".")[0] == "bench"]:
        del sys.modules[name]


def samples_of(bench: Any, figure: str, measure: str, values: dict[str, list[float]]) -> list[Any]:
    """Return samples of one measure of several peers, a round each."""
    samples = bench("samples")
    return [
        samples.Sample(samples.Series(figure, peer, measure), number, value)
        for peer, measured in values.items()
        for number, value in enumerate(measured)
    ]


def test_medians_and_percentiles(bench: Any) -> None:
    """The middle one, and the one that so many do not exceed."""
    samples = bench("samples")
    assert samples.spread([3, 1, 2]) == samples.Spread(2, 1, 3, 3)
    assert samples.spread([]) is None
    assert samples.percentile(list(range(1, 101)), 0.99) == 99
    assert samples.percentile([5], 0.5) == 5
    with pytest.raises(ValueError, match="no numbers"):
        samples.percentile([], 0.5)


def test_rounds_are_compared(bench: Any) -> None:
    """Each round with itself; one that lacks a peer is left out."""
    samples = bench("samples")
    measured = samples_of(bench, "f", "cpu s/GB", {"ours": [1.0, 4.0, 9.0], "theirs": [2.0, 4.0]})
    ours, theirs = (samples.Series("f", peer, "cpu s/GB") for peer in ("ours", "theirs"))

    assert samples.ratios(measured, ours, theirs) == [0.5, 1.0]


@pytest.mark.parametrize(("theirs", "met"), [([4.0, 4.0, 1.0], True), ([1.0, 1.0, 4.0], False), ([], None)])
def test_a_goal_is_met_by_the_median(bench: Any, theirs: list[float], met: bool | None) -> None:
    """And not measured where a peer is missing."""
    goals = bench("goals")
    (goal,) = [one for one in goals.GOALS if one.against and one.against.peer == "nginx DAV" and one.limit == 0.5][:1]
    measured = samples_of(bench, goal.of.figure, goal.of.measure, {goals.OURS: [1.0] * 3, "nginx DAV": theirs})
    (verdict,) = goals.judge(measured, [goal])

    assert verdict.met is met


def test_the_plot_is_a_picture(bench: Any) -> None:
    """With a bar for each measured figure, and words for those who cannot see it."""
    plot = bench("plot")
    measured = samples_of(bench, "large-1", "cpu s/GB", {"a <b>": [1.0, 2.0], "c": [3.0]})
    svg = ET.fromstring(plot.as_svg(plot.groups(measured), "a machine"))
    names = {"svg": "http://www.w3.org/2000/svg"}
    description = svg.find("svg:desc", names)

    assert description is not None
    assert "a <b>: 1.50 with 1 connection" in (description.text or "")
    assert len(svg.findall("svg:rect[@class='b0']", names)) == 3  # one in the legend


def test_the_page_has_what_was_measured() -> None:
    """Its table is that of the last full run; each goal that was missed is named, with its figures."""
    page = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    results = (RESULTS / "results.md").read_text(encoding="utf-8")
    large = re.search(r"## Large pieces\n\n(.*?)\n\n", results, re.DOTALL)
    assert large is not None
    missed = [row for row in results.splitlines() if row.endswith("| **missed** |")]

    assert large[1] in page
    assert [row for row in missed if row.removesuffix("| **missed** |") not in page] == []
    assert "quick run" not in results
    assert json.loads((RESULTS / "results.json").read_text(encoding="utf-8"))["rounds"] >= 5
    assert ET.parse(RESULTS / "results.svg").getroot().tag.endswith("svg")


def test_the_russian_page_has_the_goals_that_were_missed() -> None:
    """Each of them, and no other; what was measured is in the results, to which it leads."""
    results = (RESULTS / "results.md").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "ru" / "speed.md").read_text(encoding="utf-8")
    missed = re.findall(r"^\| [^|]+ \| ([^|]+) \| [^|]+ \| \*\*missed\*\* \|$", results, re.MULTILINE)
    told = re.findall(r"^\| [^|]+ \| ([≤≥] [^|]+) \| [^|]+ \|$", page, re.MULTILINE)

    units = str.maketrans("мсМКБ", "msMKB")

    assert {re.sub(r"(?<=\d),", ".", goal).translate(units) for goal in told} == set(missed)
    assert "](../../bench/results/results.md)" in page
