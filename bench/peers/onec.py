"""The daemon itself, as ``twistd`` runs it, from the environment's package."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from bench import slow_disk
from bench.client import HOST
from bench.goals import BEHIND_NGINX, NONE, OURS, OVER_TLS, PIECE, SHARDS
from bench.peer import Launch, Missing, package_version
from bench.peers.nginx import in_front, nginx_version
from bench.targets import Exchange, ExchangeTus, InTurn
from bench.tls import make_identity, openssl_of_cryptography

if TYPE_CHECKING:
    from bench.client import Address
    from bench.targets import Target

__all__ = ["OnecExchange", "OnecShards"]

TWISTD = Path(sys.executable).parent / "twistd"
"""The program, of the environment that runs the benchmark."""

SHARD_HOSTS = {"a": HOST, "b": "127.0.0.2"}
"""The names of the shards, and where each listens."""


@frozen
class OnecExchange:
    """The daemon.

    ``durability`` is the option's; ``slow_disk`` puts the disk of some files behind a brake; with ``tus`` it is sent
    to by tus, with ``tls`` over TLS, which ``nginx`` in front of it takes off.
    """

    name: str = OURS
    durability: str = "none"
    slow_disk: bool = False
    tus: bool = False
    tls: bool = False
    nginx: bool = False

    @classmethod
    def over_tls(cls) -> OnecExchange:
        """Return it with TLS of its own."""
        return cls(OVER_TLS, tls=True)

    @classmethod
    def behind_nginx(cls) -> OnecExchange:
        """Return it on a unix socket, behind an nginx that has TLS."""
        return cls(BEHIND_NGINX, tls=True, nginx=True)

    @classmethod
    def syncing(cls) -> OnecExchange:
        """Return it as it is by default."""
        return cls(PIECE, "piece")

    @classmethod
    def not_syncing(cls) -> OnecExchange:
        """Return it without syncs, to be compared with the one that syncs."""
        return cls(NONE)

    def version(self) -> str:
        """Return the versions."""
        front = f"on a unix socket behind {nginx_version()}, deploy/nginx/https.conf; " if self.nginx else ""
        tls = f", {openssl_of_cryptography()}" if self.tls and not self.nginx else ""
        return f"{front}{_version()}{tls}, --durability={self.durability}"

    def launch(self, folder: Path, port: int) -> Launch:
        """Return how to start it."""
        program = (sys.executable, slow_disk.__file__) if self.slow_disk else (str(TWISTD),)
        command = (*program, *_options(folder), *self._listen(folder, port), f"--durability={self.durability}")
        if not self.nginx:
            return Launch(command, folder, tls=self.tls)
        socket = str(folder / "http.sock")
        return Launch(command, folder, beside=(in_front(folder, port, f"unix:{socket}"),), places=(socket,), tls=True)

    def _listen(self, folder: Path, port: int) -> tuple[str, ...]:
        if self.nginx:
            return (f"--listen=unix:{folder / 'http.sock'}:mode=660", "--trusted-proxy=unix")
        if self.tls:
            identity = make_identity(folder)
            return (f"--listen=ssl:{port}:interface={HOST}:privateKey={identity.key}:certKey={identity.chain}",)
        return (f"--listen=tcp:{port}:interface={HOST}",)

    def target(self, address: Address) -> Target:
        """Return how it takes uploads."""
        return ExchangeTus(address) if self.tus else Exchange(address)


@frozen
class OnecShards:
    """Two daemons that share the work, and nothing else: connections are divided evenly between them."""

    name: str = SHARDS

    def version(self) -> str:
        """Return the versions."""
        return f"2 daemons, each with --shard; {_version()}, --durability=none"

    def launch(self, folder: Path, port: int) -> Launch:
        """Return how to start them: on one port, at two addresses of this machine."""
        commands = []
        for name, host in SHARD_HOSTS.items():
            (folder / name).mkdir()
            more = (f"--shard={name}", f"--listen=tcp:{port}:interface={host}", "--durability=none")
            commands.append((str(TWISTD), *_options(folder / name), *more))
        places = tuple((host, port) for host in SHARD_HOSTS.values())
        return Launch(commands[0], folder, beside=tuple(commands[1:]), places=places)

    def target(self, address: Address) -> Target:
        """Return how they take uploads."""
        return InTurn(
            [Exchange(evolve(address, host=host), media=f"{name}/media") for name, host in SHARD_HOSTS.items()]
        )


def _version() -> str:
    if not TWISTD.exists():
        raise Missing("twistd is not beside the interpreter")
    return package_version("onec-twisted", "Twisted")


def _options(folder: Path) -> tuple[str, ...]:
    """Return what every daemon is started with; it logs to a file, as by default."""
    return (
        "-n",
        "--pidfile=",
        f"--logfile={folder / 'twistd.log'}",
        "onec-exchange",
        "--auth=memory:bench:secret",
        f"--media-root={folder / 'media'}",
        "--file-limit=4G",
        "--body-limit=4G",
        "--session-quota=1T",
        "--min-free=0",
    )
