"""Reads an archive in a separate process, ``examine``, which is killed when its result is no longer needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from onec_twisted.delivery.processes import TooMuchAsked, run_program
from onec_twisted.storage.archive import ArchiveDamaged
from onec_twisted.storage.directory import Directory

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

__all__ = ["Examiner"]

EXAMINE = str(Path(__file__).with_name("examine.py"))

LONGEST_ANSWER = 16 * 1024 * 1024
"""Most bytes of a result: 250,000 names take 2 MB, and several times that if they have several readings."""


@frozen(eq=False)
class Examiner:
    """Reads archives, each in a separate process, within ``timeout`` seconds."""

    reactor: Any
    timeout: float

    def __call__(self, fd: int, size: int) -> Deferred[Directory]:
        """Fire with the directory of the archive in the first ``size`` bytes of an open file.

        The caller may close the file at once. Fails with ``ArchiveDamaged`` or ``TooMuchAsked``. Cancellation kills
        the process. Raises ``OSError`` if no process can be started.
        """
        answer = bytearray()

        def take(data: bytes) -> None:
            answer.extend(data)
            if len(answer) > LONGEST_ANSWER:
                raise TooMuchAsked("its answer has no end")

        def understand(_: None) -> Directory:
            if answer.startswith(b"-"):
                raise ArchiveDamaged(answer[1:].decode())
            return Directory.from_bytes(memoryview(bytes(answer))[1:])

        ended = run_program(self.reactor, EXAMINE, [str(size)], fd, take, timeout=self.timeout)
        return ended.addCallback(understand)
