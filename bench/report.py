"""The result of a run in words: Markdown for people, JSON with every sample. Pure values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from attrs import asdict, frozen

from bench.samples import Series, Spread, peers_of, spread, values
from bench.tls import WORDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.contest import Failed
    from bench.goals import Verdict
    from bench.samples import Sample

__all__ = ["Result", "as_json", "as_markdown", "as_text"]

TITLES = {
    "tus-1": "64 MB uploads by tus, 1 connection",
    "tus-4": "64 MB uploads by tus, 4 connections",
    "durability": "64 MB pieces, 1 connection",
    "small-disk": "50 KB pieces, 1 connection, on disk",
    "small-memory": "50 KB pieces, 1 connection, on tmpfs",
    "small-many": "50 KB pieces, 8 connections",
    "small-tls": "50 KB pieces over TLS, 1 connection, on tmpfs",
    "shards-memory": "50 KB pieces, 16 connections, on tmpfs",
    "shards-disk": "50 KB pieces, 16 connections, on disk",
    "peak-memory": "peak memory of a fresh process",
    "slow-uploads": "slow uploads at once, 200 KB of 1 MB sent",
    "latency": "beside 4 uploads at full speed",
    "slow-disk": "beside an upload to a disk of 20 MB/s, and one at full speed",
}
"""What the figures are, but the large ones, which have tables of their own."""

LARGE = {"large-1": "1 connection", "large-4": "4 connections"}
TLS = {"tls": "1 connection"}
HOW = """\
1 GB is 10⁹ bytes, 1 MB 10⁶, 1 KB 1000. CPU is user and system time of all processes of the server. Nobody syncs, \
unless it says so. Every stored file was checked by size and digest. Ratios are taken round by round, and a goal is \
met when their median meets it."""
MET = {True: "met", False: "**missed**", None: "not measured"}


@frozen
class Result:
    """All that is known after a run."""

    machine: dict[str, str]
    versions: dict[str, str]
    missing: dict[str, str]
    failures: tuple[Failed, ...]
    rounds: int
    quick: bool
    samples: tuple[Sample, ...]
    verdicts: tuple[Verdict, ...]


def as_text(measured: Spread | None) -> str:
    """Return a median and its spread in three digits, as in ``0.43 (0.41–0.45)``."""
    if measured is None:
        return "–"
    if measured.count == 1:
        return _digits(measured.median)
    return f"{_digits(measured.median)} ({_digits(measured.low)}–{_digits(measured.high)})"


def _digits(number: float) -> str:
    """Return a number with three digits, or all of those before the point."""
    if abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int]) -> str:
    """Return a Markdown table; the columns ``numbers`` hold numbers."""
    rule = ["---:" if column in numbers else "---" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def _measured(samples: Sequence[Sample], series: Series) -> str:
    return as_text(spread(list(values(samples, series).values())))


def _large(result: Result, words: str, figures: dict[str, str]) -> str:
    """Return a table with two columns for each of the figures, the least processor time in the first one on top."""
    head = [words, *(f"{what}, {count}" for count in figures.values() for what in ("CPU s/GB", "MB/s"))]
    rows = [
        [
            peer,
            *(
                _measured(result.samples, Series(figure, peer, measure))
                for figure in figures
                for measure in ("cpu s/GB", "throughput MB/s")
            ),
        ]
        for peer in peers_of(result.samples, next(iter(figures)), "cpu s/GB")
    ]
    return _table(head, rows, numbers=range(1, len(head))) if rows else ""


def _others(result: Result) -> str:
    series: list[Series] = []
    for sample in result.samples:
        if sample.series.figure in TITLES and sample.series not in series:
            series.append(sample.series)
    order = list(TITLES)
    rows = []
    for one in sorted(series, key=lambda one: order.index(one.figure)):
        measure, _, unit = one.measure.rpartition(" ")
        rows.append([TITLES[one.figure], one.peer, measure, f"{_measured(result.samples, one)} {unit}"])
    return _table(["figure", "peer", "measure", "median"], rows, numbers=(3,)) if rows else ""


def _goals(result: Result) -> str:
    rows = [
        [verdict.goal.words, verdict.goal.target, _with_unit(verdict), MET[verdict.met]]
        for verdict in result.verdicts
    ]
    return _table(["figure", "goal", "measured", "verdict"], rows, numbers=(2,))


def _with_unit(verdict: Verdict) -> str:
    """Return what was measured for a goal; a ratio has no unit but ``×``."""
    unit = verdict.goal.of.measure.rpartition(" ")[2] if verdict.goal.against is None else "×"
    return f"{as_text(verdict.measured)} {unit}" if verdict.measured else "–"


def as_markdown(result: Result) -> str:
    """Return the tables, and what one needs to know to believe them."""
    machine = ", ".join(value for key, value in result.machine.items() if key != "date")
    rounds = "1 round" if result.rounds == 1 else f"{result.rounds} rounds"
    spreads = "the peers take turns in each; medians, and in brackets the least and the greatest"
    parts = ["# Benchmark", f"{result.machine['date']}; {machine}. Loopback; {rounds}; {spreads}. {HOW}"]
    if result.quick:
        parts.append("**This was a quick run of little work: it shows that all works, and proves nothing.**")
    if large := _large(result, "64 MB pieces, no syncs", LARGE):
        parts += ["## Large pieces", large]
    if large := _large(result, f"64 MB pieces over {WORDS}, no syncs", TLS):
        parts += ["## Large pieces over TLS", large]
    if others := _others(result):
        parts += ["## Other figures", others]
    parts += ["## Goals", _goals(result), "## Peers"]
    parts.append(_table(["peer", "what it was"], sorted(result.versions.items()), numbers=()))
    parts += [f"* Missing: {name}: {words}." for name, words in sorted(result.missing.items())]
    parts += [f"* Failed in {one.figure}: {one.peer}: {one.words}" for one in result.failures]
    return "\n\n".join(parts) + "\n"


def as_json(result: Result) -> str:
    """Return all of it, with every sample and the verdicts."""
    found = asdict(result)
    for one, verdict in zip(found["verdicts"], result.verdicts, strict=True):
        one["met"] = verdict.met
        one["goal"]["target"] = verdict.goal.target
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"
