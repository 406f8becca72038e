"""Descriptors: strangers who hold as many connections as the daemon may have files open."""

from __future__ import annotations

import os
import resource
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from beside import figures, others, ratio
from trade import Trade

if TYPE_CHECKING:
    from collections.abc import Callable

    from daemon import Daemon

pytestmark = pytest.mark.skipif(not os.environ.get("ONEC_ATTACK"), reason="tox -e attack runs it")

LIMIT = 256
"""Descriptors that the daemon has: what a crowd of any size does to any limit is the same."""

ADDRESSES, OF_EACH = 20, 30
"""Strangers, and how many connections each of them wants: more than twice as many as there are descriptors."""


def crowd(port: int, ended: threading.Event) -> None:
    """Connect from many addresses, say half a request, and connect again for each connection that was closed."""
    held: list[socket.socket] = []
    while not ended.is_set():
        for number in range(ADDRESSES):
            for _ in range(OF_EACH // 10):
                line = socket.socket()
                line.bind((f"127.0.1.{number + 1}", 0))
                with suppress(OSError):
                    line.connect(("127.0.0.1", port))
                    line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
                held.append(line)
        while len(held) > ADDRESSES * OF_EACH:
            held.pop(0).close()
        ended.wait(0.1)
    for line in held:
        line.close()


@pytest.mark.executed("the limit of descriptors is inherited")
def test_strangers_hold_all_descriptors(daemons: Callable[..., Daemon]) -> None:
    """Who logs in takes the place of one of them; nothing is damaged, and nobody reads a traceback."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, hard))
    daemon = daemons("--durability=handoff", "--connections-per-address=0", "--access-log=no")
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    node = Trade("127.0.0.1", daemon.port)
    node.checkauth()
    node.send_file("a", b"x" * 1000)
    node.close()
    with others(daemon.port) as quiet:
        time.sleep(3)
    ended = threading.Event()
    strangers = threading.Thread(target=crowd, args=(daemon.port, ended))
    strangers.start()
    most = 0
    try:
        time.sleep(1)
        with others(daemon.port) as beside:
            for _ in range(8):
                most = max(most, len(os.listdir(f"/proc/{daemon.process.pid}/fd")))
                time.sleep(1)
            node.go_on_at(daemon.port)
            assert node._ask(f"type=catalog&mode=complete&sessid={node.sessid}") == "success"
    finally:
        ended.set()
        strangers.join()
    node.close()
    asked = sum(len(getattr(beside, kind)) for kind in ("checkauth", "head", "piece"))
    print(f"{figures('all descriptors', quiet, beside)} of {asked}; {most} of {LIMIT} descriptors were in use")

    assert most < LIMIT
    assert beside.failed < asked / 20
    assert ratio(quiet, beside, 50) < 10
    assert "damaged" not in daemon.log
    assert "Traceback" not in daemon.log
