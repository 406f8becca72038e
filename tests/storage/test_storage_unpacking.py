"""Archives are unpacked as they were meant, or refused in words before anything of them stays."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zipfile
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_archives import (
    AES,
    DEFLATED,
    DOCUMENT,
    ENCRYPTED,
    IMPORT,
    LZMA,
    PATCHED,
    UTF8,
    Odd,
    archive_of,
    field,
    unicode_path,
)
from trade import packed

from onec_twisted.storage import unpacking
from onec_twisted.storage.archive import ArchiveDamaged, Held
from onec_twisted.storage.unpacking import Limits, NoRoom, Plan, Room, Unfit, unpack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIMITS = {"size": 2**30, "files": 1000, "ratio": 200, "deepest": 32}


def unpacked(path: Path, content: bytes, floor: int = 0, **limits: int) -> dict[str, bytes]:
    """Return what an archive was unpacked to, by name. Raises what ``unpack`` raises."""
    folder = path / "files"
    folder.mkdir()
    (path / "a.zip").write_bytes(content)
    begun: list[Plan] = []
    with (path / "a.zip").open("rb") as file:
        held, room = Held(file.fileno(), len(content)), Room(str(path), floor)
        unpack(held, str(folder), Limits(**{**LIMITS, **limits}), room, begun.append, lambda *_: None)
    found = {one.relative_to(folder).as_posix(): one for one in folder.rglob("*") if not one.is_dir()}
    assert begun[0].files >= len(found)
    assert not any(one.is_symlink() for one in folder.rglob("*"))
    return {name: one.read_bytes() for name, one in found.items()}


def zip64(name: bytes, content: bytes) -> bytes:
    """Return an archive whose sizes stand in ZIP64 fields."""
    numbers = struct.pack("<2Q", len(content), len(content))
    made = bytearray(archive_of(Odd(name, content, extra=field(1, numbers))))
    entry = made.index(b"PK\x01\x02")
    made[entry + 20 : entry + 28] = b"\xff" * 8
    return bytes(made)


def streamed(contents: dict[str, bytes]) -> bytes:
    """Return an archive with data descriptors: its tool could not go back in its output."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.written = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.written += bytes(data)  # type: ignore[call-overload]
            return len(bytes(data))  # type: ignore[call-overload]

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in contents.items():
            made.writestr(name, content)
    return bytes(pipe.written)


CONTENTS = {"import0_1.xml": DOCUMENT, "import_files/ab/x.jpg": os.urandom(70_000), "пустой.jpg": b""}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(packed(CONTENTS, zipfile.ZIP_STORED), id="stored"),
        pytest.param(packed(CONTENTS), id="deflated"),
        pytest.param(streamed(CONTENTS), id="data descriptors"),
        pytest.param(b"MZ" * 1000 + packed(CONTENTS), id="behind a program"),
        pytest.param(packed(CONTENTS) + b"\r\n", id="with a line end"),
    ],
)
def test_every_file_is_there(tmp_path: Path, content: bytes) -> None:
    """With its content, and nothing else."""
    assert unpacked(tmp_path, content) == CONTENTS


def test_files_and_folders_have_the_modes_of_uploads(tmp_path: Path) -> None:
    """The site may read them as another user, whatever their archive says."""
    os.umask(0o022)
    entry = zipfile.ZipInfo("a/b.jpg")
    entry.external_attr = 0o106777 << 16
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(entry, b"jpeg")
    unpacked(tmp_path, made.getvalue())

    assert (tmp_path / "files/a/b.jpg").stat().st_mode & 0o7777 == 0o644
    assert (tmp_path / "files/a").stat().st_mode & 0o7777 == 0o755


def test_zip64(tmp_path: Path) -> None:
    """Sizes that stand elsewhere."""
    assert unpacked(tmp_path, zip64(b"a.xml", DOCUMENT)) == {"a.xml": DOCUMENT}


NAME = "картинки/Болт №5.jpg"


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(Odd(NAME.encode(), flags=UTF8), id="UTF-8"),
        pytest.param(Odd(NAME.encode()), id="UTF-8 without its flag"),
        pytest.param(Odd(NAME.encode("cp866")), id="cp866"),
        pytest.param(Odd(NAME.encode("cp866"), flags=UTF8), id="cp866, flagged as UTF-8"),
        pytest.param(Odd(NAME.encode("cp1251")), id="cp1251"),
        pytest.param(Odd(b"?/?.jpg", extra=unicode_path(NAME, b"?/?.jpg")), id="Unicode Path"),
        pytest.param(Odd(NAME.replace("/", "\\").encode("cp866")), id="a backslash"),
        pytest.param(Odd(("\\" + NAME).encode()), id="a backslash in front"),
        pytest.param(Odd(("./" + NAME).encode()), id="a dot in front"),
        pytest.param(Odd(NAME.replace("/", "//./").encode()), id="empty segments"),
        pytest.param(Odd(NAME.encode(), extra=field(0x5455, b"\x01\x02\x03", 40)), id="a field that is cut off"),
        pytest.param(Odd(NAME.encode(), version=0x0B14), id="a version of another system"),
    ],
)
def test_names_are_as_1c_means_them(tmp_path: Path, odd: Odd) -> None:
    """However the tool wrote them: what a code page is shows in all its letters."""
    assert unpacked(tmp_path, archive_of(IMPORT, odd)) == {"import0_1.xml": DOCUMENT, NAME: odd.content}


@pytest.mark.parametrize(
    "odd",
    [
        Odd(b"import_files/", b""),
        Odd(b"import_files\\ab\\", b""),
        Odd(b""),
        Odd(b"\0\0"),
        Odd(b".DS_Store"),
        Odd(b"__MACOSX/import_files/._x.jpg"),
    ],
)
def test_what_is_left_out(tmp_path: Path, odd: Odd) -> None:
    """Folders, files without a name, and those that systems hide: no document can mean them."""
    assert unpacked(tmp_path, archive_of(odd, IMPORT)) == {"import0_1.xml": DOCUMENT}


def mode(kind: int, content: bytes = b"../../etc/passwd") -> bytes:
    """Return an archive with something that is no file."""
    made = bytearray(archive_of(IMPORT, Odd(b"x", content)))
    entry = made.rindex(b"PK\x01\x02")
    made[entry + 38 : entry + 42] = struct.pack("<L", kind << 16)
    return bytes(made)


def shared() -> bytes:
    """Return an archive whose entries share their bytes: a thousand of them cost as much as one."""
    one = Odd(b"a.jpg", os.urandom(1000), method=DEFLATED)
    names = [b"%d.jpg" % number for number in range(1000)]
    directory = b"".join(Odd(name, one.content, method=DEFLATED).central(0) for name in names)
    end = struct.pack("<4s4x2H2LH", b"PK\x05\x06", 1000, 1000, len(directory), len(one.local), 0)
    return one.local + directory + end


def quoted() -> bytes:
    """Return an archive whose second entry lies inside the first one's content."""
    inner = Odd(b"b.jpg", bytes(50_000), method=DEFLATED)
    outer = Odd(b"a.jpg", inner.local)
    directory = outer.central(0) + inner.central(len(outer.local) - len(inner.local))
    end = struct.pack("<4s4x2H2LH", b"PK\x05\x06", 2, 2, len(directory), len(outer.local), 0)
    return outer.local + directory + end


HOSTILE: dict[str, tuple[bytes, str]] = {
    "a bomb by its ratio": (archive_of(Odd(b"a.xml", bytes(2**25), method=DEFLATED)), "200 times its size"),
    "a bomb by its size": (archive_of(IMPORT, Odd(b"a.jpg", bytes(2**21))), r"1048576 bytes \(--unpack-limit\)"),
    "a bomb by its entries": (archive_of(*(Odd(b"%d.jpg" % n, b"") for n in range(1001))), "more than 1000 files"),
    "a bomb by its folders": (
        archive_of(*(Odd(b"%d/%d/x.jpg" % (n, n), b"") for n in range(600))),
        "more than 1000 folders",
    ),
    "entries that share bytes": (shared(), "entries overlap"),
    "an entry inside another": (quoted(), "entries overlap"),
    "a link": (mode(0o120777), "x is a link; pack what it leads to"),
    "a device": (mode(0o020666, b""), "x is a device; leave it out"),
    "a pipe": (mode(0o010666, b""), "x is a device"),
    "a socket": (mode(0o140666, b""), "x is a device"),
    "a folder with content": (mode(0o040777), "x is a folder with content"),
    "an absolute name": (archive_of(IMPORT, Odd(b"/etc/passwd")), "/etc/passwd is an absolute path"),
    "a name with a drive": (archive_of(IMPORT, Odd(b"C:\\x.jpg")), r"C:\\x.jpg is an absolute path"),
    "a name on a share": (archive_of(IMPORT, Odd(b"\\\\server\\x.jpg")), "is an absolute path"),
    "a climbing name": (archive_of(IMPORT, Odd(b"../../x.jpg")), r"\.\./\.\./x.jpg leads out of its folder"),
    "a climbing name by backslashes": (archive_of(IMPORT, Odd(b"a\\..\\..\\x.jpg")), "leads out of its folder"),
    "a climbing folder": (archive_of(IMPORT, Odd(b"../x/", b"")), "leads out of its folder"),
    "a name that climbs in another encoding": (
        archive_of(IMPORT, Odd(b"x", extra=unicode_path("../x", b"x"))),
        "leads out of its folder",
    ),
    "two entries of one name": (archive_of(IMPORT, IMPORT), "two entries are named import0_1.xml"),
    "names that differ by case": (
        archive_of(IMPORT, Odd(b"Import0_1.XML")),
        "two entries are named Import0_1.XML, or differ by case alone",
    ),
    "names that differ by Cyrillic case": (
        archive_of(Odd("Болт.jpg".encode()), Odd("БОЛТ.jpg".encode())),
        "two entries are named БОЛТ.jpg",
    ),
    "names that differ by normal form": (
        archive_of(Odd("й.jpg".encode()), Odd("и\u0306.jpg".encode())),
        "two entries are named",
    ),
    "one name by two spellings": (archive_of(Odd(b"a/x.jpg"), Odd(b"a\\x.jpg")), "two entries are named a/x.jpg"),
    "a file and a folder": (archive_of(Odd(b"a"), Odd(b"a/x.jpg")), "a is a file and a folder"),
    "a folder and a file": (archive_of(Odd(b"a/x.jpg"), Odd(b"a")), "a is a file and a folder"),
    "a password": (archive_of(IMPORT, Odd(b"x.jpg", flags=ENCRYPTED)), "x.jpg has a password; pack it without one"),
    "a password by AES": (archive_of(Odd(b"x.jpg", flags=ENCRYPTED, method=AES)), "x.jpg has a password"),
    "a patch": (archive_of(Odd(b"x.jpg", flags=PATCHED)), "x.jpg has a password"),
    "a method without a limit": (
        archive_of(Odd(b"x.jpg", method=LZMA)),
        "compressed by method 14; pack it by deflate",
    ),
    "a name that is too deep": (
        archive_of(Odd(b"a/" * 32 + b"x.jpg")),
        r"in more than 31 folders \(--unpack-depth\)",
    ),
    "a name that is too long": (archive_of(Odd(b"x" * 300)), "a name is too long"),
    "a name of line ends": (archive_of(Odd(b"a\r\nSet-Cookie: x")), "a name has characters that no file may have"),
}


@pytest.mark.parametrize(("content", "words"), HOSTILE.values(), ids=HOSTILE)
def test_what_is_hostile_is_refused_in_words(tmp_path: Path, content: bytes, words: str) -> None:
    """And no file is outside, whatever its archive says."""
    limits = {"size": 2**20} if "unpack-limit" in words else {}
    with pytest.raises(Unfit, match=words):
        unpacked(tmp_path, content, **limits)

    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.zip", "files"]


def test_archives_in_archives_stay_as_they_are(tmp_path: Path) -> None:
    """A bomb by nesting becomes no more than its first layer."""
    inner = archive_of(Odd(b"x.jpg", bytes(2**20), method=DEFLATED))

    assert unpacked(tmp_path, archive_of(Odd(b"inner.zip", inner))) == {"inner.zip": inner}


def test_sizes_in_the_directory_are_not_believed(tmp_path: Path) -> None:
    """A file that becomes larger is cut off, and refused."""
    made = bytearray(archive_of(Odd(b"a.jpg", bytes(2**20), method=DEFLATED)))
    entry = made.index(b"PK\x01\x02")
    made[entry + 24 : entry + 28] = struct.pack("<L", 1000)
    with pytest.raises(ArchiveDamaged, match=r"the checksum of a\.jpg is wrong"):
        unpacked(tmp_path, bytes(made))

    assert (tmp_path / "files/a.jpg").stat().st_size <= 1000


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (16, 1, r"the checksum of a\.jpg is wrong"),
        (20, 2**32 - 1, r"the size of a\.jpg is missing"),
        (24, 999, r"the sizes of a\.jpg differ"),
        (42, 1, "bytes are missing or doubled"),
    ],
)
def test_a_directory_that_disagrees(tmp_path: Path, place: int, value: int, words: str) -> None:
    """Of a stored file: its checksum, its sizes and its place are compared with what is there."""
    made = bytearray(archive_of(Odd(b"a.jpg")))
    entry = made.index(b"PK\x01\x02")
    made[entry + place : entry + place + 4] = struct.pack("<L", value)
    with pytest.raises(ArchiveDamaged, match=words):
        unpacked(tmp_path, bytes(made))


WHOLE = archive_of(IMPORT, Odd(b"import_files/x.jpg", os.urandom(300)), comment=b"1C")


@pytest.mark.parametrize("left", sorted({*range(0, len(WHOLE), 7), *range(len(WHOLE) - 30, len(WHOLE))}))
def test_what_is_cut_off_anywhere(tmp_path: Path, left: int) -> None:
    """In its files, its directory, or its end: never half of it; but for the comment behind it."""
    if left >= len(WHOLE) - 2:
        assert len(unpacked(tmp_path, WHOLE[:left])) == 2
        return
    with pytest.raises(ArchiveDamaged):
        unpacked(tmp_path, WHOLE[:left])


@settings(max_examples=300, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_whatever_is_changed(tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]) -> None:
    """It is refused in words, or every file has its checksum; nothing else is raised, and nothing lies outside."""
    path = tmp_path_factory.mktemp("changed")
    content = bytearray(WHOLE)
    for place, value in changes:
        content[place] = value
    found: dict[str, bytes] = {}
    with suppress(Unfit, ArchiveDamaged):
        found = unpacked(path, bytes(content))
    assert all(len(one) <= 1000 for one in found.values())
    assert sorted(one.name for one in path.iterdir()) == ["a.zip", "files"]


def test_a_disk_that_is_too_full(tmp_path: Path) -> None:
    """Nothing is written when what it becomes would take what has to stay free."""
    floor = 2**62
    with pytest.raises(NoRoom, match=r"the disk is too full \(--min-free\)"):
        unpacked(tmp_path, archive_of(IMPORT), floor)

    assert list((tmp_path / "files").iterdir()) == []


def test_a_disk_that_others_fill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked at while files are written, within a large one, too."""
    looked: list[int] = []
    check: Callable[..., None] = Room.check

    def fill(room: Room, *needs: int) -> None:
        looked.append(len(needs))
        if len(looked) == 3:
            raise NoRoom("the disk is too full")
        check(room, *needs)

    monkeypatch.setattr(Room, "check", fill)
    monkeypatch.setattr(unpacking, "BYTES_AT_ONCE", 2**20)
    with pytest.raises(NoRoom):
        unpacked(tmp_path, archive_of(Odd(b"a.jpg", bytes(2**23))))

    assert (tmp_path / "files/a.jpg").stat().st_size < 2**22


def test_memory_does_not_grow_with_files(tmp_path: Path) -> None:
    """A file of 64 MB goes through portions of one."""
    content = archive_of(Odd(b"a.jpg", os.urandom(2**20) * 64, method=DEFLATED))
    (tmp_path / "a.zip").write_bytes(content)
    (tmp_path / "files").mkdir()
    tracemalloc.start()
    with (tmp_path / "a.zip").open("rb") as file:
        held, room = Held(file.fileno(), len(content)), Room(str(tmp_path), 0)
        unpack(held, str(tmp_path / "files"), Limits(**LIMITS), room, lambda _: None, lambda *_: None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 6 * 2**20
