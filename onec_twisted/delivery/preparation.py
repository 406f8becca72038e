"""Makes a hand-off ready for its importer: what its session's archives hold is unpacked into the importer's folder.

A process of its own does that, ``prepare``; a few run at a time. What it has made stays with the session, so that the
next document of an archive finds it. A hand-off whose session has no archive is ready as it is.
"""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field, frozen
from twisted.logger import Logger

from onec_twisted.delivery.processes import TooMuchAsked, run_program
from onec_twisted.model.description import UploadedFile
from onec_twisted.model.errors import ImportFailed, ImportInterrupted, InsufficientStorage
from onec_twisted.model.records import SETTLED
from onec_twisted.model.shops import shares_of
from onec_twisted.runtime.fairness import Places, Sharing, Slots
from onec_twisted.storage.gathering import Job, folder_of, key_of, names_of
from onec_twisted.storage.unpacking import NoRoom, Unfit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from onec_twisted.catalog.files import FileRecords
    from onec_twisted.catalog.handoffs import HandoffRecords
    from onec_twisted.delivery.destinations import Destination
    from onec_twisted.ingest.space import Space
    from onec_twisted.model.description import Description
    from onec_twisted.model.records import Handoff
    from onec_twisted.runtime.workers import Workers
    from onec_twisted.storage.interfaces import IFolders

__all__ = ["WITH_FILES", "Preparation", "Preparer", "is_archive"]

PREPARE = str(Path(__file__).with_name("prepare.py"))

AT_ONCE = 4
"""Hand-offs that are made ready at the same time; no user has more than are left for others."""

MOST_ARCHIVES = 1000
"""Most archives of a session that are unpacked for one hand-off, the requested one among them."""

LONGEST_LINE = 64 * 1024
"""Most bytes of a line that the process writes."""

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
"""How a session's folder is opened."""

WITH_FILES = frozenset({"import", SETTLED})
"""Events whose archives are unpacked: what a tus client uploads is handed off as it is."""


@frozen(eq=False)
class Preparer:
    """Does jobs, each in a separate process, within ``timeout`` seconds."""

    reactor: Any
    timeout: float

    async def __call__(self, fd: int, job: Job, report: Callable[[dict[str, Any]], None]) -> int:
        """Do a job in the folder that is open; return the size of the requested file, see ``gather``.

        Raises ``Unfit``, ``NoRoom``, what ``report`` raises, and
        ``TooMuchAsked``. Cancellation kills the process.
        """
        begun, last = bytearray(), dict[str, Any]()

        def take(data: bytes) -> None:
            *lines, rest = bytes(begun + data).split(b"\n")
            begun[:] = rest
            if len(rest) > LONGEST_LINE:
                raise TooMuchAsked("its answer has no end")
            for line in lines:
                event = json.loads(line)
                if "archive" in event:
                    report(event)
                else:
                    last.update(event)

        written = f"{job.as_json()}\n".encode("ascii")
        await run_program(self.reactor, PREPARE, [], fd, take, timeout=self.timeout, written=written)
        if "failed" in last:
            raise Unfit(last["failed"])
        if "busy" in last:
            raise NoRoom(last["busy"])
        return int(last["size"])


@define(eq=False)
class _Coming:
    """The bytes that an archive becomes, for ``Space``: how many there are, and how many have been written."""

    length: int
    received: int = 0
    accepted: int = 0


@define(eq=False, kw_only=True)
class Preparation:
    """Describes hand-offs to the importer, made ready for it. ``prepare`` does a job, see ``Preparer``."""

    files: FileRecords
    records: HandoffRecords
    store: IFolders
    space: Space
    workers: Workers
    prepare: Callable[[int, Job, Callable[[dict[str, Any]], None]], Awaitable[int]]
    sharing: Sharing = field(factory=Sharing)
    _slots: Slots = field(init=False)
    _log = Logger()

    @_slots.default
    def _make_slots(self) -> Slots:
        return Slots(Places(AT_ONCE, self.sharing))

    async def __call__(
        self, handoff: Handoff, destination: Destination, progress: Callable[[str], None]
    ) -> Description:
        """Return the description of a hand-off, once its files are there.

        Raises ``ImportFailed`` if an archive that it needs cannot be unpacked, ``ImportInterrupted`` while the disk
        has no room for it.
        """
        description = await self.records.described(handoff, self.store.folder(handoff.sessid))
        if destination.unpack_limits is None or handoff.event not in WITH_FILES:
            return description
        archives = await self.files.archives(handoff.sessid, MOST_ARCHIVES)
        if not archives:
            return description
        held, count = await self.files.amount(handoff.sessid)
        sealed = {file.name: file.size for file in description.files if is_archive(file.name)}
        archives |= sealed
        top = handoff.archive or (handoff.filename if is_archive(handoff.filename) else "")
        job = Job(
            view=key_of(top, archives[top]) if top else handoff.id,
            top=top,
            wanted=handoff.filename,
            archives=archives,
            needed=list(sealed),
            stamp=f"{held}/{count}",
            quota=destination.session_quota - held,
            floor=self.space.min_free,
            limits=destination.unpack_limits,
        )
        async with self._slots.of(shares_of(handoff.username)):
            size = await self._do(handoff, job, progress)
        return await self.workers(_unpacked, description, job, size)

    async def _do(self, handoff: Handoff, job: Job, progress: Callable[[str], None]) -> int:
        """Do a job; return the size of the requested file. Raises ``ImportFailed`` and ``ImportInterrupted``."""
        which = f"Archive {job.top}" if job.top else "An archive"
        try:
            return await self._gather(handoff, job, progress)
        except Unfit as unfit:
            raise ImportFailed(str(unfit)) from None
        except InsufficientStorage as full:
            raise ImportInterrupted(f"{which} cannot be unpacked yet: the disk is too full (--min-free)") from full
        except (NoRoom, OSError) as busy:
            words = busy.strerror if isinstance(busy, OSError) else busy
            raise ImportInterrupted(f"{which} cannot be unpacked yet: {words}") from busy
        except TooMuchAsked as error:
            self._log.warn(
                "{sessid}: unpacking exceeded a limit ({which}: {error})",
                sessid=handoff.sessid,
                user=handoff.username,
                which=which,
                error=str(error),
            )
            raise ImportFailed(f"{which} takes too much time or memory to be unpacked") from None

    async def _gather(self, handoff: Handoff, job: Job, progress: Callable[[str], None]) -> int:
        """Do a job, while the room on the disk is reserved that its archives take."""
        coming: dict[str, _Coming] = {}

        def note(event: dict[str, Any]) -> None:
            name = event["archive"]
            if "why" in event:
                self._log.warn(
                    "{sessid}: {why}; importers get the rest of the session without it",
                    sessid=handoff.sessid,
                    user=handoff.username,
                    why=event["why"],
                )
            elif "size" in event:
                coming[name] = _Coming(event["size"])
                reserved.enter_context(self.space.promise(handoff.sessid, job.quota, coming[name], 0))
                progress(f"Archive {name}: unpacking {event['files']} files")
            else:
                coming[name].received = event["written"]
                progress(f"Archive {name}: unpacked {event['done']} of {event['of']}")

        await self.space.look()
        fd = await self.workers(os.open, self.store.folder(handoff.sessid), FOLDER_FLAGS)
        try:
            with ExitStack() as reserved:
                return await self.prepare(fd, job, note)
        finally:
            os.close(fd)


def is_archive(name: str) -> bool:
    """Return whether a file is an archive, by its name."""
    return name.lower().endswith(".zip")


def _unpacked(description: Description, job: Job, size: int) -> Description:
    """Return a description of files that were unpacked, with its JSON already made, in a worker."""
    files, session_folder = description.files, description.folder
    if description.archive is not None:
        files = (UploadedFile(job.wanted, size),)
    elif not job.wanted:
        found = {file.name: file for file in files if not is_archive(file.name)}
        for name, length in names_of(session_folder, job.view):
            found.setdefault(name, UploadedFile(name, length))
        files = tuple(found[name] for name in sorted(found))
    folder = folder_of(session_folder, job.view)
    ready = evolve(
        description,
        archive=None,
        unpacked=job.top or None,
        folder=folder,
        session_folder=session_folder,
        files=files,
    )
    ready.as_json()
    return ready
