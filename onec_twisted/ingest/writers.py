"""A body on its way to the disk: past Python where the kernel can, through it where not.

``BufferedWriter`` gathers bytes while a worker writes those before them, so that each hop to a worker carries as much
as came in meanwhile; when more waits than one connection may hold, the sender is held back. A small body costs one
hop. ``ZeroCopyWriter`` does the same while little comes in, and lets a worker move what waits in the socket to the
file, through a pipe, by splice(2), as long as much comes.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from attrs import define, field
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure
from zope.interface import implementer

from onec_twisted.http.interfaces import IBodyConsumer, ISocketConsumer
from onec_twisted.model.errors import InsufficientStorage, Unforeseen
from onec_twisted.storage.splice import PIPE_SIZE, Pipes, fill, readable_soon

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.http.interfaces import IBody
    from onec_twisted.ingest.checkpoints import Checkpoints
    from onec_twisted.runtime.workers import Workers
    from onec_twisted.storage.interfaces import IStoredFile

    Writer = Callable[[IBody, Workers, Callable[[], IStoredFile]], "BufferedWriter"]

__all__ = ["WRITERS", "BufferedWriter", "ZeroCopyWriter"]

WRITE_SIZE = 64 * 1024
"""Bytes worth a hop to a worker; a body that ends with less is written when it ends."""

HIGH_WATER = 512 * 1024
"""Bytes in memory at which the sender is held back. With one read of the socket on top it stays under 1 MiB."""

LOW_WATER = 256 * 1024
"""Bytes in memory at which the sender may go on."""

SMALL_CHUNKS = 512
"""Chunks that are kept one by one; each costs memory beside its bytes."""

BULK_SIZE = 128 * 1024
"""Bytes in a socket that are worth a hop to a worker; less is read, and gathered."""

RECORD_SPARE = 256 * 1024
"""Bytes that a record takes at most, on a disk that is full."""

TURN_SIZE = 32 * 1024 * 1024
"""Bytes that a worker moves for one body before the reactor sees it again."""


def _nothing() -> None:
    """Write nothing more: a checkpoint commits what has been written."""


@implementer(IBodyConsumer)
@define(eq=False)
class BufferedWriter:
    """Writes what a body brings, in order, in workers.

    ``open_file`` is called in a worker, once, when there is something to write; once more after each of
    ``milestones``.
    """

    body: IBody
    workers: Workers
    open_file: Callable[[], IStoredFile]
    checkpoints: Checkpoints | None = field(default=None, init=False)
    _file: IStoredFile | None = field(default=None, init=False)
    _waiting: list[bytes] = field(factory=list, init=False)
    _waiting_size: int = field(default=0, init=False)
    _writing: int | None = field(default=None, init=False)
    """Bytes that a worker is writing; None while none has anything of ours."""
    _paused: bool = field(default=False, init=False)
    written_size: int = field(default=0, init=False)
    """Bytes of the body that workers have written."""
    _opened_at: int = field(default=0, init=False)
    """How much had been written when the file was opened last."""
    _ending: bool = field(default=False, init=False)
    _failure: Failure | None = field(default=None, init=False)
    is_disk_full: bool = field(default=False, init=False)
    """Whether the disk had no room for all that has come; what it has taken may be kept."""
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
        """Return whether what has come is to be put on record."""
        return self.checkpoints is not None and self.checkpoints.due(self.written_size + self._waiting_size)

    def _holds_enough(self) -> bool:
        """Return whether what follows has to wait in the kernel: all the more while many wait for a worker."""
        if self._writing is None:
            return False
        return self._waiting_size + self._writing >= HIGH_WATER or self.workers.crowded()

    async def written(self) -> IStoredFile:
        """Write the rest, and return the file."""
        await self.end()
        return await self.workers(self._write, self._take_waiting())

    async def end(self) -> None:
        """Give nothing more to a worker, and wait for what one is writing; raises what it raised."""
        await self._quiet_for_good()
        if self._failure is not None:
            self._failure.raiseException()

    async def end_early(self) -> bool:
        """Give nothing more to a worker, of a body that broke off; return whether there is any of it to commit."""
        await self._quiet_for_good()
        return self._file is not None or (self._failure is None and bool(self._waiting))

    def write_rest(self) -> None:
        """In a worker, after ``end``: write what waits in memory. Raises ``InsufficientStorage``, ``OSError``."""
        try:
            self._write(self._take_waiting())
        except InsufficientStorage:
            self.is_disk_full = True
            raise

    def write_what_came(self) -> None:
        """In a worker, after ``end_early``: write what waits in memory, and take back what was written in part.

        A disk that is full takes no record either: then more of it is taken back, to make room for that.
        """
        if self._failure is None and self._waiting:
            self._write(self._take_waiting())
        if self._file is not None:
            spare = RECORD_SPARE if self.is_disk_full else 0
            self.written_size = max(self._opened_at, self.written_size - spare)
            self._file.keep_first(self.written_size - self._opened_at)

    def sync(self) -> None:
        """In a worker: bring what was written to the disk, and close the file. Raises ``SyncFailed``, ``OSError``."""
        if self._file is not None:
            self._file.finish()
            self._file = None

    def write_and_sync(self) -> None:
        """In a worker, after ``end``: both."""
        self.write_rest()
        self.sync()

    async def roll_back(self) -> None:
        """Make the file what it was before the body, or its last milestone; what a worker writes is waited for."""
        await self._quiet_for_good()
        if self._file is not None:
            await self.workers(self._file.roll_back)

    async def _quiet_for_good(self) -> None:
        """Give nothing more to a worker, and wait until none has anything of ours."""
        self._ending = True
        await self._quiet()

    def _take_waiting(self) -> list[bytes]:
        """Return what waits in memory, for a worker to write."""
        chunks, self._waiting, self._waiting_size = self._waiting, [], 0
        return chunks

    def _write_waiting(self) -> None:
        """Give all that waits to a worker."""
        self._writing = self._waiting_size
        self.workers(self._write, self._take_waiting()).addCallbacks(self._written, self._failed)

    def _written(self, _: object) -> None:
        """Go on with what came in meanwhile, or rest."""
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
        """Commit what was written; the file is opened anew for what follows."""
        if self._file is None:
            return
        try:
            await checkpoints.commit(_nothing)
        except BaseException:
            file, self._file = self._file, None
            if file is not None:  # it could not be synced
                await self.workers(file.roll_back)
            raise
        checkpoints.passed(self.written_size)

    def _failed(self, failure: Failure) -> None:
        """Take no more: the disk is full or broken."""
        self._writing = None
        self._failure = failure
        self.is_disk_full = failure.check(InsufficientStorage) is not None
        self.body.drop(failure.value or Unforeseen())
        self._rest()

    def _quiet(self) -> Deferred[None]:
        """Fire when no worker has anything of ours."""
        quiet: Deferred[None] = Deferred()
        self._idle.append(quiet)
        self._rest()
        return quiet

    def _rest(self) -> None:
        while self._writing is None and self._idle:
            self._idle.pop(0).callback(None)

    def _write(self, chunks: list[bytes]) -> IStoredFile:
        """In a worker: write, and open the file first if need be."""
        if self._file is None:
            self._file = self.open_file()
            self._opened_at = self.written_size
        self._file.write(chunks)
        self.written_size += sum(map(len, chunks))
        return self._file


_PIPES = Pipes()


@implementer(ISocketConsumer)
@define(eq=False)
class ZeroCopyWriter(BufferedWriter):
    """Writes what a body brings, and moves what waits in its socket.

    ``bulk`` is how many bytes must wait there.
    """

    bulk: int = BULK_SIZE

    def move(self, socket: int, most: int) -> Deferred[int]:
        return ensureDeferred(self._move(socket, most))

    async def _move(self, socket: int, most: int) -> int:
        """Let a worker write what waits in memory, and after that what waits in the socket."""
        await self._quiet()
        if self._ending or self._failure is not None:
            return 0
        self._writing = self._waiting_size
        moved, failure = await self.workers(self._splice, self._take_waiting(), socket, most)
        if failure is None:
            self._written(None)
        else:
            self._failed(failure)
        return moved

    def _splice(self, chunks: list[bytes], socket: int, most: int) -> tuple[int, Failure | None]:
        """In a worker: return how many bytes have left the socket, and what went wrong with the file.

        What is wrong with the connection is left for the reactor to find.
        """
        try:
            file = self._write(chunks)
        except Exception:
            return 0, Failure()
        try:
            pipe = _PIPES.take()
        except OSError:
            return 0, None  # no descriptor is left: it is read, as ever
        moved, waited = 0, False
        try:
            while moved < most and not self._ending:
                size = fill(pipe.writing, socket, min(PIPE_SIZE, most - moved))
                if size is None and not waited and not self.workers.crowded() and readable_soon(socket):
                    waited = True  # once: what is readable and cannot be moved, as urgent data, has to be read
                    continue
                if not size:
                    break
                moved, waited = moved + size, False
                file.splice(pipe.reading, size)
                self.written_size += size
                if moved >= TURN_SIZE or self.workers.crowded():
                    break
        except Exception:
            pipe.close()  # there may be something in it
            return moved, Failure()
        _PIPES.give_back(pipe)
        return moved, None


WRITERS: dict[str, Writer] = {"auto": BufferedWriter, "buffered": BufferedWriter}
"""How bodies may be taken in: as the system can, through Python, or past it whatever comes."""

if hasattr(os, "splice"):
    WRITERS.update({"auto": ZeroCopyWriter, "zero-copy": partial(ZeroCopyWriter, bulk=1)})
