"""Three real daemons on a real PostgreSQL and a real object store, killed and frozen while nodes send to all."""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import threading
import urllib.request
from typing import TYPE_CHECKING

import pytest
from cluster_nodes import Daemon, Node, count_doubled, send_through, sharing
from shop import ShopProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cluster_nodes import Cluster
    from seaweed import Seaweed

SECONDS = float(os.environ.get("ONEC_CLUSTER_CHAOS", "15"))
"""How long it lasts."""

DAEMONS, NODES = 3, 4


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
    environment, importer = sharing(url, seaweedfs), f"--importer={site.url}/import"
    daemons = [Daemon(tmp_path / f"daemon{number}", environment, [importer]) for number in range(DAEMONS)]
    for daemon in daemons:
        daemon.start()
    yield daemons
    for daemon in daemons:
        daemon.kill()


def imported(site: ShopProcess) -> dict[tuple[str, str], str]:
    """Return the SHA-256 of each file that the site was told of, by session and name, from its address."""
    found = {}
    for seen in site.seen:
        description = json.loads(seen.body)
        (file,) = description["files"]
        with urllib.request.urlopen(file["url"]) as answer:
            found[description["sessid"], description["filename"]] = hashlib.sha256(answer.read()).hexdigest()
    return found


def test_chaos(
    daemons: list[Daemon], cluster: Cluster, site: ShopProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every file is what was acknowledged, and each import came to the site, with its bytes."""
    seed = random.randrange(10**6)
    chance, over = random.Random(seed), threading.Event()
    nodes = [
        Node(lambda: [daemon.port for daemon in daemons], random.Random(chance.random()), over) for _ in range(NODES)
    ]
    faults = send_through(nodes, daemons, chance, SECONDS)
    assert [node.failure for node in nodes] == [None] * NODES, seed
    cluster.wait(seed)

    told = imported(site)
    for node in nodes:
        files = cluster.files(node.node.sessid)
        assert {name: count_doubled(data, node.sent[name]) for name, data in files.items()} == dict.fromkeys(
            node.sent, 0
        ), seed
        for name, data in files.items():
            assert told[node.node.sessid, name] == hashlib.sha256(data).hexdigest(), seed
    files_sent, repeats = sum(len(node.sent) for node in nodes), sum(node.repeats for node in nodes)
    counted = f"seed {seed}: {files_sent} files, {len(site.seen)} requests at the site, {repeats} repeats, {faults}"
    with capsys.disabled():
        sys.stdout.write(f"\n{counted}\n")
