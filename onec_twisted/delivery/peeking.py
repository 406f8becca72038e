"""Lists what is in an archive, for a person, in a separate process, ``peek``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from onec_twisted.delivery.processes import TooMuchAsked, run_program

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

__all__ = ["ENTRIES_SHOWN", "Peeked", "Peeker"]

PEEK = str(Path(__file__).with_name("peek.py"))

ENTRIES_SHOWN = 500
"""Entries of an archive that are shown."""

LONGEST_LIST = 4 * 1024 * 1024
"""Most bytes of a result: names of 500 entries, each of up to 64 KB, are seldom that long."""


@frozen
class Peeked:
    """The first entries of an archive: names, and sizes in bytes; ``hidden`` is how many more there are.

    ``said`` is why the archive is damaged, empty if it is not.
    """

    entries: tuple[tuple[str, int], ...]
    hidden: int
    said: str


@frozen(eq=False)
class Peeker:
    """Lists archives, each in a separate process, within ``timeout`` seconds."""

    reactor: Any
    timeout: float

    def __call__(self, fd: int, size: int) -> Deferred[Peeked]:
        """Fire with what is in the archive in the first ``size`` bytes of an open file, which may be closed at once.

        Fails with ``TooMuchAsked``. Raises ``OSError`` if no process can be started.
        """
        answer = bytearray()

        def take(data: bytes) -> None:
            answer.extend(data)
            if len(answer) > LONGEST_LIST:
                raise TooMuchAsked("its answer has no end")

        def understand(_: None) -> Peeked:
            known = json.loads(bytes(answer))
            return Peeked(tuple((name, size) for name, size in known["entries"]), known["hidden"], known["said"])

        arguments = [str(size), str(ENTRIES_SHOWN)]
        ended = run_program(self.reactor, PEEK, arguments, fd, take, timeout=self.timeout)
        return ended.addCallback(understand)
