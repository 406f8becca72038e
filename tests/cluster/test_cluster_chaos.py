"""Three real daemons on a real PostgreSQL and a real object store, killed and frozen while nodes send to all."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field
from daemon import LISTENING, PATIENCE, SCRIPTS
from seaweed import BUCKET
from shop import ShopProcess
from trade import ExchangeFailed, Trade

from onec_twisted.cluster.claims import waiting
from onec_twisted.cluster.contents import files_of, segments_of
from onec_twisted.cluster.location import Location
from onec_twisted.cluster.postgresql import PostgreSQL
from onec_twisted.cluster.s3 import S3, Tries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from seaweed import Seaweed

TAC = Path(__file__).parents[1] / "cluster.tac"
SECONDS = float(os.environ.get("ONEC_CLUSTER_CHAOS", "15"))
"""How long it goes on."""

DAEMONS, NODES = 3, 4
NODE_PATIENCE = 8.0
"""Seconds after which a node gives up on an answer; 1C waits longer."""

LARGE = 20_000_000
"""Bytes of a piece that takes several segments."""


@define(eq=False)
class Daemon:
    """One of the daemons: a real twistd on a port of its own."""

    folder: Path
    environment: dict[str, str]
    importer: str
    port: int = 0
    process: Any = None

    def start(self) -> None:
        """Start, on the same port as before; wait until it listens."""
        options = [
            *("--auth=memory:shop:secret", f"--importer={self.importer}", "--min-free=0", "--import-hold=0.2"),
            *("--check-documents=no", "--media-root=media", f"--listen=tcp:{self.port}:interface=127.0.0.1"),
        ]
        self.folder.mkdir(exist_ok=True)
        log = self.folder / "log"
        seen = len(LISTENING.findall(log.read_text())) if log.exists() else 0
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [str(SCRIPTS / "twistd"), "-n", "--pidfile=", "-y", str(TAC)],
                cwd=self.folder,
                env={
                    **os.environ,
                    **self.environment,
                    "TEST_OPTIONS": "\n".join(options),
                    "TEST_NAME": self.folder.name,
                },
                stdout=file,
                stderr=file,
            )
        deadline = time.monotonic() + PATIENCE
        while len(found := LISTENING.findall(log.read_text())) <= seen:
            assert self.process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        self.port = int(found[-1])

    def kill(self) -> None:
        """End as a power cut does."""
        self.process.kill()
        self.process.wait(PATIENCE)


@define(eq=False)
class Node(threading.Thread):
    """A node that sends files in pieces, each to any daemon, and repeats what was not answered."""

    ports: Callable[[], list[int]]
    chance: random.Random
    over: threading.Event
    sent: dict[str, Any] = field(factory=dict)
    """SHA-256 of what was acknowledged of each file."""
    node: Trade = field(init=False)
    failure: BaseException | None = None
    repeats: int = 0

    def __attrs_pre_init__(self) -> None:
        """Be a thread."""
        super().__init__(daemon=True)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        """Send until it is over."""
        try:
            self.node = Trade("127.0.0.1", self.ports()[0])
            self.insist(self.node.checkauth)
            while not self.over.is_set():
                self.send_one(f"file{len(self.sent)}.xml")
        except BaseException as error:
            self.failure = error
        finally:
            self.node.close()

    def insist(self, ask: Callable[[], Any]) -> Any:
        """Ask until it is answered, each time at any daemon."""
        deadline = time.monotonic() + PATIENCE
        while True:
            self.node.go_on_at(self.chance.choice(self.ports()))
            self.node.connection.timeout = NODE_PATIENCE
            try:
                return ask()
            except (OSError, HTTPException, ExchangeFailed):
                if time.monotonic() > deadline:
                    raise
            self.repeats += 1
            time.sleep(0.05)

    def send_one(self, name: str) -> None:
        """Send a file, and have it imported."""
        digest = self.sent[name] = hashlib.sha256()
        for _ in range(self.chance.randrange(1, 6)):
            size = LARGE if self.chance.random() < 0.03 else self.chance.randrange(1, 200_000)
            piece = self.chance.randbytes(size)
            self.insist(lambda piece=piece: self.node.send_file(name, piece))  # type: ignore[misc]
            digest.update(piece)
        self.insist(lambda: self.ask_import(name))

    def ask_import(self, name: str) -> None:
        """Ask for an import, without waiting for its end."""
        text = self.node._ask(f"type=catalog&mode=import&filename={name}&sessid={self.node.sessid}")
        assert text.split("\n")[0] in ("success", "progress"), text


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ShopProcess]:
    """A site that imports."""
    (tmp_path / "site").mkdir()
    site = ShopProcess(tmp_path / "site")
    site.start()
    yield site
    site.stop()


@pytest.fixture
def daemons(tmp_path: Path, url: str, seaweedfs: Seaweed, site: ShopProcess) -> Iterator[list[Daemon]]:
    """Daemons that share a database and a bucket."""
    location = seaweedfs.location()
    keys = seaweedfs.keys
    environment = {
        "TEST_CATALOG": url,
        "TEST_STORE": f"{location.bucket} {location.endpoint} {keys.key_id} {keys.secret}",
    }
    daemons = [Daemon(tmp_path / f"daemon{number}", environment, f"{site.url}/import") for number in range(DAEMONS)]
    for daemon in daemons:
        daemon.start()
    yield daemons
    for daemon in daemons:
        daemon.kill()


@define(eq=False)
class Cluster:
    """What the daemons share."""

    database: PostgreSQL
    s3: S3

    def wait(self, seed: int) -> None:
        """Wait until everything is delivered."""
        deadline = time.monotonic() + PATIENCE
        while left := self.database.using(waiting):
            assert time.monotonic() < deadline, (seed, left)
            time.sleep(0.2)

    def stored(self, sessid: str) -> dict[str, str]:
        """Return the SHA-256 of each file of a session."""
        found = {}
        for name in self.database.read(files_of, sessid):
            digest = hashlib.sha256()
            for segment in self.database.read(segments_of, sessid, name):
                digest.update(self.s3.read(segment.object, 0, segment.length)[0])
            found[name] = digest.hexdigest()
        return found


@pytest.fixture
def cluster(url: str, seaweedfs: Seaweed) -> Iterator[Cluster]:
    """The records and the objects, as a test sees them."""
    database = PostgreSQL(url, time.monotonic)
    yield Cluster(database, S3(Location(BUCKET, "", seaweedfs.endpoint), seaweedfs.keys, Tries()))
    database.close()


def imported(site: ShopProcess) -> dict[tuple[str, str], str]:
    """Return the SHA-256 of each file that the site was told of, by session and name, from its address."""
    found = {}
    for seen in site.seen:
        description = json.loads(seen.body)
        (file,) = description["files"]
        with urllib.request.urlopen(file["url"]) as answer:
            found[description["sessid"], description["filename"]] = hashlib.sha256(answer.read()).hexdigest()
    return found


def disturb(daemons: list[Daemon], chance: random.Random) -> dict[str, int]:
    """Kill and freeze daemons, one at a time; return how often."""
    faults = {"killed": 0, "frozen": 0}
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        time.sleep(chance.uniform(0.2, 1.0))
        daemon = chance.choice(daemons)
        if chance.random() < 0.5:
            daemon.kill()
            daemon.start()
            faults["killed"] += 1
        else:
            daemon.process.send_signal(signal.SIGSTOP)
            time.sleep(chance.uniform(0.5, 4.0))
            daemon.process.send_signal(signal.SIGCONT)
            faults["frozen"] += 1
    return faults


def test_chaos(
    daemons: list[Daemon], cluster: Cluster, site: ShopProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every file is what was acknowledged, and each import came to the site, with its bytes."""
    seed = random.randrange(10**6)
    chance, over = random.Random(seed), threading.Event()
    nodes = [
        Node(lambda: [daemon.port for daemon in daemons], random.Random(chance.random()), over) for _ in range(NODES)
    ]
    for node in nodes:
        node.start()
    faults = disturb(daemons, chance)
    over.set()
    for node in nodes:
        node.join(2 * PATIENCE)
    assert [node.failure for node in nodes] == [None] * NODES, seed
    cluster.wait(seed)

    told = imported(site)
    for node in nodes:
        sessid, sent = node.node.sessid, {name: digest.hexdigest() for name, digest in node.sent.items()}
        assert cluster.stored(sessid) == sent, seed
        assert {name: told[sessid, name] for name in sent} == sent, seed
    files, repeats = sum(len(node.sent) for node in nodes), sum(node.repeats for node in nodes)
    counted = f"seed {seed}: {files} files, {len(site.seen)} requests at the site, {repeats} repeats, {faults}"
    with capsys.disabled():
        sys.stdout.write(f"\n{counted}\n")
