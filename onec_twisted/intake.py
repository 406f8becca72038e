"""A body on its way to the disk.

Bytes are gathered while a worker writes those before them, so that each hop to a worker carries as much as came
in meanwhile; when more waits than one connection may hold, the sender is held back. A small body costs one hop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred
from zope.interface import implementer

from onec_twisted.errors import Unforeseen
from onec_twisted.interfaces import IBodyConsumer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from twisted.python.failure import Failure

    from onec_twisted.interfaces import IBody, IPieceFile

__all__ = ["BufferedIntake", "Workers", "receive"]

ENOUGH = 128 * 1024
"""Bytes worth a hop to a worker; a body that ends with less is written when it ends."""

HIGH_WATER = 512 * 1024
"""Bytes in memory at which the sender is held back. With one read of the socket on top it stays under 1 MiB."""

LOW_WATER = 256 * 1024
"""Bytes in memory at which the sender may go on."""

SMALL_CHUNKS = 512
"""Chunks that are kept one by one; each costs memory beside its bytes."""

T = TypeVar("T")


class Workers(Protocol):
    """Runs blocking functions off the reactor thread."""

    def __call__(self, function: Callable[..., T], *args: Any) -> Deferred[T]:
        """Fire with what the function returns, or fail with what it raises."""


@implementer(IBodyConsumer)
@define(eq=False)
class BufferedIntake:
    """Writes what a body brings, in order, in workers.

    ``open_file`` is called in a worker, once, when there is something to write.
    """

    body: IBody
    workers: Workers
    open_file: Callable[[], IPieceFile]
    _file: IPieceFile | None = field(default=None, init=False)
    _waiting: list[bytes] = field(factory=list, init=False)
    _waiting_size: int = field(default=0, init=False)
    _writing: int = field(default=0, init=False)
    _paused: bool = field(default=False, init=False)
    _failure: Failure | None = field(default=None, init=False)
    _idle: Deferred[None] | None = field(default=None, init=False)

    def write(self, data: bytes) -> None:
        """See ``IBodyConsumer``."""
        self._waiting.append(data)
        self._waiting_size += len(data)
        if len(self._waiting) > SMALL_CHUNKS:
            self._waiting = [b"".join(self._waiting)]
        if not self._writing and self._waiting_size >= ENOUGH:
            self._write_waiting()
        if not self._paused and self._waiting_size + self._writing >= HIGH_WATER:
            self._paused = True
            self.body.pauseProducing()

    async def written(self) -> IPieceFile:
        """Write the rest, and return the file."""
        await self._quiet()
        if self._failure is not None:
            self._failure.raiseException()
        chunks, self._waiting = self._waiting, []
        return await self.workers(self._write, chunks)

    async def finish(self) -> None:
        """Write the rest and bring all of it to the disk."""
        await self._quiet()
        if self._failure is not None:
            self._failure.raiseException()
        await self.workers(self._write_and_finish, self._waiting)

    async def roll_back(self) -> None:
        """Make the file what it was before the body; what a worker is writing is waited for."""
        await self._quiet()
        if self._file is not None:
            await self.workers(self._file.roll_back)

    def _write_waiting(self) -> None:
        """Give all that waits to a worker."""
        chunks, self._waiting = self._waiting, []
        self._writing, self._waiting_size = self._waiting_size, 0
        self.workers(self._write, chunks).addCallbacks(self._written, self._failed)

    def _written(self, _: IPieceFile) -> None:
        """Go on with what came in meanwhile, or rest."""
        self._writing = 0
        if self._waiting_size >= ENOUGH and self._idle is None:
            self._write_waiting()
        if self._paused and self._waiting_size + self._writing <= LOW_WATER:
            self._paused = False
            self.body.resumeProducing()
        self._rest()

    def _failed(self, failure: Failure) -> None:
        """Take no more: the disk is full or broken."""
        self._writing = 0
        self._failure = failure
        self.body.drop(failure.value or Unforeseen())
        self._rest()

    def _quiet(self) -> Deferred[None]:
        """Fire when no worker has anything of ours."""
        self._idle = Deferred()
        quiet = self._idle
        self._rest()
        return quiet

    def _rest(self) -> None:
        if not self._writing and self._idle is not None:
            idle, self._idle = self._idle, None
            idle.callback(None)

    def _write(self, chunks: list[bytes]) -> IPieceFile:
        """In a worker: write, and open the file first if need be."""
        if self._file is None:
            self._file = self.open_file()
        self._file.write(chunks)
        return self._file

    def _write_and_finish(self, chunks: list[bytes]) -> None:
        """In a worker: the last bytes, and the syncs."""
        self._write(chunks).finish()


async def receive(
    body: IBody,
    workers: Workers,
    open_file: Callable[[], IPieceFile],
    limit: int,
    too_large: BaseException,
    is_repeat: Callable[[IPieceFile], Awaitable[bool]] | None = None,
) -> int | None:
    """Bring a whole body to the disk, or nothing of it; return its bytes.

    ``is_repeat``, when given, is asked once all bytes are written, and before they are synced; None is returned, and
    nothing is kept, if it says so.

    Raises what ``IBody.deliver`` fails with, ``InsufficientStorage`` on a full disk, ``FileDamaged``, or ``OSError``.
    The file is what it was before then.
    """
    intake = BufferedIntake(body, workers, open_file)
    try:
        await body.deliver(intake, limit, too_large)
        if is_repeat is not None and await is_repeat(await intake.written()):
            await intake.roll_back()
            return None
        await intake.finish()
    except BaseException:
        await intake.roll_back()
        raise
    return body.received
