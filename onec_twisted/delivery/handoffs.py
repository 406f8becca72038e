"""What is handed off to the site, and when: what a node asks to import, what it leaves behind, and events.

``relay`` delivers it. Nobody is told before it is on record, and what is on record is sealed: it does not change.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from onec_twisted.catalog.sql.handoffs import FileHasGrown
from onec_twisted.delivery.archives import Asker
from onec_twisted.model.description import UploadedFile
from onec_twisted.model.errors import (
    CatalogBusy,
    FileBusy,
    FileDamaged,
    FileNotFound,
    ImportFailed,
    Refused,
    StorageRemoved,
    StorageUnavailable,
    SyncFailed,
)
from onec_twisted.model.records import FAILED
from onec_twisted.runtime.fairness import Places, Slots

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onec_twisted.catalog.files import FileRecords
    from onec_twisted.catalog.handoffs import HandoffRecords
    from onec_twisted.delivery.archives import Archives
    from onec_twisted.delivery.relay import Relay
    from onec_twisted.ingest.locks import FileLocks
    from onec_twisted.model.names import SafeName
    from onec_twisted.model.records import Handoff, Session
    from onec_twisted.runtime.workers import Workers
    from onec_twisted.storage.interfaces import IStore

__all__ = ["HandoffSettings", "Handoffs"]

MOST_ARCHIVES = 1000
"""Archives of a session in which a name is looked for."""

SYNCS_AT_ONCE = 4
"""Sessions that are brought to the disk at once: thousands of files may take minutes, and others wait for theirs."""


@frozen
class HandoffSettings:
    """What the administrator chose: ``hold`` and ``settle`` in seconds, and whether files are synced only now."""

    hold: float = 10.0
    settle: float = 300.0
    sync: bool = False


@define(eq=False, kw_only=True)
class Handoffs:
    """Puts hand-offs on record. ``now`` returns seconds since 1970, ``seconds`` those of the reactor's clock."""

    settings: HandoffSettings
    files: FileRecords
    records: HandoffRecords
    store: IStore
    locks: FileLocks
    workers: Workers
    archives: Archives
    relay: Relay
    now: Callable[[], float]
    seconds: Callable[[], float]
    _begun: float = field(init=False)
    """When the daemon began: before, no node could say anything."""
    _syncs: Slots = field(factory=lambda: Slots(Places(SYNCS_AT_ONCE)), init=False)
    _log = Logger()

    def __attrs_post_init__(self) -> None:
        """Begin."""
        self._begun = self.now()

    async def import_file(
        self, session: Session, kind: str, name: SafeName, asked: str, gone: Deferred[Any] | None = None
    ) -> Handoff:
        """Have a file imported; return what became of it, or how it stands when that takes long.

        ``kind`` is the query's type, ``asked`` the name in the node's words; ``gone`` fires or fails when nobody is
        left to hear. What is being imported, or was, is not imported again, unless that failed and the node has
        heard so. Raises ``FileNotFound``, ``FileDamaged``, ``FileBusy``, ``ImportFailed`` when the archive it lies in
        is damaged, and what ``Archives.directory`` does while that is read.
        """
        known = await self.records.imported(session.sessid, str(name))
        if known is None or (known.state == FAILED and known.told):
            self.relay.check_room(session.username)
            until = self.seconds() + self.settings.hold
            known = await self._seal(Asker(session, until, gone or Deferred()), kind, name, asked)
        return await self.relay.outcome(known, self.settings.hold)

    async def _seal(self, asker: Asker, kind: str, name: SafeName, asked: str) -> Handoff:
        """Put an import on record, and seal the file that it lies in."""
        session = asker.session
        for _ in range(3):
            archive, size = await self._find(asker, name, asked)
            async with self.locks.of_file(session.sessid, archive or str(name), None):
                await self._make_durable(session)
                if await self._lost(session, (UploadedFile(archive or str(name), size),)):
                    raise FileDamaged
                with suppress(FileHasGrown):
                    handoff = await self.records.import_asked(session, kind, str(name), archive, size, self.now())
                    await self._sync_records()
                    return handoff
        raise FileBusy

    async def _find(self, asker: Asker, name: SafeName, asked: str) -> tuple[str, int]:
        """Return the archive that a name lies in, empty when it was uploaded itself, and that file's size."""
        record = await self.files.find(asker.session.sessid, str(name))
        if record is not None:
            if str(name).lower().endswith(".zip"):
                await self.archives.directory(asker, str(name), record.committed)
            return "", record.committed
        damaged = None
        archives = await self.files.archives(asker.session.sessid, MOST_ARCHIVES)
        for archive, size in archives.items():
            try:
                directory = await self.archives.directory(asker, archive, size)
            except ImportFailed as failed:
                damaged = failed
                continue
            if str(name) in directory.damaged:
                raise ImportFailed(f"Archive {archive} is damaged: the checksum of {name} is wrong")
            if str(name) in directory.names:
                return archive, size
        if len(archives) == MOST_ARCHIVES:
            raise ImportFailed(f"There are too many archives to look for {asked} in all of them")
        raise damaged or FileNotFound(asked)

    def forget_archives(self, sessid: str) -> None:
        """Read the archives of a session anew: one of them was removed, and its name may come back."""
        self.archives.forget(sessid)

    async def tell(self, handoff: Handoff) -> None:
        """Note that the node hears of a failure: when it asks again, the import runs again."""
        await self.records.tell(handoff)

    async def retry(self, failed: str) -> bool:
        """Hand off again what has failed, by its id; return whether there was such a hand-off."""
        handoff = await self.records.retry(failed, self.now())
        if handoff is None:
            return False
        self.relay.add(handoff)
        return True

    async def event_came(self, session: Session, event: str, kind: str, timestamp: str) -> None:
        """Hand off an event, and before it the files of its session that nobody asked to import.

        Raises ``FileDamaged``, and ``TooManyImports``.
        """
        self.relay.check_room(session.username)
        async with self.locks.of_session(session.sessid):
            await self._make_durable(session)
            handoffs = await self.records.event_came(session, event, kind, timestamp, self.now())
            await self._sync_records()
            await self._add(session, handoffs)

    async def _add(self, session: Session, handoffs: list[Handoff]) -> None:
        """Deliver hand-offs; the relay refuses those of a session that has lost files, and puts that on record."""
        for handoff in handoffs:
            if handoff.count:
                described = await self.records.described(handoff, self.store.folder(session.sessid))
                await self._lost(session, described.files)
            self.relay.add(handoff)

    async def _lost(self, session: Session, files: Sequence[UploadedFile]) -> bool:
        """Return whether files are missing that were acknowledged, and put those on record as damaged."""
        lost = await self.workers(self.store.lost, session.sessid, files)
        for name in lost:
            await self.files.damage(session, name)
            self._log.critical(
                "{sessid}: {name} has vanished from the disk; it is refused until init",
                sessid=session.sessid,
                user=session.username,
                name=name,
            )
        return bool(lost)

    async def _make_durable(self, session: Session) -> None:
        """Bring a session to the disk, where that was put off until now.

        Raises ``FileDamaged`` when the disk did not take it, ``StorageUnavailable`` when it could not be asked.
        """
        if await self.files.has_damaged(session.sessid):
            raise FileDamaged
        if not self.settings.sync:
            return
        try:
            async with self._syncs.of(session.username):
                await self.workers(self.store.sync, session.sessid)
        except SyncFailed as error:
            await self.damaged(session, error)
            raise FileDamaged from error
        except OSError as error:
            raise StorageUnavailable from error

    async def damaged(self, session: Session, error: OSError) -> None:
        """Put all files of a session on record as damaged, for a sync of them has failed, and say so loudly.

        The system tells that once, and may have dropped any of what was to be synced.
        """
        await self.files.damage_all(session)
        self._log.critical(
            "{sessid}: files could not be brought to the disk ({error}); they are refused until init",
            sessid=session.sessid,
            user=session.username,
            error=str(error),
        )

    async def _sync_records(self) -> None:
        """Bring what is recorded to the disk, where single records are not."""
        if self.settings.sync:
            await self.files.sync()

    def settle_quiet(self) -> Deferred[None]:
        """Hand off the files of sessions whose nodes say no more; an error is logged, and tried again next time."""
        return Deferred.fromCoroutine(self._settle_quiet())

    async def _settle_quiet(self) -> None:
        then = self.now() - self.settings.settle
        if then < self._begun:
            return
        try:
            for session in await self.records.quiet_since(then):
                if not self.locks.busy(session.sessid) and not self.locks.closed:
                    await self._settle(session)
        except (CatalogBusy, StorageRemoved):
            return  # the log has been told
        except Exception:
            self._log.failure("quiet sessions could not be handed off; that will be tried again")

    async def _settle(self, session: Session) -> None:
        """Hand off the files of a session, damaged ones too: the relay refuses those, and puts that on record."""
        try:
            await self._settle_with_turn(session)
        except StorageUnavailable as error:
            self._log.warn(
                "{sessid}: not handed off yet, its files could not be synced ({reason})",
                sessid=session.sessid,
                reason=str(error.__cause__),
            )
        except Refused:
            return  # somebody works in it

    async def _settle_with_turn(self, session: Session) -> None:
        async with self.locks.of_session(session.sessid):
            with suppress(FileDamaged):
                await self._make_durable(session)
            handoffs = await self.records.settle(session, self.now())
            await self._sync_records()
            for handoff in handoffs:
                self._log.info(
                    "{sessid}: {count} files handed off, nobody asked to import them",
                    sessid=session.sessid,
                    user=session.username,
                    count=handoff.count,
                )
            await self._add(session, handoffs)
