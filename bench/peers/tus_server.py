"""@tus/server with @tus/file-store, from npm, when node is there."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from bench.client import HOST
from bench.peer import Launch, Missing
from bench.peers.nginx import in_front, nginx_version
from bench.processes import free_port
from bench.targets import Tus

if TYPE_CHECKING:
    from bench.client import Address
    from bench.targets import Target

__all__ = ["TusServer"]

SOURCE = Path(__file__).parent / "tus"
"""Our program and the exact versions of the packages that it needs."""

INSTALL = 60
"""Seconds that npm may take."""


@frozen
class TusServer:
    """The server of the tus project; its packages are kept in ``cache`` from run to run.

    With ``nginx`` in front of it, it is sent to over TLS.
    """

    name: str = "@tus/server"
    nginx: bool = False
    cache: Path = Path(sys.prefix) / "bench-tus"

    def version(self) -> str:
        """Return the versions; packages that are not there yet are fetched. Raises ``Missing``."""
        node, npm = shutil.which("node"), shutil.which("npm")
        if node is None or npm is None:
            raise Missing("node or npm is not installed")
        wanted = json.loads((SOURCE / "package.json").read_text())["dependencies"]
        try:
            if self._installed(wanted) != wanted:
                self._install(npm)
            shutil.copy(SOURCE / "server.js", self.cache)
            printed = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.SubprocessError) as error:
            raise Missing(f"npm could not install it ({type(error).__name__})") from None
        if self._installed(wanted) != wanted:
            raise Missing("npm installed other versions than were asked for")
        packages = ", ".join(f"{package} {version}" for package, version in wanted.items())
        front = f"behind {nginx_version()}, deploy/nginx/https.conf; " if self.nginx else ""
        return f"{front}{packages}, node {printed.strip().removeprefix('v')}, POST and one PATCH"

    def _installed(self, wanted: dict[str, str]) -> dict[str, str]:
        """Return the versions of the packages in the cache."""
        found = {}
        for package in wanted:
            described = self.cache / "node_modules" / package / "package.json"
            if described.exists():
                found[package] = json.loads(described.read_text())["version"]
        return found

    def _install(self, npm: str) -> None:
        self.cache.mkdir(parents=True, exist_ok=True)
        shutil.copy(SOURCE / "package.json", self.cache)
        command = [npm, "install", "--prefix", str(self.cache), "--no-audit", "--no-fund"]
        command += ["--ignore-scripts", "--fetch-retries=1"]
        subprocess.run(command, cwd=self.cache, capture_output=True, check=True, timeout=INSTALL)

    def launch(self, folder: Path, port: int) -> Launch:
        """Return how to start it."""
        own = free_port() if self.nginx else port
        command = (shutil.which("node") or "node", str(self.cache / "server.js"), str(folder / "files"), str(own))
        environment = {"NODE_ENV": "production"}
        if not self.nginx:
            return Launch(command, self.cache, environment)
        front = in_front(folder, port, f"{HOST}:{own}")
        return Launch(command, self.cache, environment, beside=(front,), places=((HOST, own),), tls=True)

    def target(self, address: Address) -> Target:
        """Return how it takes uploads."""
        return Tus(address)
