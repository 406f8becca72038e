"""The media root."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import session_of
from zope.interface.verify import verifyObject

from onec_twisted.model.description import UploadedFile
from onec_twisted.model.errors import FileDamaged, InsufficientStorage, InvalidFilename, WrongOffset
from onec_twisted.model.names import SafeName
from onec_twisted.model.records import FileRecord
from onec_twisted.storage import file as piecefile
from onec_twisted.storage.file import IOV_MAX, WRITEBACK_SIZE, PieceFile
from onec_twisted.storage.interfaces import IStore, IStoredFile
from onec_twisted.storage.local import MediaRootTaken, Store
from onec_twisted.testing import FaultyStore

if TYPE_CHECKING:
    from collections.abc import Callable

SESSID = "0123456789abcdef" * 2
NAME = SafeName(("import_files", "ab", "x.jpg"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A media root that is ready."""
    store = Store(tmp_path / "media")
    store.prepare()
    return store


def write(store: Store, committed: int | None, *chunks: bytes, name: SafeName = NAME) -> PieceFile:
    """Store one piece, and return its file, closed."""
    file = store.open(session_of(SESSID), name, committed)
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
        file = one.open(session_of(SESSID), NAME, None)
        assert verifyObject(IStoredFile, file)
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

    assert Path(file.path).read_bytes() == b"head" + b"".join(chunks)


def test_more_chunks_than_one_call_takes(store: Store) -> None:
    """Linux takes 1024 buffers at once."""
    file = write(store, None, *[b"ab"] * (IOV_MAX * 2 + 1))

    assert Path(file.path).read_bytes() == b"ab" * (IOV_MAX * 2 + 1)


def test_pieces_are_written_at_the_committed_length(store: Store) -> None:
    """Not at the file's end: what lies beyond was never acknowledged."""
    path = Path(write(store, None, b"12345").path)
    path.write_bytes(b"12345torn")
    write(store, 5, b"67")

    assert path.read_bytes() == b"1234567"


def test_a_file_that_is_not_on_record_is_made_anew(store: Store) -> None:
    """What a crash left under its name is not served."""
    path = Path(write(store, None, b"left over").path)

    assert write(store, None, b"new").path == str(path)
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("harm", ["shorter", "gone", "folder gone"])
def test_a_file_that_lost_acknowledged_bytes_is_damaged(store: Store, harm: str) -> None:
    """It is neither filled up nor made anew."""
    path = Path(write(store, None, b"12345").path)
    if harm == "shorter":
        path.write_bytes(b"1234")
    else:
        path.unlink()
    if harm == "folder gone":
        path.parent.rmdir()
    with pytest.raises(FileDamaged):
        store.open(session_of(SESSID), NAME, 5)
    store.cut(SESSID, NAME, 5)

    assert (path.read_bytes() if path.exists() else None) == (b"1234" if harm == "shorter" else None)


def test_roll_back_leaves_the_file_as_it_was(store: Store) -> None:
    """A new file goes, an old one keeps what is committed; a second call does nothing."""
    new = store.open(session_of(SESSID), NAME, None)
    new.write([b"torn"])
    new.roll_back()
    new.roll_back()
    assert not Path(new.path).exists()
    write(store, None, b"12345")
    old = store.open(session_of(SESSID), NAME, 5)
    old.write([b"torn"])
    old.roll_back()

    assert Path(old.path).read_bytes() == b"12345"


def test_roll_back_leaves_no_folder(store: Store) -> None:
    """Those that the piece made, and that nobody else uses, go with its file."""
    write(store, None, b"x", name=SafeName(("import_files", "y.jpg")))
    file = store.open(session_of(SESSID), NAME, None)
    file.write([b"torn"])
    file.roll_back()
    assert sorted(path.name for path in store.temp.rglob("*")) == sorted([SESSID, "import_files", "y.jpg"])
    write(store, None, b"x")

    assert (store.temp / SESSID / str(NAME)).read_bytes() == b"x"


def test_roll_back_after_the_folder_is_gone(store: Store) -> None:
    """``init`` was quicker."""
    file = store.open(session_of(SESSID), NAME, None)
    store.discard(SESSID)
    file.write([b"late"])
    file.roll_back()

    assert store.folders() == {}


def test_cut(store: Store) -> None:
    """A file that is closed already is taken back as well."""
    path = Path(write(store, None, b"12345").path)
    store.cut(SESSID, NAME, 3)
    assert path.read_bytes() == b"123"
    store.cut(SESSID, NAME, None)

    assert not path.exists()


def test_new_names_are_synced_before_success(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data, the folder that got a name, and the folders that got folders; later pieces sync the data alone."""
    seen = synced(monkeypatch)
    write(store, None, b"1")
    assert seen == ["x.jpg", "ab", "1c_temp", SESSID, "import_files"]
    del seen[:]
    write(store, 1, b"2")
    assert seen == ["x.jpg"]
    del seen[:]
    write(store, None, b"1", name=SafeName(("import_files", "ab", "y.jpg")))

    assert seen == ["y.jpg", "ab"]


def test_folders_that_another_piece_made_are_synced_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The piece that made them may break off and sync nothing."""
    broken = store.open(session_of(SESSID), NAME, None)
    seen = synced(monkeypatch)
    write(store, None, b"1", name=SafeName(("import_files", "ab", "y.jpg")))

    assert seen == ["y.jpg", "ab", "1c_temp", SESSID, "import_files"]
    broken.roll_back()


def test_discard(store: Store) -> None:
    """The folder is gone, with what is being written to it; that it is not there is fine."""
    file = store.open(session_of(SESSID), NAME, None)
    store.discard(SESSID)
    file.write([b"late"])
    file.roll_back()
    store.discard(SESSID)

    assert store.folders() == {}
    assert [path.name for path in store.temp.iterdir()] == []
    assert Path(write(store, None, b"new").path).read_bytes() == b"new"


def test_a_session_that_moves(store: Store) -> None:
    """Has everything in its new folder, and the old one stays until it is dropped; then it is called as before."""
    new = f"{SESSID}.2"
    write(store, None, b"old")
    store.move(SESSID, new)
    write(store, None, b"new")
    assert store.folder(SESSID).endswith(f"/{new}")
    assert [store.temp.joinpath(folder, *NAME.segments).read_bytes() for folder in (SESSID, new)] == [b"old", b"new"]
    assert sorted(store.folders()) == [SESSID, new]
    assert store.lost(SESSID, [UploadedFile(str(NAME), 4)]) == [str(NAME)]
    assert store.recover({SESSID: {str(NAME): 2}}) == []
    store.sync(SESSID)
    assert store.temp.joinpath(new, *NAME.segments).read_bytes() == b"ne"
    store.drop(SESSID)
    store.drop(SESSID)
    assert list(store.folders()) == [new]
    store.discard(SESSID)

    assert not store.folders()
    assert store.folder(SESSID).endswith(f"/{SESSID}")


def test_prepare_finishes_removals(store: Store) -> None:
    """A stop in the middle of one leaves nothing for ever."""
    (store.temp / ".gone-s-0").mkdir()
    (store.temp / ".gone-s-0" / "a").write_bytes(b"x")
    store.prepare()

    assert list(store.temp.iterdir()) == []


def test_folders_are_sessions_only(store: Store) -> None:
    """The database is no session, nor is what others keep there, nor a link."""
    store.database.write_bytes(b"")
    (store.temp / "lost+found").mkdir()
    (store.temp / ("f" * 32)).symlink_to(store.media_root)
    write(store, None, b"x")

    assert list(store.folders()) == [SESSID]


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
            store.open(session_of(SESSID), SafeName(name), None)


def test_one_daemon_per_media_root(store: Store) -> None:
    """The second one is told; when the first has ended the place is free."""
    store.lock()
    other = Store(store.media_root)
    with pytest.raises(MediaRootTaken):
        other.lock()
    store.unlock()
    other.lock()
    other.unlock()


def test_recovery(store: Store) -> None:
    """Every file becomes exactly its recorded length; what lost bytes or had more is told; the rest goes."""
    for name, content in {"long": b"12345torn", "right": b"12345", "short": b"123", "new": b"torn"}.items():
        write(store, None, content, name=SafeName(("a", name)))
    recorded = {"a/long": 5, "a/right": 5, "a/short": 5, "a/gone": 5}
    cut: list[Path] = []
    damaged = store.recover({SESSID: recorded, "f" * 32: {}}, cut=cut.append)

    assert sorted(damaged) == [(SESSID, "a/gone"), (SESSID, "a/short")]
    assert sorted(path.name for path in cut) == ["long", "new"]
    folder = store.temp / SESSID / "a"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "long": b"12345",
        "right": b"12345",
        "short": b"123",
    }


def test_recovery_follows_no_link(store: Store) -> None:
    """Neither one in the place of a file, nor one in the place of a session's folder."""
    outside = store.media_root / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"precious bytes")
    write(store, None, b"x", name=SafeName(("a",)))
    (store.temp / SESSID / "link").symlink_to(outside / "precious")
    (store.temp / SESSID / "folder").symlink_to(outside)
    (store.temp / ("f" * 32)).symlink_to(outside)
    damaged = store.recover({SESSID: {"a": 1, "link": 3}, "f" * 32: {"precious": 3}})

    assert sorted(damaged) == [(SESSID, "link"), ("f" * 32, "precious")]
    assert (outside / "precious").read_bytes() == b"precious bytes"
    assert sorted(path.name for path in (store.temp / SESSID).iterdir()) == ["a", "link"]


def test_a_range_that_is_held(store: Store) -> None:
    """It is compared, whatever its chunks; nothing is written, and a difference tells the right offset."""
    path = Path(write(store, None, b"0123456789").path)
    same = store.compare(session_of(SESSID), NAME, 2, 10)
    same.write([b"23", b"", b"456"])
    same.write([b"789"])
    same.finish()
    for chunks in ([b"2x"], [b"234567890"]):
        other = store.compare(session_of(SESSID), NAME, 2, 10)
        with pytest.raises(WrongOffset, match="10"):
            other.write(chunks)
        other.roll_back()

    assert path.read_bytes() == b"0123456789"


@pytest.mark.parametrize(
    ("before", "start", "piece", "repeats"),
    [
        (b"ab", 0, b"ab", True),
        (b"abab", 2, b"ab", True),
        (b"ab", 0, b"ax", False),
        (b"ab", 0, b"a", False),
        (b"ab", 0, b"abc", False),
        (b"x" * 3_000_000, 0, b"x" * 3_000_000, True),
        (b"x" * 3_000_000, 0, b"x" * 2_999_999 + b"y", False),
    ],
)
def test_a_piece_that_repeats_the_last(store: Store, before: bytes, start: int, piece: bytes, repeats: bool) -> None:
    """Byte for byte, and as long."""
    write(store, None, before)
    file = store.open(session_of(SESSID), NAME, len(before))
    file.write([piece])

    assert file.repeats(FileRecord(len(before), start)) is repeats
    file.roll_back()


def test_sync_brings_a_whole_session_to_the_disk(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where single pieces are not synced, the hand-off does it: data first, then names."""
    lazy = Store(store.media_root, synced=False)
    seen = synced(monkeypatch)
    write(lazy, None, b"x")
    assert seen == []
    lazy.sync(SESSID)

    assert seen[0] == "x.jpg"
    assert {*seen[1:]} == {SESSID, "import_files", "ab", "1c_temp"}


def test_sync_leaves_alone_what_is_none_of_ours(store: Store) -> None:
    """An importer may have put it there; it is no reason to doubt the files beside it."""
    write(store, None, b"x")
    (store.temp / SESSID / "link").symlink_to("nowhere")
    os.mkfifo(store.temp / SESSID / "pipe")
    store.sync(SESSID)


@pytest.mark.parametrize("refuses", [False, True])
def test_bytes_from_a_pipe(store: Store, monkeypatch: pytest.MonkeyPatch, refuses: bool) -> None:
    """They go where bytes from memory would, also where the file system cannot splice."""
    if refuses:

        def splice(*_: Any, **__: Any) -> int:
            raise OSError(errno.EINVAL, "Invalid argument")

        monkeypatch.setattr(os, "splice", splice)
    reading, writing = os.pipe()
    os.write(writing, b"from a pipe, and more")
    file = store.open(session_of(SESSID), NAME, None)
    file.write([b"first "])
    file.splice(reading, 11)
    file.write([b" last"])
    file.finish()
    assert os.read(reading, 100) == b", and more"
    os.write(writing, b"a pipe!")
    held = store.compare(session_of(SESSID), NAME, 11, 22)
    held.splice(reading, 6)
    with pytest.raises(WrongOffset):
        held.splice(reading, 1)
    held.roll_back()
    os.close(reading)
    os.close(writing)

    assert (store.temp / SESSID / str(NAME)).read_bytes() == b"first from a pipe last"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_pipe_that_does_not_fit(store: Store, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """A full disk is told as one, anything else as it is."""

    def splice(*_: Any, **__: Any) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "splice", splice)
    file = store.open(session_of(SESSID), NAME, None)
    with pytest.raises(InsufficientStorage if code == errno.ENOSPC else OSError):
        file.splice(0, 10)
    file.roll_back()


@pytest.mark.parametrize("synced", [True, False])
def test_the_disk_begins_before_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synced: bool) -> None:
    """With what has come so far, each range once, behind what is committed; not where nothing is ever synced."""
    begun: list[tuple[int, int]] = []
    monkeypatch.setattr(piecefile, "_start_writeback", lambda _fd, start, size: begun.append((start, size)))
    store = Store(tmp_path, synced=synced)
    store.prepare()
    write(store, None, b"12345")
    file = store.open(session_of(SESSID), NAME, 5)
    half = bytes(WRITEBACK_SIZE // 2)
    for _ in range(5):
        file.write([half])
    file.finish()

    assert begun == ([(5, WRITEBACK_SIZE), (5 + WRITEBACK_SIZE, WRITEBACK_SIZE)] if synced else [])


def test_a_folder_that_vanishes_while_folders_are_listed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker has removed it: the others are listed all the same."""
    for sessid in (SESSID, "f" * 32):
        (store.temp / sessid).mkdir()
    scandir = os.scandir

    def scan(path: Path) -> Any:
        """List folders, of which one is gone by the time that it is looked at."""
        entries = scandir(path)

        class Entries:
            """What was listed."""

            def __enter__(self) -> Any:
                listed = list(entries)
                (store.temp / ("f" * 32)).rmdir()
                return iter(listed)

            def __exit__(self, *_: object) -> None:
                entries.close()

        return Entries()

    monkeypatch.setattr(os, "scandir", scan)

    assert list(store.folders()) == [SESSID]
