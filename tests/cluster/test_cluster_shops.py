"""Shops at real daemons that share their records: quotas hold for all of them, and each is told what has changed."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest
from cluster_nodes import Daemon, Shared, insist, running
from daemon import PATIENCE
from trade import ExchangeFailed, Trade

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = pytest.mark.process


def write_shops(path: Path, quota: str) -> None:
    """Write the shops' table."""
    path.write_text(f'[shops.north]\nusers = ["north"]\nshop-quota = "{quota}"\nimporter = "keep"\n')


@pytest.fixture
def daemons(tmp_path: Path, shared: Shared) -> Iterator[list[Daemon]]:
    """Two daemons with the same file of shops."""
    settings = tmp_path / "onec.toml"
    write_shops(settings, "1M")
    options = ["--auth=memory:north:secret", f"--config={settings}", "--admin=unix:admin"]
    daemons = [Daemon(tmp_path / f"daemon{number}", shared, options) for number in range(2)]
    with running(daemons):
        yield daemons


def wait_for(daemon: Daemon, words: str) -> None:
    """Wait until a daemon has said something."""
    deadline = time.monotonic() + PATIENCE
    while words not in daemon.log:
        assert time.monotonic() < deadline, daemon.log
        time.sleep(0.05)


def send_on(node: Trade) -> None:
    """Send small pieces until one is refused."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        insist(lambda: node.send_file("a.xml", b"z" * 10))


def test_a_quota_holds_for_all_daemons(daemons: list[Daemon], tmp_path: Path) -> None:
    """What one has taken in counts at the other; a reload of one changes what that one allows."""
    first, second = daemons
    node = Trade("127.0.0.1", first.port, "north")
    node.checkauth()
    insist(lambda: node.send_file("a.xml", b"x" * 700_000))
    node.go_on_at(second.port)
    with pytest.raises(ExchangeFailed, match="507"):
        insist(lambda: node.send_file("a.xml", b"y" * 700_000))

    write_shops(tmp_path / "onec.toml", "2M")
    second.process.send_signal(signal.SIGHUP)
    wait_for(second, "settings reloaded: shops.north")
    node.go_on_at(second.port)
    insist(lambda: node.send_file("a.xml", b"y" * 700_000))
    node.go_on_at(first.port)
    with pytest.raises(ExchangeFailed, match="507"):  # within a second it asks what others have taken in
        send_on(node)
    node.close()
