"""aiohttp: a handler that writes what comes to a plain file, on the event loop."""

from __future__ import annotations

import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from bench.client import HOST
from bench.peer import Launch, module_command, package_version
from bench.targets import Plain
from bench.tls import make_identity, openssl_of_python

if TYPE_CHECKING:
    from aiohttp import web

    from bench.client import Address
    from bench.targets import Target

__all__ = ["Aiohttp"]


@frozen
class Aiohttp:
    """aiohttp with ``request.content.iter_any()``."""

    name: str = "aiohttp"
    tls: bool = False

    def version(self) -> str:
        """Return the version."""
        tls = f", {openssl_of_python()}" if self.tls else ""
        return f"{package_version('aiohttp')}{tls}, iter_any() to a plain file"

    def launch(self, folder: Path, port: int) -> Launch:
        """Return how to start it."""
        identity = make_identity(folder).files if self.tls else ()
        return Launch((*module_command(__name__, folder, port), *identity), tls=self.tls)

    def target(self, address: Address) -> Target:
        """Return how it takes uploads."""
        return Plain(address)


def main(folder: Path, port: int, *identity: str) -> None:
    """Serve, without any log; over TLS with the files of a certificate and its key."""
    from aiohttp import web

    async def put(request: web.Request) -> web.Response:
        with (folder / request.match_info["name"]).open("wb") as file:
            async for block in request.content.iter_any():
                file.write(block)
        return web.Response(status=201)

    application = web.Application(client_max_size=0)
    application.router.add_put("/{name}", put)
    tls = None
    if identity:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*identity)
    web.run_app(application, host=HOST, port=port, ssl_context=tls, access_log=None, print=None)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
