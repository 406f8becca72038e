"""Carry the bytes of a body from its source to its file, in a worker: through a pipe in the kernel, or a buffer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from attrs import define, field

from onec_twisted.storage.splice import PIPE_SIZE, Pipe, Pipes, fill

if TYPE_CHECKING:
    from onec_twisted.http.interfaces import IBodySource
    from onec_twisted.storage.interfaces import IStoredFile

__all__ = ["Carrier", "carrier_of"]

_PIPES = Pipes()


class Carrier(Protocol):
    """Takes bytes from one source, some at a time, and puts them into a file."""

    def take(self, most: int) -> int | None:
        """Take at most ``most`` bytes; return their number, None if none wait, 0 if the reactor has to read."""

    def put(self, file: IStoredFile) -> None:
        """Write what was taken. Raises what the file raises."""

    def release(self) -> None:
        """Carry nothing more."""

    def discard(self) -> None:
        """Carry nothing more after an error: what was taken may not have been put."""


@define(eq=False)
class _PipeCarrier:
    """Carries bytes through a pipe, by splice(2): they never enter the program."""

    source: IBodySource
    pipe: Pipe
    _held: int = field(default=0, init=False)

    def take(self, most: int) -> int | None:
        size = fill(self.pipe.writing, self.source.fileno(), min(PIPE_SIZE, most))
        self._held = size or 0
        return size

    def put(self, file: IStoredFile) -> None:
        file.splice(self.pipe.reading, self._held)

    def release(self) -> None:
        _PIPES.give_back(self.pipe)

    def discard(self) -> None:
        self.pipe.close()


@define(eq=False)
class _BufferCarrier:
    """Carries bytes through a buffer: those that have to be decrypted, and all where the system has no splice."""

    source: IBodySource
    _held: memoryview | None = field(default=None, init=False)

    def take(self, most: int) -> int | None:
        self._held = held = self.source.read(most)
        return None if held is None else len(held)

    def put(self, file: IStoredFile) -> None:
        if self._held is not None:
            file.write([self._held])

    def release(self) -> None:
        self._held = None

    def discard(self) -> None:
        self._held = None


def carrier_of(source: IBodySource) -> Carrier:
    """Return the best carrier for a source: a pipe, unless the system has none, or none is left."""
    if source.is_plain and hasattr(os, "splice"):
        try:
            return _PipeCarrier(source, _PIPES.take())
        except OSError:
            pass  # no descriptor is left
    return _BufferCarrier(source)
