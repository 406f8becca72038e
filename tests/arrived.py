"""What has arrived at a real daemon by tus, and how often the site was told."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

from daemon import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from daemon import Daemon


def place_of(daemon: Daemon, name: str) -> Path:
    """Return where the only file of a name is."""
    (path,) = daemon.temp.glob(f"*/{name}")
    return path


def handed_off(daemon: Daemon, name: str) -> list[str]:
    """Return the events for which the session of a file was handed off, when all of them have been delivered."""
    manifest = place_of(daemon, name).with_name("manifest.json")
    with closing(sqlite3.connect(daemon.temp / "exchange.sqlite3")) as catalog:
        recorded = catalog.execute(
            "SELECT event, filename FROM handoffs WHERE sessid = ? ORDER BY number", (manifest.parent.name,)
        ).fetchall()
    deadline = time.monotonic() + PATIENCE
    told: list[tuple[str, str]] = []
    while recorded and told != recorded:
        assert time.monotonic() < deadline, (recorded, told, daemon.log)
        time.sleep(0.01)
        if manifest.exists():
            told = [(one["event"], one["filename"]) for one in json.loads(manifest.read_bytes())["handoffs"]]
    assert all(filename == name for _, filename in recorded)
    return [event for event, _ in recorded]
