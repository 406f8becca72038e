"""Stock twisted.web: a Resource that copies to a file what Twisted has collected."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from bench.client import HOST
from bench.peer import Launch, module_command, package_version
from bench.targets import Plain
from bench.tls import make_identity, openssl_of_cryptography

if TYPE_CHECKING:
    from bench.client import Address
    from bench.targets import Target

__all__ = ["StockTwisted"]

COPY = 64 * 1024


@frozen
class StockTwisted:
    """twisted.web as its documentation shows it."""

    name: str = "twisted.web"
    tls: bool = False

    def version(self) -> str:
        """Return the version."""
        tls = f", {openssl_of_cryptography()}" if self.tls else ""
        return f"{package_version('Twisted')}{tls}, Resource that copies request.content"

    def launch(self, folder: Path, port: int) -> Launch:
        """Return how to start it."""
        identity = make_identity(folder).files if self.tls else ()
        return Launch((*module_command(__name__, folder, port), *identity), tls=self.tls)

    def target(self, address: Address) -> Target:
        """Return how it takes uploads."""
        return Plain(address)


def main(folder: Path, port: int, *identity: str) -> None:
    """Serve, without any log; over TLS with the files of a certificate and its key."""
    from twisted.internet import reactor
    from twisted.internet.endpoints import serverFromString
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

    endpoint = f"tcp:{port}:interface={HOST}"
    if identity:
        chain, key = identity
        endpoint = f"ssl:{port}:interface={HOST}:certKey={chain}:privateKey={key}"
    serverFromString(serving, endpoint).listen(Quiet(Files()))
    serving.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
