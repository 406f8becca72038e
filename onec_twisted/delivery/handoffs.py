"""What is handed off to the site, and when: imports that a node requests, files that it leaves behind, and events.

``relay`` delivers the hand-offs. A hand-off is recorded before anyone is notified, and its files are sealed by then.
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
from onec_twisted.model.shops import shares_of
from onec_twisted.runtime.fairness import Places, Sharing, Slots

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onec_twisted.catalog.files import FileRecords
    from onec_twisted.catalog.handoffs import HandoffRecords
    from onec_twisted.delivery.archives import Archives
    from onec_twisted.delivery.destinations import Destinations
    from onec_twisted.delivery.relaying import IRelay
    from onec_twisted.ingest.locks import FileLocks
    from onec_twisted.model.names import SafeName
    from onec_twisted.model.records import Handoff, Session
    from onec_twisted.runtime.workers import Workers
    from onec_twisted.storage.interfaces import IStore

__all__ = ["HandoffSettings", "Handoffs"]

MOST_ARCHIVES = 1000
"""Most archives of a session that are searched for a name."""

SYNCS_AT_ONCE = 4
"""Sessions synced at the same time: thousands of files may take minutes, while others wait."""


@frozen
class HandoffSettings:
    """The administrator's settings: ``hold`` in seconds, and whether files are synced at hand-off."""

    hold: float = 10.0
    sync: bool = False


@define(eq=False, kw_only=True)
class Handoffs:
    """Records hand-offs. ``now`` returns seconds since 1970, ``seconds`` those of the reactor's clock."""

    settings: HandoffSettings
    files: FileRecords
    records: HandoffRecords
    store: IStore
    locks: FileLocks
    workers: Workers
    archives: Archives
    relay: IRelay
    destinations: Destinations
    now: Callable[[], float]
    seconds: Callable[[], float]
    sharing: Sharing = field(factory=Sharing)
    _begun: float = field(init=False)
    """When the daemon started: no node could send anything before that."""
    _syncs: Slots = field(init=False)
    _log = Logger()

    @_syncs.default
    def _make_syncs(self) -> Slots:
        return Slots(Places(SYNCS_AT_ONCE, self.sharing))

    def __attrs_post_init__(self) -> None:
        """Note the start time."""
        self._begun = self.now()

    async def import_file(
        self, session: Session, exchange_type: str, name: SafeName, requested: str, gone: Deferred[Any] | None = None
    ) -> Handoff:
        """Have a file imported; return the outcome, or the current state if the import takes longer than ``hold``.

        ``exchange_type`` is the query's type, ``requested`` the name as the node sent it; ``gone`` fires or fails
        when the node has disconnected. A document is not imported again, unless its import failed and the node has
        received the failure; the same name in another file, sent since, is another document. Raises ``FileNotFound``,
        ``FileDamaged``, ``FileBusy``, ``ImportFailed`` if the archive that contains it is damaged, and what
        ``Archives.directory`` raises.
        """
        known = await self.records.unchanged(session.sessid, str(name))
        if known is None or (known.state == FAILED and known.failure_reported):
            self.relay.check_room(session.username)
            until = self.seconds() + self.settings.hold
            known = await self._seal(Asker(session, until, gone or Deferred()), exchange_type, name, requested)
        return await self.relay.outcome(known, self.settings.hold)

    async def _seal(self, asker: Asker, exchange_type: str, name: SafeName, requested: str) -> Handoff:
        """Record an import, and seal the file or the archive that contains it."""
        session = asker.session
        for _ in range(3):
            archive, size, begun = await self._find(asker, name, requested)
            async with self.locks.of_file(session.sessid, archive or str(name), None):
                await self._make_durable(session)
                if await self._lost(session, (UploadedFile(archive or str(name), size),)):
                    raise FileDamaged
                with suppress(FileHasGrown):
                    handoff = await self.records.import_requested(
                        session, exchange_type, str(name), archive, size, self.now(), begun
                    )
                    await self._sync_records()
                    return handoff
        raise FileBusy

    async def _find(self, asker: Asker, name: SafeName, requested: str) -> tuple[str, int, int]:
        """Return the archive that contains a name, empty if the file itself was uploaded, and the size of either.

        Of several, the one that was sent last is meant. Also returned is how many files the session had begun.
        """
        damaged = None
        files, begun = await self.files.holders(asker.session.sessid, str(name), MOST_ARCHIVES)
        for file, size in files.items():
            if file == str(name):
                if file.lower().endswith(".zip"):
                    await self.archives.directory(asker, file, size)
                return "", size, begun
            try:
                directory = await self.archives.directory(asker, file, size)
            except ImportFailed as failed:
                damaged = failed
                continue
            if str(name) in directory.damaged:
                raise ImportFailed(f"Archive {file} is damaged: the checksum of {name} is wrong")
            if str(name) in directory.names:
                return file, size, begun
        if len(files) == MOST_ARCHIVES:
            raise ImportFailed(f"There are too many archives to look for {requested} in all of them")
        raise damaged or FileNotFound(requested)

    def forget_archives(self, sessid: str) -> None:
        """Discard what is cached of a session's archives: one was removed, and its name may be reused."""
        self.archives.forget(sessid)

    async def note_reported(self, handoff: Handoff) -> None:
        """Record that the node receives a failure: its next request runs the import again."""
        await self.records.note_reported(handoff)

    async def retry(self, failed: str) -> bool:
        """Retry a failed hand-off by its id; return whether there was one."""
        handoff = await self.records.retry(failed, self.now())
        if handoff is None:
            return False
        self.relay.add(handoff)
        return True

    async def redeliver(self, delivered: str) -> bool:
        """Deliver a hand-off again that was delivered, by its id; return whether it and its files were found."""
        handoff = await self.records.redeliver(delivered, self.now())
        if handoff is not None:
            self.relay.add(handoff)
        return handoff is not None

    async def event_came(self, session: Session, event: str, exchange_type: str, timestamp: str) -> None:
        """Hand off an event, preceded by the files of its session whose import was not requested.

        Raises ``FileDamaged``, and ``TooManyImports``.
        """
        self.relay.check_room(session.username)
        async with self.locks.of_session(session.sessid):
            await self._make_durable(session)
            handoffs = await self.records.event_came(session, event, exchange_type, timestamp, self.now())
            await self._sync_records()
            await self._add(session, handoffs)

    async def _add(self, session: Session, handoffs: list[Handoff]) -> None:
        """Pass hand-offs to the relay, which rejects those of a session with lost files, and records that."""
        for handoff in handoffs:
            if handoff.count:
                described = await self.records.described(handoff, self.store.folder(session.sessid))
                await self._lost(session, described.files)
            self.relay.add(handoff)

    async def _lost(self, session: Session, files: Sequence[UploadedFile]) -> bool:
        """Return whether acknowledged files are missing, and record those as damaged."""
        lost = await self.workers(self.store.lost, session.sessid, files)
        for name in lost:
            await self.files.damage(session, name)
            self._log.critical(
                "{sessid}: {name} is missing from the disk; it is refused until init",
                sessid=session.sessid,
                user=session.username,
                name=name,
            )
        return bool(lost)

    async def _make_durable(self, session: Session) -> None:
        """Sync a session's files, if syncing was deferred to the hand-off.

        Raises ``FileDamaged`` if the sync failed, ``StorageUnavailable`` if it could not be attempted.
        """
        if await self.files.has_damaged(session.sessid):
            raise FileDamaged
        if not self.settings.sync:
            return
        try:
            async with self._syncs.of(shares_of(session.username)):
                await self.workers(self.store.sync, session.sessid)
        except SyncFailed as error:
            await self.damaged(session, error)
            raise FileDamaged from error
        except OSError as error:
            raise StorageUnavailable from error

    async def damaged(self, session: Session, error: OSError) -> None:
        """Record all files of a session as damaged after a failed sync, and log it as critical.

        The system reports a failed sync only once, and may have dropped any of the data.
        """
        await self.files.damage_all(session)
        self._log.critical(
            "{sessid}: files could not be synced to the disk ({error}); they are refused until init",
            sessid=session.sessid,
            user=session.username,
            error=str(error),
        )

    async def _sync_records(self) -> None:
        """Sync the records, if they are not synced one by one."""
        if self.settings.sync:
            await self.files.sync()

    def settle_quiet(self) -> Deferred[None]:
        """Hand off the files of settled sessions; an error is logged, and the next call retries."""
        return Deferred.fromCoroutine(self._settle_quiet())

    async def _settle_quiet(self) -> None:
        now = self.now()
        if now - self.destinations.shortest_settle() < self._begun:
            return
        try:
            for session in await self.records.quiet_since(now - self.destinations.shortest_settle()):
                then = now - self.destinations.settle_of(session.username)
                is_quiet = session.touched < then and then >= self._begun
                if is_quiet and not self.locks.busy(session.sessid) and not self.locks.closed:
                    await self._settle(session)
        except (CatalogBusy, StorageRemoved):
            return  # already logged
        except Exception:
            self._log.failure("quiet sessions could not be handed off; this will be retried")

    async def _settle(self, session: Session) -> None:
        """Hand off a session's files, including damaged ones: the relay rejects those, and records that."""
        try:
            await self._settle_with_turn(session)
        except StorageUnavailable as error:
            self._log.warn(
                "{sessid}: hand-off postponed, because its files could not be synced ({reason})",
                sessid=session.sessid,
                reason=str(error.__cause__),
            )
        except Refused:
            return  # the session is in use

    async def _settle_with_turn(self, session: Session) -> None:
        async with self.locks.of_session(session.sessid):
            with suppress(FileDamaged):
                await self._make_durable(session)
            handoffs = await self.records.settle(session, self.now())
            await self._sync_records()
            for handoff in handoffs:
                self._log.info(
                    "{sessid}: {count} files handed off without an import request",
                    sessid=session.sessid,
                    user=session.username,
                    count=handoff.count,
                )
            await self._add(session, handoffs)
