"""Records how far an upload has come, hands it off when it is complete, and removes one that ends before that.

The file, its length on record, its lock, its writer and its hand-off are the same as for 1C's pieces; only the moment
when the recorded length grows differs (tus 1.0.0, "PATCH" and "Checksum").
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from attrs import frozen
from twisted.logger import Logger

from onec_twisted.model.errors import InvalidFilename, Refused, SyncFailed, UploadLocked
from onec_twisted.model.records import Written
from onec_twisted.model.uploads import OPEN, is_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from onec_twisted.catalog.registry import Registry
    from onec_twisted.delivery.handoffs import Handoffs
    from onec_twisted.delivery.relaying import IRelay
    from onec_twisted.ingest.engine import Ingest
    from onec_twisted.model.records import Session
    from onec_twisted.model.uploads import Found, UploadRecord
    from onec_twisted.runtime.workers import Workers

__all__ = ["Chunks"]


class _SessionSyncFailed(OSError):
    """The files of a session could not be synced to the disk; all of them are recorded as damaged."""


@frozen(eq=False, kw_only=True)
class Chunks:
    """The uploads' bytes, on record.

    ``errands`` are workers for long jobs; ``session_ttl`` is in seconds.
    """

    ingest: Ingest
    registry: Registry
    handoffs: Handoffs
    relay: IRelay
    errands: Workers
    session_ttl: float
    _log = Logger()

    def live(self, found: Found) -> Session:
        """Return the session of an upload. Raises ``UploadGone`` if the upload no longer exists."""
        ingest = self.ingest
        return found.live(ingest.now() - self.session_ttl, busy=ingest.locks.busy(found.upload.sessid))

    def lock(self, upload: UploadRecord) -> AbstractAsyncContextManager[None]:
        """Lock an upload's file. Raises ``UploadLocked`` when a node does not release it in time."""
        locks = self.ingest.locks
        return locks.of_file(upload.sessid, upload.name, None, UploadLocked)

    async def complete(self, upload: UploadRecord) -> Found:
        """Hand off an upload whose file is complete already. Raises ``Refused``."""
        async with self.lock(upload):
            found = await self.registry.find(upload.id)
            self.live(found)
            if found.upload.state == OPEN and is_whole(found.upload.length, found.committed):
                committed = found.committed
                found = await self.commit(found, lambda: Written(committed))
            return found

    async def commit(
        self,
        found: Found,
        write: Callable[[], Written],
        claim: int = 0,
        ends: Callable[[int], bool] | None = None,
    ) -> Found:
        """Record what has arrived of an upload; if it is complete, hand it off. Return the new state of the upload.

        ``write`` is called in a worker, and writes the file to the disk; ``claim`` is that of ``Registry.grow``.
        ``ends`` tells, in a worker, whether a file of so many bytes completes the upload: if None, its length does.
        Raises what ``write`` and ``Registry.grow`` raise.
        """
        ingest, upload, session, now = self.ingest, found.upload, self.live(found), self.ingest.now()
        is_synced_now = self.handoffs.settings.sync
        is_complete = ends or partial(is_whole, upload.length)

        def write_and_sync() -> Written:
            """Write in a worker; with ``--durability=handoff`` the file is synced when it is handed off."""
            written = write()
            if is_synced_now and is_complete(written.length):
                try:
                    ingest.store.sync(session.sessid, upload.safe_name)
                except SyncFailed as error:
                    raise _SessionSyncFailed(*error.args) from error
            return written

        def completes(committed: int) -> dict[str, str] | None:
            """Return the metadata of the hand-off, in a worker, if ``committed`` bytes complete the upload."""
            return upload.metadata_as_text() if is_complete(committed) else None

        before = found.file.committed if found.file is not None else None
        try:
            committed, handoff = await self.registry.grow(
                session, upload, before, write_and_sync, now, completes, claim
            )
        except _SessionSyncFailed as error:
            await self.handoffs.damaged(session, error)
            raise
        if handoff is not None:
            self._log.info(
                "{sessid}: upload of {name} completed with {committed} bytes",
                sessid=session.sessid,
                user=session.username,
                name=upload.name,
                committed=committed,
                upload=upload.id,
            )
            try:
                if is_synced_now:
                    await ingest.files.sync()
            finally:
                self.relay.add(handoff)
        return found.grown(committed, now, complete=handoff is not None)

    async def end(self, upload: UploadRecord) -> None:
        """End an upload that is open, and remove what has come of it, holding the lock. Raises ``Refused``.

        If the session is its own, nobody else writes there. Otherwise the file is removed if all of it is
        the upload's.
        """
        if (await self.registry.find(upload.id)).upload.state != OPEN:
            return
        if upload.own:
            await self.discard(upload)
        elif await self.registry.remove(upload, self.ingest.now()):
            await self.remove_file(upload)

    async def undo(self, upload: UploadRecord) -> None:
        """End an upload whose client never received its URL, ignoring errors."""
        try:
            await self.end(upload)
        except Refused:
            return  # already gone
        except Exception:
            self._log.failure("{sessid}: an upload could not be removed", sessid=upload.sessid)

    async def discard(self, upload: UploadRecord) -> None:
        """Delete the session that was made for an upload alone, and remove its folder."""
        ingest = self.ingest
        await ingest.sessions.end(upload.sessid)
        await self.errands(ingest.store.discard, upload.sessid)

    async def remove_file(self, upload: UploadRecord) -> None:
        """Remove an upload's file, whose record is deleted, holding the lock; another of its name may follow."""
        self.handoffs.forget_archives(upload.sessid)
        with suppress(InvalidFilename):  # nothing of it was ever written
            await self.errands(self.ingest.store.cut, upload.sessid, upload.safe_name, None)
