"""Runs an importer's program: ``launch.py PARENT PROGRAM FOLDER NAME LOCKED``, in a process group of their own.

With a further argument, PATIENCE, the daemon writes to the descriptor ``TICKS_FD`` all the time. When it is silent
for so many seconds, it is frozen, and another one will deliver the hand-off: the program is terminated then, too.

It supervises the program, and terminates it with all its descendants when the daemon orders it to or dies. On Linux
that includes descendants in other groups or sessions: orphans become children of this process. It holds the session's
lock, in the folder LOCKED, or in FOLDER without it, until then, so that a restarted daemon does not import the same
session at the same time. Only the daemon's user may open the lock file; otherwise others on the machine could block
an import. Run by its path, not imported: it starts without our package.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import signal
import stat
import sys
import time
from contextlib import suppress

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

LOCK = ".lock"
"""The lock's name in the session's folder: no file of a node begins with a dot."""

TERM_GRACE = 5
"""Seconds between SIGTERM and SIGKILL."""

TICKS_FD = 3
"""The descriptor by which the daemon says that it is not frozen."""

KILL_ROUNDS = 50
"""Rounds of SIGKILL, each of which includes newly started processes; a second later the rounds start over."""


def _prctl(option: int, value: int) -> None:
    """Call ``prctl`` on Linux; do nothing elsewhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _parents() -> dict[int, int]:
    """Return the parents of all live processes by process id; empty if there is no ``/proc``."""
    found: dict[int, int] = {}
    try:
        names = os.listdir("/proc")
    except OSError:
        return found
    for name in filter(str.isdecimal, names):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                state, parent = file.read().rpartition(b")")[2].split()[:2]
        except OSError:
            continue  # it has ended
        if state not in (b"Z", b"X"):
            found[int(name)] = int(parent)
    return found


def _started() -> list[int]:
    """Return all descendants of this process."""
    parents = _parents()
    found = [os.getpid()]
    for one in found:  # the list grows during the loop
        found += [pid for pid, parent in parents.items() if parent == one]
    return found[1:]


def _signal_all(number: int) -> bool:
    """Send a signal to all descendants; return whether there are any."""
    pids = _started()
    for pid in pids:
        with suppress(OSError):  # it has ended, or belongs to another user
            os.kill(pid, number)
    return bool(pids)


def _end_all(*_: object) -> None:
    """Terminate all descendants, and kill those left after the grace period."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, _kill_all)
    signal.alarm(TERM_GRACE)
    if not _signal_all(signal.SIGTERM):
        os.killpg(0, signal.SIGTERM)


def _kill_all(*_: object) -> None:
    """Kill all descendants."""
    if not _parents():
        os.killpg(0, signal.SIGKILL)  # this process as well
    signal.alarm(1)
    for _round in range(KILL_ROUNDS):
        if not _signal_all(signal.SIGKILL):
            break
        time.sleep(0.01)


def _end_with(parent: int) -> None:
    """Terminate everything when the daemon dies, where the system reports that (Linux)."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit("the daemon has ended")


def _watch(patience: float) -> None:
    """Terminate everything when the daemon is silent; in a thread, because this process waits for its children."""
    import select
    import threading

    main = threading.main_thread().ident

    def watch() -> None:
        while select.select([TICKS_FD], [], [], patience)[0] and os.read(TICKS_FD, 4096):
            pass
        if main is not None:
            signal.pthread_kill(main, signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _hold(folder: str) -> None:
    """Acquire the session's lock, and hold it until this process ends."""
    path = f"{folder}/{LOCK}"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except FileNotFoundError:
        return  # an event without files
    except OSError as error:
        raise _given_up(f"{LOCK} cannot be opened: {error.strerror}") from None
    status = os.fstat(fd)
    if status.st_uid != os.geteuid() or not stat.S_ISREG(status.st_mode):
        raise _given_up(f"{LOCK} is in the way: it is none of ours")
    os.fchmod(fd, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)


def _given_up(words: str) -> SystemExit:
    """Return the exit for a program that could not be started, which requests a retry."""
    sys.stderr.write(f"{words}\n")
    return SystemExit(os.EX_TEMPFAIL)


def _become(program: str, folder: str, name: str) -> None:
    """Execute the program, with default handlers for the signals that Python ignores."""
    for number in (signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execv(program, [program, folder, name])  # noqa: S606 - the purpose of this module
    except OSError as error:
        raise _given_up(f"{program} cannot be started: {error.strerror}") from None


def _end_of(child: int | None) -> int:
    """Return a child's exit status; for None, wait for all children. Orphans are reaped as well."""
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            return 0
        if pid == child:
            return status


def main(parent: str, program: str, folder: str, name: str, locked: str = "", patience: str = "") -> None:
    """Run the program, and exit with its status or signal."""
    os.setsid()
    if patience:
        os.set_inheritable(TICKS_FD, False)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    _end_with(int(parent))
    _hold(locked or folder)
    signal.signal(signal.SIGTERM, _end_all)
    child = os.fork()
    if not child:
        _become(program, folder, name)
    if patience:
        _watch(float(patience))
    status = _end_of(child)
    if signal.getsignal(signal.SIGTERM) is not _end_all:
        if not _parents():
            os.killpg(0, signal.SIGKILL)  # descendants that ignored SIGTERM, and this process as well
        _end_of(None)
        signal.alarm(0)
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
