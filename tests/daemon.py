"""The real ``twistd onec-exchange``, on a port that it chose itself."""

from __future__ import annotations

import os
import queue
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from attrs import define, field
from forks import finish, spawn

SCRIPTS = Path(sys.executable).parent
PATIENCE = 60
"""Seconds after which a test gives up on a process."""

INTAKE = os.environ.get("ONEC_TEST_INTAKE", "auto")
"""How bodies come in: tox runs the suite with each of them."""

AUTH = "--auth=memory:shop:secret"
LISTENING = re.compile(r"ExchangeSite.* starting on ['\"]?([^\s'\"}]+)")


@define(eq=False)
class Daemon:
    """A twistd that runs in ``folder``; ``endpoints`` is what it listens on, a port number or a path each."""

    folder: Path
    process: subprocess.Popen[str]
    endpoints: list[str] = field(factory=list)
    output: list[str] = field(factory=list)

    @property
    def port(self) -> int:
        """Return the first port."""
        return int(self.endpoints[0])

    @property
    def admin_port(self) -> int:
        """Return the port of the status page."""
        self.wait_for("AdminSite")
        match = re.search(r"AdminSite.* starting on (\d+)", self.log)
        assert match is not None, self.log
        return int(match[1])

    @property
    def temp(self) -> Path:
        """Return the folder of all sessions."""
        return self.folder / "media" / "1c_temp"

    @property
    def log(self) -> str:
        """Return what it has printed so far."""
        return "".join(self.output)

    def wait_for(self, words: str, times: int = 1) -> None:
        """Wait until it has printed something so often."""
        deadline = time.monotonic() + PATIENCE
        while self.log.count(words) < times:
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)

    def peak_memory(self) -> int:
        """Return the most memory that it ever had, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        match = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert match is not None
        return int(match[1]) * 1024

    def stop(self) -> int:
        """End it as a service manager does, and return its exit status."""
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """End it as a power cut does."""
        self.process.kill()
        self.process.wait(PATIENCE)


def connect_unix(path: Path) -> socket.socket:
    """Connect to a unix socket: Twisted says that it listens a moment before it does."""
    deadline = time.monotonic() + PATIENCE
    while True:
        line = socket.socket(socket.AF_UNIX)
        try:
            line.connect(str(path))
            return line
        except OSError:
            line.close()
            assert time.monotonic() < deadline
            time.sleep(0.02)


def command(*arguments: str, twistd: tuple[str, ...] = ("-n", "--pidfile=")) -> list[str]:
    """Return the command line of the daemon."""
    return [str(SCRIPTS / "twistd"), *twistd, "onec-exchange", *arguments]


def start(
    folder: Path,
    *arguments: str,
    listen: tuple[str, ...] = ("tcp:0:interface=127.0.0.1",),
    twistd: tuple[str, ...] = ("-n", "--pidfile="),
    auth: str = AUTH,
) -> Daemon:
    """Start the daemon in a folder, and return when it listens on all endpoints.

    It takes any bytes for a document, as most tests send a few, unless the arguments say otherwise.
    """
    folder.mkdir(exist_ok=True)
    listening = [f"--listen={endpoint}" for endpoint in listen]
    process = spawn(
        command(
            auth,
            "--access-log=yes",
            "--check-documents=no",
            f"--intake={INTAKE}",
            *listening,
            *arguments,
            twistd=twistd,
        ),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="backslashreplace",  # a locale's own letters
    )
    daemon = Daemon(folder, process)
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                daemon.output.append(line)
                lines.put(line)
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    try:
        while len(daemon.endpoints) < len(listen):
            line = lines.get(timeout=PATIENCE)
            assert line, f"the daemon ended: {daemon.log}"
            match = LISTENING.search(line)
            if match is not None:
                daemon.endpoints.append(match[1])
    except BaseException:
        daemon.kill()  # a failure is one test's, not also that of the next
        raise
    return daemon


def run(folder: Path, *arguments: str, twistd: tuple[str, ...] = ("-n", "--pidfile=")) -> tuple[int, str, str]:
    """Run a daemon that cannot start; return its exit status and what it printed and complained.

    Unless an argument says where it listens, that is any free port: the usual one may be another's.
    """
    if not any(argument.startswith("--listen") for argument in arguments):
        arguments = (*arguments, "--listen=tcp:0:interface=127.0.0.1")
    done = finish(command(*arguments, twistd=twistd), PATIENCE, cwd=folder)
    return done.returncode, done.stdout, done.stderr
