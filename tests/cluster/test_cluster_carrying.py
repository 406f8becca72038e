"""Files of a media root on their way into a store."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from stores import NAME, SESSID, local_bench

from onec_twisted.cluster import segments
from onec_twisted.cluster.carrying import Carrier, HeldFile, StoreFailed, digest_of
from onec_twisted.cluster.segments import SegmentedFile
from onec_twisted.storage.local import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fake_s3 import FakeS3
    from stores import Bench

    from onec_twisted.cluster.s3 import S3

CONTENT = os.urandom(10_000)


@pytest.fixture
def root(tmp_path: Path) -> Bench:
    """A media root with one file of two pieces."""
    bench = local_bench(tmp_path)
    bench.put(CONTENT[:7000])
    bench.put(CONTENT[7000:])
    return bench


@pytest.fixture
def carrier(root: Bench, s3: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[Carrier]:
    """What carries it, with small cuts."""
    monkeypatch.setattr(segments, "SEGMENT_SIZE", 800)
    monkeypatch.setattr(segments, "LEAST_SEGMENT", 500)
    assert isinstance(root.store, Store)
    carrier = Carrier(root.store, s3)
    yield carrier
    carrier.stop()


FILE = HeldFile(SESSID, 1, NAME.text, len(CONTENT), 7000)


def test_a_file(carrier: Carrier, fake: FakeS3, root: Bench) -> None:
    """Its segments are in a row, each is what it says, and nothing is open afterwards."""
    put = list(carrier.put([FILE]))

    assert {name for name, _ in put} == {NAME.text}
    whole = b""
    for _, segment in put:
        data = fake.objects[f"shop/{segment.object}"]
        assert segment.start == len(whole)
        assert (len(data), hashlib.sha256(data).digest()) == (segment.length, segment.digest)
        whole += data
    assert whole == CONTENT
    assert list(carrier.differences([(FILE, [segment for _, segment in put])])) == [""] * len(put)
    assert root.open_files() == []


@pytest.mark.parametrize("size", [0, 1, 800, 1299, 1300, 3000])
def test_its_digest_is_that_of_its_last_piece(carrier: Carrier, objects: Bench, root: Bench, size: int) -> None:
    """As a daemon of several has it that has received that piece."""
    last = len(CONTENT) - size
    written = [segment for _, segment in carrier.put([evolve(FILE, last_start=last)])]
    file = objects.store.open(objects.session, NAME, last)
    assert isinstance(file, SegmentedFile)
    file.write([CONTENT[last:]])

    assert file.finish().digest == digest_of(evolve(FILE, last_start=last), written)


def test_what_is_there_of_a_file(carrier: Carrier, root: Bench, tmp_path: Path) -> None:
    """Never more than is on record; nothing of one that is missing, or of what somebody has put in its place."""
    path = tmp_path / "media" / "1c_temp" / SESSID / NAME.text
    lengths = [carrier.length(SESSID, NAME.text, committed) for committed in (9000, 10_000, 11_000)]
    assert lengths == [9000, 10_000, 10_000]
    assert carrier.length(SESSID, "other/folder/x.jpg", 5) == 0
    assert carrier.length(SESSID, "import_files", 5) == 0
    path.rename(path.with_name("real"))
    assert carrier.length(SESSID, NAME.text, 10_000) == 0
    path.symlink_to("real")
    assert carrier.length(SESSID, NAME.text, 10_000) == 0
    path.unlink()
    os.mkfifo(path)
    assert carrier.length(SESSID, NAME.text, 10_000) == 0


def test_a_file_that_becomes_shorter(carrier: Carrier, root: Bench, tmp_path: Path) -> None:
    """Somebody works on the media root: it is an error, and no segment of wrong bytes."""
    os.truncate(tmp_path / "media" / "1c_temp" / SESSID / NAME.text, 5000)
    with pytest.raises(OSError, match="it has become shorter meanwhile"):
        list(carrier.put([FILE]))


def test_a_gap_in_the_records(carrier: Carrier) -> None:
    """It is told once for the file."""
    found = [segment for _, segment in carrier.put([FILE])]
    words = f"{SESSID}: {NAME.text}: its segments on record are not its 10000 bytes"
    assert list(carrier.differences([(FILE, found[:-1])])) == [words]
    assert list(carrier.differences([(FILE, found[1:])])) == [words]


def test_a_store_that_does_not_do_it(carrier: Carrier, fake: FakeS3) -> None:
    """It says why, and no key."""
    fake.fault("PUT", status=403)
    with pytest.raises(StoreFailed, match="did not take an object") as caught:
        list(carrier.put([FILE]))
    assert "KEY-ID" not in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)


def test_not_all_is_in_memory(carrier: Carrier, fake: FakeS3, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many segments there are, some are on their way, and the next is taken when one has been."""
    from onec_twisted.cluster import carrying

    monkeypatch.setattr(carrying, "CARRIED_AT_ONCE", 2)
    put = carrier.put([FILE] * 50)
    next(put)
    assert fake.count("PUT", "segments") <= 3
    put.close()  # type: ignore[attr-defined]
