"""The store of files in a bucket."""

from __future__ import annotations

import math
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fake_s3 import WRITTEN
from stores import NAME, SESSID, object_bench, stop

from onec_twisted.cluster.location import Location
from onec_twisted.cluster.objects import LISTED_FROM, SEGMENTS, ObjectStore, check_belonging
from onec_twisted.cluster.reading import READ_AHEAD, SegmentLost
from onec_twisted.cluster.refusals import CannotUseCluster
from onec_twisted.cluster.s3 import Tries
from onec_twisted.cluster.segments import SegmentedFile
from onec_twisted.model.description import UploadedFile
from onec_twisted.model.errors import FileDamaged, InsufficientStorage, StorageRemoved
from onec_twisted.model.names import SafeName

if TYPE_CHECKING:
    from fake_s3 import FakeS3
    from seaweed import Seaweed
    from stores import Bench

    from onec_twisted.cluster.s3 import S3

OTHER = "f" * 32
KEPT = f"files/{SESSID}/manifest.json"


def store_of(bench: Bench) -> ObjectStore:
    """Return the store."""
    assert isinstance(bench.store, ObjectStore)
    return bench.store


def test_the_scratch_folder_is_ours(objects: Bench) -> None:
    """Nobody else sees what is on its way."""
    assert stat.S_IMODE(Path(store_of(objects).scratch).stat().st_mode) == 0o700


def test_the_store_is_tried(fake: FakeS3, objects: Bench) -> None:
    """By an object that is put, read and removed."""
    objects.store.probe()

    assert [call.method for call in fake.calls] == ["PUT", "GET", "DELETE"]
    assert {call.key.split("/")[0] for call in fake.calls} == {"probe"}
    assert fake.objects == {}


@pytest.mark.parametrize(
    ("method", "words"),
    [("PUT", "take an object"), ("GET", "give an object"), ("DELETE", "remove objects")],
)
def test_a_store_that_fails_is_noticed(fake: FakeS3, objects: Bench, method: str, words: str) -> None:
    """Whatever it does not do."""
    fake.fault(method, times=99, status=500)
    with pytest.raises(OSError, match=words):
        objects.store.probe()


def test_a_store_that_answers_something_else(fake: FakeS3, objects: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it gives is compared."""
    monkeypatch.setattr(store_of(objects).s3.__class__, "read", lambda *_: (b"y", 1))
    with pytest.raises(OSError, match="does not return what it was given"):
        objects.store.probe()

    assert fake.objects == {}


def test_an_archive_is_gathered(objects: Bench) -> None:
    """In a file without a name, of which only its descriptor is left; that can be read from the beginning."""
    content = os.urandom(READ_AHEAD * 2 + 5)
    for start in range(0, len(content), 700_000):
        objects.put(content[start : start + 700_000])
    fd = objects.store.open_archive(SESSID, NAME)
    try:
        assert os.listdir(store_of(objects).scratch) == []
        with open(fd, "rb", closefd=False) as file:
            assert file.read() == content
    finally:
        os.close(fd)


@pytest.mark.parametrize("harm", ["gone", "shorter", "longer", "a gap"])
def test_an_archive_of_which_something_is_lost(fake: FakeS3, objects: Bench, harm: str) -> None:
    """The file is damaged, and nothing stays open."""
    for piece in (b"01234", b"56789", b"abcde"):
        objects.put(piece)
    segments = objects.records.segments[SESSID, NAME.text]
    if harm == "gone":
        del fake.objects[segments[1].object]
    elif harm == "a gap":
        del segments[1]
    else:
        fake.objects[segments[1].object] = b"5678" if harm == "shorter" else b"56789x"
    with pytest.raises(FileDamaged):
        objects.store.open_archive(SESSID, NAME)


def test_an_archive_that_does_not_fit_on_the_scratch_disk(objects: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told as a full disk."""
    objects.put(b"12345")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwritev", full)
    with pytest.raises(InsufficientStorage):
        objects.store.open_archive(SESSID, NAME)


def test_what_is_lost_is_looked_for_in_the_store(fake: FakeS3, objects: Bench) -> None:
    """Gone, of another size, or with a gap on record."""
    names = [SafeName((name,)) for name in ("gone", "cut", "gap", "grown", "sound")]
    for name in names:
        for piece in (b"12345", b"678"):
            objects.put(piece, name=name)
    of = {name.text: objects.records.segments[SESSID, name.text] for name in names}
    del fake.objects[of["gone"][1].object]
    fake.objects[of["cut"][0].object] = b"1234"
    del of["gap"][0]
    objects.put(b"9", name=names[3])

    assert objects.store.lost(SESSID, [UploadedFile(name.text, 8) for name in names]) == ["gone", "cut", "gap"]


def test_many_objects_are_looked_for_by_a_listing(fake: FakeS3, objects: Bench) -> None:
    """One by one are those that it lacks, as it may be old; the result is the same."""
    names = [SafeName((f"{number}.jpg",)) for number in range(LISTED_FROM)]
    for name in names:
        objects.put(b"x", name=name)
    files = [UploadedFile(name.text, 1) for name in names]
    del fake.calls[:]
    assert objects.store.lost(SESSID, files) == []
    assert [call.method for call in fake.calls] == ["GET"]
    for number in (3, 5):
        del fake.objects[objects.records.segments[SESSID, names[number].text][0].object]
    del fake.calls[:]

    assert objects.store.lost(SESSID, files) == ["3.jpg", "5.jpg"]
    assert fake.count("HEAD") == 4


def test_nothing_is_lost_with_the_bucket(fake: FakeS3, objects: Bench) -> None:
    """It may be back: no file is called damaged for that."""
    objects.put(b"12345")
    fake.bucket = "another"
    for ask in (
        lambda: objects.store.lost(SESSID, [UploadedFile(NAME.text, 5)]),
        lambda: objects.store.open_archive(SESSID, NAME),
        objects.store.probe,
    ):
        with pytest.raises(StorageRemoved):
            ask()


def test_an_object_that_is_joined_while_it_is_looked_for(fake: FakeS3, objects: Bench) -> None:
    """The record is read again: what it named before is gone, what it names now is there."""
    for piece in (b"01234", b"56789"):
        objects.put(piece)
    before = objects.records.segments[SESSID, NAME.text]
    key = store_of(objects).join(SESSID, 1, NAME.text, before)
    after = [before[0].__class__(0, 10, key, b"")]
    store_of(objects).s3.delete([segment.object for segment in before])
    answers = [before, after, before, after]
    store = ObjectStore(
        s3=store_of(objects).s3,
        putters=store_of(objects).putters,
        scratch=store_of(objects).scratch,
        segments_of=lambda _sessid, _name: answers.pop(0),
        epochs_of=objects.records.epochs_of,
    )
    assert store.lost(SESSID, [UploadedFile(NAME.text, 10)]) == []
    fd = store.open_archive(SESSID, NAME)
    assert os.pread(fd, 20, 0) == b"0123456789"
    os.close(fd)


def test_epochs_that_are_over_are_discarded(fake: FakeS3, objects: Bench) -> None:
    """Those on record as kept stay, and so does one that began after the record was read, and the manifest."""
    for epoch in (1, 2, 3, 4, 10):
        objects.begin(epoch)
        objects.put(b"x")
        fake.objects[f"files/{SESSID}/{epoch}/a/b"] = b"joined"
    fake.objects[KEPT] = b"{}"
    fake.objects[f"segments/{SESSID}0/1/0-a"] = b"another session's"
    objects.begin(4, 2)
    objects.store.discard(SESSID)
    assert {tuple(key.split("/")[1:3]) for key in fake.objects} == {
        (SESSID, "2"),
        (SESSID, "4"),
        (SESSID, "10"),
        (SESSID, "manifest.json"),
        (f"{SESSID}0", "1"),
    }
    objects.begin(10)
    objects.store.drop(f"{SESSID}.4")
    assert {key.split("/")[2] for key in fake.objects if SESSID + "/" in key} == {"10", "manifest.json"}
    objects.end()
    objects.store.drop(f"{SESSID}.10")

    assert list(fake.objects) == [f"segments/{SESSID}0/1/0-a"]


def test_a_session_without_a_current_epoch(fake: FakeS3, objects: Bench) -> None:
    """Nothing is removed when the records name no epoch at all."""
    objects.put(b"x")
    objects.records.epochs[SESSID] = frozenset()
    objects.store.discard(SESSID)

    assert len(fake.objects) == 1


def test_many_objects_are_discarded(fake: FakeS3, objects: Bench) -> None:
    """More than a page of a listing."""
    fake.page = 7
    for number in range(50):
        fake.objects[f"segments/{SESSID}/1/{number:014d}-x"] = b"x"
    objects.end()
    objects.store.discard(SESSID)

    assert fake.objects == {}


def test_sessions_in_the_store(fake: FakeS3, objects: Bench) -> None:
    """Those off the record have the time of their youngest object; others are not looked at, nor are strangers."""
    objects.put(b"x")
    for key, changed in {
        f"segments/{OTHER}/1/0-a": 1.0,
        f"segments/{OTHER}/2/0-b": 2.0,
        f"files/shop-{OTHER}/2/c": 0.0,
        "segments/lost+found/1": 0.0,
        "files/none": 0.0,
    }.items():
        fake.objects[key], fake.changed[key] = b"x", WRITTEN + changed
    del fake.calls[:]

    assert objects.store.folders() == {SESSID: math.inf, OTHER: WRITTEN + 2, f"shop-{OTHER}": WRITTEN}
    assert len(fake.calls) == 6


def test_one_segment_is_joined_already(fake: FakeS3, objects: Bench) -> None:
    """Its own key is returned."""
    (segment,) = objects.put(b"12345").segments
    del fake.calls[:]

    assert store_of(objects).join(SESSID, 1, NAME.text, [segment]) == segment.object
    assert fake.calls == []


@pytest.mark.parametrize("size", [0, 10, 3 * READ_AHEAD + 1])
def test_segments_are_joined(fake: FakeS3, objects: Bench, size: int) -> None:
    """To one object under the file's name; they stay for who still reads them."""
    content = os.urandom(size)
    for place in range(0, size, size // 3 or 1):
        objects.put(content[place : place + (size // 3 or 1)])
    segments = objects.records.segments_of(SESSID, NAME.text)
    before = dict(fake.objects)
    key = store_of(objects).join(SESSID, 1, NAME.text, segments)

    assert key == f"files/{SESSID}/1/{NAME.text}"
    assert fake.objects == {**before, key: content}
    assert store_of(objects).read(segments, 0, size) == content


def test_a_file_with_a_very_long_name_is_joined(objects: Bench) -> None:
    """The whole key has to fit into 1024 bytes."""
    long = "/".join(["ф" * 120] * 4)
    objects.put(b"1", name=SafeName((*long.split("/"),)))
    objects.put(b"2", name=SafeName((*long.split("/"),)))
    key = store_of(objects).join(SESSID, 1, long, objects.records.segments[SESSID, long])

    assert len(key.encode()) < 150
    assert store_of(objects).s3.read(key, 0, 5) == (b"12", 2)


@pytest.mark.parametrize("harm", ["gone", "a gap", "twice"])
def test_what_cannot_be_joined(fake: FakeS3, objects: Bench, harm: str) -> None:
    """The file is damaged, and there is no object that has a part of it."""
    for piece in (b"01234", b"56789", b"abcde"):
        objects.put(piece)
    segments = objects.records.segments[SESSID, NAME.text]
    if harm == "gone":
        del fake.objects[segments[2].object]
    elif harm == "a gap":
        del segments[1]
    else:
        segments.insert(1, segments[0])
    with pytest.raises(FileDamaged):
        store_of(objects).join(SESSID, 1, NAME.text, segments)

    assert fake.count("PUT", "files/") == 0
    with pytest.raises(SegmentLost):
        store_of(objects).read(segments[:1], 3, 5)


def test_the_scratch_disk(objects: Bench) -> None:
    """Its free bytes count; when the folder is gone, that is said."""
    assert objects.store.free() > 2**20
    os.rmdir(store_of(objects).scratch)
    with pytest.raises(StorageRemoved):
        objects.store.free()


def test_a_piece_that_is_begun_before_init(fake: FakeS3, objects: Bench) -> None:
    """Its segments carry the old epoch, and go with it."""
    file = objects.store.open(objects.session, NAME, None)
    assert isinstance(file, SegmentedFile)
    file.write([b"old"])
    objects.begin(2)
    file.finish()
    objects.put(b"new")
    objects.store.discard(SESSID)

    assert list(fake.objects.values()) == [b"new"]


def test_a_real_store(seaweedfs: Seaweed, tmp_path: Path) -> None:
    """A file of several pieces is joined, and can be read by an address; the session goes with all that it had."""
    from urllib.request import urlopen

    bench = object_bench(seaweedfs.location(), seaweedfs.keys, tmp_path, Tries())
    store = store_of(bench)
    name = SafeName(("картинки", "а #1+50%.jpg"))
    content = os.urandom(14 * READ_AHEAD)
    bench.put(content, name=name)
    bench.put(content[:100], name=name)
    segments = bench.records.segments[SESSID, name.text]
    key = store.join(SESSID, 1, name.text, segments)
    with urlopen(store.s3.presigned(key, 60.0)) as answer:
        assert answer.read() == content + content[:100]
    assert bench.content(name) == content + content[:100]
    assert store.lost(SESSID, [UploadedFile(name.text, len(content) + 100)]) == []
    store.s3.delete([segments[1].object])
    assert store.lost(SESSID, [UploadedFile(name.text, len(content) + 100)]) == [name.text]
    assert store.folders() == {SESSID: math.inf}
    bench.end()
    (changed,) = store.folders().values()
    assert changed > WRITTEN
    store.discard(SESSID)
    assert store.folders() == {}
    stop(bench)


def test_wrong_keys_for_a_real_store(seaweedfs: Seaweed, tmp_path: Path) -> None:
    """The store checks what we sign."""
    from stores import KEYS

    with pytest.raises(OSError, match="403"):
        object_bench(Location("onec", "x", seaweedfs.endpoint), KEYS, tmp_path)


def test_a_prefix_belongs_to_its_records(s3: S3) -> None:
    """With other records, the sweep would take everything in it for orphans."""
    check_belonging(s3, "one", has_none=True)
    check_belonging(s3, "one", has_none=False)
    with pytest.raises(CannotUseCluster, match="of other records"):
        check_belonging(s3, "two", has_none=True)


def test_a_prefix_with_files_is_not_for_new_records(s3: S3) -> None:
    """It is for those that know sessions: they were moved there."""
    s3.put(f"{SEGMENTS}/{SESSID}/1/0-a", b"x")
    with pytest.raises(CannotUseCluster, match="name an empty prefix"):
        check_belonging(s3, "one", has_none=True)
    check_belonging(s3, "one", has_none=False)
    with pytest.raises(CannotUseCluster):
        check_belonging(s3, "two", has_none=False)
