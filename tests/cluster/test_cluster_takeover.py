"""Real daemons whose PostgreSQL is lost, and a standby takes over."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

import pytest
from attrs import define, field
from cluster_nodes import Cluster, Daemon, Node, Shared, count_doubled, insist, running
from daemon import PATIENCE
from postgres import Server
from trade import ExchangeFailed, Trade

from onec_twisted.cluster.postgresql import PostgreSQL
from onec_twisted.cluster.s3 import S3, Tries

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from seaweed import Seaweed

    from onec_twisted.cluster.location import Location

pytestmark = pytest.mark.process


@define(eq=False)
class Pair:
    """A server and its standby, and daemons that know both."""

    primary: Server
    standby: Server
    store: Location
    daemons: list[Daemon] = field(factory=list)

    @property
    def url(self) -> str:
        """Return the address of both, of which libpq finds the one that writes."""
        hosts = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}"
        return f"postgresql://postgres@{hosts}/onec?target_session_attrs=read-write"

    def fail_over(self) -> None:
        """Crash the server, and let the standby take over."""
        self.primary.stop()
        if self.standby.process is None:
            self.standby.start()
        self.standby.promote()


@pytest.fixture
def pair(tmp_path: Path, seaweedfs: Seaweed) -> Iterator[Pair]:
    """Two daemons on a server, whose standby does not run yet."""
    primary = Server(fsync=True)
    primary.create()
    primary.start()
    primary.ask("CREATE DATABASE onec")
    pair = Pair(primary, primary.standby(), seaweedfs.location())
    shared = Shared(pair.url, pair.store, seaweedfs.keys)
    pair.daemons = [Daemon(tmp_path / f"daemon{number}", shared) for number in range(2)]
    try:
        with running(pair.daemons):
            yield pair
    finally:
        primary.remove()
        pair.standby.remove()


def test_a_synchronous_standby_takes_over(pair: Pair, seaweedfs: Seaweed) -> None:
    """Nodes notice a pause: everything that was acknowledged is there, once and in order."""
    pair.standby.start()
    pair.primary.ask("ALTER SYSTEM SET synchronous_standby_names = '*'")
    pair.primary.ask("SELECT pg_reload_conf()")
    chance, over = random.Random(1), threading.Event()
    ports = [daemon.port for daemon in pair.daemons]
    nodes = [Node(lambda: ports, random.Random(chance.random()), over) for _ in range(3)]
    for node in nodes:
        node.start()
    time.sleep(3)
    pair.fail_over()
    time.sleep(5)
    over.set()
    for node in nodes:
        node.join(2 * PATIENCE)
    assert [node.failure for node in nodes] == [None] * len(nodes)

    database = PostgreSQL(pair.url, time.monotonic)
    cluster = Cluster(database, S3(pair.store, seaweedfs.keys, Tries()))
    for node in nodes:
        files = cluster.files(node.node.sessid)
        doubled = {name: count_doubled(data, node.sent[name]) for name, data in files.items()}
        assert doubled == dict.fromkeys(node.sent, 0)
    database.close()
    for daemon in pair.daemons:
        assert "another PostgreSQL has taken over" in daemon.log
        assert "refused until init" not in daemon.log


def test_a_standby_that_was_behind_takes_over(pair: Pair) -> None:
    """A node whose piece it lacks is told so, and exports again; nothing is imported with a hole."""
    pair.standby.start()
    node = Trade("127.0.0.1", pair.daemons[0].port)
    node.checkauth()
    insist(node.init)
    insist(lambda: node.send_file("import.xml", b"first"))
    time.sleep(1)
    pair.standby.stop()
    insist(lambda: node.send_file("import.xml", b"second"))
    insist(lambda: node.send_file("offers.xml", b"first"))
    pair.fail_over()

    for number, name in enumerate(("import.xml", "offers.xml")):
        node.go_on_at(pair.daemons[number].port)
        with pytest.raises(ExchangeFailed, match="File damaged"):
            insist(lambda name=name: node.send_file(name, b"third"))  # type: ignore[misc]
    with pytest.raises(ExchangeFailed, match="damaged"):
        insist(lambda: node.import_file("import.xml"))
    deadline = time.monotonic() + PATIENCE
    while not any("1 sessions are refused until init" in daemon.log for daemon in pair.daemons):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    insist(node.init)
    for piece in (b"first", b"second", b"third"):
        insist(lambda piece=piece: node.send_file("import.xml", piece))  # type: ignore[misc]
    insist(lambda: node.import_file("import.xml"))
    node.close()
