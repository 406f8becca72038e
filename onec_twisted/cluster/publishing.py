"""Makes hand-offs ready for their importers: a site gets addresses of objects, a program a folder.

Archives are unpacked, and documents checked, as with one daemon: on a disk. What comes out of an archive for a site
is put into the store again; all else a site reads from where it is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field

from onec_twisted.catalog.sql.sessions import file, session_of
from onec_twisted.cluster.contents import all_segments_of, files_of, segments_of
from onec_twisted.cluster.located import LOCATED_VERSION, located
from onec_twisted.cluster.statements import join_segments
from onec_twisted.cluster.storing import StoredFolders
from onec_twisted.delivery.interfaces import ImportFailed, ImportInterrupted
from onec_twisted.delivery.preparation import WITH_FILES, is_archive
from onec_twisted.model.errors import FileDamaged, InsufficientStorage, InvalidSession
from onec_twisted.model.records import Segment

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    from onec_twisted.catalog.handoffs import HandoffRecords
    from onec_twisted.cluster.fetching import Fetched
    from onec_twisted.cluster.objects import ObjectStore
    from onec_twisted.cluster.postgresql import PostgreSQL
    from onec_twisted.delivery.destinations import Destination
    from onec_twisted.ingest.space import Space
    from onec_twisted.model.description import Description
    from onec_twisted.model.records import Handoff, Session
    from onec_twisted.runtime.workers import Workers

__all__ = ["Publishing"]

ADDRESS_SPARE = 3600.0
"""Seconds for which addresses are valid after the import's own time."""


@define(eq=False)
class _Coming:
    """The bytes that are fetched, for ``Space``: how many there are, and how many have come."""

    length: int
    received: int = 0
    accepted: int = 0

    def note(self, size: int) -> None:
        """Note that some have come."""
        self.received += size


@define(eq=False, kw_only=True)
class Publishing:
    """Describes hand-offs to importers, made ready for them. ``import_timeout`` is in seconds.

    ``prepare`` unpacks and checks in the folders of ``fetched``, see ``Checking``; ``workers`` are for long work.
    """

    records: HandoffRecords
    database: PostgreSQL
    store: ObjectStore
    fetched: Fetched
    space: Space
    workers: Workers
    prepare: Callable[[Handoff, Destination, Callable[[str], None]], Awaitable[Description]]
    import_timeout: float
    _folders: StoredFolders = field(init=False)

    @_folders.default
    def _none_stored(self) -> StoredFolders:
        return StoredFolders(self.store.s3)

    async def __call__(
        self, handoff: Handoff, destination: Destination, progress: Callable[[str], None]
    ) -> Description:
        """Return the description of a hand-off, once its importer can have the files.

        Raises ``ImportFailed`` for a file that is damaged, ``ImportInterrupted`` while there is no room or no store,
        and what ``prepare`` raises.
        """
        sessid = handoff.sessid
        try:
            session, files = await self.workers(self._files, sessid)
            if not getattr(destination.importer, "takes_urls", False):
                await self._fetch(session, files, None, progress)
                return await self.prepare(handoff, destination, progress)
            description = await self.records.described(handoff, "")
            needed = _needed(description, files, destination)
            if needed:
                await self._fetch(session, files, needed, progress)
                description = await self.prepare(handoff, destination, progress)
            return await self.workers(self._located, sessid, description)
        except FileDamaged as damaged:
            raise ImportFailed(damaged.words) from damaged
        except InsufficientStorage as full:
            raise ImportInterrupted("There is no room for the files of the import") from full
        except OSError as error:
            raise ImportInterrupted(f"The files cannot be had from the object store: {error.strerror}") from error

    async def _fetch(
        self,
        session: Session,
        files: Mapping[str, int],
        needed: frozenset[str] | None,
        progress: Callable[[str], None],
    ) -> None:
        """Fetch what is missing of the needed files of a session, while room for it is reserved."""
        sessid = session.sessid
        missing = await self.workers(self.fetched.missing, sessid, session.epoch, files, needed)
        coming = _Coming(sum(missing.values()))
        await self.space.look()
        with self.space.promise(sessid, coming.length, coming, coming.length):
            for place, (name, size) in enumerate(missing.items()):
                progress(f"Fetching file {place + 1} of {len(missing)}")
                await self.workers(self.fetched.fetch, sessid, name, size, coming.note)

    def _files(self, sessid: str) -> tuple[Session, dict[str, int]]:
        """Return a session, and the names and lengths of its files. Raises ``InvalidSession``."""
        session = self.database.read(session_of, sessid)
        if session is None:
            raise InvalidSession
        return session, self.database.read(files_of, sessid)

    def _located(self, sessid: str, description: Description) -> Description:
        """Return a description with addresses, with its JSON already made, in a worker."""
        session, files = self._files(sessid)
        segments = self.database.read(all_segments_of, sessid)
        keys = {
            name: (self._joined(session, name, size, segments.get(name, [])), size) for name, size in files.items()
        }
        if description.folder != (description.session_folder or description.folder):
            name = Path(description.folder).parent.name  # the same for all documents of the same archives
            prefix = f"{self.store.folder(sessid)}/{session.epoch}/unpacked/{name}"
            keys |= self._folders.put(description.folder, description.session_folder, prefix)
        if any(one.name not in keys for one in description.files):
            raise FileDamaged
        told = {one.name: keys[one.name][0] for one in description.files}
        urls = {key: self._address(key) for key, _ in keys.values()}
        all_files = [{"name": name, "size": size, "url": urls[key]} for name, (key, size) in sorted(keys.items())]
        manifest = f"{self.store.folder(sessid)}/{session.epoch}/manifest-{description.id}.json"
        content = {"version": LOCATED_VERSION, "sessid": sessid, "files": all_files}
        s3 = self.store.s3
        s3.put(manifest, json.dumps(content, ensure_ascii=False).encode("utf-8"))
        ready = located(description, {name: urls[key] for name, key in told.items()}, self._address(manifest))
        ready.as_json()
        return ready

    def _address(self, key: str) -> str:
        """Return where an object can be read as long as an import may take, and an hour."""
        s3 = self.store.s3
        return s3.presigned(key, self.import_timeout + ADDRESS_SPARE)

    def _joined(self, session: Session, name: str, size: int, segments: list[Segment]) -> str:
        """Return the key of one object with the ``size`` bytes of a file; a sealed file keeps that alone.

        One that may still grow has a key for each length. Raises ``FileDamaged``.
        """
        s3, sessid, epoch = self.store.s3, session.sessid, session.epoch
        if not size:
            key = f"{self.store.folder(sessid)}/{epoch}/{name}"
            s3.put(key, b"")
            return key
        segments = _first(segments, size)
        if len(segments) == 1:
            return segments[0].object
        if not self.database.read(file, sessid, name).sealed:
            return self.store.join(sessid, epoch, f"grows-{size}/{name}", segments)
        try:
            key = self.store.join(sessid, epoch, name, segments)
        except FileDamaged:
            again = _first(self.database.read(segments_of, sessid, name), size)
            if again == segments:
                raise
            return self._joined(session, name, size, again)  # another daemon has joined them meanwhile
        args = session, name, [one.object for one in segments], Segment(0, size, key, b"")
        (replaced,) = self.database.record([(join_segments, args)])
        if replaced is True:
            s3.delete([one.object for one in segments])
        return key


def _needed(description: Description, files: Collection[str], destination: Destination) -> frozenset[str]:
    """Return which files of a session have to be read here before a site is told: archives, checked documents.

    A document asked for out of an archive may have come beside it: its size is then looked up.
    """
    if description.event not in WITH_FILES:
        return frozenset()
    asked = [file.name for file in description.files]
    wanted = [one for one in asked if destination.check_documents and one.lower().endswith(".xml")]
    if destination.unpack_limits is not None:
        wanted += filter(is_archive, files)
        if description.archive is not None:
            wanted.append(description.filename or "")
    return frozenset(wanted).intersection(files)


def _first(segments: Sequence[Segment], size: int) -> list[Segment]:
    """Return the segments of the first ``size`` bytes: a piece may have come since the size was read.

    Raises ``FileDamaged`` when they are not on record.
    """
    first = [one for one in sorted(segments, key=lambda one: one.start) if one.start + one.length <= size]
    if sum(one.length for one in first) != size:
        raise FileDamaged
    return first
