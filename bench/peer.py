"""What a peer is: a server that can be started in a folder, and stores what it is sent there."""

from __future__ import annotations

import contextlib
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from attrs import field, frozen

from bench.client import HOST, Address
from bench.processes import free_port, started

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.processes import Place, Running
    from bench.targets import Target

__all__ = ["CHECKOUT", "Launch", "Missing", "Peer", "Server", "module_command", "package_version", "serving"]

CHECKOUT = Path(__file__).parent.parent
"""The folder in which the package ``bench`` lies."""


class Missing(Exception):
    """A peer cannot be had on this machine; the words say what is missing."""


@frozen
class Launch:
    """How a server is started: its command lines, and the folder and the environment that they need."""

    command: tuple[str, ...]
    cwd: Path = CHECKOUT
    environment: dict[str, str] = field(factory=dict)
    beside: tuple[tuple[str, ...], ...] = ()
    """Further processes that belong to it, as a proxy in front of it."""
    places: tuple[Place, ...] = ()
    """Where it has to listen, besides at its address, before it is sent anything."""
    tls: bool = False
    """Whether it is sent to over TLS."""


class Peer(Protocol):
    """A server that takes uploads."""

    @property
    def name(self) -> str:
        """Return its name in the results."""

    def version(self) -> str:
        """Return what it is, with versions and the settings that matter. Raises ``Missing``."""

    def launch(self, folder: Path, port: int) -> Launch:
        """Return how to start it: it shall store below ``folder``, which is its own, and listen on ``port``."""

    def target(self, address: Address) -> Target:
        """Return how it takes uploads."""


@frozen
class Server:
    """A peer that runs."""

    peer: Peer
    running: Running
    target: Target

    @property
    def folder(self) -> Path:
        """Return the folder below which it stores."""
        return self.running.folder


@contextlib.contextmanager
def serving(peer: Peer, folder: Path) -> Iterator[Server]:
    """Start a peer in a folder below the given one, and end it at the end of the context; it may not listen yet."""
    place = folder / "".join(letter if letter.isalnum() else "-" for letter in peer.name)
    (place / "files").mkdir(parents=True)
    port = free_port()
    launch = peer.launch(place, port)
    # temporary files of a server count as its work on the same disk
    environment = {"TMPDIR": str(place), **launch.environment}
    commands, places = (launch.command, *launch.beside), ((HOST, port), *launch.places)
    with started(commands, place, places, launch.cwd, environment) as running:
        yield Server(peer, running, peer.target(Address(port, launch.tls)))


def module_command(module: str, folder: Path, port: int) -> tuple[str, ...]:
    """Return the command line of a peer that is a module of ours."""
    return (sys.executable, "-m", module, str(folder / "files"), str(port))


def package_version(*packages: str) -> str:
    """Return Python packages with their versions. Raises ``Missing`` when one is not installed."""
    try:
        return ", ".join(f"{package} {metadata.version(package)}" for package in packages)
    except metadata.PackageNotFoundError as error:
        raise Missing(f"the Python package {error.name} is not installed") from None
