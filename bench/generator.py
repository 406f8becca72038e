"""The load, made by a process of its own: what it does, and how it is told when.

A load is forked off the benchmark, which has no threads then. It stops at its marks until it is told to go on, so
that the benchmark can look at the server in between.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from attrs import define

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from multiprocessing.connection import Connection as Pipe
    from multiprocessing.process import BaseProcess

__all__ = ["Generator", "Load", "LoadFailed", "Marks", "running"]

PATIENCE = 300.0
"""Seconds after which a load is given up."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class LoadFailed(Exception):
    """A load could not do its work; the words say why."""


@define(eq=False)
class Marks:
    """The load's end of the line to the benchmark."""

    _pipe: Pipe

    def reach(self, mark: str) -> None:
        """Say that a mark is reached, and wait until the benchmark says to go on."""
        self._pipe.send(("mark", mark))
        self._pipe.recv()

    def told(self) -> bool:
        """Tell, without waiting, whether the benchmark has said to go on beyond what was asked for."""
        return self._pipe.poll()


class Load(Protocol[T_co]):
    """Something that a load does."""

    def run(self, marks: Marks) -> T_co:
        """Do it, stopping at the marks, and return what came of it."""


@define(eq=False)
class Generator(Generic[T]):
    """The benchmark's end of the line to a load that runs."""

    _process: BaseProcess
    _pipe: Pipe

    def wait_for(self, mark: str) -> None:
        """Wait until the load stops at a mark. Raises ``LoadFailed``."""
        kind, value = self._receive()
        if (kind, value) != ("mark", mark):
            raise LoadFailed(f"the load is not at {mark}")

    def go_on(self) -> None:
        """Let the load go on; an endless one ends."""
        self._pipe.send(None)

    def result(self) -> T:
        """Wait until the load is done, and return what came of it. Raises ``LoadFailed``."""
        kind, value = self._receive()
        if kind != "result":
            raise LoadFailed("the load stopped before its end")
        result: T = value  # type: ignore[assignment]  # what the load returned
        return result

    def _receive(self) -> tuple[str, object]:
        if not self._pipe.poll(PATIENCE):
            raise LoadFailed(f"the load was not done after {PATIENCE:g} s")
        try:
            kind, value = self._pipe.recv()
        except EOFError:
            raise LoadFailed("the load ended unexpectedly") from None
        if kind == "failure":
            raise LoadFailed(str(value))
        return kind, value

    def end(self) -> None:
        """End the process, whatever it does."""
        self._pipe.close()
        self._process.kill()
        self._process.join()


def _child(load: Load[object], pipe: Pipe, benchmarks: Pipe) -> None:
    benchmarks.close()  # or the end of the benchmark would not be heard
    # Ctrl-C is for the benchmark, which ends us
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        pipe.send(("result", load.run(Marks(pipe))))
    except Exception as error:  # whatever it is, the benchmark has to hear of it
        pipe.send(("failure", f"{type(error).__name__}: {error}"))
    # threads of the load may still wait for a peer that says nothing
    os._exit(0)


@contextmanager
def _running(load: Load[T]) -> Iterator[Generator[T]]:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_child, args=(load, theirs, ours), daemon=True)
    process.start()
    theirs.close()
    generator: Generator[T] = Generator(process, ours)
    try:
        yield generator
    finally:
        generator.end()


def running(load: Load[T]) -> AbstractContextManager[Generator[T]]:
    """Return a context in which a load runs; at its end the process is ended."""
    return _running(load)
