"""What carries a body from its source to its file."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest
from attrs import define
from writing import MemoryFile
from zope.interface import implementer

from onec_twisted.http.interfaces import IBodySource
from onec_twisted.http.sources import SocketSource
from onec_twisted.ingest.carriers import carrier_of
from onec_twisted.storage import splice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onec_twisted.ingest.carriers import Carrier

needs_splice = pytest.mark.skipif(not hasattr(os, "splice"), reason="this system has no splice")


@pytest.fixture
def line() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The two ends of a connection; ours does not block."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


@implementer(IBodySource)
@define(eq=False)
class Encrypted(SocketSource):
    """A source whose bytes are not those of the body: they are in capitals."""

    descriptor: int
    is_plain = False

    def __attrs_post_init__(self) -> None:
        """Read from a descriptor."""
        super().__init__(self.descriptor)

    def read(self, most: int) -> memoryview | None:
        """Read, in small letters."""
        read = super().read(most)
        return None if read is None else memoryview(bytes(read).lower())


def through(carrier: Carrier, most: int = 10) -> bytes:
    """Take once, and return what was put."""
    file = MemoryFile()
    assert carrier.take(most)
    carrier.put(file)
    carrier.release()
    return file.data


@needs_splice
def test_what_is_plain_goes_through_a_pipe(line: tuple[socket.socket, socket.socket]) -> None:
    """The program reads none of it."""
    ours, theirs = line
    theirs.send(b"0123456789abc")
    source = SocketSource(ours.fileno())
    source.read = None  # type: ignore[assignment, method-assign]

    assert through(carrier_of(source)) == b"0123456789"
    assert carrier_of(source).take(10) == 3
    assert carrier_of(source).take(10) is None


def test_what_is_encrypted_is_read(line: tuple[socket.socket, socket.socket]) -> None:
    """As it comes from its source."""
    ours, theirs = line
    theirs.send(b"ABC")
    carrier = carrier_of(Encrypted(ours.fileno()))

    assert through(carrier) == b"abc"
    assert carrier.take(10) is None
    theirs.close()
    assert carrier.take(10) == 0


@pytest.mark.parametrize("lacks", ["splice", "descriptors"])
def test_what_is_plain_is_read_where_there_is_no_pipe(
    line: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    """On other systems, or without a descriptor for one."""

    def none_left() -> splice.Pipe:
        raise OSError

    if lacks == "splice":
        monkeypatch.delattr(os, "splice", raising=False)
    monkeypatch.setattr("onec_twisted.ingest.carriers._PIPES", splice.Pipes())
    monkeypatch.setattr(splice, "_new_pipe", none_left)
    ours, theirs = line
    theirs.send(b"0123456789abc")
    carrier = carrier_of(SocketSource(ours.fileno()))

    assert through(carrier) == b"0123456789"


@needs_splice
def test_a_pipe_that_may_hold_bytes_is_not_used_again(line: tuple[socket.socket, socket.socket]) -> None:
    """They are of another body."""
    ours, theirs = line
    theirs.send(b"lost")
    carrier = carrier_of(SocketSource(ours.fileno()))
    assert carrier.take(10) == 4
    carrier.discard()
    theirs.send(b"next")

    assert through(carrier_of(SocketSource(ours.fileno()))) == b"next"
