"""Archives that cost as much to read as can be, asked for as often as can be."""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from beside import figures, others, ratio
from odd_archives import DEFLATED, IMPORT, Odd, archive_of
from trade import ExchangeFailed, Trade

if TYPE_CHECKING:
    from collections.abc import Callable

    from daemon import Daemon

pytestmark = pytest.mark.skipif(not os.environ.get("ONEC_ATTACK"), reason="tox -e attack runs it")

SECONDS = 2.0
"""How long each part is, at least."""

NAMES = 249_000
MB = 2**20


def uploaded(daemon: Daemon, user: str, *archives: bytes) -> Trade:
    """Return a node that has sent archives."""
    node = Trade("127.0.0.1", daemon.port, user)
    node.checkauth()
    node.init()
    for number, archive in enumerate(archives):
        node.send_file(f"v8_{number}.zip", archive)
    node.close()
    return node


def ask(node: Trade, name: str, until: float) -> str:
    """Ask for an import as 1C does, on a connection of its own, until it ends or the time is over."""
    own = Trade(node.host, node.port, node.user)
    own.cookie, own.sessid = node.cookie, node.sessid
    text = "progress"
    while text.startswith("progress") and time.monotonic() < until:
        try:
            text = own._ask(f"type=catalog&mode=import&filename={name}&sessid={node.sessid}")
        except ExchangeFailed as refused:
            text = str(refused)
    own.close()
    return text


def ask_all(asked: list[tuple[Trade, str]], seconds: float) -> tuple[list[str], float]:
    """Ask for all at once; return what was heard, and how long that took, in seconds."""
    heard: list[str] = []
    begun = time.monotonic()
    threads = [
        threading.Thread(
            target=lambda node, name: heard.append(ask(node, name, begun + seconds)), args=one, daemon=True
        )
        for one in asked
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return heard, time.monotonic() - begun


def processor_time(daemon: Daemon) -> tuple[float, float]:
    """Return the seconds of the processor that the daemon, and its processes that have ended, have taken."""
    fields = Path(f"/proc/{daemon.process.pid}/stat").read_text().rpartition(") ")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    return (int(fields[11]) + int(fields[12])) / ticks, (int(fields[13]) + int(fields[14])) / ticks


def memory(daemon: Daemon) -> int:
    """Return the memory that the daemon has now, in bytes."""
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    match = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert match is not None
    return int(match[1]) * 1024


def test_a_hundred_imports_of_a_bomb(daemons: Callable[..., Daemon]) -> None:
    """255 MB of zeros in 260 KB, asked for a hundred times at once: read once, and nobody feels it."""
    daemon = daemons("--auth=memory:bomber:secret", "--importer=keep", "--unpack=no")
    bomb = archive_of(Odd(b"import0_1.xml", bytes(255 * MB), method=DEFLATED))
    with others(daemon.port) as quiet:
        time.sleep(SECONDS)
    node = uploaded(daemon, "bomber", bomb)
    before = processor_time(daemon)
    with others(daemon.port) as beside:
        heard, took = ask_all([(node, "import0_1.xml")] * 100, 30)
        time.sleep(max(0.0, SECONDS - took))
    _, read = (after - then for after, then in zip(processor_time(daemon), before, strict=True))

    print(f"{figures('a bomb, 100 times', quiet, beside)}; heard after {took:.1f} s, {read:.1f} s of reading")
    assert heard == ["success"] * 100
    assert read < 3
    assert ratio(quiet, beside, 90) < 10


def test_as_many_names_as_there_may_be(daemons: Callable[..., Daemon]) -> None:
    """Four archives of 249,000 names, of four users at once: the daemon grows by their 2 MB each."""
    users = "abcd"
    daemon = daemons(*(f"--auth=memory:{user}:secret" for user in users), "--importer=keep", "--unpack=no")
    archive = archive_of(IMPORT, *(Odd(b"import_files/%032x_%032x.jpg" % (n, n), b"") for n in range(NAMES)))
    nodes = [uploaded(daemon, user, archive) for user in users]
    with others(daemon.port) as quiet:
        time.sleep(SECONDS)
    held = memory(daemon)
    before = processor_time(daemon)
    with others(daemon.port) as beside:
        heard, took = ask_all([(node, "import0_1.xml") for node in nodes for _ in range(10)], 60)
        time.sleep(max(0.0, SECONDS - took))
    _, read = (after - then for after, then in zip(processor_time(daemon), before, strict=True))
    grown = memory(daemon) - held

    print(
        f"{figures(f'4 times {NAMES} names', quiet, beside)}; heard after {took:.1f} s, {read:.1f} s of reading, "
        f"{grown / MB:.0f} MB more"
    )
    assert heard == ["success"] * 40
    assert grown < 40 * MB
    assert ratio(quiet, beside, 90) < 10


def test_one_user_who_has_all_its_archives_read(daemons: Callable[..., Daemon]) -> None:
    """Another user's export is imported beside it, after at most one of them."""
    daemon = daemons("--auth=memory:greedy:secret", "--auth=memory:modest:secret", "--importer=keep", "--unpack=no")
    slow = archive_of(IMPORT, *(Odd(b"%d.jpg" % n, b"") for n in range(50_000)))
    greedy = [uploaded(daemon, "greedy", slow, slow, slow) for _ in range(4)]
    modest = uploaded(daemon, "modest", archive_of(IMPORT))
    asked = [(node, f"v8_{number}.zip") for node in greedy for number in range(3)]
    flood = threading.Thread(target=ask_all, args=(asked, 20), daemon=True)
    with others(daemon.port) as quiet:
        time.sleep(SECONDS)
    flood.start()
    time.sleep(0.3)
    with others(daemon.port) as beside:
        begun = time.monotonic()
        heard = ask(modest, "import0_1.xml", begun + 20)
        took = time.monotonic() - begun
        time.sleep(SECONDS)
    flood.join(60)

    print(
        f"{figures('12 large archives of one user', quiet, beside)}; another user's import took {took * 1000:.0f} ms"
    )
    assert heard == "success"
    assert took < 2
    assert ratio(quiet, beside, 90) < 10
