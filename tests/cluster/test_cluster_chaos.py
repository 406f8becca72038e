"""Three real daemons on a real PostgreSQL and a real object store, while everything fails that may fail.

Daemons are killed, frozen and restarted; their lines to PostgreSQL and to the store freeze; both servers crash. Nodes
of 1C, some of them hasty, and clients of tus and of RUFH send to any daemon. A site and a program import.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import sys
import threading
import time
import urllib.request
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field
from cluster_faults import Faults, Gate
from cluster_nodes import NODE_PATIENCE, Cluster, Daemon, Node, Shared, TusNode, count_doubled, uploaded
from cluster_rufh import RufhNode, handed_off
from daemon import PATIENCE
from postgres import Server
from seaweed import BUCKET, REQUIRED
from seaweed import found as weed
from seaweed import started as store_started
from shop import ShopProcess

from onec_twisted.cluster.location import Location
from onec_twisted.cluster.postgresql import PostgreSQL
from onec_twisted.cluster.s3 import S3, Tries

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from seaweed import Seaweed

SECONDS = float(os.environ.get("ONEC_CLUSTER_CHAOS", "20"))
"""How long it lasts."""

DAEMONS = 3
OTHER_USERS = ("south", "north", "west")
"""Each node is a user of its own, whose hand-offs wait for no other's; clients of tus and RUFH share one node's."""

FILES_OF_SESSION = 20
"""Files that a node sends in one exchange: an importer that is a program has all of them fetched."""

HASTY = 3.0
"""Seconds after which a hasty node closes its connection and goes elsewhere: a daemon waits two for a proof."""

PROGRAM = """#!{python}
import hashlib, json, os, sys, time
told, log = json.load(sys.stdin), {log!r}
name = os.path.join(sys.argv[1], sys.argv[2])
digest = hashlib.sha256(open(name, "rb").read()).hexdigest()
def note(what):
    line = json.dumps([what, time.time(), told["sessid"], told["filename"], digest, os.getpid()])
    with open(log, "a") as file:
        file.write(line + "\\n")
note("begins")
time.sleep(0.2)
note("ends")
"""


@define(eq=False)
class World:
    """Everything that there is in a chaos."""

    folder: Path
    postgresql: Server
    store: Seaweed
    site: ShopProcess
    cluster: Cluster
    daemons: list[Daemon] = field(factory=list)
    gates: list[Gate] = field(factory=list)

    def gate(self, port: int) -> int:
        """Return the port of a new gate in front of a port."""
        self.gates.append(Gate(port))
        return self.gates[-1].port

    def start(self) -> None:
        """Start the daemons, each with gates of its own."""
        program = self.folder / "import"
        program.write_text(PROGRAM.format(python=sys.executable, log=str(self.folder / "imported")))
        program.chmod(0o755)
        (self.folder / "onec.toml").write_text(
            f'[shops.south]\nusers = ["south"]\nimporter = "exec:{program}"\n', encoding="utf-8"
        )
        s3_port = int(self.store.endpoint.rpartition(":")[2])
        for number in range(DAEMONS):
            catalog = self.postgresql.url("onec").replace(
                f":{self.postgresql.port}/", f":{self.gate(self.postgresql.port)}/"
            )
            store = Location(BUCKET, "", f"http://127.0.0.1:{self.gate(s3_port)}")
            options = [f"--importer={self.site.url}/import", f"--config={self.folder / 'onec.toml'}"]
            options += [*(f"--auth=memory:{user}:secret" for user in OTHER_USERS), f"--name=daemon{number}"]
            shared = Shared(catalog, store, self.store.keys)
            self.daemons.append(Daemon(self.folder / f"daemon{number}", shared, options))
            self.daemons[-1].start()

    def ports(self) -> list[int]:
        """Return where the daemons listen."""
        return [daemon.port for daemon in self.daemons]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Servers of this test's own: they crash."""
    program = weed()
    if program is None:
        (pytest.fail if os.environ.get(REQUIRED) == "1" else pytest.skip)("weed is missing")
    with ExitStack() as ended:
        postgresql = Server(fsync=True, settings={"max_connections": "100"})
        postgresql.create()
        postgresql.start()
        ended.callback(postgresql.remove)
        postgresql.ask("CREATE DATABASE onec")
        (tmp_path / "store").mkdir()
        store = store_started(program, tmp_path / "store")
        ended.callback(store.stop)
        (tmp_path / "site").mkdir()
        site = ShopProcess(tmp_path / "site")
        site.start()
        ended.callback(site.stop)
        database = PostgreSQL(postgresql.url("onec"), time.monotonic)
        ended.callback(database.close)
        cluster = Cluster(database, S3(Location(BUCKET, "", store.endpoint), store.keys, Tries()))
        world = World(tmp_path, postgresql, store, site, cluster)
        world.start()
        for daemon in world.daemons:
            ended.callback(daemon.kill)
        for gate in world.gates:
            ended.callback(gate.close)
        yield world


def by_site(site: ShopProcess) -> dict[tuple[str, str], str]:
    """Return the SHA-256 of each file that the site was told of, by session and name, from its address."""
    found = {}
    for seen in site.seen:
        description = json.loads(seen.body)
        (file,) = description["files"]
        with urllib.request.urlopen(file["url"]) as answer:
            found[description["sessid"], file["name"]] = hashlib.sha256(answer.read()).hexdigest()
    return found


def by_program(folder: Path) -> tuple[dict[tuple[str, str], str], int]:
    """Return the same of the program, and how often two of its runs for a session, both to their end, overlapped."""
    found, begun, runs = {}, dict[int, float](), dict[str, list[tuple[float, float]]]()
    for line in (folder / "imported").read_text().splitlines():
        what, when, sessid, name, digest, pid = json.loads(line)
        found[sessid, name] = digest
        if what == "begins":
            begun[pid] = when
        else:
            runs.setdefault(sessid, []).append((begun.pop(pid), when))
    in_order = [sorted(of_session) for of_session in runs.values()]
    overlaps = sum(after[0] < before[1] for one in in_order for before, after in itertools.pairwise(one))
    return found, overlaps


def attempts_of(site: ShopProcess) -> list[str]:
    """Return the hand-offs of which a lower attempt came after a higher one."""
    highest: dict[str, int] = {}
    late = []
    for seen in site.seen:
        attempt = int(seen.headers["x-onec-attempt"])
        if attempt < highest.get(seen.key, 0):
            late.append(seen.key)
        highest[seen.key] = max(attempt, highest.get(seen.key, 0))
    return late


def nodes_of(world: World, chance: random.Random, over: threading.Event) -> list[Any]:
    """Return nodes of each kind."""

    def another() -> random.Random:
        return random.Random(chance.random())

    def node(user: str, patience: float = NODE_PATIENCE) -> Node:
        return Node(world.ports, another(), over, user=user, patience=patience, files_of_session=FILES_OF_SESSION)

    plain: Sequence[Any] = [node("shop"), node("north")]
    hasty, south = node("west", HASTY), node("south")
    resuming = [kind(world.ports, another(), over) for kind in (TusNode, RufhNode)]
    return [*plain, hasty, south, *resuming]


def sent_by(node: Any) -> list[dict[str, Any]]:
    """Return what a node has sent, a dictionary by file for each session, or one of uploads."""
    return [node.sent] if isinstance(node, TusNode | RufhNode) else [sent for _, sent in node.sessions()]


def test_chaos(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Every file is what was acknowledged, once and in order, and each import came, with its bytes."""
    seed = int(os.environ.get("SEED") or random.randrange(10**6))
    chance, over = random.Random(seed), threading.Event()
    nodes = nodes_of(world, chance, over)
    faults = Faults(world.daemons, world.postgresql, world.store, world.gates, chance)
    for node in nodes:
        node.start()
    faults.go_on(SECONDS)
    over.set()
    for node in nodes:
        node.join(3 * PATIENCE)
    assert [node.failure for node in nodes] == [None] * len(nodes), seed
    world.cluster.wait(seed, PATIENCE + SECONDS / 2)

    told, (imported, twice) = by_site(world.site), by_program(world.folder)
    for node in nodes:
        if isinstance(node, TusNode | RufhNode):
            assert {one: uploaded(world.cluster, one) for one in node.sent} == node.sent, seed
            if isinstance(node, RufhNode):
                assert handed_off(world.cluster.database) == Counter(node.names), seed
            continue
        known = imported if node.user == "south" else told
        for sessid, sent in node.sessions():
            files = world.cluster.files(sessid)
            doubled = {name: count_doubled(data, sent[name]) for name, data in files.items()}
            assert doubled == dict.fromkeys(sent, 0), f"seed {seed}\n" + "\n".join(node.tries)
            for name, data in files.items():
                assert known[sessid, name] == hashlib.sha256(data).hexdigest(), seed
    for daemon in world.daemons:
        assert "Traceback" not in daemon.log, daemon.log[-5000:]
    counted = [
        f"seed {seed}",
        f"{sum(len(sent) for node in nodes for sent in sent_by(node))} files",
        f"{sum(len(node.sent) for node in nodes if isinstance(node, RufhNode))} of them by RUFH",
        f"{sum(node.repeats for node in nodes)} repeats",
        f"{len(world.site.seen)} requests at the site, {len(attempts_of(world.site))} of daemons that were replaced",
        f"{len(imported)} imports by the program, {twice} twice at once",
        *(f"{name}: {count}" for name, count in sorted(faults.counts.items())),
    ]
    with capsys.disabled():
        sys.stdout.write(f"\n{'; '.join(counted)}\n")
