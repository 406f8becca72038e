"""Stock twisted.web: a Resource that copies to a file what Twisted has collected."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from bench.peer import Launch, module_command, package_version
from bench.targets import Plain

if TYPE_CHECKING:
    from bench.targets import Target

__all__ = ["StockTwisted"]

COPY = 64 * 1024


@frozen
class StockTwisted:
    """twisted.web as its documentation shows it."""

    name: str = "twisted.web"

    def version(self) -> str:
        """Return the version."""
        return f"{package_version('Twisted')}, Resource that copies request.content"

    def launch(self, folder: Path, port: int) -> Launch:
        """Return how to start it."""
        return Launch(module_command(__name__, folder, port))

    def target(self, port: int) -> Target:
        """Return how it takes uploads."""
        return Plain(port)


def main(folder: Path, port: int) -> None:
    """Serve, without any log."""
    from twisted.internet import reactor
    from twisted.web.resource import Resource
    from twisted.web.server import Site

    serving: Any = reactor

    class Files(Resource):
        isLeaf = True

        def render_PUT(self, request: Any) -> bytes:
            name = Path(request.path.decode()).name
            with (folder / name).open("wb") as file:
                shutil.copyfileobj(request.content, file, COPY)
            request.setResponseCode(201)
            return b""

    class Quiet(Site):
        def log(self, request: Any) -> None:
            """Log nothing, as the other peers."""

    serving.listenTCP(port, Quiet(Files()), interface="127.0.0.1")
    serving.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
