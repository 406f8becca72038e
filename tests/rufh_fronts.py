"""Ways to reach a real daemon by RUFH: straight, by TLS, and by nginx and HAProxy, by the samples."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from attrs import frozen
from certificates import Certificate, make_certificate
from daemon import PATIENCE, Daemon, start
from front import put_haproxy_before, put_nginx_before
from processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BEHIND = "--trusted-proxy=127.0.0.1"
ALWAYS = "--interim-responses=always"


@frozen
class Way:
    """How a daemon is reached, and whether its interim answers arrive."""

    proxy: str = ""
    """The sample by which it is set up."""
    options: tuple[str, ...] = ()
    endpoint: str = "tcp:0:interface=127.0.0.1"
    interim: bool = True
    by_tls: bool = False

    @property
    def is_nginx(self) -> bool:
        """Return whether it is by nginx, which takes the version away that clients name."""
        return bool(self.proxy) and not self.proxy.endswith(".cfg")


WAYS = {
    "straight": Way(),
    "never": Way(options=("--interim-responses=never",), interim=False),
    "tls": Way(endpoint="ssl:0:interface=127.0.0.1:privateKey={paper.key}:certKey={paper.chain}", by_tls=True),
    "nginx": Way("http", (BEHIND, ALWAYS), interim=False),
    "nginx-tls": Way("https", (BEHIND,), interim=False, by_tls=True),
    "nginx-unix": Way("unix-socket", ("--trusted-proxy=unix",), "unix:{folder}/http.sock:mode=660", interim=False),
    "haproxy": Way("cluster/haproxy-http.cfg", (BEHIND, ALWAYS)),
    "haproxy-direct": Way("cluster/haproxy-http.cfg", (BEHIND,), interim=False),
    "haproxy-shards": Way("haproxy/shards.cfg", (BEHIND, ALWAYS, "--shard=1")),
    "haproxy-tcp": Way("cluster/haproxy-tcp.cfg", endpoint="haproxy:tcp:0:interface=127.0.0.1"),
}


@frozen
class Front:
    """A daemon, and where its clients find it; ``paper`` is the certificate if they have to come by TLS."""

    way: Way
    daemon: Daemon
    port: int
    paper: Certificate | None

    def url(self, port: int | None = None) -> str:
        """Return the address of uploads; ``port`` is that of what carries to ours, if something does."""
        return f"{'http' if self.paper is None else 'https'}://127.0.0.1:{port or self.port}/files/"

    def environment(self) -> dict[str, str]:
        """Return what lets node trust the certificate."""
        return {} if self.paper is None else {"NODE_EXTRA_CA_CERTS": str(self.paper.chain)}


@contextmanager
def front_of(way: Way, folder: Path) -> Iterator[Front]:
    """Start a daemon, and what stands in front of it."""
    paper = make_certificate(folder) if way.by_tls else None
    endpoint = way.endpoint.format(paper=paper, folder=folder)
    health = free_port()
    admin = f"--admin=tcp:{health}:interface=127.0.0.1"
    with ExitStack() as ended:
        daemon = start(folder / "run", "--min-free=1M", admin, *way.options, listen=(endpoint,))
        ended.callback(daemon.kill)
        port = free_port() if way.proxy else daemon.port
        if way.proxy and not way.is_nginx:
            proxy = put_haproxy_before(folder, way.proxy, daemon.port, port, health)
        elif way.proxy:
            target = f"unix:{folder}/http.sock" if "unix" in endpoint else f"127.0.0.1:{daemon.port}"
            proxy = put_nginx_before(folder, way.proxy, target, port, paper)
        if way.proxy:
            ended.callback(proxy.wait, PATIENCE)
            ended.callback(proxy.kill)
        yield Front(way, daemon, port, paper)
        assert "Traceback" not in daemon.log
