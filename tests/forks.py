"""Processes for tests, forked from one that has imported what they need: see ``fork_server``.

What comes back is a ``subprocess.Popen`` of a child of our own: its pid, signals, exit status and usage are those of
the real process. A test whose point is what a service manager does, to execute a program, is marked ``executed``.
"""

from __future__ import annotations

import ctypes
import inspect
import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER = Path(__file__).with_name("fork_server.py")
PR_SET_CHILD_SUBREAPER = 36

READ_LATE = frozenset({"ONEC_PASSWORD", "PYTEST_CURRENT_TEST", "TMPDIR"})
"""Variables that nothing reads while it is imported: a forked script may have others than the server has."""


@contextmanager
def adopting() -> Iterator[None]:
    """Become the parent of grandchildren whose parent ends: so a process forked elsewhere is a child of ours."""
    _adopt(1)
    try:
        yield
    finally:
        _adopt(0)


def _adopt(adopts: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, adopts, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


@define(eq=False)
class ForkServer:
    """The server of this pytest, which starts when it is first asked, and ends when its socket does."""

    environment: dict[str, str] = field(factory=dict)
    process: subprocess.Popen[str] | None = None
    line: socket.socket | None = None
    executes: bool = False
    _lock: Lock = field(factory=Lock)

    def suits(self, env: dict[str, str]) -> bool:
        """Return whether a process with this environment may be forked."""
        if self.executes:
            return False
        mine = self.environment if self.process is not None else dict(os.environ)
        return all(mine.get(name) == env.get(name) for name in {*mine, *env} - READ_LATE)

    def fork(self, streams: list[int], **asked: Any) -> int:
        """Return the pid of a new child of ours."""
        with self._lock, adopting():
            line = self.line or self._start()
            answer = b""
            with suppress(ConnectionError):
                socket.send_fds(line, [json.dumps(asked).encode()], streams)
                answer = line.recv(32)
        if not answer:
            raise RuntimeError(f"the fork server ended: {self.stop()}")
        return int(answer)

    def _start(self) -> socket.socket:
        self.environment = dict(os.environ)
        self.line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # Pipes as streams: they are not seekable, as those of most children are not
            self.process = subprocess.Popen(
                [sys.executable, str(SERVER), str(theirs.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                pass_fds=(theirs.fileno(),),
            )
        return self.line

    def stop(self) -> str:
        """End it, and return its complaints; what it has forked goes on."""
        if self.process is None or self.line is None:
            return ""
        self.line.close()
        _, complaints = self.process.communicate(timeout=60)
        self.process = self.line = None
        return complaints


SERVING = ForkServer()


class Forked(subprocess.Popen[Any]):
    """A process that is forked, not executed; all else is its base class's."""

    def _execute_child(self, *given: Any) -> None:
        asked = inspect.signature(super()._execute_child).bind(*given).arguments  # type: ignore[misc]  # private
        pipes = [asked[end] for end in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")]
        theirs = [asked["p2cread"], asked["c2pwrite"], asked["errwrite"]]
        umask = os.umask(0)
        os.umask(umask)
        try:
            self.pid = SERVING.fork(
                [number if end == -1 else end for number, end in enumerate(theirs)],
                argv=asked["args"],
                cwd=os.fspath(asked["cwd"] or os.getcwd()),
                env=dict(asked["env"]),
                umask=umask,
                start_new_session=asked["start_new_session"],
            )
            self._child_created = True
        finally:
            self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]  # private


def spawn(command: list[str], **keywords: Any) -> subprocess.Popen[Any]:
    """Start a Python script with its arguments, forked where nothing speaks against it; else as ``Popen`` does."""
    env = dict(keywords.pop("env", None) or os.environ)
    if SERVING.suits(env):
        return Forked(command[1:] if command[0] == sys.executable else command, env=env, **keywords)
    return subprocess.Popen(command, env=env, **keywords)


def finish(command: list[str], timeout: float, **keywords: Any) -> subprocess.CompletedProcess[str]:
    """Run a Python script to its end, as ``subprocess.run`` does; return what it printed and complained."""
    with spawn(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **keywords) as process:
        try:
            out, complaints = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, complaints)
