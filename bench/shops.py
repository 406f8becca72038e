"""``python -m bench.shops``: what 1,000 shops in one file cost, at the start, for each piece, and at a reload."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import math
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import bcrypt
from attrs import define, field, frozen

from bench.client import HOST, Address
from bench.content import Content
from bench.generator import running
from bench.loads import Uploads
from bench.machine import describe, filesystem
from bench.peer import CHECKOUT, package_version
from bench.processes import Running, cpu_seconds, free_port, memory, started
from bench.report import as_text
from bench.samples import spread
from bench.targets import Exchange

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TWISTD = Path(sys.executable).with_name("twistd")
RESULTS = Path("bench/results")
TMPFS = Path("/dev/shm")
HASH = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).replace(b"$2b$", b"$2y$").decode()
"""What is in the files of users: how costly a hash is matters at a login only."""

PATIENCE = 120.0
"""Seconds after which a start, or a reload, is given up."""

STARTS = (0, 1, 100, 1000)
"""How many shops the daemon is started with."""

MOST = 1000
"""How many shops the other figures have."""

SMALL = 50_000
"""Bytes of a small piece."""

SETTLE = 0.1
"""Seconds after the last answer in which a server may still work: they count as its work."""

START_GOAL = 3.0
"""Seconds that 1,000 shops may add to the start."""

PIECE_GOAL = 1.03
"""Times the processor time of a piece without shops that one with 1,000 shops may take."""


@frozen
class Scale:
    """How much a run does: starts of each number of shops, rounds with so many pieces for each daemon, reloads."""

    starts: int = 12
    rounds: int = 100
    pieces: int = 200
    reloads: int = 10


QUICK = Scale(starts=1, rounds=2, pieces=100, reloads=2)


@define(eq=False)
class Figures:
    """What was measured, by what it is called."""

    values: dict[str, list[float]] = field(factory=dict)

    def add(self, name: str, value: float) -> None:
        """Keep a value."""
        self.values.setdefault(name, []).append(value)

    def text(self, name: str, unit: str) -> str:
        """Return the median and the spread."""
        return f"{as_text(spread(self.values.get(name, [])))} {unit}"

    def median(self, name: str) -> float:
        """Return the median."""
        return statistics.median(self.values[name])


def write_settings(folder: Path, shops: int, limit: int = 1_000_000) -> None:
    """Write a file of options with so many shops, and their files of users.

    Each has an importer of its own; every other one has its own file of users, the rest share the common one. The
    user who uploads is of the first shop; ``limit`` is the size of a piece in the last one.
    """
    common = [f"common{number}" for number in range(0, shops, 2)] + ["bench"]
    (folder / "common").write_text("".join(f"{user}:{HASH}\n" for user in common))
    lines = ['auth = ["htpasswd:common"]', 'media-root = "media"', "min-free = 0", 'session-quota = "1T"']
    for number in range(shops):
        if number % 2:
            (folder / f"users{number}").write_text(f"own{number}:{HASH}\n")
            whose = f'auth = ["htpasswd:users{number}"]'
        else:
            whose = f'users = ["common{number}"{", " + json.dumps("bench") if not number else ""}]'
        lines += [f"[shops.shop{number}]", whose, f'importer = "http://127.0.0.1:9/{number}"']
    if shops:
        lines.append(f"file-limit = {limit}")
    (folder / "new").write_text("\n".join(lines) + "\n")
    (folder / "new").rename(folder / "onec.toml")


@contextmanager
def daemon(folder: Path) -> Iterator[tuple[Running, int]]:
    """Start the daemon on the settings in a folder; yield it, which may not listen yet, and its port."""
    port = free_port()
    command = (
        str(TWISTD), "-n", "--pidfile=", f"--logfile={folder / 'twistd.log'}", "onec-exchange",
        f"--config={folder / 'onec.toml'}", f"--listen=tcp:{port}:interface={HOST}",
        f"--admin=unix:{folder / 'admin'}", "--durability=none",
    )  # fmt: skip
    with started([command], folder, [(HOST, port)], CHECKOUT, {"TMPDIR": str(folder)}) as begun:
        yield begun, port


def wait_until_served(begun: Running, port: int, content: Content) -> None:
    """Wait until a node can log in. Its sender's pauses are short: they are part of what is measured."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if begun.processes[0].poll() is not None:
            sys.exit(f"bench: the daemon ended: {begun.printed}")
        with contextlib.suppress(OSError):
            Exchange(Address(port)).enter(content)
            return
        time.sleep(0.005)
    sys.exit(f"bench: the daemon did not serve: {begun.printed}")


def starts(folder: Path, content: Content, scale: Scale, figures: Figures) -> None:
    """Start with each number of shops in turn; measure until a node has logged in, and the memory then."""
    for number in STARTS:
        (folder / f"{number}").mkdir()
        write_settings(folder / f"{number}", number)
    for turn in range(scale.starts):
        took = {}
        for number in STARTS[turn % len(STARTS) :] + STARTS[: turn % len(STARTS)]:
            began = time.monotonic()
            with daemon(folder / f"{number}") as (begun, port):
                wait_until_served(begun, port, content)
                took[number] = time.monotonic() - began
                figures.add(f"start {number}", took[number])
                figures.add(f"start cpu {number}", cpu_seconds(begun.pids))
                figures.add(f"memory {number}", memory(begun.pids) / 1e6)
        figures.add("start more", took[MOST] - took[0])


def pieces(folder: Path, content: Content, scale: Scale, figures: Figures) -> None:
    """Upload small pieces to three daemons in turn: two without shops, whose difference is noise, one with 1,000."""
    shops = {"0": 0, "0 again": 0, f"{MOST}": MOST}
    with ExitStack() as stack:
        begun = {}
        for name, number in shops.items():
            place = folder / f"pieces {name}"
            place.mkdir()
            write_settings(place, number)
            begun[name] = stack.enter_context(daemon(place))
        for one, port in begun.values():
            wait_until_served(one, port, content)
        names = list(shops)
        for turn in range(-1, scale.rounds):  # the first is to warm up
            shift = turn % len(names)
            took = {
                name: _piece(folder / f"pieces {name}", *begun[name], content, scale.pieces)
                for name in names[shift:] + names[:shift]
            }
            if turn >= 0:
                for name, seconds in took.items():
                    figures.add(f"piece {name}", seconds * 1000)
                figures.add("ratio", took[f"{MOST}"] / took["0"])
                figures.add("ratio of noise", took["0 again"] / took["0"])


def _piece(folder: Path, begun: Running, port: int, content: Content, count: int) -> float:
    """Return the processor seconds of a piece."""
    with running(Uploads(content, Exchange(Address(port)), 1, count, SMALL)) as load:
        load.wait_for("ready")
        before = cpu_seconds(begun.pids)
        load.go_on()
        sent = load.result()
        time.sleep(SETTLE)
        took = cpu_seconds(begun.pids) - before
    content.check(folder, sent.stored)
    for file in sent.stored:
        (folder / file.path).unlink()
    return took / count


def sure(numbers: Sequence[float]) -> tuple[float, float]:
    """Return between what the median is with 95 % confidence, by the ranks of the values (a sign test)."""
    rank = max(0, math.floor(len(numbers) / 2 - 0.98 * math.sqrt(len(numbers))))
    return sorted(numbers)[rank], sorted(numbers)[-1 - rank]


def verdict(low: float, high: float, limit: float) -> str:
    """Return what a run says of a goal; nothing, if its noise is larger than what it looks for."""
    return "met" if high <= limit else "**missed**" if low > limit else "not decided"


@define(eq=False)
class Watcher(threading.Thread):
    """Asks the daemon for its health all the time, and keeps how long each answer took.

    The reactor answers it from memory, but once a second: what is longer than usual is a pause of the reactor.
    """

    path: Path
    longest: float = 0.0
    over: threading.Event = field(factory=threading.Event)

    def __attrs_pre_init__(self) -> None:
        """Be a thread."""
        super().__init__(daemon=True)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        """Ask."""
        line = unix_connection(self.path)
        while not self.over.is_set():
            began = time.monotonic()
            line.request("GET", "/health")
            line.getresponse().read()
            self.longest = max(self.longest, time.monotonic() - began)
            time.sleep(0.001)
        line.close()


def unix_connection(path: Path) -> http.client.HTTPConnection:
    """Return HTTP over a unix socket."""
    line = http.client.HTTPConnection("localhost", timeout=PATIENCE)
    line.sock = socket.socket(socket.AF_UNIX)
    line.sock.connect(str(path))
    return line


@contextmanager
def watching(path: Path) -> Iterator[Watcher]:
    """Watch the reactor for the duration of the block."""
    watcher = Watcher(path)
    watcher.start()
    time.sleep(0.05)
    watcher.longest = 0.0
    yield watcher
    watcher.over.set()
    watcher.join()


def reloads(folder: Path, content: Content, scale: Scale, figures: Figures) -> None:
    """Reload with 1,000 shops of which one has changed; measure that, and the longest pause of the reactor."""
    for number in (0, MOST):
        place = folder / f"reloads{number}"
        place.mkdir()
        write_settings(place, number)
        with daemon(place) as (begun, port):
            wait_until_served(begun, port, content)
            for turn in range(scale.reloads):
                write_settings(place, number, 2_000_000 + turn)
                line = unix_connection(place / "admin")
                with watching(place / "admin") as watcher:
                    began, before = time.monotonic(), cpu_seconds(begun.pids)
                    line.request("POST", "/api/v1/reload", "{}", {"Content-Type": "application/json"})
                    answer = line.getresponse()
                    said = json.loads(answer.read())
                    took = time.monotonic() - began
                    figures.add(f"reload cpu {number}", cpu_seconds(begun.pids) - before)
                if said.get("changed") != ([f"shops.shop{number - 1}"] if number else []):
                    sys.exit(f"bench: the reload answered {answer.status} {str(said)[:300]}")
                line.close()
                figures.add(f"reload {number}", took)
                figures.add(f"pause {number}", watcher.longest * 1000)
                with watching(place / "admin") as watcher:
                    time.sleep(took)
                figures.add(f"idle pause {number}", watcher.longest * 1000)


def as_markdown(figures: Figures, machine: dict[str, str], scale: Scale) -> str:
    """Return the tables."""
    words = ", ".join(value for key, value in machine.items() if key != "date")
    busy = f"{min(figures.values['load']):.1f} to {max(figures.values['load']):.1f}"
    rows: list[Sequence[str]] = [
        ("shops", "seconds until a node has logged in", "processor seconds of it", "resident memory"),
        ("---:", "---:", "---:", "---:"),
    ]
    rows += [
        (
            f"{number:,}",
            figures.text(f"start {number}", "s"),
            figures.text(f"start cpu {number}", "s"),
            figures.text(f"memory {number}", "MB"),
        )
        for number in STARTS
    ]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    reload_rows = "\n".join(
        f"| {number:,} | {figures.text(f'reload {number}', 's')} | {figures.text(f'reload cpu {number}', 's')} |"
        f" {figures.text(f'pause {number}', 'ms')} | {figures.text(f'idle pause {number}', 'ms')} |"
        for number in (0, MOST)
    )
    goals = ""
    for what, name, limit, unit in (
        ("1,000 shops at the start", "start more", START_GOAL, "s more"),
        ("1,000 shops for a piece", "ratio", PIECE_GOAL, "×"),
    ):
        low, high = sure(figures.values[name])
        measured = f"{figures.median(name):.3f} ({low:.3f}–{high:.3f})"
        goals += f"| {what} | at most {limit:g} {unit} | {measured} | {verdict(low, high, limit)} |\n"
    noise = sure(figures.values["ratio of noise"])
    return f"""# Many shops

{machine["date"]}; {words}.
Loopback; medians, and in brackets the least and the greatest. Each shop has an importer of its own; half of them
have a file of users of their own, the other half share one; all are at the common path.
The load of the machine was {busy}. `python -m bench.shops` measures this.

## Start

{scale.starts} starts with each number of shops, in turn.

{table}

## A piece of 50 KB

{scale.rounds} rounds of {scale.pieces:,} pieces on a connection to each daemon, on {machine["filesystem"]}, no syncs.
Every stored file was checked by size and digest. The daemon without shops is there twice: what differs is noise.

| shops | processor time |
| ---: | ---: |
| 0 | {figures.text("piece 0", "ms/piece")} |
| 0, another daemon | {figures.text("piece 0 again", "ms/piece")} |
| {MOST:,} | {figures.text(f"piece {MOST}", "ms/piece")} |

Round by round, the other daemon without shops takes {figures.median("ratio of noise"):.3f} times as much \
({noise[0]:.3f}–{noise[1]:.3f} with 95 % confidence).

## Reload

{scale.reloads} reloads, each with one table changed; without shops, with nothing changed. `/health` is asked all the
time, and answered from memory, but once a second: its longest answer shows the longest pause of the reactor.

| shops | time | processor time | longest answer meanwhile | the same without a reload |
| ---: | ---: | ---: | ---: | ---: |
{reload_rows}

## Goals

In brackets: between what the median is with 95 % confidence. A goal that lies in between is not decided.

| figure | goal | measured | verdict |
| --- | --- | ---: | --- |
{goals}
{package_version("onec-twisted", "Twisted")}.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; a quick run is only printed."""
    parser = argparse.ArgumentParser(prog="python -m bench.shops", description=__doc__, allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="little work; proves nothing")
    parser.add_argument("--output", type=Path, metavar="DIR", help=f"where the result is written ({RESULTS})")
    chosen = parser.parse_args(arguments)
    scale, figures, content = QUICK if chosen.quick else Scale(), Figures(), Content.make()
    where = TMPFS if TMPFS.is_dir() and filesystem(TMPFS) == "tmpfs" else None
    with tempfile.TemporaryDirectory(prefix="bench-", dir=where) as name:
        folder = Path(name)
        for part in (starts, pieces, reloads):
            print(part.__name__, file=sys.stderr, flush=True)
            figures.add("load", os.getloadavg()[0])
            part(folder, content, scale, figures)
        machine = describe(folder)
    text = as_markdown(figures, machine, scale)
    output = chosen.output or (None if chosen.quick else RESULTS)
    if output is None:
        print(text)
        return 0
    output.mkdir(parents=True, exist_ok=True)
    (output / "shops.md").write_text(text, encoding="utf-8")
    (output / "shops.json").write_text(json.dumps({"machine": machine, **figures.values}, indent=1) + "\n")
    print(output / "shops.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
