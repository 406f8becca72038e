"""What every store of files does alike: a media root, a bucket in memory, and one in a real object store."""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
from stores import NAME, SESSID
from zope.interface.verify import verifyObject

from onec_twisted.model.description import UploadedFile
from onec_twisted.model.errors import InsufficientStorage, WrongOffset
from onec_twisted.model.names import SafeName
from onec_twisted.model.records import FileRecord
from onec_twisted.storage.interfaces import IStore, IStoredFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stores import Bench

KB, MB = 1024, 1024 * 1024
EDGES = [0, 1, 256 * KB, 256 * KB + 1, 5 * MB, 8 * MB, 13 * MB - 1, 13 * MB, 13 * MB + 1, 21 * MB]
OTHER = SafeName(("прайс 1#2%20.xml",))


def content_of(size: int) -> bytes:
    """Return bytes in which no block is like another."""
    return b"".join(number.to_bytes(8, "big") for number in range(size // 8 + 1))[:size]


def test_they_are_what_they_say(bench: Bench) -> None:
    """The store and its files provide the interfaces."""
    bench.put(b"x")
    assert verifyObject(IStore, bench.store)
    for file in (
        bench.store.open(bench.session, OTHER, None),
        bench.store.compare(bench.session, NAME, 0, 1),
    ):
        assert verifyObject(IStoredFile, file)
        file.roll_back()


def test_pieces_follow_one_another(bench: Bench) -> None:
    """Whatever their chunks; two files do not mix."""
    assert bench.put(b"head", b"", memoryview(b"er")).length == 6
    bench.put(b"other", name=OTHER)
    assert bench.put(b"|more").length == 11

    assert bench.content() == b"header|more"
    assert bench.content(OTHER) == b"other"


@pytest.mark.parametrize("size", EDGES)
def test_a_piece_of_any_size(bench: Bench, size: int) -> None:
    """Also where it does not fit into memory, and where it is cut."""
    content = content_of(size)
    view = memoryview(content)
    chunks = [view[place : place + MB] for place in range(0, size, MB)]
    file = bench.store.open(bench.session, NAME, None)
    for chunk in chunks:
        file.write([chunk])
    written = file.finish()
    bench.records.commit(SESSID, NAME, written)

    assert written.length == size
    assert bench.content() == content


def test_empty_pieces(bench: Bench) -> None:
    """They make a file, and change nothing of one that is there."""
    assert bench.put().length == 0
    assert bench.content() == b""
    assert bench.store.lost(SESSID, [UploadedFile(NAME.text, 0)]) == []
    bench.put(b"x")
    assert bench.put().length == 1

    assert bench.content() == b"x"


@pytest.mark.parametrize("refuses", [False, True])
@pytest.mark.parametrize("size", [5, 700 * KB])
def test_bytes_from_a_pipe(bench: Bench, monkeypatch: pytest.MonkeyPatch, size: int, refuses: bool) -> None:
    """They go where bytes from memory would, also where the file system cannot splice."""
    if refuses:

        def splice(*_: Any, **__: Any) -> int:
            raise OSError(errno.EINVAL, "Invalid argument")

        monkeypatch.setattr(os, "splice", splice)
    content = content_of(size)
    reading, writing = os.pipe()
    sender = threading.Thread(target=lambda: os.writev(writing, [content]))
    file = bench.store.open(bench.session, NAME, None)
    file.write([b"before"])
    sender.start()
    file.splice(reading, size)
    sender.join()
    os.close(reading)
    os.close(writing)
    file.write([b"after"])
    bench.records.commit(SESSID, NAME, file.finish())

    assert bench.content() == b"before" + content + b"after"


@pytest.mark.parametrize(
    ("before", "piece", "repeats"),
    [
        ([b"ab"], b"ab", True),
        ([b"ab", b"ab"], b"ab", True),
        ([b"cd", b"ab"], b"abcd", False),
        ([b"ab"], b"ax", False),
        ([b"ab"], b"a", False),
        ([b"ab"], b"abc", False),
        ([b"ab"], b"", False),
        ([b"x" * 3 * MB], b"x" * 3 * MB, True),
        ([b"x" * 3 * MB], b"x" * (3 * MB - 1) + b"y", False),
        ([b"x" * 14 * MB], b"x" * 14 * MB, True),
        ([b"x" * 14 * MB], b"y" + b"x" * (14 * MB - 1), False),
    ],
    ids=range(11),
)
def test_a_piece_that_repeats_the_last(bench: Bench, before: list[bytes], piece: bytes, repeats: bool) -> None:
    """Byte for byte, and as long; the file is as it was."""
    for one in before:
        bench.put(one)
    record = bench.record()
    file = bench.store.open(bench.session, NAME, record.committed)
    file.write([piece])
    assert file.repeats(record) is repeats
    file.roll_back()

    assert bench.content() == b"".join(before)


def test_a_piece_that_was_no_repeat_is_stored(bench: Bench) -> None:
    """After it was compared."""
    bench.put(b"ab" * MB)
    file = bench.store.open(bench.session, NAME, bench.record().committed)
    file.write([b"cd" * MB])
    assert not file.repeats(bench.record())
    bench.records.commit(SESSID, NAME, file.finish())

    assert bench.content() == b"ab" * MB + b"cd" * MB


def test_a_repeat_of_nothing(bench: Bench) -> None:
    """An empty piece repeats an empty piece."""
    bench.put(b"ab")
    bench.put()
    file = bench.store.open(bench.session, NAME, 2)
    assert file.repeats(bench.record())
    file.roll_back()


def test_a_range_that_is_held(bench: Bench) -> None:
    """It is compared, whatever its chunks; nothing is written."""
    bench.put(b"01234")
    bench.put(b"56789")
    file = bench.store.compare(bench.session, NAME, 2, 10)
    file.write([b"23", b"", memoryview(b"456")])
    file.keep_first(1)
    file.feed(lambda _: pytest.fail("nothing is written"))
    assert not file.repeats(FileRecord(10, 2))
    file.write([b"789"])
    assert file.finish().length == 10

    assert bench.content() == b"0123456789"


@pytest.mark.parametrize("chunks", [[b"2x"], [b"234567890"], [b"23456789", b"0"]])
def test_a_range_that_differs(bench: Bench, chunks: list[bytes]) -> None:
    """The refusal tells the right offset."""
    bench.put(b"0123456789")
    file = bench.store.compare(bench.session, NAME, 2, 10)
    with pytest.raises(WrongOffset, match="10"):
        file.write(chunks)
    file.roll_back()

    assert bench.content() == b"0123456789"


def test_a_held_range_from_a_pipe(bench: Bench) -> None:
    """It is compared too."""
    content = content_of(3 * MB)
    bench.put(content[:MB])
    bench.put(content[MB:])
    reading, writing = os.pipe()
    for piece, fits in ((content[100 : 100 + 60_000], True), (b"other", False)):
        file = bench.store.compare(bench.session, NAME, 100, 3 * MB)
        os.write(writing, piece)
        if fits:
            file.splice(reading, len(piece))
        else:
            with pytest.raises(WrongOffset):
                file.splice(reading, len(piece))
        file.roll_back()
    os.close(reading)
    os.close(writing)
    file = bench.store.compare(bench.session, NAME, 5, 3 * MB)
    file.write([content[5:]])

    assert file.finish().length == 3 * MB


@pytest.mark.parametrize("size", [3, 700 * KB, 14 * MB])
def test_roll_back(bench: Bench, size: int) -> None:
    """A file stays as it was, a second call does nothing, and a later piece is stored."""
    bench.put(b"12345")
    file = bench.store.open(bench.session, NAME, 5)
    file.write([bytes(size)])
    file.roll_back()
    file.roll_back()
    assert bench.content() == b"12345"
    bench.put(b"6")

    assert bench.content() == b"123456"


@pytest.mark.parametrize(
    ("size", "kept"),
    [
        (5, 3),
        (5, 0),
        (700 * KB, 300 * KB),
        (700 * KB, 100),
        (14 * MB, 13 * MB),
        (14 * MB, 13 * MB - 1),
        (14 * MB, 8 * MB),
        (22 * MB, 14 * MB),
        (14 * MB, 0),
    ],
)
def test_the_first_bytes_are_kept(bench: Bench, size: int, kept: int) -> None:
    """The rest is cut off; what came before the piece stays, and more may follow."""
    bench.put(b"before")
    content = content_of(size)
    file = bench.store.open(bench.session, NAME, 6)
    file.write([content])
    file.keep_first(kept)
    seen: list[bytes] = []
    file.feed(seen.append)
    assert b"".join(seen) == content[:kept]
    file.write([b"after"])
    written = file.finish()
    bench.records.commit(SESSID, NAME, written)

    assert written.length == 6 + kept + 5
    assert bench.content() == b"before" + content[:kept] + b"after"


@pytest.mark.parametrize("size", [0, 5, 700 * KB, 9 * MB])
def test_what_was_written_is_fed_to_a_checksum(bench: Bench, size: int) -> None:
    """All of the piece, and nothing of what came before."""
    bench.put(b"before")
    content, seen = content_of(size), list[bytes]()
    file = bench.store.open(bench.session, NAME, 6)
    file.write([content])
    file.feed(seen.append)
    file.roll_back()

    assert b"".join(seen) == content


def test_what_is_lost(bench: Bench) -> None:
    """What is shorter than on record, or not there at all."""
    bench.put(b"12345")
    bench.put(b"678")
    files = [UploadedFile(NAME.text, 8), UploadedFile("none", 1), UploadedFile(OTHER.text, 3)]
    assert bench.store.lost(SESSID, files) == ["none", OTHER.text]
    bench.put(b"ab", name=OTHER)

    assert bench.store.lost(SESSID, [*files, UploadedFile(NAME.text, 9)]) == ["none", OTHER.text, NAME.text]


def test_what_is_discarded_is_gone(bench: Bench) -> None:
    """With a session that is off the record; that nothing is there is fine."""
    bench.put(b"x" * 14 * MB)
    assert list(bench.store.folders()) == [SESSID]
    bench.end()
    bench.store.discard(SESSID)
    assert bench.store.folders() == {}
    bench.store.discard(SESSID)
    bench.store.drop(SESSID)

    assert bench.store.folders() == {}


def test_a_piece_that_is_late(bench: Bench) -> None:
    """Its session is gone: nothing of it stays once it is rolled back."""
    file = bench.store.open(bench.session, NAME, None)
    bench.end()
    bench.store.discard(SESSID)
    file.write([b"late"])
    file.roll_back()

    assert bench.store.folders() == {}


def test_a_session_that_begins_again(bench: Bench) -> None:
    """``init`` discards what was there, and what comes is stored; to move is no harm."""
    bench.put(b"old")
    bench.begin(2)
    bench.store.discard(SESSID)
    bench.store.move(SESSID, SESSID)
    bench.put(b"new")

    assert bench.content() == b"new"


def test_the_rest_does_no_harm(bench: Bench) -> None:
    """To sync, to check, to try it; there is room."""
    bench.put(b"12345")
    bench.store.sync(SESSID)
    bench.store.sync(SESSID, NAME)
    bench.store.check()
    bench.store.probe()
    bench.store.cut(SESSID, NAME, 5)
    assert SESSID in bench.store.folder(SESSID)
    assert bench.store.free() > MB

    assert bench.content() == b"12345"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk(bench: Bench, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """It is told as that, what came before can be kept, and nothing stays open."""
    real, room = os.pwritev, [400 * KB]

    def full(fd: int, buffers: Sequence[Any], offset: int) -> int:
        if offset + sum(map(len, buffers)) > room[0]:
            raise OSError(code, os.strerror(code))
        return real(fd, buffers, offset)

    monkeypatch.setattr(os, "pwritev", full)
    content = content_of(300 * KB)
    file = bench.store.open(bench.session, NAME, None)
    file.write([content])
    with pytest.raises(InsufficientStorage):
        file.write([bytes(200 * KB)])
    file.keep_first(len(content))
    bench.records.commit(SESSID, NAME, file.finish())
    room[0] = 10 * MB

    assert bench.content() == content


def test_a_disk_that_is_full_from_the_start(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in memory by then is not lost, where it may be kept."""
    real = os.pwritev

    def full(fd: int, buffers: Sequence[Any], offset: int) -> int:
        if offset + sum(map(len, buffers)) > 100:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, buffers, offset)

    monkeypatch.setattr(os, "pwritev", full)
    file = bench.store.open(bench.session, NAME, None)
    file.write([b"x" * 100])
    for _ in range(2):
        with pytest.raises(InsufficientStorage):
            file.write([bytes(300 * KB)])
    file.keep_first(100)
    bench.records.commit(SESSID, NAME, file.finish())

    assert bench.content() == b"x" * 100
