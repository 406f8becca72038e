"""Unpack an archive into a folder: every file in it, checked, or a reason in words.

An archive is untrusted. All of its directory is checked before the first byte is written: how much it has, that no
two entries share bytes, that nothing needs a password. Names follow the rules for names of uploads. So no entry can
leave the folder, be a link or a device, or grow beyond what the directory says.

Blocking functions, which ``prepare`` runs in a process of its own: nothing is imported that would slow its start.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import zlib
from array import array
from unicodedata import normalize

from onec_twisted.model.segments import fits, has_marks, on_disk
from onec_twisted.storage.archive import (
    DEFLATED,
    STORED,
    UNREADABLE_FLAGS,
    ArchiveDamaged,
    Held,
    listed,
    unpacked,
)
from onec_twisted.storage.spelling import Guess
from onec_twisted.storage.whole import FOLDER_MODE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from onec_twisted.storage.archive import Listed

__all__ = [
    "FULL",
    "Limits",
    "NoRoom",
    "Plan",
    "Room",
    "Unfit",
    "files_of",
    "plan_of",
    "unpack",
]

FILE_MODE = 0o644

SMALL_ARCHIVE = 16 * 1024 * 1024
"""Bytes that any archive may become, whatever its ratio: a few KB of spaces in a document are no attack."""

BLOCK_SIZE = 4096
"""Bytes of the disk that a file takes at least."""

BYTES_AT_ONCE = 16 * 1024 * 1024
"""Bytes after which the room on the disk is looked at again."""

FILE_COST = 32 * 1024
"""Bytes that a file counts as in that: it takes an inode, and a place in a folder."""

FREE_INODE_SHARE = 100
"""One in this many inodes of the disk stays free, as ``Store.free`` has it."""

LARGE_FILE = 64 * 1024
"""Bytes of a file that are worth starting writeback for: the sync at the end then keeps nobody waiting for long."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

LONGEST_SHOWN = 80
"""Characters of a name in a message: a node shows 255 of all of it."""

_ABSOLUTE = re.compile(r"/|[A-Za-z]:|\\\\")
"""How a name begins that means a place on the machine; a single backslash is what some nodes leave of a folder."""

_IS_FOLDER = 0x10
"""The attribute of a folder on DOS and Windows."""


class Unfit(Exception):
    """The archive is not unpacked; the message says why, and what to do."""


class NoRoom(Exception):
    """The disk has no room now; later it may."""


class Limits:
    """What an archive may become: bytes, files, times its own size, and the folders and the file of a name."""

    __slots__ = ("deepest", "files", "ratio", "size")

    def __init__(self, size: int, files: int, ratio: int, deepest: int) -> None:
        """Keep them."""
        self.size, self.files, self.ratio, self.deepest = size, files, ratio, deepest


class Room:
    """The room on the disk that holds ``folder``, of which ``floor`` bytes stay free."""

    def __init__(self, folder: str, floor: int) -> None:
        """Take nothing yet."""
        self._folder, self._floor = folder, floor
        self._taken = 0

    def take(self, size: int = FILE_COST) -> None:
        """Note that bytes were written, or a file made; now and then look at the disk. Raises ``NoRoom``."""
        self._taken += size
        if self._taken > BYTES_AT_ONCE:
            self._taken = 0
            self.check()

    def check(self, size: int = 0, files: int = 0) -> None:
        """Raise ``NoRoom`` unless so many bytes and files may come."""
        disk = os.statvfs(self._folder)
        if disk.f_bavail * disk.f_frsize - size < self._floor:
            raise NoRoom("the disk is too full (--min-free)")
        if disk.f_files and disk.f_favail - files < disk.f_files // FREE_INODE_SHARE:
            raise NoRoom("the disk has no room for so many files")


class Plan:
    """What an archive becomes: ``files``, of ``size`` bytes together, as they take room on a disk."""

    __slots__ = ("files", "guess", "size")

    def __init__(self, files: int, size: int, guess: Guess) -> None:
        """Keep them, and how names are spelled."""
        self.files, self.size, self.guess = files, size, guess


def _start_writeback(fd: int) -> None:
    """Start writing a file to the disk, without waiting, where the system can do that."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def _shown(name: str) -> str:
    return name if len(name) <= LONGEST_SHOWN else f"{name[:LONGEST_SHOWN]}…"


def _is_file(one: Listed, name: str) -> bool:
    """Return whether an entry is a file, and no folder. Raises ``Unfit`` for anything else."""
    kind = stat.S_IFMT(one.attributes >> 16)
    if kind == stat.S_IFLNK:
        raise Unfit(f"{_shown(name)} is a link; pack what it leads to")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise Unfit(f"{_shown(name)} is a device; leave it out")
    is_folder = kind == stat.S_IFDIR or name.endswith(("/", "\\")) or (one.attributes & _IS_FOLDER and not one.size)
    if is_folder and one.size:
        raise Unfit(f"{_shown(name)} is a folder with content")
    return not is_folder


def _checked(one: Listed, name: str) -> tuple[int, int, int]:
    """Return the size of a file, and where its header begins and its content ends. Raises what ``unpack`` raises."""
    if one.flags & UNREADABLE_FLAGS:
        raise Unfit(f"{_shown(name)} has a password; pack it without one")
    if one.method not in (STORED, DEFLATED):
        raise Unfit(f"{_shown(name)} is compressed by method {one.method}; pack it by deflate")
    if one.size is None or one.packed is None or one.begin is None or one.place is None:
        raise ArchiveDamaged(f"the size of {_shown(name)} is missing")
    if one.method == STORED and one.packed != one.size:
        raise ArchiveDamaged(f"the sizes of {_shown(name)} differ")
    return one.size, one.begin, one.place + one.packed


def _check_apart(begins: array[int], ends: array[int], size: int) -> None:
    """Raise ``Unfit`` when entries share bytes, ``ArchiveDamaged`` when one ends beyond the archive."""
    reached = 0
    for number in sorted(range(len(begins)), key=begins.__getitem__):
        if begins[number] < reached:
            raise Unfit("entries overlap")
        reached = ends[number]
    if reached > size:
        raise ArchiveDamaged("bytes are missing or doubled")


def plan_of(held: Held, limits: Limits) -> Plan:
    """Check all of an archive's directory, except for the names. Raises what ``unpack`` raises."""
    guess, begins, ends, whole, room = Guess(), array("Q"), array("Q"), 0, 0
    most = min(limits.size, max(SMALL_ARCHIVE, limits.ratio * held.size))
    for one in listed(held):
        guess.note(one.raw)
        name = guess.name(one.raw, one.extra)
        if not _is_file(one, name):
            continue
        size, begin, end = _checked(one, name)
        begins.append(begin)
        ends.append(end)
        whole += size
        room += -(-size // BLOCK_SIZE) * BLOCK_SIZE
        if len(begins) > limits.files:
            raise Unfit(f"it has more than {limits.files} files (--unpack-files)")
        if whole > most:
            by_size, by_ratio = f"{most} bytes (--unpack-limit)", f"{limits.ratio} times its size (--unpack-ratio)"
            raise Unfit(f"it would become more than {by_size if most == limits.size else by_ratio}")
    _check_apart(begins, ends, held.size)
    return Plan(len(begins), room, guess)


def _segments(name: str, deepest: int) -> tuple[str, ...]:
    """Return the path of a name inside its folder; empty for one that means no file, or a hidden one.

    Hidden files are those of systems (``.DS_Store``, ``__MACOSX/._x``): no node may upload such a name. Raises
    ``Unfit`` for a name that no file may have.
    """
    if _ABSOLUTE.match(name):
        raise Unfit(f"{_shown(name)} is an absolute path")
    segments = tuple(one for one in name.replace("\\", "/").split("/") if one not in ("", "."))
    if ".." in segments:
        raise Unfit(f"{_shown(name)} leads out of its folder")
    if has_marks(name):
        raise Unfit(f"a name has characters that no file may have: {_shown(name)}")
    if not segments or any(one.startswith(".") for one in segments):
        return ()
    if len(segments) > deepest:
        raise Unfit(f"{_shown(name)} lies in more than {deepest - 1} folders (--unpack-depth)")
    if not fits(segments, deepest):
        raise Unfit(f"a name is too long: {_shown(name)}")
    return segments


def _same_name(name: str) -> bytes:
    """Return what names have in common that differ by case or normal form: people take them for one."""
    folded = name.lower() if name.isascii() else normalize("NFC", normalize("NFC", name).casefold())
    return hashlib.blake2b(folded.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def files_of(held: Held, guess: Guess, deepest: int) -> Iterator[tuple[str, Listed]]:
    """Yield the files of an archive that was checked, each by its name. Raises ``Unfit`` for names."""
    seen: set[bytes] = set()
    for one in listed(held):
        name = guess.name(one.raw, one.extra)
        segments = _segments(name, deepest)
        if not segments or not _is_file(one, name):
            continue
        name = "/".join(segments)
        digest = _same_name(name)
        if digest in seen:
            raise Unfit(f"two entries are named {_shown(name)}, or differ by case alone")
        seen.add(digest)
        yield name, one


class _Writer:
    """Writes the files of one archive below ``folder``."""

    def __init__(self, held: Held, folder: str, most: int, room: Room) -> None:
        self._held, self._folder, self._most, self._room = held, folder, most, room
        self._made: set[str] = set()
        self.size = 0

    def write(self, name: str, one: Listed) -> None:
        """Write one file. Raises ``ArchiveDamaged`` if it is not what the directory says."""
        self._room.take()
        if "/" in name:
            self._make_folder(name.rpartition("/")[0], name)
        path = f"{self._folder}/{on_disk(name)}"
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE)
        except FileExistsError:
            raise Unfit(f"{_shown(name)} is a file and a folder") from None
        try:
            if not self._fill(fd, one):
                raise ArchiveDamaged(f"the checksum of {_shown(name)} is wrong")
        finally:
            os.close(fd)

    def _make_folder(self, folder: str, name: str) -> None:
        """Make a folder, and those above it."""
        if folder in self._made:
            return
        if "/" in folder:
            self._make_folder(folder.rpartition("/")[0], name)
        if len(self._made) == self._most:
            raise Unfit(f"it has more than {self._most} folders (--unpack-files)")
        try:
            os.mkdir(f"{self._folder}/{on_disk(folder)}", FOLDER_MODE)
        except FileExistsError:
            raise Unfit(f"{_shown(folder)} is a file and a folder") from None
        self._made.add(folder)
        self._room.take()

    def _fill(self, fd: int, one: Listed) -> bool:
        """Write the content of a file; return whether it has the size and the checksum of the directory."""
        size, packed, place = one.size or 0, one.packed or 0, one.place or 0
        length = checksum = 0
        try:
            for portion in unpacked(self._held, place, packed, one.method, size):
                length += len(portion)
                if length > size:
                    return False
                self._room.take(len(portion))
                checksum = zlib.crc32(portion, checksum)
                left = memoryview(portion)
                while left:
                    left = left[os.write(fd, left) :]
                if length >= LARGE_FILE:
                    _start_writeback(fd)
        except zlib.error:
            return False
        self.size += length
        return (length, checksum) == (size, one.checksum)


def unpack(
    held: Held,
    folder: str,
    limits: Limits,
    room: Room,
    begin: Callable[[Plan], None],
    note: Callable[[str, int, int], None],
) -> None:
    """Unpack an archive into an empty folder.

    ``begin`` is called when the directory has been checked, ``note`` after each file, with its name, its size and the
    bytes written so far. Raises ``ArchiveDamaged`` and ``Unfit`` with a reason in words, ``NoRoom``, and what
    ``begin`` raises; what has been written is then for the caller to remove.
    """
    plan = plan_of(held, limits)
    begin(plan)
    room.check(plan.size, plan.files)
    writer = _Writer(held, folder, limits.files, room)
    try:
        for name, one in files_of(held, plan.guess, limits.deepest):
            writer.write(name, one)
            note(name, one.size or 0, writer.size)
    except OSError as error:
        if error.errno in FULL:
            raise NoRoom(error.strerror) from error
        raise
