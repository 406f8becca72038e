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

__all__ = ["CannotRun", "Place", "Running", "cpu_seconds", "free_port", "memory", "peak_memory", "started", "tree"]

PATIENCE = 30.0
"""Seconds that a server may take to start, and to end."""

LINE = 300
"""Letters of a line that are shown."""

Place = tuple[str, int] | str
"""Where a server listens: an address and a port, or the path of a unix socket."""


class CannotRun(Exception):
    """A program ended, or did not begin to listen; the words hold its last line."""


@define(eq=False)
class Running:
    """A server of one or more processes that listens at all ``places``; ``folder`` is its own."""

    processes: list[subprocess.Popen[bytes]]
    folder: Path
    places: Sequence[Place]

    @property
    def pids(self) -> list[int]:
        """Return the ids of the processes that were started."""
        return [process.pid for process in self.processes]

    @property
    def printed(self) -> str:
        """Return the last line that it has printed."""
        lines = (self.folder / "printed").read_text(errors="replace").strip().splitlines()
        return lines[-1][-LINE:] if lines else "it printed nothing"

    def wait_until_it_listens(self) -> None:
        """Wait for all its places. Raises ``CannotRun``."""
        end = time.monotonic() + PATIENCE
        for place in self.places:
            while not _listens(place):
                for process in self.processes:
                    if process.poll() is not None:
                        raise CannotRun(f"it ended with status {process.returncode}: {self.printed}")
                if time.monotonic() > end:
                    raise CannotRun(f"it did not listen after {PATIENCE:g} s: {self.printed}")
                time.sleep(0.05)

    def end(self) -> None:
        """End its processes and all of their groups, gently and then not."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            with contextlib.suppress(ProcessLookupError):
                # the group that we made for it: children that outlived it are in it
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _listens(place: Place) -> bool:
    """Tell whether somebody listens there."""
    with socket.socket(socket.AF_UNIX if isinstance(place, str) else socket.AF_INET) as trial:
        trial.settimeout(1)
        with contextlib.suppress(OSError):
            trial.connect(place)
            return True
    return False


def free_port() -> int:
    """Return a port of this machine that nobody uses."""
    with socket.create_server((HOST, 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextlib.contextmanager
def started(
    commands: Sequence[Sequence[str]],
    folder: Path,
    places: Sequence[Place],
    cwd: Path,
    environment: Mapping[str, str],
) -> Iterator[Running]:
    """Start a server, each command in a process group of its own, and end it at the end of the context."""
    running = Running([], folder, places)
    try:
        with (folder / "printed").open("ab") as printed:
            for command in commands:
                running.processes.append(
                    subprocess.Popen(
                        command,
                        cwd=cwd,
                        env={**os.environ, **environment},
                        stdin=subprocess.DEVNULL,
                        stdout=printed,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,  # Ctrl-C is for the benchmark, which ends it
                    )
                )
        yield running
    finally:
        running.end()


def tree(pids: Sequence[int]) -> list[int]:
    """Return processes and all that descend from them."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found = list(pids)
    for one in found:
        found += children.get(one, [])
    return found


def cpu_seconds(pids: Sequence[int]) -> float:
    """Return the processor seconds, of user and of system, that processes and their descendants have taken so far.

    The kernel's clock of a process counts them in nanoseconds; /proc/PID/stat has the same in steps of 10 ms.
    """
    seconds = 0.0
    for one in tree(pids):
        with contextlib.suppress(OSError):
            # clock_getcpuclockid(3): the id's complement, and 2 for "scheduler's time of the whole process"
            seconds += time.clock_gettime((~one << 3) | 2)
    return seconds


def memory(pids: Sequence[int]) -> int:
    """Return the resident memory of processes and their descendants, in bytes."""
    return sum(_status(one, "VmRSS") for one in tree(pids))


def peak_memory(pids: Sequence[int]) -> int:
    """Return the most memory that processes and their descendants ever had resident, in bytes."""
    return sum(_status(one, "VmHWM") for one in tree(pids))


def _status(pid: int, name: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0
