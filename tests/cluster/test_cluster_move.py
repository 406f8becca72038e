"""The real ``onec-exchange migrate``: a session that began at a daemon alone goes on at one of several."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import psycopg
import pytest
from daemon import PATIENCE, SCRIPTS, start
from seaweed import BUCKET
from trade import Trade

if TYPE_CHECKING:
    from pathlib import Path

    from seaweed import Seaweed

pytestmark = pytest.mark.process


@pytest.mark.executed
def test_a_session_goes_on_after_the_move(url: str, seaweedfs: Seaweed, tmp_path: Path) -> None:
    """Its next piece is appended to what was moved, and imported; a second move is refused then."""
    keys = tmp_path / "keys"
    keys.write_text(f"{seaweedfs.keys.key_id}\n{seaweedfs.keys.secret}\n")
    keys.chmod(0o600)
    places = [
        f"--catalog={url}",
        f"--store=s3://{BUCKET}/{seaweedfs.location().prefix}?endpoint={seaweedfs.endpoint}",
        f"--store-credentials={keys}",
    ]
    alone = start(tmp_path / "alone")
    node = Trade("127.0.0.1", alone.port)
    node.checkauth()
    node.init()
    node.send_file("import.xml", b"<a>")
    node.send_file("picture.jpg", os.urandom(3_000_000))
    media = tmp_path / "alone" / "media"

    def moved() -> subprocess.CompletedProcess[str]:
        command = [str(SCRIPTS / "onec-exchange"), "migrate", f"--media-root={media}", *places]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)

    refused = moved()
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"onec-exchange: a daemon is using {media}: stop it first\n"
    alone.stop()
    done = moved()
    assert (done.returncode, done.stderr) == (0, "everything is moved, and is compared now\n")
    assert done.stdout.splitlines() == [
        "Moved 1 sessions, 2 files (2.9M), 0 hand-offs; compared: everything is the same.",
        f"Nothing was removed from {media}: keep it until the daemons have run for a while.",
    ]

    several = start(tmp_path / "several", *places, "--min-free=0")
    try:
        node.go_on_at(several.port)
        node.send_file("import.xml", b"</a>")
        node.import_file("import.xml")
        node.close()
        still = moved()
        assert "daemons use this database" in still.stderr
    finally:
        several.stop()
    with psycopg.connect(url) as connection:
        (state, files), *others = connection.execute("SELECT state, files FROM handoffs").fetchall()
    assert (state, files, others) == ("succeeded", '[["import.xml", 7]]', [])
    late = moved()
    assert late.returncode == 1
    assert "is another one in the database; name an empty database, and run this again" in late.stderr
