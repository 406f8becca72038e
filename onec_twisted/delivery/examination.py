"""Has an archive read by a process of its own, ``examine``, which is ended when nobody wants its answer any more."""

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
"""Bytes of an answer at most: 250,000 names take 2 MB, and some times that when they can be read in several ways."""

NEEDED = frozenset({"LD_LIBRARY_PATH"})
"""What of the environment is passed on: some Pythons do not start without."""

COMPLAINT_LIMIT = 500
"""Bytes of what a process complains of that are kept for the log."""


class TooMuchAsked(Exception):
    """The process has ended without an answer: it took too long, or wanted too much memory."""


class _Run(ProcessProtocol):
    """One process that reads."""

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
        """Answer, now that all of its output has come."""
        if self.answered.called:
            return  # nobody waited any more
        if reason.check(ProcessDone):
            self.answered.callback(b"".join(self._answer))
        else:
            complaint = self._complaint.decode("utf-8", "replace").strip().rpartition("\n")[2]
            self.answered.errback(TooMuchAsked(complaint or str(reason.value)))

    def kill(self) -> None:
        """End it; that it has ended is fine."""
        transport: Any = self.transport
        if transport.pid is not None:
            transport.signalProcess("KILL")


@frozen(eq=False)
class Examiner:
    """Reads archives, each in a process of its own that has ``timeout`` seconds."""

    reactor: Any
    timeout: float
    _log = Logger()

    def __call__(self, fd: int, size: int) -> Deferred[Directory]:
        """Fire with what lies in the archive in the first ``size`` bytes of an open file, which may be closed then.

        Fails with ``ArchiveDamaged`` or ``TooMuchAsked``. Ends the process when it is cancelled. Raises ``OSError``
        when none can be started.
        """
        run = _Run()
        command = [sys.executable, "-I", "-S", EXAMINE, str(os.getpid()), str(size)]
        environment = {name: value for name, value in os.environ.items() if name in NEEDED}
        pipes = {0: "w", 1: "r", 2: "r", 3: fd}
        self.reactor.spawnProcess(run, sys.executable, command, env=environment, childFDs=pipes)
        answered = run.answered.addTimeout(self.timeout, self.reactor)
        return answered.addCallbacks(self._understand, self._tell_late)

    def _understand(self, answer: bytes) -> Directory:
        """Return the directory that was told, or raise ``ArchiveDamaged``."""
        if answer.startswith(b"-"):
            raise ArchiveDamaged(answer[1:].decode())
        return Directory.from_bytes(memoryview(answer)[1:])

    def _tell_late(self, failure: Failure) -> Failure:
        """Raise ``TooMuchAsked`` for a process that has taken too long."""
        if failure.check(defer.TimeoutError):
            raise TooMuchAsked(f"it had not ended after {self.timeout:.0f} s")
        return failure
