"""The real ``twistd onec-exchange`` with ``--catalog`` and ``--store``: how it starts, and why it does not."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from base64 import b64encode
from http.client import HTTPConnection, HTTPResponse
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest
from attrs import define, field
from cluster_nodes import insist
from daemon import AUTH, PATIENCE, SCRIPTS, Daemon, command, start
from seaweed import BUCKET
from trade import Trade, packed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from postgres import Server
    from seaweed import Seaweed

TUS = {"Tus-Resumable": "1.0.0", "Authorization": f"Basic {b64encode(b'shop:secret').decode()}"}

pytestmark = pytest.mark.process


@define(eq=False)
class Places:
    """Where daemons have their records and files in a test, and their keys."""

    catalog: str
    seaweedfs: Seaweed
    folder: Path
    prefix: str = field(init=False)
    keys: Path = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Write the keys."""
        self.prefix = self.seaweedfs.location().prefix
        self.keys = self.folder / "keys"
        self.write(self.seaweedfs.keys.key_id, self.seaweedfs.keys.secret)

    def write(self, key_id: str, secret: str) -> None:
        """Write keys."""
        self.keys.write_text(f"{key_id}\n{secret}\n")
        self.keys.chmod(0o600)

    def options(self, *, catalog: str | None = None) -> list[str]:
        """Return the options of a daemon."""
        return [
            f"--catalog={catalog or self.catalog}",
            f"--store=s3://{BUCKET}/{self.prefix}?endpoint={self.seaweedfs.endpoint}",
            f"--store-credentials={self.keys}",
            "--min-free=0",
        ]

    def refusal(self, folder: Path, *options: str, **environment: str) -> str:
        """Return what a daemon says that does not start: one line."""
        folder.mkdir(exist_ok=True)
        done = subprocess.run(
            command(AUTH, *options, "--listen=tcp:0:interface=127.0.0.1"),
            cwd=folder,
            env={**os.environ, **environment},
            capture_output=True,
            check=False,
            text=True,
            timeout=PATIENCE,
        )
        said = [line for line in done.stderr.splitlines() if line.startswith("onec-exchange: ")]
        assert done.returncode, done.stdout
        assert len(said) == 1, (done.stdout, done.stderr)
        assert "Traceback" not in done.stderr + done.stdout
        return said[0]


@pytest.fixture
def places(url: str, seaweedfs: Seaweed, tmp_path: Path) -> Places:
    """An empty database, and a prefix that nobody has used."""
    return Places(url, seaweedfs, tmp_path)


def stored(place: Trade, name: str, *pieces: bytes) -> None:
    """Send pieces."""
    for piece in pieces:
        insist(lambda piece=piece: place.send_file(name, piece))  # type: ignore[misc]


def test_a_session_goes_on_at_another_daemon(places: Places, tmp_path: Path) -> None:
    """One that was killed is not missed: a file goes on elsewhere, where its import is asked for, too."""
    one, two = (start(tmp_path / name, *places.options(), f"--name={name}") for name in ("one", "two"))
    try:
        node = Trade("127.0.0.1", one.port)
        node.checkauth()
        insist(node.init)
        stored(node, "import.xml", b"<a>", b"<b/>")
        one.kill()
        node.go_on_at(two.port)
        stored(node, "import.xml", b"</a>")
        insist(lambda: node.import_file("import.xml"))
        node.close()
        assert "the object store" in two.log
    finally:
        one.kill()
        assert two.stop() == -signal.SIGTERM
        assert "Traceback" not in two.log


def test_an_upload_goes_on_at_another_daemon(places: Places, tmp_path: Path) -> None:
    """The newest request counts, at whatever daemon: what an older one still receives is not recorded."""
    one, two = (start(tmp_path / name, *places.options()) for name in ("one", "two"))
    content = os.urandom(3_000_000)
    try:
        made = _tus(two.port, "POST", "/files/", {"Upload-Length": str(len(content)), **_metadata("a.bin")})
        path = urlsplit(made.headers["Location"]).path
        line = socket.create_connection(("127.0.0.1", one.port), PATIENCE)
        line.sendall(_patch_head(path, 0, len(content)) + content[:1_000_000])
        one.wait_for("starting on")
        _wait_for_row(places.catalog, "SELECT claim FROM uploads", 1)

        assert _tus(two.port, "HEAD", path).headers["Upload-Offset"] == "0"
        line.sendall(content[1_000_000:])
        assert b" 409 " in line.recv(100)
        line.close()
        assert _tus(two.port, "HEAD", path).headers["Upload-Offset"] == "0"
        for start_at in range(0, len(content), 1_000_000):
            port = two.port if start_at else one.port
            headers = {"Upload-Offset": str(start_at), "Content-Type": "application/offset+octet-stream"}
            done = _tus(port, "PATCH", path, headers, content[start_at : start_at + 1_000_000])
            assert done.status == 204
        assert _tus(one.port, "HEAD", path).headers["Upload-Offset"] == str(len(content))
    finally:
        one.kill()
        two.kill()


def _metadata(name: str) -> dict[str, str]:
    return {"Upload-Metadata": f"filename {b64encode(name.encode()).decode()}"}


def _tus(port: int, method: str, path: str, headers: Mapping[str, str] = {}, body: bytes = b"") -> HTTPResponse:
    """Send a request of tus, and return its answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request(method, path, body, {**TUS, **headers})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def _patch_head(path: str, offset: int, size: int) -> bytes:
    """Return the head of a PATCH."""
    headers = {
        **TUS,
        "Host": "shop.example",
        "Upload-Offset": str(offset),
        "Content-Type": "application/offset+octet-stream",
        "Content-Length": str(size),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"PATCH {path} HTTP/1.1\r\n{lines}\r\n".encode()


def _wait_for_row(catalog: str, question: str, value: object) -> None:
    """Wait until the records say something."""
    deadline = time.monotonic() + PATIENCE
    with psycopg.connect(catalog, autocommit=True) as connection:
        while connection.execute(question).fetchone() != (value,):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_it_runs_detached_with_a_relative_folder(places: Places, tmp_path: Path) -> None:
    """As twistd starts without -n: what must not be used before the last fork is not."""
    folder = tmp_path / "detached"
    folder.mkdir()
    options = (AUTH, *places.options(), "--media-root=media", "--listen=tcp:0:interface=127.0.0.1")
    subprocess.run(command(*options, twistd=("--logfile=log", "--pidfile=pid")), cwd=folder, check=True)
    deadline, log = time.monotonic() + PATIENCE, folder / "log"
    while not (ports := re.findall(r"ExchangeSite.* starting on (\d+)", log.read_text() if log.exists() else "")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    number = int((folder / "pid").read_text())
    try:
        node = Trade("127.0.0.1", int(ports[0]))
        node.checkauth()
        stored(node, "import.xml", b"x" * 100_000, b"y")
        node.close()
        assert (folder / "media" / "scratch").is_dir()
    finally:
        os.kill(number, signal.SIGTERM)
    while (folder / "pid").exists():
        assert time.monotonic() < deadline + PATIENCE
        time.sleep(0.05)
    assert "Traceback" not in log.read_text()


def _page(port: int, path: str) -> str:
    """Return a page of the administrator's."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as answer:
        return str(answer.read().decode())


def test_every_page_of_any_daemon_shows_the_whole(places: Places, tmp_path: Path) -> None:
    """What one takes in, the other shows: sessions, exchanges, files, pieces on their way, and the daemons."""
    admin = "--admin=tcp:0:interface=127.0.0.1"
    one, two = (start(tmp_path / name, *places.options(), f"--name={name}", admin) for name in ("one", "two"))
    try:
        node = Trade("127.0.0.1", one.port)
        node.checkauth()
        insist(node.init)
        stored(node, "import.xml", b"<a>", b"</a>")
        stored(node, "pictures.zip", packed({"a.jpg": b"x" * 9000, "b.xml": b"<b/>"}))
        insist(lambda: node.import_file("import.xml"))
        line = socket.create_connection(("127.0.0.1", one.port), PATIENCE)
        head = f"POST /1c_exchange.php?type=catalog&mode=file&filename=slow.xml&sessid={node.sessid} HTTP/1.1\r\n"
        line.sendall(f"{head}Host: a\r\nCookie: {node.cookie}\r\nContent-Length: 1000\r\n\r\n".encode() + b"y" * 400)

        deadline = time.monotonic() + PATIENCE
        while "slow.xml" not in _page(two.admin_port, "/"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        status = json.loads(_page(two.admin_port, "/api/v1/status"))
        assert [daemon["name"] for daemon in status["daemons"]] == ["one", "two"]
        assert [(transfer["name"], transfer["daemon"]) for transfer in status["transfers"]] == [("slow.xml", "one")]
        assert status["good"]
        for path in ("/", "/exchanges", "/exchanges/1", "/handoffs", "/sessions", "/refusals", "/settings"):
            for daemon in (one, two):
                assert "onec-exchange" in _page(daemon.admin_port, path)
        assert "import.xml" in _page(two.admin_port, "/exchanges/1")
        assert "a.jpg" in _page(two.admin_port, "/exchanges/1?inside=pictures.zip")
        for daemon in (one, two):
            assert json.loads(_page(daemon.admin_port, "/health"))["ready"]
            assert "onec_" in _page(daemon.admin_port, "/metrics")
        shown = _page(two.admin_port, "/settings")
        assert "--catalog" in shown
        assert str(places.keys) in shown
        assert places.seaweedfs.keys.secret not in shown

        one.kill()
        deadline = time.monotonic() + PATIENCE
        while json.loads(_page(two.admin_port, "/api/v1/status"))["good"]:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        (reason,) = json.loads(_page(two.admin_port, "/api/v1/status"))["reasons"]
        assert (reason["kind"], reason["said"]) == ("lost", "one")
        ended = subprocess.run(
            [str(SCRIPTS / "onec-exchange"), "status", f"--admin=http://127.0.0.1:{two.admin_port}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "lost: one" in ended.stdout, ended.stderr
        assert ended.returncode == 4
        line.close()
        node.close()
    finally:
        one.kill()
        two.kill()
    for daemon in (one, two):
        assert "Traceback" not in daemon.log


def test_what_is_missing_is_one_line(places: Places, postgresql: Server, tmp_path: Path) -> None:
    """No server, no database, a wrong key, somebody else's folder, tables of a later version."""
    nowhere = places.options(catalog="postgresql://postgres@127.0.0.1:1/onec")
    assert "--catalog: PostgreSQL cannot be used" in places.refusal(tmp_path / "a", *nowhere)
    missing = places.options(catalog=postgresql.url("nothing"))
    assert 'database "nothing" does not exist' in places.refusal(tmp_path / "a", *missing)
    places.write("onec-key", "hunter2")
    wrong = places.refusal(tmp_path / "a", *places.options())
    assert "403" in wrong
    assert "the right to put, get, list and delete" in wrong
    assert "hunter2" not in wrong
    places.keys.chmod(0o644)
    assert "others can read the keys in it" in places.refusal(tmp_path / "a", *places.options())


def test_a_wrong_password_is_one_line(places: Places, locked: str, tmp_path: Path) -> None:
    """It is told with the user, and without the password; with the right one the daemon runs."""
    options, keys = places.options(catalog=locked), tmp_path / "pgpass"
    keys.write_text("*:*:*:*:hunter2\n")
    keys.chmod(0o600)
    words = places.refusal(tmp_path / "a", *options, PGPASSFILE=str(keys))
    assert "--catalog: PostgreSQL cannot be used" in words
    assert "password authentication failed" in words
    assert "hunter2" not in words
    assert "no password supplied" in places.refusal(tmp_path / "a", *options, PGPASSFILE=str(tmp_path / "none"))


def test_one_that_was_killed_is_told_of(places: Places, tmp_path: Path) -> None:
    """The next one in its folder says so; after one that ended by itself nothing is said."""
    told = []
    for end in (Daemon.kill, Daemon.stop, Daemon.stop):
        daemon = start(tmp_path / "one", *places.options())
        daemon.wait_for("is ready")
        end(daemon)
        told.append(daemon.log.count("the last run did not end by itself"))
    assert told == [0, 1, 0]


def test_two_daemons_do_not_share_a_folder(places: Places, tmp_path: Path) -> None:
    """Nor does one with records of its own: it would be told what to do."""
    daemon = start(tmp_path / "one", *places.options())
    try:
        refused = places.refusal(tmp_path / "two", *places.options(), f"--media-root={daemon.folder / 'media'}")
        assert "another onec-exchange is using it; each daemon needs a folder of its own" in refused
        refused = places.refusal(tmp_path / "two", f"--media-root={daemon.folder / 'media'}")
        assert "another onec-exchange is using it" in refused
    finally:
        daemon.kill()


def test_what_was_received_before_is_not_forgotten(places: Places, tmp_path: Path) -> None:
    """A daemon that begins to share says that its folder has records of its own."""
    alone = start(tmp_path / "one")
    alone.wait_for("is ready")
    alone.stop()
    daemon = start(tmp_path / "one", *places.options())
    daemon.wait_for("is ready")
    daemon.kill()
    assert "onec-exchange migrate moves it" in daemon.log


def test_tables_of_a_later_version(places: Places, postgresql: Server, tmp_path: Path) -> None:
    """They are left alone."""
    name = places.catalog.rpartition("/")[2]
    postgresql.ask("UPDATE schema_version SET version = version + 5, oldest = version + 5", name)
    assert "install the version that the other daemons run" in places.refusal(tmp_path / "a", *places.options())


def test_without_the_libraries(places: Places, tmp_path: Path) -> None:
    """It says which package has them."""
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "psycopg.py").write_text("raise ModuleNotFoundError('No module', name='psycopg')\n")
    words = places.refusal(tmp_path / "a", *places.options(), PYTHONPATH=str(tmp_path / "hidden"))
    assert "(psycopg is missing): pip install 'onec-twisted[cluster]'" in words
