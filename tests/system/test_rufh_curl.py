"""curl as a client of RUFH, which shows interim answers and goes on; and clients of HTTP/1.0, which get none."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from arrived import handed_off, place_of
from attrs import define, field
from certificates import make_certificate
from daemon import PATIENCE
from front import wait_until
from rufh_wire import FILES, Client, append, head, named

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from daemon import Daemon

CURL = shutil.which("curl")
MB = 2**20
LARGE = 300 * MB
RATE = "150M"
"""Bytes a second that curl sends of what is to be killed."""

BODY = b"<goods/>" * 10_000


@define(eq=False)
class Shell:
    """curl, which speaks with a daemon; ``paper`` is the file of a certificate that it trusts."""

    port: int
    paper: Path | None = None
    heard: list[str] = field(factory=list)

    def command(self, method: str, path: str, *arguments: str) -> list[str]:
        """Return a command line that shows the heads of all answers."""
        assert CURL is not None
        scheme, trust = ("http", []) if self.paper is None else ("https", ["--cacert", str(self.paper)])
        basic = ["-sv", "-X", method, "-u", "shop:secret", "-H", "Upload-Draft-Interop-Version: 9"]
        return [CURL, *basic, *trust, *arguments, f"{scheme}://localhost:{self.port}{path}"]

    def ask(self, method: str, path: str, *arguments: str, body: bytes | None = None) -> str:
        """Send a request; return the heads of the answers."""
        command = self.command(method, path, *arguments)
        done = subprocess.run(command, capture_output=True, input=body, timeout=PATIENCE, check=True)
        return answers_in(done.stderr.decode())

    def kill_at(self, offset: int, method: str, path: str, *arguments: str, file: Path) -> str:
        """Begin to send a file, and kill curl as soon as it was told so many bytes; return the answers so far."""
        heard = ""
        with file.open("rb") as body:
            process = subprocess.Popen(
                self.command(method, path, "--limit-rate", RATE, *arguments),
                stdin=body,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        with process:
            assert process.stderr is not None
            for line in process.stderr:
                heard += line
                if max(offsets_in(heard), default=0) >= offset:
                    break
            process.kill()
        assert max(offsets_in(heard), default=0) >= offset, heard
        return answers_in(heard)


def answers_in(shown: str) -> str:
    """Return the lines of answers in what curl shows."""
    return "".join(f"{line[2:]}\n" for line in shown.splitlines() if line.startswith("< "))


def offsets_in(heard: str) -> list[int]:
    """Return the offsets that were told."""
    return [int(told) for told in re.findall(r"Upload-Offset: (\d+)", heard)]


def path_in(heard: str) -> str:
    """Return the path of the upload, which each ``Location`` tells."""
    (path,) = set(re.findall(r"Location: https?://[^/]+(\S+)", heard))
    return str(path)


@pytest.fixture(params=["tcp", "tls"])
def reached(request: pytest.FixtureRequest, daemons: Callable[..., Daemon], tmp_path: Path) -> tuple[Daemon, Client]:
    """A daemon, and a client that knows how to reach it."""
    if request.param == "tcp":
        daemon = daemons()
        return daemon, Client(daemon.port)
    made = make_certificate(tmp_path)
    daemon = daemons(listen=(f"ssl:0:interface=127.0.0.1:privateKey={made.key}:certKey={made.chain}",))
    return daemon, Client(daemon.port, context=made.trusted())


@pytest.mark.skipif(CURL is None, reason="curl is not installed")
class TestCurl:
    def test_it_shows_the_address(self, reached: tuple[Daemon, Client], tmp_path: Path) -> None:
        """104 comes first, then 100 if it is asked for, then the final answer, which repeats the address."""
        daemon, client = reached
        paper = None if client.context is None else tmp_path / "fullchain.pem"
        told = ["-H", "Upload-Complete: ?1", "-H", 'Content-Disposition: attachment; filename="a.xml"']
        heard = Shell(daemon.port, paper).ask(
            "POST", FILES, *told, "-H", "Expect: 100-continue", "--data-binary", "@-", body=BODY
        )

        assert re.findall(r"^HTTP/1.1 (\d+)", heard, re.MULTILINE) == ["104", "100", "200"]
        assert heard.count(f"Location: {'http' if paper is None else 'https'}://localhost:{daemon.port}{FILES}") == 2
        assert path_in(heard).startswith(FILES)
        assert place_of(daemon, "a.xml").read_bytes() == BODY
        assert handed_off(daemon, "a.xml") == ["upload"]

    @pytest.mark.once
    def test_a_large_file_by_a_curl_that_is_killed(self, daemons: Callable[..., Daemon], tmp_path: Path) -> None:
        """Twice: each time HEAD tells no less than 104 did, and the next one begins there, in chunks or not."""
        daemon = daemons("--min-free=1M")
        shell = Shell(daemon.port)
        large, rest = tmp_path / "large.bin", tmp_path / "rest.bin"
        with large.open("wb") as file:
            file.truncate(LARGE - 8)  # sparse
            file.seek(LARGE - 8)
            file.write(b"the end.")

        def rest_from(offset: int) -> Path:
            with large.open("rb") as file, rest.open("wb") as left:
                file.seek(offset)
                shutil.copyfileobj(file, left)
            return rest

        last = ["-H", "Upload-Complete: ?1"]
        named = ["-H", 'Content-Disposition: attachment; filename="large.bin"']
        heard = shell.kill_at(64 * MB, "POST", FILES.rstrip("/"), *last, *named, "-T", str(large), file=large)
        path = path_in(heard)
        (first,) = offsets_in(shell.ask("HEAD", path, "--head"))
        assert max(offsets_in(heard)) <= first < LARGE

        patch = [*last, "-H", "Content-Type: application/partial-upload", "-H"]
        where = f"Upload-Offset: {first}"
        heard = shell.kill_at(first + 64 * MB, "PATCH", path, *patch, where, "-T", "-", file=rest_from(first))
        (second,) = offsets_in(shell.ask("HEAD", path, "--head"))
        assert max(offsets_in(heard)) <= second < LARGE

        where = f"Upload-Offset: {second}"
        heard = shell.ask("PATCH", path, *patch, where, "-T", str(rest_from(second)))
        assert re.findall(r"^HTTP/1.1 (\d+)", heard, re.MULTILINE)[-1] == "200"
        assert "Upload-Complete: ?1" in heard
        assert place_of(daemon, "large.bin").stat().st_size == LARGE
        compared = subprocess.run(["cmp", str(large), str(place_of(daemon, "large.bin"))], check=False)
        assert compared.returncode == 0
        assert handed_off(daemon, "large.bin") == ["upload"]


class TestOldProtocol:
    def test_it_gets_the_final_answer_alone(self, reached: tuple[Daemon, Client]) -> None:
        """Whatever it names and expects, for each method; the address is in the final answer."""
        daemon, client = reached
        told = {"Upload_Draft_Interop_Version": "9", "Expect": "100-continue"}
        creation = head("POST", FILES, len(BODY), Upload_Complete="?0", **told, **named("old.xml"))
        made = ask_as_1_0(client, creation + BODY)
        assert made.startswith(b"HTTP/1.0 201 ")
        path = path_in(made.decode())
        more = head("PATCH", path, len(BODY), **told, **append(len(BODY), "?1"))
        final = ask_as_1_0(client, more + BODY)
        assert final.startswith(b"HTTP/1.0 200 ")
        for heard in (made, final):
            assert heard.count(b"HTTP/1.") == 1
        assert place_of(daemon, "old.xml").read_bytes() == 2 * BODY
        assert handed_off(daemon, "old.xml") == ["upload"]

    def test_a_creation_that_breaks_off(self, reached: tuple[Daemon, Client]) -> None:
        """Leaves nothing: its client was not told the address."""
        daemon, client = reached
        wire = head(
            "POST", FILES, len(BODY), Upload_Complete="?1", Upload_Draft_Interop_Version="9", **named("x.xml")
        )
        talk = client.open()
        talk.line.sendall(wire.replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1) + BODY[:-1])
        talk.line.close()
        daemon.wait_for("upload of x.xml broke off")

        def is_gone() -> bool:
            with closing(sqlite3.connect(daemon.temp / "exchange.sqlite3")) as catalog:
                return bool(catalog.execute("SELECT state FROM uploads").fetchall() == [("gone",)])

        wait_until(is_gone)


def ask_as_1_0(client: Client, wire: bytes) -> bytes:
    """Send a request by HTTP/1.0; return all that comes until the connection ends."""
    talk = client.open()
    with talk.line as line:
        line.sendall(wire.replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1))
        received = b""
        while block := line.recv(65536):
            received += block
    return received
