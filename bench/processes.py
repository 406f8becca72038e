"""Processes that the benchmark starts: begun, measured from outside through the kernel, and ended by their id."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define

from bench.client import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["CannotRun", "Running", "cpu_seconds", "free_port", "memory", "peak_memory", "started", "tree"]

PATIENCE = 30.0
"""Seconds that a server may take to start, and to end."""

LINE = 300
"""Letters of a line that are shown."""


class CannotRun(Exception):
    """A program ended, or did not begin to listen; the words hold its last line."""


@define(eq=False)
class Running:
    """A server that listens on ``port``; ``folder`` is its own."""

    process: subprocess.Popen[bytes]
    folder: Path
    port: int

    @property
    def pid(self) -> int:
        """Return the id of its first process."""
        return self.process.pid

    @property
    def printed(self) -> str:
        """Return the last line that it has printed."""
        lines = (self.folder / "printed").read_text(errors="replace").strip().splitlines()
        return lines[-1][-LINE:] if lines else "it printed nothing"

    def wait_until_it_listens(self) -> None:
        """Wait for its port. Raises ``CannotRun``."""
        end = time.monotonic() + PATIENCE
        while True:
            if self.process.poll() is not None:
                raise CannotRun(f"it ended with status {self.process.returncode}: {self.printed}")
            with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), 1):
                return
            if time.monotonic() > end:
                raise CannotRun(f"it did not listen after {PATIENCE:g} s: {self.printed}")
            time.sleep(0.05)

    def end(self) -> None:
        """End it and all processes of its group, gently and then not."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE)
        with contextlib.suppress(ProcessLookupError):
            # the group that we made for it: children that outlived it are in it
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def free_port() -> int:
    """Return a port of this machine that nobody uses."""
    with socket.create_server((HOST, 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextlib.contextmanager
def started(
    command: Sequence[str], folder: Path, port: int, cwd: Path, environment: Mapping[str, str]
) -> Iterator[Running]:
    """Start a server in a process group of its own, and end it at the end of the context."""
    with (folder / "printed").open("wb") as printed:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the benchmark, which ends it
        )
    running = Running(process, folder, port)
    try:
        yield running
    finally:
        running.end()


def tree(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def cpu_seconds(pid: int) -> float:
    """Return the processor seconds, of user and of system, that a process tree has taken so far.

    The kernel's clock of a process counts them in nanoseconds; /proc/PID/stat has the same in steps of 10 ms.
    """
    seconds = 0.0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            # clock_getcpuclockid(3): the id's complement, and 2 for "scheduler's time of the whole process"
            seconds += time.clock_gettime((~one << 3) | 2)
    return seconds


def memory(pid: int) -> int:
    """Return the resident memory of a process tree, in bytes."""
    return sum(_status(one, "VmRSS") for one in tree(pid))


def peak_memory(pid: int) -> int:
    """Return the most memory that the processes of a tree ever had resident, in bytes."""
    return sum(_status(one, "VmHWM") for one in tree(pid))


def _status(pid: int, name: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0
