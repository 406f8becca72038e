"""Starts an importer's program, in the process that becomes it: ``launch.py PARENT PROGRAM FOLDER NAME``.

The program leads a process group of its own, so that it can be ended together with what it has started. It is told to
end when the daemon dies; whatever of it lives on keeps the lock of its session's folder, so that the daemon's
successor does not import the same session beside it. Run by its path, not imported: it starts without our package.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def _die_with(parent: int) -> None:
    """Have the system end this process when its parent is gone, where it can (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the daemon has ended")


def _hold(folder: str) -> None:
    """Wait for the folder's lock, and hold it as long as this process, or one that it starts, lives."""
    try:
        fd = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return  # an event without files
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.set_inheritable(fd, True)


def main(parent: str, program: str, folder: str, name: str) -> None:
    """Become the program."""
    os.setsid()
    _die_with(int(parent))
    _hold(folder)
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and a program would inherit that
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execv(program, [program, folder, name])  # noqa: S606 - that is what this is for
    except OSError as error:
        sys.stderr.write(f"{program} cannot be started: {error.strerror}\n")
        sys.exit(os.EX_TEMPFAIL)


if __name__ == "__main__":
    main(*sys.argv[1:])
