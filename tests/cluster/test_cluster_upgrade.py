"""An upgrade while nodes send: daemons of the version before, of the next one, and of the one after, side by side."""

from __future__ import annotations

import random
import re
import shutil
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cluster_nodes import Daemon, Node, count_doubled, running
from daemon import PATIENCE

import onec_twisted
from onec_twisted.catalog.sql.schema import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster_nodes import Cluster, Shared

pytestmark = pytest.mark.process

NEXT = SCHEMA_VERSION + 1
SENDING = 3.0
"""Seconds for which nodes send to each set of daemons."""


def replaced(path: Path, pattern: str, text: str) -> None:
    """Replace what a pattern finds, once, in a file."""
    found, count = re.subn(pattern, text, path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert count == 1, (path, pattern)
    path.write_text(found, encoding="utf-8")


def version_of(folder: Path, *, oldest: int) -> str:
    """Make a copy of the program whose tables have a further column; return where Python finds it.

    ``oldest`` is the version of the tables whose daemons may run beside it.
    """
    shutil.copytree(Path(onec_twisted.__file__).parent, folder / "onec_twisted")
    tables = folder / "onec_twisted" / "cluster" / "tables.py"
    replaced(
        folder / "onec_twisted" / "catalog" / "sql" / "schema.py",
        r"^SCHEMA_VERSION = \d+$",
        f"SCHEMA_VERSION = {NEXT}",
    )
    added = "ALTER TABLE files ADD COLUMN later INTEGER NOT NULL DEFAULT 0;"
    replaced(tables, r"^(MIGRATIONS: dict\[int, str\] = \{.*)\}$", rf'\1, {NEXT}: "{added}"}}')
    replaced(tables, r"^OLDEST_VERSION = \d+$", f"OLDEST_VERSION = {oldest}")
    return str(folder)


@pytest.fixture
def daemons(tmp_path: Path, shared: Shared) -> Iterator[list[Daemon]]:
    """Two daemons of this version; what is in the list in the end is ended."""
    daemons = [Daemon(tmp_path / f"daemon{number}", shared, [f"--name=daemon{number}"]) for number in range(2)]
    with running(daemons):
        yield daemons


def test_a_rolling_upgrade(daemons: list[Daemon], cluster: Cluster, tmp_path: Path) -> None:
    """One daemon after the other is stopped and started again in the next version: nodes notice pauses at most.

    The version after that shuts the first one out: a daemon that was forgotten stops by itself, and says why.
    """
    chance, over = random.Random(1), threading.Event()
    ports = [daemon.port for daemon in daemons]
    nodes = [Node(lambda: ports, random.Random(chance.random()), over) for _ in range(3)]
    for node in nodes:
        node.start()
    time.sleep(SENDING)
    following = version_of(tmp_path / "next", oldest=SCHEMA_VERSION)
    daemons[0].stop()
    daemons[0].path = following
    daemons[0].start()
    time.sleep(SENDING)  # both versions serve the same sessions
    assert daemons[1].process.poll() is None
    after = version_of(tmp_path / "after", oldest=NEXT)
    daemons[0].stop()
    daemons[0].path = after
    daemons[0].start()
    time.sleep(SENDING)
    assert daemons[1].process.poll() is None, "one that runs is not shut out"
    daemons[1].stop()
    daemons[1].path = following
    daemons[1].start()
    time.sleep(SENDING)
    over.set()
    for node in nodes:
        node.join(2 * PATIENCE)
    assert [node.failure for node in nodes] == [None] * len(nodes)
    for node in nodes:
        files = cluster.files(node.node.sessid)
        doubled = {name: count_doubled(data, node.sent[name]) for name, data in files.items()}
        assert doubled == dict.fromkeys(node.sent, 0)

    daemons[1].stop()
    daemons[1].path = ""
    refused = daemons[1].refusal()
    assert "install the version that the other daemons run" in refused
