"""Starts our programs that read untrusted files, each in a process of its own, and kills one that nobody needs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TooMuchAsked", "run_program"]

NEEDED = frozenset({"LD_LIBRARY_PATH"})
"""Environment variables that are passed on: some Pythons do not start without them."""

COMPLAINT_LIMIT = 500
"""Bytes of a process's standard error that are kept for the log."""


class TooMuchAsked(Exception):
    """The process ended without a result: it took too much time or memory."""


class _Run(ProcessProtocol):
    """One running program."""

    def __init__(self, written: bytes, take: Callable[[bytes], None]) -> None:
        self.ended: Deferred[None] = Deferred(lambda _: self.kill())
        self._written, self._take = written, take
        self._complaint = b""

    def connectionMade(self) -> None:
        transport: Any = self.transport
        if self._written:  # an empty write would stop the transport from noticing the end of the process
            transport.write(self._written)

    def outReceived(self, data: bytes) -> None:
        """Pass on what it writes; it is killed when that raises, and the caller receives the exception."""
        if self.ended.called:
            return
        try:
            self._take(data)
        except Exception:
            self.kill()
            self.ended.errback(Failure())

    def errReceived(self, data: bytes) -> None:
        self._complaint = (self._complaint + data)[-COMPLAINT_LIMIT:]

    def processEnded(self, reason: Failure) -> None:
        """Report the end, now that all output has arrived."""
        if self.ended.called:
            return  # nobody waits any longer
        if reason.check(ProcessDone):
            self.ended.callback(None)
        else:
            complaint = self._complaint.decode("utf-8", "replace").strip().rpartition("\n")[2]
            self.ended.errback(TooMuchAsked(complaint or str(reason.value)))

    def kill(self) -> None:
        """Kill the process, unless it has ended."""
        transport: Any = self.transport
        if transport.pid is not None:
            transport.signalProcess("KILL")


def run_program(
    reactor: Any,
    program: str,
    arguments: list[str],
    fd: int,
    take: Callable[[bytes], None],
    *,
    timeout: float,
    written: bytes = b"",
) -> Deferred[None]:
    """Run a program by its path, and fire when it has ended successfully, within ``timeout`` seconds.

    It is given the daemon's process id and the arguments, ``fd`` as descriptor 3, and ``written`` on standard input;
    ``take`` receives what it writes. The caller may close ``fd`` at once. Fails with ``TooMuchAsked``, and what
    ``take`` raises. Cancellation kills the process. Raises ``OSError`` if no process can be started.
    """
    run = _Run(written, take)
    command = [sys.executable, "-I", "-S", program, str(os.getpid()), *arguments]
    environment = {name: value for name, value in os.environ.items() if name in NEEDED}
    pipes = {0: "w", 1: "r", 2: "r", 3: fd}
    reactor.spawnProcess(run, sys.executable, command, env=environment, childFDs=pipes)

    def report_late(failure: Failure) -> Failure:
        if failure.check(defer.TimeoutError):
            raise TooMuchAsked(f"it had not ended after {timeout:.0f} s")
        return failure

    return run.ended.addTimeout(timeout, reactor).addErrback(report_late)
