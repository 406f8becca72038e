"""``python -m bench``: run the figures, and write the result."""

from __future__ import annotations

import argparse
import contextlib
import resource
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from attrs import evolve

from bench.content import Content
from bench.contest import FULL, QUICK, Contest
from bench.figures.latency import beside_a_slow_disk, beside_uploads
from bench.figures.memory import one_body, slow_uploads
from bench.figures.throughput import (
    durability,
    large,
    large_over_tls,
    resumable,
    shards,
    small_in_memory,
    small_many,
    small_on_disk,
    small_over_tls,
)
from bench.goals import GOALS, judge
from bench.machine import describe, filesystem
from bench.plot import as_svg, groups
from bench.report import Result, as_json, as_markdown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FIGURES: dict[str, Callable[[Contest], None]] = {
    "small-disk": small_on_disk,
    "small-many": small_many,
    "small-memory": small_in_memory,
    "small-tls": small_over_tls,
    "shards": shards,
    "large": large,
    "tls": large_over_tls,
    "tus": resumable,
    "durability": durability,
    "peak-memory": one_body,
    "slow-uploads": slow_uploads,
    "latency": beside_uploads,
    "slow-disk": beside_a_slow_disk,
}
IN_MEMORY = ("tmpfs", "ramfs")
DISKS = (Path("/var/tmp"), Path())
"""Where stored files may go, if it is a disk: the first that is."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TMPFS = Path("/dev/shm")
RESULTS = Path("bench/results")
"""Where a whole run leaves what it has measured: README and the tests read it there."""

DESCRIPTORS = 8192
"""How many open files a server may need, with 400 uploads at once."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line says; return 1 when a peer failed."""
    chosen = _parser().parse_args(arguments)
    scale = QUICK if chosen.quick else FULL
    if chosen.rounds is not None:
        scale = evolve(scale, rounds=chosen.rounds)
    is_whole = not chosen.quick and not chosen.only and scale.rounds >= FULL.rounds
    for number in SIGNALS:
        signal.signal(number, _interrupted)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if most == resource.RLIM_INFINITY else min(DESCRIPTORS, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    with ExitStack() as stack:
        folder = _temporary(stack, chosen.folder or _disk())
        memory = _temporary(stack, TMPFS) if TMPFS.is_dir() and filesystem(TMPFS) in IN_MEMORY else None
        contest = Contest(Content.make(), folder, memory, scale)
        for name in chosen.only or FIGURES:
            contest.say(name)
            FIGURES[name](contest)
        contest.say("done")
        result = Result(
            machine=describe(folder),
            versions=contest.versions,
            missing=contest.missing,
            failures=tuple(contest.failures),
            rounds=scale.rounds,
            quick=chosen.quick,
            samples=tuple(contest.samples),
            verdicts=tuple(judge(contest.samples, GOALS)),
        )
    if chosen.output is None and not is_whole:
        print(as_markdown(result))
    else:
        _write(result, chosen.output or RESULTS)
    return 1 if result.failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__, allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="little work, a minute and a half; proves nothing")
    parser.add_argument("--rounds", type=_count, metavar="N", help="how often all is measured (5, quick: 1)")
    parser.add_argument(
        "--only", action="append", choices=FIGURES, metavar="NAME", help=f"one of {', '.join(FIGURES)}"
    )
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where stored files go; on a disk (/var/tmp)")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help=f"where the result is written ({RESULTS}; what is no whole run is only printed)",
    )
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text} is not a number of rounds")
    return int(text)


def _interrupted(number: int, frame: object) -> NoReturn:  # noqa: ARG001 - as signal calls it
    """Let every context end the processes that it started; nothing shall interrupt that."""
    for one in SIGNALS:
        signal.signal(one, signal.SIG_IGN)
    raise KeyboardInterrupt


def _disk() -> Path:
    for folder in DISKS:
        if folder.is_dir() and filesystem(folder) not in IN_MEMORY:
            return folder
    sys.exit("bench: there is no disk at /var/tmp or here; name a folder on one with --folder")


def _temporary(stack: ExitStack, where: Path) -> Path:
    """Return a new folder of our own, which is removed at the end."""
    where.mkdir(parents=True, exist_ok=True)
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=where.resolve())))


def _write(result: Result, output: Path) -> None:
    """Write the result; without large pieces there is no plot."""
    output.mkdir(parents=True, exist_ok=True)
    written = [("results.md", as_markdown(result)), ("results.json", as_json(result))]
    if found := groups(result.samples):
        machine = ", ".join(result.machine.values())
        written.append(("results.svg", as_svg(found, machine)))
    for name, text in written:
        (output / name).write_text(text, encoding="utf-8")
        print(output / name)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
