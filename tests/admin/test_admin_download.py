"""Files on their way to the administrator."""

from __future__ import annotations

import os
from base64 import b64encode
from typing import TYPE_CHECKING, Any, cast

import pytest
from administrator import Administrator
from line import Line
from pages import Document
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.error import ConnectionDone

from onec_twisted.admin.download import BLOCK_SIZE, Download, send
from onec_twisted.admin.family import PEEKED_FOR
from onec_twisted.testing import inline

if TYPE_CHECKING:
    from pathlib import Path

    from in_memory import InMemory
    from twisted.web.server import Request

AUTHORIZATION = "Basic " + b64encode(b"root:toor").decode()
CONTENT = bytes(range(256)) * 8


@pytest.fixture
def filled(exchange: InMemory) -> InMemory:
    """An exchange to which two files have come."""
    cookie, sessid = exchange.checkauth()
    for name, content in (("%3Cb%3E %D1%84.xml", CONTENT), ("a.zip", b"no archive")):
        query = f"type=catalog&mode=file&filename={name.replace(' ', '%20')}&sessid={sessid}"
        assert exchange.request("POST", query, content, Cookie=cookie).body == b"success"
    return exchange


@pytest.fixture
def administrator(filled: InMemory) -> Administrator:
    """Who has a password."""
    return Administrator(filled, {"root": b"toor"})


def ask(administrator: Administrator, path: str, method: str = "GET") -> Any:
    """Ask with the password."""
    return administrator.ask(path, method, Authorization=AUTHORIZATION)


NAME = "%3Cb%3E%20%D1%84.xml"


def test_a_file_is_an_attachment(administrator: Administrator, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it, block by block, under its name; no browser renders it."""
    monkeypatch.setattr("onec_twisted.admin.download.BLOCK_SIZE", 100)
    link = next(one["href"] for one in Document(ask(administrator, "/exchanges/1").body.decode()).all("a")
                if "file?name" in str(one["href"]) and "zip" not in str(one["href"]))  # fmt: skip
    assert link == f"../exchanges/1/file?name={NAME}"
    reply = ask(administrator, f"/exchanges/1/file?name={NAME}")

    assert reply.status == 200
    assert reply.body == CONTENT
    assert reply.headers["content-disposition"] == f"attachment; filename*=UTF-8''{NAME}"
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["content-length"] == str(len(CONTENT))


@pytest.mark.parametrize(
    "path",
    [
        "/exchanges/1/file?name=other.xml",
        "/exchanges/1/file",
        "/exchanges/2/file?name=a.zip",
        "/exchanges/x/file?name=a.zip",
        "/exchanges/1/file?name=../exchange.sqlite3",
        "/exchanges/1/file?name=/etc/passwd",
    ],
)
def test_no_other_file(administrator: Administrator, path: str) -> None:
    """Only those on record of that exchange; and nobody posts to them."""
    assert ask(administrator, path).status == 404
    assert ask(administrator, "/exchanges/1/file?name=a.zip", "POST").status == 404


def test_a_file_that_is_no_longer_there(administrator: Administrator) -> None:
    """It was removed from the disk, or its session ended."""
    folder = administrator.exchange.folder / "1c_temp"
    (path,) = folder.glob("*/a.zip")
    path.unlink()
    assert ask(administrator, "/exchanges/1/file?name=a.zip").status == 404


def test_only_with_a_password(filled: InMemory) -> None:
    """Without one everybody on the machine could read what the shop received."""
    anybody = Administrator(filled)

    assert anybody.ask("/exchanges/1/file?name=a.zip").status == 403
    page = anybody.ask("/exchanges/1").body.decode()
    assert "file?name" not in page
    assert "?inside=a.zip" in page


def test_only_with_the_right_password(administrator: Administrator) -> None:
    """As for all pages."""
    assert administrator.ask("/exchanges/1/file?name=a.zip").status == 401


def test_a_file_that_is_shorter_than_its_record(administrator: Administrator) -> None:
    """The connection ends without the rest, so that nobody takes it for whole."""
    (path,) = (administrator.exchange.folder / "1c_temp").glob("*/a.zip")
    path.write_bytes(b"no")
    line = Line(administrator.site, "127.0.0.1")
    head = f"GET /exchanges/1/file?name=a.zip HTTP/1.1\r\nHost: x\r\nAuthorization: {AUTHORIZATION}\r\n\r\n"
    answer = line.send(head.encode())

    assert answer.endswith(b"\r\n\r\nno")
    assert b"content-length: 10" in answer.lower()
    assert line.closed
    line.lose()


def test_looking_into_an_archive(administrator: Administrator) -> None:
    """What is none says so; what is not there, too."""
    text = Document(ask(administrator, "/exchanges/1?inside=a.zip").body.decode()).text
    assert "Inside the archivea.zip" in text
    assert "cut off" in text
    assert "File not found" in ask(administrator, "/exchanges/1?inside=b.zip").body.decode()


def test_names_in_a_header() -> None:
    """Only the last part, quoted: no line can be added to the answer."""
    headers = Download(0, 5, 'import_files/a\r\nb"ф.xml').headers()

    assert headers[b"content-disposition"] == b"attachment; filename*=UTF-8''a%0D%0Ab%22%D1%84.xml"


def test_a_page_that_updates_itself_starts_no_processes(administrator: Administrator) -> None:
    """An archive is listed once a minute."""
    listed: list[int] = []
    family = administrator.site.resource._family
    peek = family.peek

    def note(fd: int, size: int) -> Any:
        listed.append(size)
        return peek(fd, size)

    family.peek = note
    for _ in range(3):
        ask(administrator, "/exchanges/1?inside=a.zip")
    assert listed == [10]
    administrator.exchange.clock.advance(PEEKED_FOR + 1)
    ask(administrator, "/exchanges/1?inside=a.zip")

    assert listed == [10, 10]


class SlowRequest:
    """A request whose connection takes one block at a time."""

    transport = None

    def __init__(self) -> None:
        """Wait for what is written."""
        self.written: list[bytes] = []
        self.gone: Deferred[None] = Deferred()
        self.is_finished = False
        self.producer: Any = None

    def notifyFinish(self) -> Deferred[None]:
        """Return what fails when the browser goes."""
        return self.gone

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Remember who produces."""
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        """Forget who produces."""
        self.producer = None

    def write(self, block: bytes) -> None:
        """Take a block, and no more for now."""
        self.written.append(block)
        self.producer.pauseProducing()

    def finish(self) -> None:
        """Note the end."""
        self.is_finished = True


@pytest.fixture
def download(tmp_path: Path) -> Download:
    """A file of four blocks."""
    path = tmp_path / "a"
    path.write_bytes(b"x" * 3 * BLOCK_SIZE + b"y")
    return Download(os.open(path, os.O_RDONLY), path.stat().st_size, "a")


def is_open(fd: int) -> bool:
    """Return whether a descriptor is open."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_a_slow_browser_gets_it_at_its_pace(download: Download) -> None:
    """The next block is read when the last one has gone; at the end the file is closed."""
    request = SlowRequest()
    ensureDeferred(send(download, cast("Request", request), inline))
    assert [len(block) for block in request.written] == [BLOCK_SIZE]
    for _ in range(3):
        request.producer.resumeProducing()
    assert [len(block) for block in request.written] == [BLOCK_SIZE] * 3 + [1]
    assert not request.is_finished
    request.producer.resumeProducing()

    assert request.is_finished
    assert not is_open(download.fd)


def test_a_browser_that_goes_in_the_middle(download: Download) -> None:
    """Nothing more is read, and the file is closed."""
    request = SlowRequest()
    ensureDeferred(send(download, cast("Request", request), inline))
    request.gone.errback(ConnectionDone())

    assert len(request.written) == 1
    assert not request.is_finished
    assert not is_open(download.fd)
