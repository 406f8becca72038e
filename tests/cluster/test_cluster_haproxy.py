"""Real daemons behind a real HAProxy, by the samples: killed and frozen while nodes send through it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import sys
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from attrs import define
from cluster_nodes import Daemon, Node, Shared, count_doubled, piece_of, send_through
from daemon import PATIENCE
from front import DEPLOY, SERVERS, Client, replaced, start_haproxy, wait_until
from processes import free_port
from seaweed import REQUIRED
from trade import ExchangeFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cluster_nodes import Cluster

SECONDS = float(os.environ.get("ONEC_CLUSTER_CHAOS", "10"))
"""How long daemons are killed and frozen."""

DAEMONS, NODES = 3, 5
ERRORS = "/etc/haproxy/errors/onec-exchange-503.http"
MODES = {
    "tcp": ("haproxy:tcp", ()),
    "http": ("tcp", ("--trusted-proxy=127.0.0.1",)),
}
"""What daemons listen on behind each of the samples, and their options."""


@define(eq=False)
class Front:
    """HAProxy, and the daemons behind it."""

    mode: str
    port: int
    daemons: list[Daemon]


def site_of(mode: str, port: int, daemons: dict[int, Daemon]) -> str:
    """Return a sample with the ports of this machine; the keys are those of the status pages."""
    site = (DEPLOY / "cluster" / f"haproxy-{mode}.cfg").read_text(encoding="utf-8")
    changes = {"    bind :80\n": f"    bind 127.0.0.1:{port}\n"}
    for number, (admin, daemon) in enumerate(daemons.items(), 1):
        changes[f"server {number} exchange{number}:8080"] = f"server {number} 127.0.0.1:{daemon.port} port {admin}"
    if mode == "http":
        changes[ERRORS] = str(DEPLOY / "cluster" / "errors" / "503.http")
    return replaced(site, changes)


@pytest.fixture(params=MODES)
def front(request: pytest.FixtureRequest, tmp_path: Path, shared: Shared) -> Iterator[Front]:
    """One of the samples, with nothing changed but addresses, and as many daemons as it names."""
    if shutil.which("haproxy", path=SERVERS) is None:
        (pytest.fail if os.environ.get(REQUIRED) == "1" else pytest.skip)("HAProxy is not installed")
    mode: str = request.param
    endpoint, options = MODES[mode]
    port = free_port()
    daemons: dict[int, Daemon] = {}
    with ExitStack() as ended:
        for number in range(1, DAEMONS + 1):
            admin = free_port()
            more = [*options, f"--admin=tcp:{admin}:interface=127.0.0.1"]
            daemons[admin] = Daemon(tmp_path / f"daemon{number}", shared, more, endpoint)
            daemons[admin].start()
            ended.callback(daemons[admin].kill)
        proxy = start_haproxy(tmp_path, site_of(mode, port, daemons), port)
        ended.callback(proxy.wait, PATIENCE)
        ended.callback(proxy.kill)
        yield Front(mode, port, list(daemons.values()))


def test_chaos_behind_haproxy(front: Front, cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    """Every file has what was acknowledged, in order; a repeat, and nothing else, may stand behind its piece again.

    HAProxy takes answers that it then cannot deliver, which a daemon does not see: docs/cluster.md says so.
    """
    seed = random.randrange(10**6)
    chance, over = random.Random(seed), threading.Event()
    nodes = [
        Node(lambda: [front.port], random.Random(chance.random()), over, f"127.0.1.{number}")
        for number in range(1, NODES + 1)
    ]
    faults = send_through(nodes, front.daemons, chance, SECONDS)
    assert [node.failure for node in nodes] == [None] * NODES, seed
    cluster.wait(seed)

    doubled = 0
    for node in nodes:
        files = cluster.files(node.node.sessid)
        assert files.keys() == node.sent.keys(), seed
        doubled += sum(count_doubled(data, node.sent[name]) for name, data in files.items())
        opened = f"opened by shop from {node.address}\n"
        assert any(opened in daemon.log for daemon in front.daemons), "a daemon knows who asks"
    repeats = sum(node.repeats for node in nodes)
    assert doubled <= repeats, seed
    pieces = [sum(len(sent) for sent in node.sent.values()) for node in nodes]
    with capsys.disabled():
        sys.stdout.write(
            f"\n{front.mode}, seed {seed}: {pieces} pieces, {repeats} repeats, {doubled} twice, {faults}\n"
        )


def test_when_no_daemon_is_left(front: Front) -> None:
    """A node reads that it should retry, from HAProxy in http mode; in tcp mode its connection ends."""
    node = Client("127.0.0.1", front.port)
    node.checkauth()
    for daemon in front.daemons:
        daemon.kill()
    node.go_on_at(front.port)

    if front.mode == "http":
        with pytest.raises(ExchangeFailed, match=r"^HTTP 503: failure\nThe exchange is not available - retry later$"):
            node.send_file("goods.xml", b"<goods/>")
    else:
        with pytest.raises(ConnectionError):
            node.send_file("goods.xml", b"<goods/>")
    front.daemons[0].start()

    def is_back() -> bool:
        node.go_on_at(front.port)
        try:
            node.send_file("goods.xml", b"<goods/>")
        except (ExchangeFailed, OSError):
            return False
        return True

    wait_until(is_back)
    node.close()


@pytest.mark.parametrize("pause", [0.0, 0.05], ids=["at once", "in two"])
def test_a_node_that_gives_up(front: Front, cluster: Cluster, pause: float) -> None:
    """A frozen daemon learns through HAProxy that nobody waits for its answer, so the repeat alone is appended.

    HAProxy reads head and body by different ways when they come one after the other.
    """
    node = Client("127.0.0.1", front.port)
    node.checkauth()
    node.send_file("goods.xml", b"<goods>")
    piece = b"</goods>"
    with ExitStack() as woken:
        for daemon in front.daemons:
            daemon.process.send_signal(signal.SIGSTOP)
            woken.callback(daemon.process.send_signal, signal.SIGCONT)
        line = socket.create_connection(("127.0.0.1", front.port))
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        query = f"type=catalog&mode=file&filename=goods.xml&sessid={node.sessid}"
        head = f"POST /1c_exchange.php?{query} HTTP/1.1\r\nHost: x\r\nCookie: {node.cookie}\r\n"
        head += f"Content-Length: {len(piece)}\r\n\r\n"
        if pause:
            line.sendall(head.encode())
            time.sleep(pause)
            line.sendall(piece)
        else:
            line.sendall(head.encode() + piece)
        time.sleep(0.3)
        line.close()
        node.go_on_at(front.port)
        threading.Timer(0.3, woken.pop_all().close).start()
        node.send_file("goods.xml", piece)
    node.close()

    assert cluster.files(node.sessid) == {"goods.xml": b"<goods>" + piece}


@pytest.mark.parametrize("data", [b"one", b"onetwotwotwo", b"twoone", b"onetwoone", b"onetwo!"])
def test_what_is_not_allowed_would_be_found(data: bytes) -> None:
    """A piece that is missing, there three times, in the wrong place or never acknowledged is none of the repeats."""
    pieces = [piece_of(b"one"), piece_of(b"two")]
    assert count_doubled(b"oneonetwo", pieces) == 1
    with pytest.raises(AssertionError):
        count_doubled(data, pieces)
