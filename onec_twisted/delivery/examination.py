"""Reads an archive in a separate process, ``examine``, which is killed when its result is no longer needed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger

from onec_twisted.storage.archive import ArchiveDamaged
from onec_twisted.storage.directory import Directory

if TYPE_CHECKING:
    from twisted.python.failure import Failure

__all__ = ["Examiner", "TooMuchAsked"]

EXAMINE = str(Path(__file__).with_name("examine.py"))

LONGEST_ANSWER = 16 * 1024 * 1024
"""Most bytes of a result: 250,000 names take 2 MB, and several times that if they have several readings."""

NEEDED = frozenset({"LD_LIBRARY_PATH"})
"""Environment variables that are passed on: some Pythons do not start without them."""

COMPLAINT_LIMIT = 500
"""Bytes of a process's standard error that are kept for the log."""


class TooMuchAsked(Exception):
    """The process ended without a result: it took too much time or memory."""


class _Run(ProcessProtocol):
    """One process that reads an archive."""

    def __init__(self) -> None:
        self.answered: Deferred[bytes] = Deferred(lambda _: self.kill())
        self._answer: list[bytes] = []
        self._size = 0
        self._complaint = b""

    def outReceived(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > LONGEST_ANSWER:
            self.kill()
        else:
            self._answer.append(data)

    def errReceived(self, data: bytes) -> None:
        self._complaint = (self._complaint + data)[-COMPLAINT_LIMIT:]

    def processEnded(self, reason: Failure) -> None:
        """Return the result, now that all output has arrived."""
        if self.answered.called:
            return  # nobody waits any longer
        if reason.check(ProcessDone):
            self.answered.callback(b"".join(self._answer))
        else:
            complaint = self._complaint.decode("utf-8", "replace").strip().rpartition("\n")[2]
            self.answered.errback(TooMuchAsked(complaint or str(reason.value)))

    def kill(self) -> None:
        """Kill the process, unless it has ended."""
        transport: Any = self.transport
        if transport.pid is not None:
            transport.signalProcess("KILL")


@frozen(eq=False)
class Examiner:
    """Reads archives, each in a separate process, within ``timeout`` seconds."""

    reactor: Any
    timeout: float
    _log = Logger()

    def __call__(self, fd: int, size: int) -> Deferred[Directory]:
        """Fire with the directory of the archive in the first ``size`` bytes of an open file.

        The caller may close the file at once. Fails with ``ArchiveDamaged`` or ``TooMuchAsked``. Cancellation kills
        the process. Raises ``OSError`` if no process can be started.
        """
        run = _Run()
        command = [sys.executable, "-I", "-S", EXAMINE, str(os.getpid()), str(size)]
        environment = {name: value for name, value in os.environ.items() if name in NEEDED}
        pipes = {0: "w", 1: "r", 2: "r", 3: fd}
        self.reactor.spawnProcess(run, sys.executable, command, env=environment, childFDs=pipes)
        answered = run.answered.addTimeout(self.timeout, self.reactor)
        return answered.addCallbacks(self._understand, self._report_late)

    def _understand(self, answer: bytes) -> Directory:
        """Return the directory that the process reported, or raise ``ArchiveDamaged``."""
        if answer.startswith(b"-"):
            raise ArchiveDamaged(answer[1:].decode())
        return Directory.from_bytes(memoryview(answer)[1:])

    def _report_late(self, failure: Failure) -> Failure:
        """Raise ``TooMuchAsked`` for a process that took too long."""
        if failure.check(defer.TimeoutError):
            raise TooMuchAsked(f"it had not ended after {self.timeout:.0f} s")
        return failure
