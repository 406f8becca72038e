"""aiohttp: a handler that writes what comes to a plain file, on the event loop."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from bench.peer import Launch, module_command, package_version
from bench.targets import Plain

if TYPE_CHECKING:
    from aiohttp import web

    from bench.targets import Target

__all__ = ["Aiohttp"]


@frozen
class Aiohttp:
    """aiohttp with ``request.content.iter_any()``."""

    name: str = "aiohttp"

    def version(self) -> str:
        """Return the version."""
        return f"{package_version('aiohttp')}, iter_any() to a plain file"

    def launch(self, folder: Path, port: int) -> Launch:
        """Return how to start it."""
        return Launch(module_command(__name__, folder, port))

    def target(self, port: int) -> Target:
        """Return how it takes uploads."""
        return Plain(port)


def main(folder: Path, port: int) -> None:
    """Serve, without any log."""
    from aiohttp import web

    async def put(request: web.Request) -> web.Response:
        with (folder / request.match_info["name"]).open("wb") as file:
            async for block in request.content.iter_any():
                file.write(block)
        return web.Response(status=201)

    application = web.Application(client_max_size=0)
    application.router.add_put("/{name}", put)
    web.run_app(application, host="127.0.0.1", port=port, access_log=None, print=None)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
