"""nginx with its DAV module: a body goes to a temporary file, which is renamed at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from bench.client import HOST
from bench.peer import Launch
from bench.peers.nginx import nginx, nginx_version
from bench.targets import Plain
from bench.tls import make_identity

if TYPE_CHECKING:
    from pathlib import Path

    from bench.client import Address
    from bench.targets import Target

__all__ = ["NginxDav"]


@frozen
class NginxDav:
    """nginx as installed, with its default buffers."""

    name: str = "nginx DAV"
    tls: bool = False

    def version(self) -> str:
        """Return the version."""
        return f"{nginx_version(tls=self.tls)}, PUT, default buffers"

    def launch(self, folder: Path, port: int) -> Launch:
        """Return how to start it, with a configuration in its folder."""
        return Launch(nginx(folder, self._site(folder, port)), cwd=folder, tls=self.tls)

    def _site(self, folder: Path, port: int) -> str:
        listen = f"listen {HOST}:{port}"
        if self.tls:
            identity = make_identity(folder)
            listen += (
                f" ssl; ssl_protocols TLSv1.3; ssl_certificate {identity.chain}; ssl_certificate_key {identity.key}"
            )
        return f"""\
    server {{
        {listen};
        root {folder}/files;
        location / {{
            dav_methods PUT;
        }}
    }}"""

    def target(self, address: Address) -> Target:
        """Return how it takes uploads."""
        return Plain(address)
