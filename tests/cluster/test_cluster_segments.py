"""One file in an object store, open for one piece."""

from __future__ import annotations

import hashlib
import os
import threading
from typing import TYPE_CHECKING

import pytest
from fake_s3 import FakeS3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stores import NAME, SESSID

from onec_twisted.cluster import segments
from onec_twisted.cluster.objects import ObjectStore
from onec_twisted.cluster.segments import LEAST_SEGMENT, SEGMENT_SIZE, SPOOL_SIZE, SegmentedFile, cuts
from onec_twisted.model.errors import FileDamaged, InsufficientStorage
from onec_twisted.model.records import FileRecord, Written

if TYPE_CHECKING:
    from collections.abc import Callable

    from stores import Bench

MB = 1024 * 1024


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let segments be as small as the pieces of a test: 8 bytes while 13 are left, and 4 bytes in memory."""
    for name, size in {"SEGMENT_SIZE": 8, "LEAST_SEGMENT": 5, "SPOOL_SIZE": 4, "BLOCK_SIZE": 3}.items():
        monkeypatch.setattr(segments, name, size)


def opened(bench: Bench, committed: int | None = None) -> SegmentedFile:
    """Open a file."""
    file = bench.store.open(bench.session, NAME, committed)
    assert isinstance(file, SegmentedFile)
    return file


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds, which other threads bring about."""
    for _ in range(1000):
        if holds():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it does not come about")


def digest_of(content: bytes) -> bytes:
    """Return the digest of a piece, as it is defined."""
    parts = [hashlib.sha256(content[start : start + length]).digest() for start, length in cuts(len(content))]
    return hashlib.sha256(b"".join(parts)).digest()


@pytest.mark.parametrize(
    ("size", "lengths"),
    [
        (0, []),
        (1, [1]),
        (5 * MB, [5 * MB]),
        (8 * MB, [8 * MB]),
        (13 * MB - 1, [13 * MB - 1]),
        (13 * MB, [8 * MB, 5 * MB]),
        (21 * MB - 1, [8 * MB, 13 * MB - 1]),
        (21 * MB, [8 * MB, 8 * MB, 5 * MB]),
    ],
)
def test_where_a_piece_is_cut(size: int, lengths: list[int]) -> None:
    """The rule never changes: digests on record depend on it."""
    assert [length for _, length in cuts(size)] == lengths


@given(size=st.integers(0, 2**33))
def test_the_cuts_of_any_piece(size: int) -> None:
    """They are all of it, in a row; all but the last are alike, and it can be a part of its own."""
    found = cuts(size)
    lengths = [length for _, length in found]

    assert [start for start, _ in found] == [sum(lengths[:number]) for number in range(len(found))]
    assert sum(lengths) == size
    assert all(length == SEGMENT_SIZE for length in lengths[:-1])
    assert all(0 < length < SEGMENT_SIZE + LEAST_SEGMENT for length in lengths)
    assert len(found) < 2 or lengths[-1] >= LEAST_SEGMENT


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("step", [1, 2, 5, 7, 40])
@pytest.mark.parametrize("size", [0, 1, 4, 5, 8, 12, 13, 14, 20, 21, 40])
def test_what_an_append_has_written(fake: FakeS3, objects: Bench, size: int, step: int) -> None:
    """Segments in a row behind what is committed; the digest depends on the bytes alone."""
    content = bytes(range(1, size + 1))
    file = opened(objects, 100)
    for place in range(0, size, step):
        file.write([content[place : place + step]])
    written = file.finish()

    assert written.length == 100 + size
    assert [(one.start - 100, one.length) for one in written.segments] == cuts(size)
    assert b"".join(fake.objects[one.object] for one in written.segments) == content
    assert [one.digest for one in written.segments] == [
        hashlib.sha256(fake.objects[one.object]).digest() for one in written.segments
    ]
    assert written.digest == digest_of(content)
    assert len(fake.objects) == fake.count("PUT") == len(written.segments)


def test_keys(fake: FakeS3, objects: Bench) -> None:
    """They have session, epoch and place in them, and something that no other has."""
    objects.put(b"12345")
    objects.begin(12)
    objects.put(b"12345")
    objects.put(b"6")
    objects.put(b"")

    keys = sorted(fake.objects)
    places = [key.rpartition("-")[0] for key in keys]
    assert places == [
        f"segments/{SESSID}/1/00000000000000",
        f"segments/{SESSID}/12/00000000000000",
        f"segments/{SESSID}/12/00000000000005",
    ]
    assert all(len(key.rpartition("-")[2]) == 16 for key in keys)
    assert opened(objects).prefix == f"segments/{SESSID}/12"


def test_an_empty_piece(fake: FakeS3, objects: Bench) -> None:
    """Nothing is stored, and it has the digest of nothing."""
    assert opened(objects, 7).finish() == Written(7, (), hashlib.sha256(b"").digest())
    assert fake.calls == []


def test_a_small_piece_needs_no_file(objects: Bench) -> None:
    """256 KiB stay in memory; what follows goes into a scratch file without a name."""
    assert SPOOL_SIZE == 256 * 1024
    file = opened(objects)
    file.write([bytes(SPOOL_SIZE)])
    assert objects.open_files() == []
    file.write([b"x"])
    (path,) = objects.open_files()
    assert path.endswith(" (deleted)")
    file.finish()

    assert objects.open_files() == []


@pytest.mark.usefixtures("small")
def test_what_is_sure_is_put_while_the_rest_comes(fake: FakeS3, objects: Bench) -> None:
    """Two at a time, so that others need not wait for all of it; the rest with the end."""
    may = threading.Event()
    fake.fault("PUT", times=99, until=may)
    file = opened(objects)
    file.write([bytes(12)])
    assert fake.calls == []
    file.write([bytes(1)])
    file.write([bytes(50)])
    assert len(file._begun) == 2
    may.set()
    until(lambda: len(fake.objects) == 2)
    for one in file._running:
        one.result(10)
    file.write([bytes(1)])
    assert len(file._begun) == 4
    written = file.finish()

    assert [(one.start, one.length) for one in written.segments] == cuts(64)
    assert fake.most_open <= 3


@pytest.mark.usefixtures("small")
def test_what_is_left_at_the_end_is_put_two_at_a_time(fake: FakeS3, objects: Bench) -> None:
    """However much that is: a store that is slow must not be asked for all of it at once."""
    may = threading.Event()
    fake.fault("PUT", times=99, until=may)
    file = opened(objects)
    file.write([bytes(100)])
    ending = threading.Thread(target=file.finish)
    ending.start()
    until(lambda: fake.open == 2)
    assert len(file._begun) == 2
    may.set()
    ending.join(10)

    assert [len(fake.objects[key]) for key in sorted(fake.objects)] == [length for _, length in cuts(100)]


@pytest.mark.usefixtures("small")
def test_a_scratch_disk_that_is_full_at_once(objects: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in memory stays there, and can be stored; no scratch file stays open."""

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwritev", full)
    file = opened(objects)
    file.write([b"123"])
    for _ in range(2):
        with pytest.raises(InsufficientStorage) as failed:
            file.write([b"456"])
        assert objects.open_files() == [], failed
    file.keep_first(3)
    (segment,) = file.finish().segments

    assert segment.length == 3


@pytest.mark.usefixtures("small")
def test_what_comes_from_a_pipe_is_put_ahead_too(fake: FakeS3, objects: Bench) -> None:
    """Behind what came before from memory."""
    file, content = opened(objects), bytes(range(40))
    reading, writing = os.pipe()
    os.write(writing, content[2:])
    file.write([content[:2]])
    file.splice(reading, 38)
    os.close(reading)
    os.close(writing)
    until(lambda: len(fake.objects) >= 2)  # a third one is put ahead if the first was done at once
    written = file.finish()

    assert [(one.start, one.length) for one in written.segments] == cuts(40)
    assert written.digest == digest_of(content)


@pytest.mark.usefixtures("small")
def test_a_refused_piece_leaves_nothing(fake: FakeS3, objects: Bench) -> None:
    """What was put ahead is removed, be it done or on its way, without being waited for."""
    may = threading.Event()
    fake.fault("PUT", times=2, until=may)
    file = opened(objects)
    file.write([bytes(64)])
    file.roll_back()
    assert fake.objects == {}
    may.set()
    assert isinstance(objects.store, ObjectStore)
    for one in file._begun.values():
        one.exception(10)
    until(lambda: len(fake.objects) == 0)
    done = opened(objects)
    done.write([bytes(20)])
    done._running[0].result(10)
    done.roll_back()
    until(lambda: len(fake.objects) == 0)


@pytest.mark.usefixtures("small")
def test_what_is_on_record_is_never_removed(fake: FakeS3, objects: Bench) -> None:
    """A roll-back after the end does nothing: nobody knows whether the record was made."""
    file = opened(objects)
    file.write([bytes(64)])
    written = file.finish()
    file.roll_back()
    objects.store.stop()  # type: ignore[attr-defined]

    assert sorted(fake.objects) == sorted(one.object for one in written.segments)


@pytest.mark.parametrize("size", [5, SPOOL_SIZE + 1, 14 * MB])
def test_four_failures_do_not_show(fake: FakeS3, objects: Bench, size: int) -> None:
    """The PUT is tried again, with the same bytes."""
    fault = fake.fault("PUT", part="segments/", times=4, status=503)
    objects.put(b"z" * size)

    assert fault.times == 0
    assert objects.content() == b"z" * size


@pytest.mark.parametrize("size", [5, SPOOL_SIZE + 1, 14 * MB])
def test_a_store_that_fails_takes_no_piece(fake: FakeS3, objects: Bench, size: int) -> None:
    """The end raises, and all is as it was; the next piece is stored in its place."""
    objects.put(b"before")
    fake.fault("PUT", times=12, status=500)
    file = opened(objects, 6)
    with pytest.raises(OSError, match="the object store did not take an object"):  # noqa: PT012
        file.write([bytes(size)])
        file.finish()
    file.roll_back()
    del fake.faults[:]
    objects.put(b"|after")

    assert objects.content() == b"before|after"


@pytest.mark.usefixtures("small")
def test_a_store_that_fails_early_is_noticed_early(fake: FakeS3, objects: Bench) -> None:
    """Before all of a large piece has come."""
    fake.fault("PUT", times=99, status=507)
    file = opened(objects)
    file.write([bytes(20)])
    assert isinstance(file._running[0].exception(10), InsufficientStorage)
    with pytest.raises(InsufficientStorage):
        file.write([b"x"])
    file.roll_back()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("known", [False, True])
def test_a_repeat_costs_no_put(fake: FakeS3, objects: Bench, known: bool) -> None:
    """It is recognised by its size and digest; nothing is read back, and the record may be of another daemon."""
    content = bytes(range(12))
    objects.put(content)
    del fake.calls[:]
    record = objects.record() if known else FileRecord(12, 0, digest=digest_of(content))
    file = opened(objects, 12)
    file.write([content])
    assert file.repeats(record)
    assert not file.repeats(FileRecord(12, 0))
    file.roll_back()

    assert fake.calls == []


@pytest.mark.usefixtures("small")
def test_digests_follow_what_is_kept(objects: Bench) -> None:
    """What was cut off counts no more, whatever was asked for before, or is written in its place."""
    file = opened(objects)
    file.write([bytes(range(1, 13))])
    assert file.repeats(FileRecord(12, 0, digest=digest_of(bytes(range(1, 13)))))
    file.keep_first(6)
    file.write([b"123456"])

    assert file.finish().digest == digest_of(bytes(range(1, 7)) + b"123456")


@pytest.mark.usefixtures("small")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    steps=st.lists(st.one_of(st.binary(max_size=30), st.integers(0, 40)), max_size=12),
    asks=st.booleans(),
)
def test_any_order_of_writes_and_cuts(objects: Bench, steps: list[bytes | int], asks: bool) -> None:
    """What is stored is what was written and kept, as if it had come at once."""
    expected, file = b"", opened(objects)
    for step in steps:
        if isinstance(step, bytes):
            file.write([step])
            expected += step
        elif step <= len(expected):
            file.keep_first(step)
            expected = expected[:step]
        if asks:
            assert file.repeats(FileRecord(len(expected), 0, digest=digest_of(expected)))
    written = file.finish()

    assert objects.store.read(written.segments, 0, written.length) == expected  # type: ignore[attr-defined]
    assert written.digest == digest_of(expected)
    assert [(one.start, one.length) for one in written.segments] == cuts(len(expected))


def test_a_scratch_file_that_was_cut(objects: Bench) -> None:
    """It is noticed, and nothing else is stored in its place."""
    file = opened(objects)
    file.write([bytes(SPOOL_SIZE + 10)])
    os.ftruncate(file._spooled(), 100)
    with pytest.raises(OSError, match="shorter than what was written"):
        file.finish()
    file.roll_back()


def test_few_descriptors_are_left(objects: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last ones are for others; nothing stays open."""
    monkeypatch.setattr(segments, "is_scarce", lambda _number, _share: True)
    file = opened(objects)
    with pytest.raises(OSError, match="Too many open files"):
        file.write([bytes(SPOOL_SIZE + 1)])
    file.roll_back()


def test_memory_is_bounded(fake: FakeS3, objects: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many segments wait to be put."""
    assert isinstance(objects.store, ObjectStore)
    putters, taken = objects.store.putters, list[int]()
    real = FakeS3.take_fault

    def note(fake: FakeS3, method: str, key: str) -> object:
        taken.append(putters._taken)
        return real(fake, method, key)

    monkeypatch.setattr(FakeS3, "take_fault", note)
    putters.memory = 20 * MB
    files = [opened(objects) for _ in range(4)]
    for file in files:
        for _ in range(22):
            file.write([bytes(MB)])
    threads = [threading.Thread(target=file.finish) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 8 * MB <= max(taken) <= 20 * MB
    assert putters._taken == 0
    assert sum(map(len, fake.objects.values())) == 4 * 22 * MB


def test_a_held_range_whose_bytes_are_gone(fake: FakeS3, objects: Bench) -> None:
    """The file is damaged: that is not the sender's fault."""
    objects.put(b"12345")
    fake.objects.clear()
    file = objects.store.compare(objects.session, NAME, 0, 5)
    with pytest.raises(FileDamaged):
        file.write([b"12345"])
