"""Where the parts meet, with a reactor in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from twisted.application.service import IService
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.web.test.requesthelper import DummyRequest
from zope.interface.verify import verifyObject

from onec_twisted.daemon.config import CannotStart
from onec_twisted.daemon.options import Options
from onec_twisted.resumable.door import UploadDoor
from onec_twisted.tap import makeService

if TYPE_CHECKING:
    from pathlib import Path


def options(tmp_path: Path, *arguments: str) -> Options:
    """Parse a command line with what is required."""
    parsed = Options()
    parsed.parseOptions(["--auth=memory:shop:secret", f"--media-root={tmp_path / 'media'}", *arguments])
    return parsed


class Reactor(MemoryReactorClock):
    """A reactor in memory that never hears of its threads."""

    refuses: Exception | None = None

    def callFromThread(self, function: Any, *arguments: Any, **keywords: Any) -> None:
        """Do nothing: it does not run."""

    def listenTCP(self, port: int, *arguments: Any, **keywords: Any) -> Any:
        """Listen, or not."""
        if self.refuses is not None:
            raise self.refuses
        return super().listenTCP(port, *arguments, **keywords)


def test_it_listens_where_it_is_told(tmp_path: Path) -> None:
    """Each --listen becomes a port; starting makes the media root."""
    reactor = Reactor()
    daemon = makeService(options(tmp_path, "--listen=tcp:8001", "--listen=tcp:8002:interface=127.0.0.1"), reactor)
    daemon.privilegedStartService()
    daemon.startService()

    assert verifyObject(IService, daemon)
    assert [(port, interface) for port, _, _, interface in reactor.tcpServers] == [(8001, ""), (8002, "127.0.0.1")]
    assert (tmp_path / "media" / "1c_temp" / "exchange.sqlite3").exists()
    daemon._locks.close()  # as a stop does: then the sweep goes no further
    daemon._release()


@pytest.mark.parametrize(
    ("arguments", "serves"),
    [
        ((), {"/files": True, "/files/": True, "/files/0a": True, "/other": False, "/files.php": False}),
        (("--tus-path=/up/tus/",), {"/files/": False, "/up": False, "/up/tus": True, "/up/tus/0a": True}),
        (("--tus-path=off",), {"/files": False, "/files/": False, "/files/0a": False}),
    ],
)
def test_where_tus_is(tmp_path: Path, arguments: tuple[str, ...], serves: dict[str, bool]) -> None:
    """At its path and below it, or nowhere."""
    daemon = makeService(options(tmp_path, *arguments), Reactor())
    for path, tus in serves.items():
        request = DummyRequest([part.encode() for part in path[1:].split("/")])
        assert isinstance(daemon.site.getResourceFor(request), UploadDoor) == tus, path


@pytest.mark.parametrize(
    "refuses",
    [CannotListenError("", 8001, OSError(98, "Address already in use")), OverflowError("port must be 0-65535")],
)
def test_a_port_that_cannot_be_had(tmp_path: Path, refuses: Exception) -> None:
    """One line, status 1; twistd catches it as an Exception to remove its pid file."""
    reactor = Reactor()
    reactor.refuses = refuses
    daemon = makeService(options(tmp_path, "--listen=tcp:8001"), reactor)
    with pytest.raises(CannotStart, match="choose another --listen") as caught:
        daemon.privilegedStartService()

    assert isinstance(caught.value, Exception)
    assert isinstance(caught.value, SystemExit)


@pytest.mark.parametrize("endpoint", ["nonsense", "tcp:http", "ssl:1:privateKey=/nowhere", "tcp", "magic:1"])
def test_an_endpoint_that_cannot_be_understood(tmp_path: Path, endpoint: str) -> None:
    """One line with the endpoint and an example."""
    with pytest.raises(CannotStart, match=f"--listen={endpoint}: is malformed"):
        makeService(options(tmp_path, f"--listen={endpoint}"), Reactor())


def test_a_media_root_that_is_a_file(tmp_path: Path) -> None:
    """One line with the folder and what to do."""
    (tmp_path / "media").write_bytes(b"")
    with pytest.raises(CannotStart, match="cannot be written"):
        makeService(options(tmp_path), Reactor()).startService()


def test_a_catalog_that_is_damaged(tmp_path: Path) -> None:
    """One line with the database and what to do."""
    (tmp_path / "media" / "1c_temp").mkdir(parents=True)
    (tmp_path / "media" / "1c_temp" / "exchange.sqlite3").write_bytes(b"no database" * 1000)
    with pytest.raises(CannotStart, match="start over"):
        makeService(options(tmp_path), Reactor()).startService()
