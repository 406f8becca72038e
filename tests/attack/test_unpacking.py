"""Archives are unpacked beside others' requests: hostile ones are refused in words, large ones cost others little."""

from __future__ import annotations

import os
import re
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from beside import figures, others
from odd_archives import DEFLATED, IMPORT, Odd, archive_of
from trade import ExchangeFailed, Trade

from onec_twisted.delivery.preparation import PREPARE

if TYPE_CHECKING:
    from collections.abc import Callable

    from beside import Felt
    from daemon import Daemon

pytestmark = pytest.mark.skipif(not os.environ.get("ONEC_ATTACK"), reason="tox -e attack runs it")

SECONDS = 2.0
"""How long the quiet part is."""

MB = 2**20
LONGEST_CHECKAUTH = 0.1
"""Seconds in which 99 of 100 logins of others are answered meanwhile."""


def bomb(size: int) -> bytes:
    """Return an archive that becomes so large."""
    return archive_of(IMPORT, Odd(b"a.jpg", bytes(size), method=DEFLATED))


HOSTILE = {
    "a bomb by its ratio": (bomb(255 * MB), "200 times its size"),
    "a bomb by its entries": (
        archive_of(IMPORT, *(Odd(b"%d.jpg" % number, b"") for number in range(2000))),
        "2000 files",
    ),
    "a climbing name": (archive_of(IMPORT, Odd(b"../../../x.jpg")), "leads out of its folder"),
    "two entries of one name": (archive_of(IMPORT, IMPORT), "two entries are named"),
}


def bound(quiet: Felt) -> float:
    """Return how long a login of others may take; on a busy machine it takes long without any attack."""
    return max(LONGEST_CHECKAUTH, 2 * quiet.percentile("checkauth", 99))


def answer(node: Trade) -> str:
    """Ask for the import until it ends, and return the last answer."""
    text = "progress"
    while text.startswith("progress"):
        try:
            text = node._ask(f"type=catalog&mode=import&filename=import0_1.xml&sessid={node.sessid}")
        except ExchangeFailed as refused:
            text = str(refused)
    return text


def imported(daemon: Daemon, user: str, archive: bytes) -> str:
    """Send an archive, and return what becomes of its import."""
    node = Trade("127.0.0.1", daemon.port, user)
    node.checkauth()
    node.init()
    for start in range(0, len(archive), 50 * MB):
        node.send_file("v8_1.zip", archive[start : start + 50 * MB])
    text = answer(node)
    node.close()
    return text


class Watch:
    """The memory of the daemon, and the most that its processes that unpack have taken, in bytes."""

    def __init__(self, daemon: Daemon) -> None:
        """Watch until ``end``."""
        self.daemon, self.most, self.over = daemon, 0, False
        self.before = daemon.peak_memory()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self) -> None:
        """Look at each process now and then."""
        while not self.over:
            for process in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):
                    if PREPARE.encode() in (process / "cmdline").read_bytes():
                        found = re.search(r"VmHWM:\s+(\d+) kB", (process / "status").read_text())
                        self.most = max(self.most, int(found[1]) * 1024 if found else 0)
            time.sleep(0.2)

    def end(self) -> int:
        """Return by how much the daemon has grown."""
        self.over = True
        self.thread.join()
        return self.daemon.peak_memory() - self.before


def test_hostile_archives(daemons: Callable[..., Daemon]) -> None:
    """Again and again, by four users at once: each is a failure in words, nothing is outside, nobody waits."""
    daemon = daemons(*(f"--auth=memory:{user}:secret" for user in "abcd"), "--importer=keep", "--unpack-files=2000")
    heard: list[tuple[str, str]] = []
    until = time.monotonic() + 3 * SECONDS

    def attack(user: str, archive: bytes, words: str) -> None:
        while time.monotonic() < until:
            heard.append((words, imported(daemon, user, archive)))

    with others(daemon.port) as quiet:
        time.sleep(SECONDS)
    watch = Watch(daemon)
    until = time.monotonic() + 3 * SECONDS
    with others(daemon.port) as beside:
        threads = [
            threading.Thread(target=attack, args=(user, *told), daemon=True)
            for user, told in zip("abcd", HOSTILE.values(), strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    grown = watch.end()
    left = {path.name for path in daemon.temp.parent.rglob("*.jpg")}

    print(
        f"{figures(f'{len(heard)} hostile archives', quiet, beside)}; {grown / MB:.0f} MB more, "
        f"{watch.most / MB:.0f} MB in a process"
    )
    assert all(text.startswith("failure\nArchive v8_1.zip cannot be unpacked") for _, text in heard)
    assert all(words in text for words, text in heard)
    assert left == set()
    assert grown < 30 * MB
    assert beside.percentile("checkauth", 99) < bound(quiet)


@pytest.mark.parametrize("kind", ["100,000 small pictures", "250 MB"])
def test_a_large_export_is_unpacked(daemons: Callable[..., Daemon], kind: str) -> None:
    """Beside others' logins; the memory of the daemon and of the process stays flat."""
    daemon = daemons("--auth=memory:large:secret", "--importer=keep")
    count, size = (100_000, 20) if kind.startswith("100") else (250, MB)
    pictures = (Odd(b"import_files/%02x/%032x.jpg" % (n % 256, n), os.urandom(size)) for n in range(count))
    archive = archive_of(IMPORT, *pictures)
    with others(daemon.port) as quiet:
        time.sleep(SECONDS)
    watch = Watch(daemon)
    begun = time.monotonic()
    with others(daemon.port) as beside:
        heard = imported(daemon, "large", archive)
    took, grown = time.monotonic() - begun, watch.end()

    print(
        f"{figures(kind, quiet, beside)}; sent and unpacked in {took:.1f} s, {grown / MB:.0f} MB more, "
        f"{watch.most / MB:.0f} MB in the process"
    )
    assert heard == "success"
    assert grown < 60 * MB
    assert watch.most < 120 * MB
    assert beside.percentile("checkauth", 99) < bound(quiet)
