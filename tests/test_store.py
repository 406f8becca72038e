"""The media root."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from onec_twisted import piecefile
from onec_twisted.errors import FileDamaged, InsufficientStorage, InvalidFilename
from onec_twisted.interfaces import IPieceFile, IStore
from onec_twisted.names import SafeName
from onec_twisted.piecefile import IOV_MAX, PieceFile
from onec_twisted.store import Store
from onec_twisted.testing import FaultyStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME = SafeName(("import_files", "ab", "x.jpg"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A media root that is ready."""
    store = Store(tmp_path / "media")
    store.prepare()
    return store


def write(store: Store, committed: int | None, *chunks: bytes, name: SafeName = NAME) -> PieceFile:
    """Store one piece, and return its file, closed."""
    file = store.open("s", name, committed)
    file.write(chunks)
    file.finish()
    return file


def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record what is synced, by name."""
    seen: list[str] = []

    def note(real: Callable[[int], None]) -> Callable[[int], None]:
        def sync(fd: int) -> None:
            seen.append(os.path.basename(os.readlink(f"/proc/self/fd/{fd}")))
            real(fd)

        return sync

    monkeypatch.setattr(os, "fsync", note(os.fsync))
    monkeypatch.setattr(piecefile, "_sync_data", note(piecefile._sync_data))
    return seen


def test_they_are_what_they_say(store: Store) -> None:
    """The store, its files, and the fakes provide the interfaces."""
    faulty = FaultyStore(store)
    assert verifyObject(IStore, store)
    assert verifyObject(IStore, faulty)
    for one in (store, faulty):
        file = one.open("s", NAME, None)
        assert verifyObject(IPieceFile, file)
        file.roll_back()


@given(chunks=st.lists(st.binary(max_size=9), max_size=30), cut=st.integers(1, 7))
def test_chunks_are_written_one_behind_the_other(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes], cut: int
) -> None:
    """Also when the system takes only a part of them at a time, and more than it takes at once."""
    real = os.pwritev

    def reluctant(fd: int, buffers: list[Any], offset: int) -> int:
        if not any(buffers):
            return 0
        first = next(buffer for buffer in buffers if len(buffer))
        skipped = [buffer for buffer in buffers[: buffers.index(first)] if len(buffer)]
        assert not skipped
        return real(fd, [bytes(first)[:cut]], offset)

    store = Store(tmp_path_factory.mktemp("media"))
    store.prepare()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(piecefile, "IOV_MAX", 4)
        patch.setattr(os, "pwritev", reluctant)
        file = write(store, None, b"head", *chunks, name=SafeName(("a",)))

    assert file.path.read_bytes() == b"head" + b"".join(chunks)


def test_more_chunks_than_one_call_takes(store: Store) -> None:
    """Linux takes 1024 buffers at once."""
    file = write(store, None, *[b"ab"] * (IOV_MAX * 2 + 1))

    assert file.path.read_bytes() == b"ab" * (IOV_MAX * 2 + 1)


def test_pieces_are_written_at_the_committed_length(store: Store) -> None:
    """Not at the file's end: what lies beyond was never acknowledged."""
    path = write(store, None, b"12345").path
    path.write_bytes(b"12345torn")
    write(store, 5, b"67")

    assert path.read_bytes() == b"1234567"


def test_a_file_that_is_not_on_record_is_made_anew(store: Store) -> None:
    """What a crash left under its name is not served."""
    path = write(store, None, b"left over").path

    assert write(store, None, b"new").path == path
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("harm", ["shorter", "gone", "folder gone"])
def test_a_file_that_lost_acknowledged_bytes_is_damaged(store: Store, harm: str) -> None:
    """It is neither filled up nor made anew."""
    path = write(store, None, b"12345").path
    if harm == "shorter":
        path.write_bytes(b"1234")
    else:
        path.unlink()
    if harm == "folder gone":
        path.parent.rmdir()
    with pytest.raises(FileDamaged):
        store.open("s", NAME, 5)
    store.cut("s", NAME, 5)

    assert (path.read_bytes() if path.exists() else None) == (b"1234" if harm == "shorter" else None)


def test_roll_back_leaves_the_file_as_it_was(store: Store) -> None:
    """A new file goes, an old one keeps what is committed; a second call does nothing."""
    new = store.open("s", NAME, None)
    new.write([b"torn"])
    new.roll_back()
    new.roll_back()
    assert not new.path.exists()
    write(store, None, b"12345")
    old = store.open("s", NAME, 5)
    old.write([b"torn"])
    old.roll_back()

    assert old.path.read_bytes() == b"12345"


def test_roll_back_after_the_folder_is_gone(store: Store) -> None:
    """``init`` was quicker."""
    file = store.open("s", NAME, None)
    store.discard("s")
    file.write([b"late"])
    file.roll_back()

    assert store.folders() == []


def test_cut(store: Store) -> None:
    """A file that is closed already is taken back as well."""
    path = write(store, None, b"12345").path
    store.cut("s", NAME, 3)
    assert path.read_bytes() == b"123"
    store.cut("s", NAME, None)

    assert not path.exists()


def test_new_names_are_synced_before_success(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data, the folder that got a name, and the folders that got folders; later pieces sync the data alone."""
    seen = synced(monkeypatch)
    write(store, None, b"1")
    assert seen == ["x.jpg", "ab", "1c_temp", "s", "import_files"]
    del seen[:]
    write(store, 1, b"2")
    assert seen == ["x.jpg"]
    del seen[:]
    write(store, None, b"1", name=SafeName(("import_files", "ab", "y.jpg")))

    assert seen == ["y.jpg", "ab"]


def test_folders_that_another_piece_made_are_synced_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The piece that made them may break off and sync nothing."""
    store.open("s", NAME, None).roll_back()
    seen = synced(monkeypatch)
    write(store, None, b"1", name=SafeName(("import_files", "ab", "y.jpg")))

    assert seen == ["y.jpg", "ab", "1c_temp", "s", "import_files"]


def test_discard(store: Store) -> None:
    """The folder is gone, with what is being written to it; that it is not there is fine."""
    file = store.open("s", NAME, None)
    store.discard("s")
    file.write([b"late"])
    file.roll_back()
    store.discard("s")

    assert store.folders() == []
    assert [path.name for path in store.temp.iterdir()] == []
    assert write(store, None, b"new").path.read_bytes() == b"new"


def test_prepare_finishes_removals(store: Store) -> None:
    """A stop in the middle of one leaves nothing for ever."""
    (store.temp / ".gone-s-0").mkdir()
    (store.temp / ".gone-s-0" / "a").write_bytes(b"x")
    store.prepare()

    assert list(store.temp.iterdir()) == []


def test_folders_are_sessions_only(store: Store) -> None:
    """The database is no session."""
    store.database.write_bytes(b"")
    write(store, None, b"x")

    assert store.folders() == ["s"]


def test_the_disk_has_something_left(store: Store) -> None:
    """In bytes."""
    assert store.free() > 2**20


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("call", ["pwritev", "open", "fdatasync"])
def test_a_full_disk(store: Store, monkeypatch: pytest.MonkeyPatch, code: int, call: str) -> None:
    """It is told as that, wherever it shows."""

    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(code, os.strerror(code))

    if call == "fdatasync":
        monkeypatch.setattr(piecefile, "_sync_data", full)
    else:
        monkeypatch.setattr(os, call, full)
    with pytest.raises(InsufficientStorage):
        write(store, None, b"1")


@pytest.mark.parametrize("call", ["pwritev", "open", "fdatasync"])
def test_a_broken_disk(store: Store, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """Any other error is not mistaken for a full one."""

    def broken(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    if call == "fdatasync":
        monkeypatch.setattr(piecefile, "_sync_data", broken)
    else:
        monkeypatch.setattr(os, call, broken)
    with pytest.raises(OSError, match="Input/output error"):
        write(store, None, b"1")


def test_files_and_folders_keep_apart(store: Store) -> None:
    """A folder cannot become a file, nor a file a folder."""
    write(store, None, b"1", name=SafeName(("a", "b")))
    for name in (("a",), ("a", "b", "c")):
        with pytest.raises(InvalidFilename):
            store.open("s", SafeName(name), None)
