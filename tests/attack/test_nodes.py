"""``onec-node`` is stopped at any moment, on a machine that has other things to do."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from daemon import PATIENCE, SCRIPTS, Daemon

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(not os.environ.get("ONEC_ATTACK"), reason="tox -e attack runs it")

TRIES = 5
STAYS = "What was sent stays on the site, which may import it later."
BURN = "import time\nend = time.time() + 60\nwhile time.time() < end:\n    pass"


def sent(daemon: Daemon) -> set[Path]:
    """Return the files that nodes have sent."""
    return {path for path in daemon.temp.glob("*/**/*") if path.is_file() and path.name != "manifest.json"}


def test_stopped_at_any_moment(daemons: Callable[..., Daemon], tmp_path: Path) -> None:
    """What was sent is removed, or it is said that it stays; never is half of it left without a word."""
    folder = tmp_path / "export"
    folder.mkdir()
    for name in ("import0_1.xml", "offers0_1.xml", *(f"{number}.jpg" for number in range(20))):
        (folder / name).write_bytes(os.urandom(100_000))
    daemon = daemons("--zip=no", "--file-limit=20K", "--min-free=1M")
    address = f"http://127.0.0.1:{daemon.port}/1c_exchange.php"
    line = [str(SCRIPTS / "onec-node"), "push", "--url", address, "--user=shop", "--quiet", str(folder)]
    burning = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(2)]
    outcomes: Counter[str] = Counter()
    chance = random.Random(1)
    try:
        for number in range(TRIES):
            before = sent(daemon)
            pushing = subprocess.Popen(
                line, env={**os.environ, "ONEC_PASSWORD": "secret"}, stderr=subprocess.PIPE, text=True
            )
            deadline = time.monotonic() + PATIENCE
            while len(sent(daemon) - before) <= number * 5 and pushing.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.001)
            time.sleep(chance.random() / 50)
            pushing.send_signal(chance.choice((signal.SIGINT, signal.SIGTERM, signal.SIGHUP)))
            _, said = pushing.communicate(timeout=PATIENCE)
            left = sent(daemon) - before
            outcome = "whole" if pushing.returncode == 0 else "said that it stays" if STAYS in said else "removed"
            outcomes[outcome] += 1
            assert (outcome == "removed") == (not left), (number, outcome, said, left)
    finally:
        for one in burning:
            one.kill()
            one.wait(PATIENCE)
    print(f"stopped at any moment: {TRIES} times: {dict(outcomes)}")
