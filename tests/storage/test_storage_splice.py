"""Pipes between sockets and files are made once, and used again."""

from __future__ import annotations

import os
import socket

import pytest

from onec_twisted.storage.splice import PIPE_SIZE, Pipe, Pipes, fill, readable_soon

pytestmark = pytest.mark.skipif(not hasattr(os, "splice"), reason="this system has no splice")


def test_a_pipe_is_used_again() -> None:
    """A new one is made only when none is free."""
    kept = Pipes()
    first = kept.take()
    second = kept.take()
    assert first != second
    kept.give_back(first)
    assert kept.take() == first
    first.close()
    second.close()


def test_no_descriptor_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks is told, and reads as ever."""

    def none_left(_: int) -> tuple[int, int]:
        raise OSError

    monkeypatch.setattr(os, "pipe2", none_left)
    with pytest.raises(OSError):  # noqa: PT011 - it has no words
        Pipes().take()


def test_bytes_move() -> None:
    """As many as wait, as many as are wanted; none is told from the end."""
    ours, theirs = socket.socketpair()
    pipe: Pipe = Pipes().take()
    ours.setblocking(False)
    try:
        assert fill(pipe.writing, ours.fileno(), PIPE_SIZE) is None
        assert not readable_soon(ours.fileno())
        theirs.sendall(b"abcdef")
        assert readable_soon(ours.fileno())
        assert fill(pipe.writing, ours.fileno(), 4) == 4
        assert fill(pipe.writing, ours.fileno(), PIPE_SIZE) == 2
        assert os.read(pipe.reading, 10) == b"abcdef"
        theirs.close()
        assert fill(pipe.writing, ours.fileno(), PIPE_SIZE) == 0
    finally:
        ours.close()
        pipe.close()
    assert fill(-1, -1, 1) == 0
