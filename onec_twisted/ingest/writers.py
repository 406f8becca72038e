"""Write a body to the disk: from memory, or from its source.

``BufferedWriter`` gathers bytes while a worker writes the previous ones, so that each hop to a worker carries what
arrived in the meantime; when a connection's buffer is full, the sender is paused. A small body costs one hop.
``DirectWriter`` does the same while little arrives; while much arrives, a worker takes it from the connection to the
file, past the reactor.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from attrs import define, field
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure
from zope.interface import implementer

from onec_twisted.http.interfaces import IBodyConsumer, ISocketConsumer
from onec_twisted.ingest.carriers import carrier_of
from onec_twisted.model.errors import InsufficientStorage, Unforeseen
from onec_twisted.storage.splice import readable_soon

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.http.interfaces import IBody, IBodySource
    from onec_twisted.ingest.checkpoints import Checkpoints
    from onec_twisted.model.records import Written
    from onec_twisted.runtime.workers import Workers
    from onec_twisted.storage.interfaces import IStoredFile

    Writer = Callable[[IBody, Workers, Callable[[], IStoredFile]], "BufferedWriter"]

__all__ = ["WRITERS", "BufferedWriter", "DirectWriter"]

WRITE_SIZE = 64 * 1024
"""Bytes worth a hop to a worker; a body that ends with fewer is written at its end."""

HIGH_WATER = 512 * 1024
"""Bytes in memory at which the sender is paused. With one read of the socket on top, memory stays under 1 MiB."""

LOW_WATER = 256 * 1024
"""Bytes in memory at which the sender is resumed."""

SMALL_CHUNKS = 512
"""Chunks that are held separately; each costs memory beyond its bytes."""

BULK_SIZE = 128 * 1024
"""Bytes in a socket that are worth a hop to a worker; fewer are read, and gathered."""

RECORD_SPARE = 256 * 1024
"""Bytes that a record takes at most, on a full disk."""

TURN_SIZE = 32 * 1024 * 1024
"""Bytes that a worker moves for one body before it returns to the reactor."""

MOST_WAITS = 3
"""Waits in a row after which a worker has still received nothing: a TLS record may arrive in parts.

What is readable and never moved, such as urgent data, the reactor must read.
"""

WAITS_IN_TURN = 500
"""Waits after which a worker returns to the reactor: one second, for a sender whose bytes trickle in.

Until then nobody checks how slow it is, shows how far it is, or records what came.
"""


def _nothing() -> None:
    """Write nothing more: a checkpoint commits what has been written."""


@implementer(IBodyConsumer)
@define(eq=False)
class BufferedWriter:
    """Writes a body's bytes, in order, in workers.

    ``open_file`` is called in a worker, once there is something to write, and again after each of the
    ``checkpoints``.
    """

    body: IBody
    workers: Workers
    open_file: Callable[[], IStoredFile]
    checkpoints: Checkpoints | None = field(default=None, init=False)
    _file: IStoredFile | None = field(default=None, init=False)
    _waiting: list[bytes] = field(factory=list, init=False)
    _waiting_size: int = field(default=0, init=False)
    _writing: int | None = field(default=None, init=False)
    """Bytes that a worker is writing; None while no worker has a job of this writer."""
    _paused: bool = field(default=False, init=False)
    written_size: int = field(default=0, init=False)
    """Bytes of the body that workers have written."""
    _opened_at: int = field(default=0, init=False)
    """``written_size`` when the file was last opened."""
    _ending: bool = field(default=False, init=False)
    has_ended: bool = field(default=False, init=False)
    """Whether the body has come as a whole, and no worker still has a job of this writer, such as a checkpoint."""
    _failure: Failure | None = field(default=None, init=False)
    is_disk_full: bool = field(default=False, init=False)
    """Whether the disk had no room for all that arrived; what it did take may be kept."""
    _idle: list[Deferred[None]] = field(factory=list, init=False)

    def write(self, data: bytes) -> None:
        self._waiting.append(data)
        self._waiting_size += len(data)
        if len(self._waiting) > SMALL_CHUNKS:
            self._waiting = [b"".join(self._waiting)]
        if self._writing is None and (self._waiting_size >= WRITE_SIZE or self._is_due()):
            self._write_waiting()
        if not self._paused and self._holds_enough():
            self._paused = True
            self.body.pauseProducing()

    def _is_due(self) -> bool:
        """Return whether what has arrived should be recorded."""
        return self.checkpoints is not None and self.checkpoints.due(self.written_size + self._waiting_size)

    def _holds_enough(self) -> bool:
        """Return whether further bytes must wait in the kernel; they must while the workers are crowded."""
        if self._writing is None:
            return False
        return self._waiting_size + self._writing >= HIGH_WATER or self.workers.crowded()

    async def written(self) -> IStoredFile:
        """Write the rest, and return the file."""
        await self.end()
        return await self.workers(self._write, self._take_waiting())

    async def end(self) -> None:
        """Give workers nothing more, and wait for the write in progress. Raises what it raised."""
        await self._quiet_for_good()
        if self._failure is not None:
            self._failure.raiseException()
        self.has_ended = True

    async def end_early(self) -> bool:
        """Give workers no more of a body that broke off; return whether there is anything of it to commit."""
        await self._quiet_for_good()
        return self._file is not None or (self._failure is None and bool(self._waiting))

    def write_rest(self) -> None:
        """Write what is in memory, in a worker, after ``end``. Raises ``InsufficientStorage``, ``OSError``."""
        try:
            self._write(self._take_waiting())
        except InsufficientStorage:
            self.is_disk_full = True
            raise

    def write_what_came(self) -> None:
        """Write what is in memory, in a worker, after ``end_early``; cut off what was written in part.

        A full disk has no room for the record either: then more is cut off, to make room for it.
        """
        if self._failure is None and self._waiting:
            self._write(self._take_waiting())
        if self._file is not None:
            spare = RECORD_SPARE if self.is_disk_full else 0
            self.written_size = max(self._opened_at, self.written_size - spare)
            self._file.keep_first(self.written_size - self._opened_at)

    def sync(self) -> Written | None:
        """Sync what was written, in a worker, and close the file; return what it is, None if it was not open.

        Raises ``SyncFailed``, ``OSError``.
        """
        if self._file is None:
            return None
        written: Written = self._file.finish()
        self._file = None
        return written

    def write_and_sync(self) -> None:
        """Call ``write_rest`` and ``sync``, in a worker, after ``end``."""
        self.write_rest()
        self.sync()

    async def roll_back(self) -> None:
        """Wait for the write in progress; restore the file to its state before the body, or its last checkpoint."""
        await self._quiet_for_good()
        if self._file is not None:
            await self.workers(self._file.roll_back)

    async def _quiet_for_good(self) -> None:
        """Give workers nothing more, and wait until none has a job of this writer."""
        self._ending = True
        if self._writing is not None:
            await self._quiet()

    def _take_waiting(self) -> list[bytes]:
        """Take what is in memory, for a worker to write."""
        chunks, self._waiting, self._waiting_size = self._waiting, [], 0
        return chunks

    def _write_waiting(self) -> None:
        """Give all that is in memory to a worker."""
        self._writing = self._waiting_size
        self.workers(self._write, self._take_waiting()).addCallbacks(self._written, self._failed)

    def _written(self, _: object) -> None:
        """Continue with what arrived in the meantime, or become idle."""
        self._writing = None
        checkpoints = self.checkpoints
        if checkpoints is not None and not self._ending and checkpoints.due(self.written_size):
            self._writing = 0
            ensureDeferred(self._pass(checkpoints)).addCallbacks(self._written, self._failed)
            return
        if self._waiting_size >= WRITE_SIZE and not self._idle:
            self._write_waiting()
        if self._paused and self._waiting_size + (self._writing or 0) <= LOW_WATER:
            self._paused = False
            self.body.resumeProducing()
        self._rest()

    async def _pass(self, checkpoints: Checkpoints) -> None:
        """Commit what was written; the file is reopened for what follows."""
        if self._file is None:
            return
        try:
            await checkpoints.commit(_nothing)
        except BaseException:
            file, self._file = self._file, None
            if file is not None:  # the sync failed
                await self.workers(file.roll_back)
            raise
        checkpoints.passed(self.written_size)

    def _failed(self, failure: Failure) -> None:
        """Drop the body: the disk is full or broken."""
        self._writing = None
        self._failure = failure
        self.is_disk_full = failure.check(InsufficientStorage) is not None
        self.body.drop(failure.value or Unforeseen())
        self._rest()

    def _quiet(self) -> Deferred[None]:
        """Return a Deferred that fires when no worker has a job of this writer."""
        quiet: Deferred[None] = Deferred()
        self._idle.append(quiet)
        self._rest()
        return quiet

    def _rest(self) -> None:
        while self._writing is None and self._idle:
            self._idle.pop(0).callback(None)

    def _write(self, chunks: list[bytes]) -> IStoredFile:
        """Write in a worker, and open the file first if need be."""
        if self._file is None:
            self._file = self.open_file()
            self._opened_at = self.written_size
        self._file.write(chunks)
        self.written_size += sum(map(len, chunks))
        return self._file


@implementer(ISocketConsumer)
@define(eq=False)
class DirectWriter(BufferedWriter):
    """Writes a body's bytes, and lets workers take those that wait in its socket.

    ``bulk`` is how many bytes must wait there to be worth it.
    """

    bulk: int = BULK_SIZE

    def move(self, source: IBodySource, most: int) -> Deferred[int]:
        return ensureDeferred(self._move(source, most))

    async def _move(self, source: IBodySource, most: int) -> int:
        """Let a worker write what is in memory, and then what waits in the socket."""
        await self._quiet()
        if self._ending or self._failure is not None:
            return 0
        self._writing = self._waiting_size
        moved, failure = await self.workers(self._carry, self._take_waiting(), source, most)
        if failure is None:
            self._written(None)
        else:
            self._failed(failure)
        return moved

    def _carry(self, chunks: list[bytes], source: IBodySource, most: int) -> tuple[int, Failure | None]:
        """Write and carry in a worker; return how many bytes left the source, and the failure of the file, if any.

        Errors of the connection are left for the reactor to find.
        """
        try:
            file = self._write(chunks)
        except Exception:
            return 0, Failure()
        carrier = carrier_of(source)
        moved, waits, left = 0, 0, WAITS_IN_TURN
        try:
            while moved < most and not self._ending:
                size = carrier.take(most - moved)
                may_wait = size is None and waits < MOST_WAITS and left and not self.workers.crowded()
                if may_wait and readable_soon(source.fileno()):
                    waits, left = waits + 1, left - 1
                    continue
                if not size:
                    break
                moved, waits = moved + size, 0
                carrier.put(file)
                self.written_size += size
                if moved >= TURN_SIZE or self.workers.crowded():
                    break
        except Exception:
            carrier.discard()
            return moved, Failure()
        carrier.release()
        return moved, None


WRITERS: dict[str, Writer] = {
    "auto": DirectWriter,
    "buffered": BufferedWriter,
    "zero-copy": partial(DirectWriter, bulk=1),
}
"""The ways to write a body: past the reactor where that is worthwhile, never, or always."""
