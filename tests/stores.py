"""Stores of files to try: a media root, and buckets in memory or in a real store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from attrs import define, evolve, field
from fake_s3 import FakeS3
from records import session_of

from onec_twisted.cluster.location import Credentials, Location
from onec_twisted.cluster.objects import ObjectStore
from onec_twisted.cluster.putters import Putters
from onec_twisted.cluster.s3 import S3, Tries
from onec_twisted.model.names import SafeName
from onec_twisted.model.records import FileRecord, Segment, Session, Written
from onec_twisted.storage.local import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from seaweed import Seaweed

    from onec_twisted.storage.interfaces import IStore

SESSID = "0123456789abcdef" * 2
NAME = SafeName(("import_files", "ab", "x.jpg"))
QUICK = Tries(first_pause=0.001, longest_pause=0.002)
KEYS = Credentials("KEY-ID", "SECRET-KEY")


@define(eq=False)
class Records:
    """What is on record about files and segments, as a catalog would have it."""

    epochs: dict[str, frozenset[int]] = field(factory=dict)
    files: dict[tuple[str, str], FileRecord] = field(factory=dict)
    segments: dict[tuple[str, str], list[Segment]] = field(factory=dict)

    def segments_of(self, sessid: str, name: str) -> list[Segment]:
        """Return the segments of a file, in no order that could be relied on."""
        return self.segments.get((sessid, name), [])[::-1]

    def epochs_of(self, sessid: str) -> frozenset[int] | None:
        """Return the epochs whose objects must stay."""
        return self.epochs.get(sessid)

    def commit(self, sessid: str, name: SafeName, written: Written) -> None:
        """Put a piece on record."""
        before = self.committed(sessid, name) or 0
        self.files[sessid, name.text] = FileRecord(written.length, before, digest=written.digest)
        self.segments.setdefault((sessid, name.text), []).extend(written.segments)

    def committed(self, sessid: str, name: SafeName) -> int | None:
        """Return a file's length, None if it is not on record."""
        record = self.files.get((sessid, name.text))
        return record.committed if record is not None else None


@define(eq=False)
class Bench:
    """A store of one kind, and what is on record of one session of it."""

    store: IStore
    records: Records
    scratch: str
    session: Session

    @property
    def sessid(self) -> str:
        """Return the session's."""
        return self.session.sessid

    def put(self, *chunks: bytes | memoryview, name: SafeName = NAME) -> Written:
        """Store a piece, and put it on record."""
        file = self.store.open(self.session, name, self.records.committed(self.sessid, name))
        file.write(chunks)
        written = file.finish()
        self.records.commit(self.sessid, name, written)
        return written

    def record(self, name: SafeName = NAME) -> FileRecord:
        """Return what is on record of a file."""
        return self.records.files[self.sessid, name.text]

    def content(self, name: SafeName = NAME) -> bytes:
        """Return a file's bytes."""
        fd = self.store.open_archive(self.sessid, name)
        try:
            return os.pread(fd, os.fstat(fd).st_size + 1, 0)
        finally:
            os.close(fd)

    def begin(self, epoch: int, *kept: int) -> None:
        """Begin an epoch; those that are kept, and itself, are on record."""
        self.session = evolve(self.session, epoch=epoch)
        self.records.epochs[self.sessid] = frozenset({epoch, *kept})
        self.records.files.clear()
        self.records.segments.clear()

    def end(self) -> None:
        """Take the session off the record."""
        del self.records.epochs[self.sessid]

    def open_files(self) -> list[str]:
        """Return the files in the store's folder that are open."""
        found = []
        for fd in os.listdir("/proc/self/fd"):
            try:
                path = os.readlink(f"/proc/self/fd/{fd}")
            except FileNotFoundError:
                continue
            if path.startswith(self.scratch):
                found.append(path)
        return found


def local_bench(folder: Path) -> Bench:
    """Return a media root."""
    store = Store(folder / "media")
    store.prepare()
    bench = Bench(store, Records(), str(folder), session_of(SESSID))
    bench.begin(1)
    return bench


def object_bench(location: Location, keys: Credentials | None, folder: Path, tries: Tries = QUICK) -> Bench:
    """Return a bucket; ``stop_bench`` has to follow."""
    records, s3 = Records(), S3(location, keys, tries)
    store = ObjectStore(
        s3=s3,
        putters=Putters(s3),
        scratch=str(folder / "scratch"),
        segments_of=records.segments_of,
        epochs_of=records.epochs_of,
    )
    store.prepare()
    bench = Bench(store, records, str(folder), session_of(SESSID))
    bench.begin(1)
    return bench


@pytest.fixture
def fake() -> Iterator[FakeS3]:
    """An object store in memory."""
    fake = FakeS3().start()
    yield fake
    fake.stop()


@pytest.fixture
def s3(fake: FakeS3) -> S3:
    """A client of it, with a prefix."""
    return S3(Location(fake.bucket, "shop", fake.endpoint), KEYS, QUICK)


@pytest.fixture
def objects(fake: FakeS3, tmp_path: Path) -> Iterator[Bench]:
    """A store in it, without a prefix; nothing stays open."""
    bench = object_bench(Location(fake.bucket, "", fake.endpoint), KEYS, tmp_path)
    del fake.calls[:]
    yield bench
    stop(bench)


def stop(bench: Bench) -> None:
    """End a bucket's threads; fail when a file is still open."""
    if isinstance(bench.store, ObjectStore):
        bench.store.stop()
    assert bench.open_files() == []


@pytest.fixture(params=["media root", "fake", "seaweedfs"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """A store of each kind; nothing stays open."""
    if request.param == "media root":
        bench = local_bench(tmp_path)
    elif request.param == "fake":
        fake: FakeS3 = request.getfixturevalue("fake")
        bench = object_bench(Location(fake.bucket, "", fake.endpoint), KEYS, tmp_path)
    else:
        server: Seaweed = request.getfixturevalue("seaweedfs")
        bench = object_bench(server.location(), server.keys, tmp_path)
    yield bench
    stop(bench)
