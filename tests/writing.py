"""A file in memory, and a body on its way to it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from attrs import define, field
from twisted.internet.defer import Deferred
from zope.interface import implementer

from onec_twisted.ingest.append import append_whole
from onec_twisted.ingest.writers import WRITERS
from onec_twisted.model.names import SafeName
from onec_twisted.model.records import Session, Written
from onec_twisted.runtime.metrics import Metrics
from onec_twisted.storage.interfaces import IStoredFile
from onec_twisted.testing import FakeBody, LateWorkers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onec_twisted.model.records import FileRecord


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

    def write(self, chunks: Sequence[bytes | memoryview]) -> None:
        """See ``IStoredFile``."""
        if self.fails is not None and (self.fails_after is None or sum(map(len, chunks)) > self.fails_after):
            raise self.fails
        self.data += b"".join(chunks)
        self.chunks.append(len(chunks))

    def splice(self, pipe: int, size: int) -> None:
        """See ``IStoredFile``."""
        self.write([os.read(pipe, size)])

    def finish(self) -> Written:
        """See ``IStoredFile``."""
        self.state = "finished"
        return Written(len(self.data))

    def keep_first(self, size: int) -> None:
        """See ``IStoredFile``."""
        self.data = self.data[: self.opened_at + size]

    def feed(self, update: Callable[[bytes], object]) -> None:
        """See ``IStoredFile``."""
        update(self.data)

    def repeats(self, record: FileRecord) -> bool:
        """See ``IStoredFile``."""
        return False

    def roll_back(self) -> None:
        """See ``IStoredFile``."""
        self.state = "rolled back"


class NoFiles:
    """No file is on record, and none is in the store: nothing is left to be cut back."""

    async def find(self, sessid: str, name: str) -> None:
        """Know of none."""

    def cut(self, sessid: str, name: str, committed: int | None) -> None:
        """Cut nothing."""


@define(eq=False)
class Receiving:
    """A body that is received by workers which a test sets going; an append, and what it needs of ``Ingest``."""

    workers: Any = field(factory=LateWorkers)
    body: FakeBody = field(factory=FakeBody)
    file: MemoryFile = field(factory=MemoryFile)
    outcome: list[Any] = field(factory=list)
    metrics: Metrics = field(factory=lambda: Metrics(lambda: 0.0))
    transfers: Metrics = field(factory=lambda: Metrics(lambda: 0.0))
    files: NoFiles = field(factory=NoFiles)
    store: NoFiles = field(factory=NoFiles)
    session: Any = field(factory=lambda: Session("s", "u", 1, 0, 0.0))
    name: SafeName = field(factory=lambda: SafeName(("a",)))
    start: int = 0

    async def commit(self, write: Callable[[], Written]) -> None:
        """Put nothing on record."""
        await self.workers(write)

    def start_receiving(self, append: Any) -> None:
        """Note what becomes of it."""
        Deferred.fromCoroutine(append).addCallbacks(
            self.outcome.append, lambda failure: self.outcome.append(failure.value)
        )

    def begin(self, open_file: Callable[[], Any] | None = None) -> Receiving:
        """Begin."""
        writer = WRITERS["auto"](self.body, self.workers, open_file or self.file.open)
        this: Any = self
        self.start_receiving(append_whole(this, this, writer, limit=10**9, too_large=ValueError()))
        return self
