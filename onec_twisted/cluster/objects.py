"""The store of files in a bucket; blocking functions that run in workers. No Twisted.

The keys, below the prefix of the store::

    segments/<sessid>/<epoch>/<start>-<random>   a run of a file's bytes, as it was received; never written twice
    files/<sessid>/<epoch>/<filename>            a file whose segments were joined
    files/<sessid>/manifest.json                 what was handed off, by the importer ``keep``
    probe/<random>                               a test of the store, gone at once
    records                                      of which records the others are

What counts is on record: an object that no record names is nothing, and goes with its epoch.
"""

from __future__ import annotations

import hashlib
import math
import os
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from attrs import Factory, field, frozen
from zope.interface import implementer

from onec_twisted.cluster.reading import FileReader, in_a_row, read_range
from onec_twisted.cluster.refusals import CannotUseCluster
from onec_twisted.cluster.segments import HeldSegments, SegmentedFile, opened_scratch
from onec_twisted.model.errors import FileDamaged, StorageRemoved
from onec_twisted.storage.file import FullDiskTranslated, write_at
from onec_twisted.storage.interfaces import IStore
from onec_twisted.storage.local import FREE_INODE_SHARE, SESSID

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from onec_twisted.cluster.putters import Putters
    from onec_twisted.cluster.s3 import S3, Found
    from onec_twisted.model.description import UploadedFile
    from onec_twisted.model.names import SafeName
    from onec_twisted.model.records import Segment, Session

__all__ = ["FILES", "SEGMENTS", "ObjectStore", "check_belonging"]

RECORDS = "records"
"""The key of an object that says of which records the others are."""

LONGEST_ID = 100
"""Bytes that are read of it."""

OTHERS = "the objects there are of other records than those of --catalog"

SEGMENTS, FILES = "segments", "files"
"""What the keys of segments, and of everything that is made from them, begin with."""

NAME_IN_KEY = 800
"""Bytes of a file's name in a key, at most: S3 takes 1024 for the whole key."""

LISTED_FROM = 16
"""Objects that are looked for one by one; for more, a listing asks less of the store."""


@implementer(IStore)
@frozen(eq=False)
class ObjectStore:
    """A bucket, and a scratch folder for bodies on their way; nothing in that needs to outlive the process.

    Two things only the records know. ``segments_of`` returns the segments of a file in its session's epoch, by sessid
    and name. ``epochs_of`` returns the epochs of a session whose objects must stay: its current one, and those that
    are kept; None when the session is off the record and nothing of it is kept. ``on_record`` returns, of many
    sessions, those of which that is not so.
    """

    s3: S3
    putters: Putters
    scratch: str
    segments_of: Callable[[str, str], Sequence[Segment]]
    epochs_of: Callable[[str], frozenset[int] | None]
    on_record: Callable[[Sequence[str]], Collection[str]] = field(
        default=Factory(lambda self: partial(_each_on_record, self.epochs_of), takes_self=True)
    )

    def prepare(self) -> None:
        """Make the scratch folder, and try the store. Raises ``OSError``, ``StorageRemoved``."""
        os.makedirs(self.scratch, mode=0o700, exist_ok=True)
        self.probe()

    def stop(self) -> None:
        """Wait for what is being put; blocks."""
        self.putters.stop()

    def open(self, session: Session, name: SafeName, committed: int | None) -> SegmentedFile:
        """Open a file; nothing is looked for: a damaged one shows when it is read."""
        return SegmentedFile(
            self.putters, self.scratch, f"{SEGMENTS}/{session.sessid}/{session.epoch}", committed or 0
        )

    def compare(self, session: Session, name: SafeName, start: int, committed: int) -> HeldSegments:
        """Raise nothing yet; what it returns raises ``FileDamaged`` when bytes are gone."""
        return HeldSegments(self._reader(session.sessid, name.text, committed), start, committed)

    def cut(self, sessid: str, name: SafeName, committed: int | None) -> None:
        """Do nothing: what is not on record is not there."""

    def folder(self, sessid: str) -> str:
        """Return the prefix of the keys of what is made from a session's segments."""
        return f"{FILES}/{sessid}"

    def open_archive(self, sessid: str, name: SafeName) -> int:
        """Gather a file in a nameless scratch file, and return its descriptor.

        An archive is read by a confined process, which has a descriptor and no network. Raises ``FileDamaged``,
        ``InsufficientStorage``.
        """
        segments = _in_order(self.segments_of(sessid, name.text))
        size = segments[-1].start + segments[-1].length if segments else 0
        with opened_scratch(self.scratch) as file, FullDiskTranslated():
            place = 0
            for block in self._reader(sessid, name.text, size).blocks():
                write_at(file.fileno(), [block], place)
                place += len(block)
            return os.dup(file.fileno())

    def sync(self, sessid: str, name: SafeName | None = None) -> None:
        """Do nothing: what is on record is in the store."""

    def lost(self, sessid: str, files: Sequence[UploadedFile]) -> list[str]:
        """Raise ``OSError`` when the store does not say."""
        lost = self._lost(sessid, files)
        if lost:
            self.s3.folders("")  # raises StorageRemoved: then none of them is lost
            lost = self._lost(sessid, [file for file in files if file.name in lost])  # joined in between
        return lost

    def check(self) -> None:
        """Do nothing: the store says itself when it is gone."""

    def move(self, sessid: str, folder: str) -> None:
        """Do nothing: keys have the epoch in them."""

    def discard(self, sessid: str) -> None:
        """Remove the objects of all epochs of a session but those that must stay, and of later ones.

        A later one than the records knew of when they were asked has begun since.
        """
        stays = self.epochs_of(sessid)
        keys = [one.key for one in _found(self.s3, sessid)]
        self.s3.delete([key for key in keys if stays is None or _is_outdated(key, stays)])

    def drop(self, folder: str) -> None:
        """Remove what need not stay of the session that had the folder, see ``discard``."""
        self.discard(folder.partition(".")[0])

    def folders(self) -> dict[str, float]:
        """Return all sessids, with the time of the youngest object; that of a session on record is infinite.

        Only the times of the others matter, and each takes a listing. Who has no object is none, though some stores
        list the folder.
        """
        found = sorted(filter(SESSID.fullmatch, {*self.s3.folders(SEGMENTS), *self.s3.folders(FILES)}))
        times = dict.fromkeys(self.on_record(found), math.inf)
        for sessid in found:
            if sessid in times:
                continue
            for one in _found(self.s3, sessid):
                times[sessid] = max(times.get(sessid, 0.0), one.changed)
        return times

    def free(self) -> int:
        """Return the free bytes of the scratch disk; 0 when few inodes are left. Raises ``StorageRemoved``."""
        try:
            disk = os.statvfs(self.scratch)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StorageRemoved from error
        return 0 if disk.f_favail < disk.f_files // FREE_INODE_SHARE else disk.f_bavail * disk.f_frsize

    def probe(self) -> None:
        """Try the store."""
        self.s3.probe()

    def read(self, segments: Sequence[Segment], place: int, size: int) -> bytes:
        """Return ``size`` bytes from ``place`` on of the file that segments make. Raises ``SegmentLost``."""
        return read_range(self.s3, _in_order(segments), place, size)

    def join(self, sessid: str, epoch: int, name: str, segments: Sequence[Segment]) -> str:
        """Return the key of one object that holds all of a file, which must not grow any more.

        A single segment is one already; several are read and written again, a little at a time. They stay until the
        records name the new object. Raises ``FileDamaged`` when bytes are gone, ``OSError``.
        """
        if len(segments) == 1:
            return segments[0].object
        size = in_a_row(_in_order(segments))
        if size != sum(segment.length for segment in segments):
            raise FileDamaged
        key = f"{FILES}/{sessid}/{epoch}/{_short(name)}"
        self.s3.write(key, FileReader(self.s3, lambda: segments, size).blocks(), size)
        return key

    def _reader(self, sessid: str, name: str, size: int) -> FileReader:
        return FileReader(self.s3, lambda: self.segments_of(sessid, name), size)

    def _lost(self, sessid: str, files: Sequence[UploadedFile]) -> list[str]:
        """Return the names of files of which something is missing, by one look at the records and the store."""
        on_record = {file.name: _in_order(self.segments_of(sessid, file.name)) for file in files}
        sizes = _sizes(self.s3, [segment.object for segments in on_record.values() for segment in segments])
        return [
            file.name
            for file in files
            if in_a_row(on_record[file.name]) < file.size
            or any(sizes.get(segment.object) != segment.length for segment in on_record[file.name])
        ]


def check_belonging(s3: S3, records: str, *, has_none: bool) -> None:
    """Check that the objects are those of the records of an id, and say so in the store.

    The sweep removes what is of no session on record: with other records it would remove everything. ``has_none``
    tells that there are no sessions yet. Raises ``CannotUseCluster``, and what ``s3`` raises.
    """
    try:
        found, _ = s3.read(RECORDS, 0, LONGEST_ID)
    except FileNotFoundError:
        if has_none and (s3.folders(SEGMENTS) or s3.folders(FILES)):
            raise CannotUseCluster(f"{OTHERS}; name an empty prefix, or the --catalog that they are of") from None
        s3.put(RECORDS, records.encode("ascii"))
        return
    if found != records.encode("ascii"):
        raise CannotUseCluster(f"{OTHERS}; name another prefix, or the --catalog that they are of")


def _each_on_record(epochs_of: Callable[[str], object], sessids: Iterable[str]) -> list[str]:
    return [sessid for sessid in sessids if epochs_of(sessid) is not None]


def _found(s3: S3, sessid: str) -> Iterator[Found]:
    """Yield all objects of a session."""
    for kind in (SEGMENTS, FILES):
        yield from s3.found(f"{kind}/{sessid}")


def _sizes(s3: S3, keys: Sequence[str]) -> dict[str, int]:
    """Return the sizes of those objects that are there."""
    sizes: dict[str, int] = {}
    if len(keys) >= LISTED_FROM:
        wanted = set(keys)
        for prefix in {_folder_of(key) for key in keys}:
            sizes |= {one.key: one.size for one in s3.found(prefix) if one.key in wanted}
    for key in keys:
        if key not in sizes:  # a listing may be older than the object
            with suppress(FileNotFoundError):
                sizes[key] = s3.size(key)
    return sizes


def _in_order(segments: Iterable[Segment]) -> list[Segment]:
    return sorted(segments, key=lambda segment: segment.start)


def _short(name: str) -> str:
    """Return a name that fits into a key: a very long one is replaced by its SHA-256."""
    encoded = name.encode("utf-8")
    return name if len(encoded) <= NAME_IN_KEY else hashlib.sha256(encoded).hexdigest()


def _folder_of(key: str) -> str:
    """Return what the keys of a session's epoch begin with: kind, sessid and epoch."""
    return "/".join(key.split("/")[:3])


def _is_outdated(key: str, stays: Iterable[int]) -> bool:
    """Return whether a key is of an epoch before the last one that stays, and not of one of those."""
    epoch = _folder_of(key).rpartition("/")[2]
    return epoch.isdecimal() and int(epoch) not in stays and int(epoch) < max(stays, default=0)
