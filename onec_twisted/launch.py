"""Runs an importer's program: ``launch.py PARENT PROGRAM FOLDER NAME``, in a process group of their own.

It stays beside the program, and ends it, with all that it has started, when the daemon says so or dies. It holds the
lock of the session's folder until then: a daemon's successor does not import the same session beside it. Run by its
path, not imported: it starts without our package.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1

MERCY = 5
"""Seconds between asking all to end and ending them."""


def _end_all(*_: object) -> None:
    """Ask the whole group to end; by force a little later."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(0, signal.SIGKILL))
    signal.alarm(MERCY)
    os.killpg(0, signal.SIGTERM)


def _end_with(parent: int) -> None:
    """End all when the daemon is gone, where the system tells (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the daemon has ended")


def _hold(folder: str) -> None:
    """Wait for the folder's lock, and hold it as long as this process lives."""
    try:
        fd = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return  # an event without files
    fcntl.flock(fd, fcntl.LOCK_EX)


def _become(program: str, folder: str, name: str) -> None:
    """Become the program, with the signals that it expects: Python ignores some."""
    for number in (signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execv(program, [program, folder, name])  # noqa: S606 - that is what this is for
    except OSError as error:
        sys.stderr.write(f"{program} cannot be started: {error.strerror}\n")
        sys.exit(os.EX_TEMPFAIL)


def main(parent: str, program: str, folder: str, name: str) -> None:
    """Run the program, and end as it does."""
    os.setsid()
    _end_with(int(parent))
    _hold(folder)
    signal.signal(signal.SIGTERM, _end_all)
    child = os.fork()
    if not child:
        _become(program, folder, name)
    _, status = os.waitpid(child, 0)
    if signal.getsignal(signal.SIGTERM) is not _end_all:
        os.killpg(0, signal.SIGKILL)  # what it has started, and did not listen; this process as well
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])
