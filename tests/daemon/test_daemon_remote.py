"""A running daemon is asked by its API."""

from __future__ import annotations

import json
import socket
import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from onec_twisted.daemon.remote import Remote, RemoteFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOGIN = "Basic " + b64encode("root:пароль".encode()).decode("ascii")


class Answers(BaseHTTPRequestHandler):
    """What a daemon would say."""

    def respond(self) -> None:
        """Tell what was asked, a page of a list, or what is wrong."""
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        status = 200
        answer: dict[str, Any] = {"asked": f"{self.command} {self.path}", "body": body}
        if "locked" in self.path and self.headers.get("Authorization") != LOGIN:
            status = 401
        if "list" in self.path:
            before = int(self.path.partition("before=")[2] or 10)
            items = [{"n": number} for number in range(before - 1, before - 4, -1)]
            answer = {"items": items, "next": before - 3 if before > 4 else None}
        if "gone" in self.path:
            status, answer = 404, {"outcome": "gone"}
        raw = b"<html>" if "page" in self.path else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = respond

    def log_message(self, *_: Any) -> None:
        """Write nothing."""

    def address_string(self) -> str:
        """Return nobody: a unix socket has no address."""
        return ""


class UnixServer(HTTPServer):
    """An HTTP server on a unix socket."""

    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        """Bind without a look for a host's name."""
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "", 0


@pytest.fixture(params=["tcp", "unix"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where it answers."""
    server: HTTPServer
    if request.param == "tcp":
        server = HTTPServer(("127.0.0.1", 0), Answers)
        address = f"http://127.0.0.1:{server.server_port}/below/"
    else:
        server = UnixServer(str(tmp_path / "s"), Answers)  # type: ignore[arg-type]  # a path is an address, too
        address = f"unix:{tmp_path / 's'}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield address
    server.shutdown()
    thread.join()
    server.server_close()


def test_questions_and_actions(address: str) -> None:
    """With the version in the path, and what is not said left out."""
    remote = Remote(address)
    prefix = "/below" if address.startswith("http") else ""

    assert remote.get("exchanges", user="Иван", day="")["asked"] == (
        f"GET {prefix}/api/v1/exchanges?user=%D0%98%D0%B2%D0%B0%D0%BD"
    )
    done = remote.post("handoffs/x/retry", {"user": "shop"})
    assert (done["asked"], done["body"]) == (f"POST {prefix}/api/v1/handoffs/x/retry", '{"user": "shop"}')


def test_lists_go_on_over_pages(address: str) -> None:
    """As far as somebody wants, or to the end."""
    remote = Remote(address)
    assert [one["n"] for one in remote.pages("list", 5)] == [9, 8, 7, 6, 5]
    assert [one["n"] for one in remote.pages("list", 100)] == [9, 8, 7, 6, 5, 4, 3, 2, 1]


def test_passwords(address: str) -> None:
    """They are sent as UTF-8, and a wrong one is told."""
    assert Remote(address, "root:пароль").get("locked")
    with pytest.raises(RemoteFailed, match="wrong user name or password"):
        Remote(address, "root:x").get("locked")
    assert "пароль" not in repr(Remote(address, "root:пароль"))


def test_what_goes_wrong(address: str, tmp_path: Path) -> None:
    """One line says what, with the address."""
    with pytest.raises(RemoteFailed, match="gone"):
        Remote(address).get("gone")
    with pytest.raises(RemoteFailed, match="something else answers there, with status 200"):
        Remote(address).get("page")
    for wrong, words in (
        (f"unix:{tmp_path / 'nothing'}", "no answer"),
        ("http://127.0.0.1:1", "no answer"),
        ("ftp://x", "write unix:PATH"),
        ("http://[", "write unix:PATH"),
        ("127.0.0.1:9090", "write unix:PATH"),
    ):
        with pytest.raises(RemoteFailed, match=words):
            Remote(wrong).get("status")


def test_netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have the password of a host."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login root password toor\n", encoding="utf-8")
    (tmp_path / ".netrc").chmod(0o600)
    assert Remote("http://127.0.0.1:1")._connection()[2] == "root:toor"
    assert Remote("http://127.0.0.1:1", "a:b")._connection()[2] == "a:b"
    (tmp_path / ".netrc").write_text("nonsense", encoding="utf-8")
    assert Remote("http://127.0.0.1:1")._connection()[2] == ""
