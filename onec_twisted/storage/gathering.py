"""Gather in one folder what a hand-off's importer needs: what its archives hold, and what was uploaded beside them.

In a session's folder::

    .unpacked/<key>/files/    what an archive holds, and links to what it lacks
    .unpacked/<key>/names     the files of the archive alone: a line of JSON each, behind a line about the archive
    .unpacked/<key>/filled    what the session had when the links were made
    .unpacked/<id>/files/     the same for a hand-off that has several archives, or none: links alone
    .unpacked/.new-…          one that is being made: it is renamed when it is whole, and on the disk
    .unpacked/.lock           held by the process that works here

A link is a hard link, so that it can be copied and moved like a file. Of two files with one name, that of the
requested archive is meant, then one that was uploaded by itself, then that of the archive sent last.

Blocking functions, which ``prepare`` runs in a process of its own: nothing is imported that would slow its start.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from contextlib import suppress

from onec_twisted.model.segments import MANIFEST, UNPACKED, from_disk, on_disk
from onec_twisted.storage.archive import ArchiveDamaged, Held
from onec_twisted.storage.unpacking import FULL, Limits, NoRoom, Plan, Room, Unfit, files_of, plan_of, unpack
from onec_twisted.storage.whole import FOLDER_MODE, NEW, drop, locked, made, open_below, sync, sync_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

__all__ = ["FILLED", "Job", "folder_of", "gather", "key_of", "links_of", "names_of"]

FILES, NAMES, FILLED = "files", "names", "filled"
"""What is in the folder of a key."""

NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""Errors on opening a recorded file that mean that it is missing or was replaced."""

PROGRESS_STEPS = 100
"""How often progress is reported, at most."""


class Job:
    """What is to be gathered for one hand-off.

    ``view`` names the folder to make; ``top`` is the archive that it is made from, empty if there is none; ``wanted``
    is the file that must be in it, empty if there is none. ``archives`` are those of the session by name, with their
    committed lengths; those ``needed`` have to be readable. ``stamp`` differs when the session has received
    something. ``quota`` is how many bytes may be unpacked in the session, ``floor`` how many of the disk stay free.
    """

    __slots__ = ("archives", "floor", "limits", "needed", "quota", "stamp", "top", "view", "wanted")

    def __init__(
        self,
        *,
        view: str,
        top: str,
        wanted: str,
        archives: dict[str, int],
        needed: list[str],
        stamp: str,
        quota: int,
        floor: int,
        limits: tuple[int, int, int, int],
    ) -> None:
        """Keep all of it."""
        self.view, self.top, self.wanted = view, top, wanted
        self.archives, self.needed, self.stamp = archives, needed, stamp
        self.quota, self.floor, self.limits = quota, floor, limits

    def as_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def from_json(cls, text: str | bytes) -> Job:
        """Return the job of ``as_json``."""
        return cls(**json.loads(text))


def key_of(archive: str, size: int) -> str:
    """Return the name of the folder for what an archive of a session holds."""
    return hashlib.blake2b(f"{archive}/{size}".encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()


def folder_of(session: str, key: str) -> str:
    """Return the path of what was gathered under a key in a session's folder."""
    return f"{session}/{UNPACKED}/{key}/{FILES}"


def names_of(session: str, key: str) -> Iterator[tuple[str, int]]:
    """Yield the names and sizes of what an archive, or all archives of a hand-off, held. Raises ``OSError``."""
    return _names_in(f"{session}/{UNPACKED}", key)


def links_of(session: str, name: str, inode: int) -> int:
    """Return how many links to an upload of a session were gathered."""
    home, found = f"{session}/{UNPACKED}", 0
    with suppress(FileNotFoundError, NotADirectoryError):
        for key in os.listdir(home):
            with suppress(FileNotFoundError, NotADirectoryError):
                found += os.lstat(f"{home}/{key}/{FILES}/{on_disk(name)}").st_ino == inode
    return found


def _names_in(home: str, key: str) -> Iterator[tuple[str, int]]:
    with open(f"{home}/{key}/{NAMES}", encoding="utf-8", errors="surrogatepass") as lines:
        next(lines, None)
        for line in lines:
            name, size = json.loads(line)
            yield name, size


def _head(home: str, key: str) -> dict[str, Any] | None:
    """Return the line about the archive in front of its names; None if there is nothing whole of that key."""
    try:
        with open(f"{home}/{key}/{NAMES}", encoding="ascii") as lines:
            head: dict[str, Any] = json.loads(next(lines, ""))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return head


class _Home:
    """What is unpacked of one session, whose folder is ``base``."""

    def __init__(self, base: str, job: Job, report: Callable[[dict[str, Any]], None]) -> None:
        self._base, self._job, self._report = base, job, report
        self.path = f"{base}/{UNPACKED}"
        self._limits = Limits(*job.limits)
        self._room = Room(base, job.floor)
        self._left = job.quota - sum((_head(self.path, key) or {}).get("size", 0) for key in os.listdir(self.path))

    def latest_first(self, archives: Iterable[str]) -> list[str]:
        """Return archives in the order in which they were sent, the last one first."""
        return sorted(archives, key=lambda name: (-self._sent(name), name))

    def _sent(self, archive: str) -> int:
        """Return when the last piece of an archive was written, in nanoseconds; 0 if it is missing."""
        try:
            return os.lstat(f"{self._base}/{on_disk(archive)}").st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):
            return 0

    def tree(self, archive: str) -> str:
        """Return the key of what an archive holds, unpacked if it is not yet. Raises what ``unpack`` raises."""
        size = self._job.archives[archive]
        try:
            key, fd = key_of(archive, size), open_below(self._base, archive)
        except OSError as error:
            if error.errno not in NOT_THERE:
                raise
            raise ArchiveDamaged("it is missing") from error
        try:
            status = os.fstat(fd)
            mark = [status.st_ino, status.st_mtime_ns]
            head = _head(self.path, key)
            if head is None or head["archive"] != mark:
                drop(self.path, key)
                self._left += (head or {}).get("size", 0)
                self._unpack(Held(fd, size), archive, key, mark)
        finally:
            os.close(fd)
        return key

    def _unpack(self, held: Held, archive: str, key: str, mark: list[int]) -> None:
        """Unpack an archive."""
        files = due = size_due = 0
        plans: list[Plan] = []

        def begin(plan: Plan) -> None:
            if plan.size > self._left:
                raise Unfit(f"its {plan.size} bytes do not fit into the session (--session-quota)")
            self._report({"archive": archive, "files": plan.files, "size": plan.size})
            plans.append(plan)
            names.write(json.dumps({"archive": mark, "size": plan.size}) + "\n")

        def note(name: str, size: int, written: int) -> None:
            nonlocal files, due, size_due
            files += 1
            names.write(json.dumps([name, size]) + "\n")
            if files >= due or written >= size_due:
                due = files + plans[0].files // PROGRESS_STEPS + 1
                size_due = written + plans[0].size // PROGRESS_STEPS + 1
                self._report({"archive": archive, "done": files, "of": plans[0].files, "written": written})

        with made(self.path, key) as new:
            os.mkdir(f"{new}/{FILES}", FOLDER_MODE)
            with open(f"{new}/{NAMES}", "w", encoding="ascii") as names:
                unpack(held, f"{new}/{FILES}", self._limits, self._room, begin, note)
            sync_tree(new, plans[0].files)
        self._left -= plans[0].size

    def view(self, keys: list[str]) -> None:
        """Make the folder of a hand-off without a top archive; ``keys`` are what its own archives hold."""
        if _head(self.path, self._job.view) is not None:
            return
        drop(self.path, self._job.view)
        seen: set[int] = set()
        with made(self.path, self._job.view) as new:
            os.mkdir(f"{new}/{FILES}", FOLDER_MODE)
            with open(f"{new}/{NAMES}", "w", encoding="ascii") as names:
                names.write("{}\n")
                for key in keys:
                    for name, size in _names_in(self.path, key):
                        if hash(name) not in seen:
                            seen.add(hash(name))
                            names.write(json.dumps([name, size]) + "\n")
            sync(f"{new}/{NAMES}")

    def fill(self, keys: list[str]) -> None:
        """Link what a hand-off's folder lacks: what was uploaded by itself, and what other archives hold."""
        view = f"{self.path}/{self._job.view}"
        stamp = " ".join((self._job.stamp, *keys))
        with suppress(FileNotFoundError), open(f"{view}/{FILLED}", encoding="ascii") as filled:
            if filled.read() == stamp:
                return
        taken = {hash(name) for name, _ in _names_in(self.path, self._job.view)} if self._job.top else set()
        for name in self._uploads():
            if hash(name) not in taken:
                taken.add(hash(name))
                self._link(f"{self._base}/{on_disk(name)}", f"{view}/{FILES}/{on_disk(name)}")
        for key in keys:
            for name, _ in _names_in(self.path, key):
                if hash(name) not in taken:
                    taken.add(hash(name))
                    self._link(f"{self.path}/{key}/{FILES}/{on_disk(name)}", f"{view}/{FILES}/{on_disk(name)}")
        with open(f"{view}/{FILLED}", "w", encoding="ascii") as filled:
            filled.write(stamp)

    def _uploads(self) -> Iterator[str]:
        """Yield the names of the files that were uploaded by themselves: no archives, except for a requested one."""
        for place, folders, names in os.walk(self._base):
            folders[:] = [one for one in folders if not one.startswith(".")]
            for name in names:
                path = from_disk(f"{place}/{name}"[len(self._base) + 1 :])
                is_archive = path.lower().endswith(".zip") and path != self._job.wanted
                is_ours = name.startswith(".") or path == MANIFEST
                if not is_archive and not is_ours and stat.S_ISREG(os.lstat(f"{place}/{name}").st_mode):
                    yield path

    def _link(self, source: str, target: str) -> None:
        """Link a file; what is in its place is replaced, but for a folder: then nothing can be named so."""
        self._room.take()
        with suppress(FileExistsError, NotADirectoryError):
            os.makedirs(target.rpartition("/")[0], FOLDER_MODE, exist_ok=True)
            try:
                os.link(source, target, follow_symlinks=False)
            except FileExistsError:
                before, after = os.lstat(target), os.lstat(source)
                if before.st_ino != after.st_ino and stat.S_ISREG(before.st_mode):
                    beside = f"{self.path}/{NEW}link"
                    os.link(source, beside, follow_symlinks=False)
                    os.replace(beside, target)

    def wanted(self) -> int:
        """Return the size of the requested file, which has to be there. Raises ``Unfit``."""
        wanted, files = self._job.wanted, f"{self.path}/{self._job.view}/{FILES}"
        try:
            return os.lstat(f"{files}/{on_disk(wanted)}").st_size
        except (FileNotFoundError, NotADirectoryError):
            spelled = self._spelled() if self._job.top else None
            if spelled is None:
                words = f"Archive {self._job.top} has no {wanted}" if self._job.top else f"{wanted} is missing"
                raise Unfit(words) from None
            self._link(f"{files}/{on_disk(spelled)}", f"{files}/{on_disk(wanted)}")
            return os.lstat(f"{files}/{on_disk(wanted)}").st_size

    def _spelled(self) -> str | None:
        """Return the name of an entry that may also be read as the requested one; None if there is none."""
        fd = open_below(self._base, self._job.top)
        try:
            held = Held(fd, self._job.archives[self._job.top])
            found = files_of(held, plan_of(held, self._limits).guess, self._limits.deepest)
            return next((name for name, one in found if self._job.wanted in one.names()), None)
        finally:
            os.close(fd)


def gather(base: str, job: Job, report: Callable[[dict[str, Any]], None]) -> int:
    """Do a job in a session's folder; return the size of the requested file in bytes, 0 if there is none.

    ``report`` is called with what is unpacked: ``archive``, and either its ``files`` and ``size`` before the first
    byte, or what is ``done`` of how many files, and how many bytes were ``written``; and with an ``archive`` that was
    left out, and ``why``. Raises ``Unfit`` with words, ``NoRoom`` and ``OSError`` to be tried again.
    """
    with locked(f"{base}/{UNPACKED}"):
        home = _Home(base, job, report)
        archives = sorted(home.latest_first(job.archives), key=lambda archive: archive not in job.needed)
        keys = {}
        for archive in archives:
            try:
                keys[archive] = home.tree(archive)
            except (ArchiveDamaged, Unfit) as why:
                kind = "is damaged" if isinstance(why, ArchiveDamaged) else "cannot be unpacked"
                words = f"Archive {archive} {kind}: {why}"
                if archive in job.needed:
                    raise Unfit(words) from None
                report({"archive": archive, "why": words})
        try:
            if not job.top:
                home.view([keys[archive] for archive in archives if archive in job.needed])
            home.fill([key for archive, key in keys.items() if archive != job.top])
            return home.wanted() if job.wanted else 0
        except OSError as error:
            if error.errno in FULL:
                raise NoRoom(error.strerror) from error
            raise
