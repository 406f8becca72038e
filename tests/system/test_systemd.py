"""The units of systemd: what its own tools say of them, and a daemon that takes its port over as they tell it to."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import threading
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

import pytest
from certificates import make_certificate
from daemon import PATIENCE, SCRIPTS
from front import DEPLOY, Client, htpasswd, launch, replaced, setting, wait_until
from processes import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from daemon import Daemon

pytestmark = pytest.mark.skipif("ONEC_TEST_DEPLOY" not in os.environ, reason="tox -e deploy runs it")

SERVICE = DEPLOY / "onec-exchange.service"
SOCKET = DEPLOY / "onec-exchange.socket"
SHARD_SERVICE = DEPLOY / "onec-exchange@.service"
SHARD_SOCKET = DEPLOY / "onec-exchange@.socket"
TWISTD = "/opt/onec-exchange/bin/twistd -n"
EXPOSURE = 1.5
"""What the hardening comes to, of 10, as ``systemd-analyze security`` counts."""

RESTARTS = 3
LOGIN = (
    b"GET /1c_exchange.php?type=catalog&mode=checkauth HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.7\r\n"
    b"Authorization: Basic c2hvcDpzZWNyZXQ=\r\n\r\n"
)


def start_command(folder: Path, listen: str = "domain=INET") -> list[str]:
    """Return the command line of the service, with paths and the port of the status page of this test."""
    (line,) = setting(SERVICE, "ExecStart")
    changes = {
        TWISTD: f"{SCRIPTS}/twistd -n",
        "domain=INET": listen,
        "tcp:8081:": f"tcp:{free_port()}:",
        "/etc/onec.htpasswd": str(htpasswd(folder / "htpasswd")),
        "/srv/shop/media": f"{folder}/run/media",
    }
    return shlex.split(replaced(line, changes))


def end(daemon: Daemon) -> None:
    """Stop the daemon as systemd does, which takes an end by the signal that it has sent for a good one."""
    assert daemon.stop() in (0, -signal.SIGTERM), daemon.log
    daemon.wait_for("Server Shut Down")


def analyze(*arguments: object) -> str:
    """Run systemd-analyze, which must be content, and return what it prints."""
    done = subprocess.run(
        ["systemd-analyze", "--no-pager", *(str(argument) for argument in arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(params=[(SERVICE, SOCKET), (SHARD_SERVICE, SHARD_SOCKET)], ids=["one", "shard"])
def units(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """Two units, with the path of the twistd that is here; the templates as those of shard 1."""
    folder = tmp_path / "units"
    folder.mkdir()
    service, port = (folder / unit.name.replace("@", "@1") for unit in request.param)
    settings = request.param[0].read_text(encoding="utf-8")
    assert settings.count(TWISTD) == 2, "the check, and the daemon"
    service.write_text(settings.replace(TWISTD, f"{SCRIPTS}/twistd -n"), "utf-8")
    shutil.copy(request.param[1], port)
    return service, port


def test_systemd_has_nothing_to_say_about_the_units(units: tuple[Path, Path]) -> None:
    """Every setting is known, and every program is there."""
    assert analyze("verify", *units) == ""


def test_the_walls_are_as_high_as_they_were(units: tuple[Path, Path]) -> None:
    """What systemd counts as exposure does not grow unseen."""
    said = analyze("security", "--offline=true", f"--threshold={EXPOSURE * 10:.0f}", units[0])

    assert float(re.findall(r"Overall exposure level .*: ([0-9.]+)", said)[0]) <= EXPOSURE


def test_the_units_fit_one_another_and_the_daemon() -> None:
    """The name of the port is the one that the daemon asks for; a gentle stop has its time."""
    (name,) = setting(SOCKET, "FileDescriptorName")
    (command,) = setting(SERVICE, "ExecStart")

    assert f"--listen=systemd:domain=INET:name={name} " in command
    assert [check.split() for check in setting(SERVICE, "ExecStartPre")] == [[*command.split(), "--check"]]
    assert setting(SERVICE, "Requires") == [SOCKET.name]
    assert int(setting(SERVICE, "TimeoutStopSec")[0]) > 30 + 30
    assert setting(SERVICE, "ReadWritePaths") == [re.findall(r"--media-root=(\S+)", command)[0]]


def settings_of(path: Path) -> list[str]:
    """Return the settings of a unit, one a line."""
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


def test_the_templates_are_the_units_with_another_name() -> None:
    """What a shard has of its own, and nothing else, follows from its name."""
    changes = {
        "1C:Enterprise": "1C:Enterprise, shard %i",
        "onec-exchange.socket": "onec-exchange@%i.socket",
        "127.0.0.1:8080": "127.0.0.1:818%i",
        "tcp:8081:": "tcp:819%i:",
        "/srv/shop/media": "/srv/shop/shard-%i",
    }

    def changed(path: Path, *without: str) -> list[str]:
        lines = [line for line in settings_of(path) if not line.startswith(without)]
        for one, shards in changes.items():
            lines = [line.replace(one, shards) for line in lines]
        return lines

    assert [line for line in settings_of(SHARD_SERVICE) if line != "    --shard=%i \\"] == changed(SERVICE, "Runtime")
    assert settings_of(SHARD_SOCKET) == changed(SOCKET, "-")
    assert "--shard=%i " in setting(SHARD_SERVICE, "ExecStart")[0]


@pytest.mark.parametrize(
    ("domain", "bound", "asking"),
    [
        ("INET", "127.0.0.1", {"127.0.0.1": "192.0.2.7"}),
        ("INET6", "::", {"127.0.0.1": "192.0.2.7", "::1": "::1"}),
    ],
)
def test_a_restart_refuses_nobody(domain: str, bound: str, asking: dict[str, str], tmp_path: Path) -> None:
    """Who connects while no daemon runs is answered by the next one; a node goes on with its cookie.

    Over IPv4 alone, and over both. ``asking`` tells who the daemon sees when somebody says that it is 192.0.2.7:
    IPv4 is trusted by the service's command line, in both cases.
    """
    family = socket.AF_INET if domain == "INET" else socket.AF_INET6
    with socket.create_server((bound, 0), family=family, dualstack_ipv6=domain == "INET6") as port:
        number = port.getsockname()[1]
        command = start_command(tmp_path, f"domain={domain}")
        daemon = launch(tmp_path / "run", command, port)
        node = Client("127.0.0.1", number)
        node.checkauth()
        node.init()
        node.send_file("goods.xml", b"<first>,")
        end(daemon)

        lines = [socket.create_connection((host, number), PATIENCE) for host in asking]
        for line in lines:
            line.sendall(LOGIN)
        node.go_on_at(number)
        waiting = threading.Thread(target=node.send_file, args=("goods.xml", b"</first>"))
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()

        daemon = launch(tmp_path / "run", command, port)
        waiting.join(PATIENCE)
        for line, seen in zip(lines, asking.values(), strict=True):
            assert line.recv(12) == b"HTTP/1.1 200"
            daemon.wait_for(f"opened by shop from {seen}\n")
            line.close()
        assert (daemon.temp / node.sessid / "goods.xml").read_bytes() == b"<first>,</first>"
        node.import_file("goods.xml")
        node.close()
        end(daemon)


def test_the_last_requests_are_answered(tmp_path: Path) -> None:
    """A request that comes a moment after the signal, on a connection that the daemon has taken, is not lost."""
    with socket.create_server(("127.0.0.1", 0)) as port:
        daemon = launch(tmp_path / "run", start_command(tmp_path), port)
        lines = [HTTPConnection("127.0.0.1", port.getsockname()[1], timeout=PATIENCE) for _ in range(10)]
        for signalled in (False, True):
            if signalled:
                daemon.process.terminate()
                daemon.wait_for("Received SIGTERM")
            for line in lines:
                line.request("GET", "/1c_exchange.php?type=listen")
                with line.getresponse() as response:
                    response.read()
                    assert response.status == 304
        for line in lines:
            line.close()
        daemon.process.wait(PATIENCE)


def test_restarts_under_load(tmp_path: Path) -> None:
    """Each of those who ask all the time gets an answer, whatever the daemon is about to do."""
    answers: list[int] = []
    troubles: list[BaseException] = []
    over = threading.Event()

    def ask(port: int) -> None:
        while not over.is_set():
            line = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            try:
                line.request("GET", "/1c_exchange.php?type=listen")
                with line.getresponse() as response:
                    response.read()
                    answers.append(response.status)
            except (OSError, HTTPException) as trouble:
                troubles.append(trouble)
            finally:
                line.close()

    with socket.create_server(("127.0.0.1", 0)) as port:
        command = start_command(tmp_path)
        askers = [threading.Thread(target=ask, args=port.getsockname()[1:]) for _ in range(4)]
        for asker in askers:
            asker.start()
        try:
            for _ in range(RESTARTS):
                daemon = launch(tmp_path / "run", command, port)
                heard = len(answers)
                wait_until(lambda heard=heard: len(answers) > heard + 20)  # type: ignore[misc]
                end(daemon)
            last = launch(tmp_path / "run", command, port)
            over.set()
            for asker in askers:
                asker.join(PATIENCE)
        finally:
            over.set()
        end(last)

    assert troubles == []
    assert set(answers) == {304}


def allowed_calls() -> set[str]:
    """Return the system calls that the service's filters leave, their groups resolved by systemd."""
    allowed: set[str] = set()
    for filter_ in setting(SERVICE, "SystemCallFilter"):
        refused, names = filter_.startswith("~"), filter_.removeprefix("~").split()
        calls = set().union(*(resolved(name) for name in names))
        allowed = allowed - calls if refused else allowed | calls
    return allowed


def resolved(name: str) -> set[str]:
    """Return the system calls of a group and of the groups in it."""
    if not name.startswith("@"):
        return {name}
    _, *members = analyze("syscall-filter", name).split("\n")
    found = [line.strip() for line in members if line.strip() and not line.strip().startswith("#")]
    return set().union(*(resolved(member) for member in found))


def test_the_walls_leave_what_the_daemon_needs(tmp_path: Path) -> None:
    """TLS, a dialogue, a program that imports and a reload do nothing that the service is not allowed to do."""
    importer = tmp_path / "import.sh"
    importer.write_text('#!/bin/sh\necho reading\ncat "$1/$2" > "$1/$2.seen"\n', encoding="ascii")
    importer.chmod(0o755)
    paper = make_certificate(tmp_path, "shop.example")
    trace = tmp_path / "trace"
    tls = free_port()
    with socket.create_server(("127.0.0.1", 0)) as port:
        command = [
            *("strace", "-D", "-f", "-qq", "-s", "0", "-o", str(trace)),
            *start_command(tmp_path),
            f"--listen=ssl:{tls}:interface=127.0.0.1:privateKey={paper.key}:certKey={paper.chain}",
            f"--importer=exec:{importer}",
        ]
        daemon = launch(tmp_path / "run", command, port, endpoints=2)
        for number, context in ((port.getsockname()[1], None), (tls, paper.trusted())):
            node = Client("127.0.0.1", number, context=context)
            node.checkauth()
            node.init()
            node.send_file("goods.xml", b"<all>" + b"<goods/>" * 100_000 + b"</all>")
            node.import_file("goods.xml")
            node.close()
            assert (daemon.temp / node.sessid / "goods.xml.seen").exists()
        make_certificate(tmp_path, "shop.example")
        (again,) = setting(SERVICE, "ExecReload")
        subprocess.run(shlex.split(again.replace("$MAINPID", str(daemon.process.pid))), check=True)
        daemon.wait_for("renewed certificate loaded")
        end(daemon)
    over = re.compile(rf"^{daemon.process.pid} +\+\+\+ (killed by SIGTERM|exited with 0)", re.MULTILINE)
    wait_until(lambda: over.search(trace.read_text("utf-8")) is not None)
    calls = trace.read_text("utf-8")

    # as root, SQLite gives the files beside its database to the database's owner; a process that reads documents does
    # its work with the daemon's priority, too
    assert set(re.findall(r"^\d+ +(\w+)\(", calls, re.MULTILINE)) - allowed_calls() <= {"fchown", "setpriority"}
    assert set(re.findall(r" socket\((AF_\w+)", calls)) <= set(setting(SERVICE, "RestrictAddressFamilies")[0].split())
    written = set(re.findall(r'open(?:at)?\((?:AT_FDCWD, )?"([^"]+)", [^,)]*O_(?:WRONLY|RDWR)', calls))
    ours = str(tmp_path / "run" / "media")
    assert {path for path in written if path.startswith("/") and not path.startswith((ours, "/dev/"))} <= cached(
        written
    )


def cached(paths: set[str]) -> set[str]:
    """Return those that Python and Twisted can do without: what they have read, in a form that is read faster."""
    return {path for path in paths if "/__pycache__/" in path or path.rpartition("/")[2].startswith("dropin.cache")}
