"""A file in memory, and a body on its way to it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from attrs import define, field
from twisted.internet.defer import Deferred
from zope.interface import implementer

from onec_twisted.ingest.append import receive
from onec_twisted.ingest.writers import WRITERS
from onec_twisted.storage.interfaces import IStoredFile
from onec_twisted.testing import FakeBody, LateWorkers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@implementer(IStoredFile)
@define(eq=False)
class MemoryFile:
    """A file in memory, and what happened to it."""

    data: bytes = b""
    state: str = "open"
    opened: int = 0
    opened_at: int = 0
    fails: BaseException | None = None
    fails_after: int | None = None
    chunks: list[int] = field(factory=list)

    def open(self) -> MemoryFile:
        """Count."""
        self.opened += 1
        self.opened_at = len(self.data)
        return self

    def write(self, chunks: Sequence[bytes]) -> None:
        """See ``IStoredFile``."""
        if self.fails is not None and (self.fails_after is None or sum(map(len, chunks)) > self.fails_after):
            raise self.fails
        self.data += b"".join(chunks)
        self.chunks.append(len(chunks))

    def splice(self, pipe: int, size: int) -> None:
        """See ``IStoredFile``."""
        self.write([os.read(pipe, size)])

    def finish(self) -> None:
        """See ``IStoredFile``."""
        self.state = "finished"

    def keep_first(self, size: int) -> None:
        """See ``IStoredFile``."""
        self.data = self.data[: self.opened_at + size]

    def feed(self, update: Callable[[bytes], object]) -> None:
        """See ``IStoredFile``."""
        update(self.data)

    def repeats(self, start: int) -> bool:
        """See ``IStoredFile``."""
        return False

    def roll_back(self) -> None:
        """See ``IStoredFile``."""
        self.state = "rolled back"


@define(eq=False)
class Receiving:
    """A body that is received by workers which a test sets going."""

    workers: LateWorkers = field(factory=LateWorkers)
    body: FakeBody = field(factory=FakeBody)
    file: MemoryFile = field(factory=MemoryFile)
    outcome: list[Any] = field(factory=list)

    def start(self) -> Receiving:
        """Begin."""
        intake = WRITERS["auto"](self.body, self.workers, self.file.open)
        coroutine = receive(self.body, intake, 10**9, ValueError(), self.workers)
        Deferred.fromCoroutine(coroutine).addCallbacks(
            self.outcome.append, lambda failure: self.outcome.append(failure.value)
        )
        return self
