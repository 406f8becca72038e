"""The daemon itself, as ``twistd`` runs it, from the environment's package."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from bench import slow_disk
from bench.goals import NONE, OURS, PIECE
from bench.peer import Launch, Missing, package_version
from bench.targets import Exchange, ExchangeTus

if TYPE_CHECKING:
    from bench.targets import Target

__all__ = ["OnecExchange"]


@frozen
class OnecExchange:
    """The daemon.

    ``durability`` is the option's; ``slow_disk`` puts the disk of some files behind a brake; with ``tus`` it is sent
    to by tus.
    """

    name: str = OURS
    durability: str = "none"
    slow_disk: bool = False
    tus: bool = False

    @classmethod
    def syncing(cls) -> OnecExchange:
        """Return it as it is by default."""
        return cls(PIECE, "piece")

    @classmethod
    def not_syncing(cls) -> OnecExchange:
        """Return it without syncs, to be compared with the one that syncs."""
        return cls(NONE)

    @property
    def twistd(self) -> Path:
        """Return the program, of the environment that runs the benchmark."""
        return Path(sys.executable).parent / "twistd"

    def version(self) -> str:
        """Return the versions."""
        if not self.twistd.exists():
            raise Missing("twistd is not beside the interpreter")
        return f"{package_version('onec-twisted', 'Twisted')}, --durability={self.durability}"

    def launch(self, folder: Path, port: int) -> Launch:
        """Return how to start it; it logs to a file, as by default."""
        start = (sys.executable, slow_disk.__file__) if self.slow_disk else (str(self.twistd),)
        command = (
            *start,
            "-n",
            "--pidfile=",
            f"--logfile={folder / 'twistd.log'}",
            "onec-exchange",
            "--auth=memory:bench:secret",
            f"--listen=tcp:{port}:interface=127.0.0.1",
            f"--media-root={folder / 'media'}",
            f"--durability={self.durability}",
            "--file-limit=4G",
            "--body-limit=4G",
            "--session-quota=1T",
            "--min-free=0",
        )
        return Launch(command, cwd=folder)

    def target(self, port: int) -> Target:
        """Return how it takes uploads."""
        return ExchangeTus(port) if self.tus else Exchange(port)
