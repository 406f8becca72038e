"""Append the body of one request to an upload: as far as it arrives or, with a checksum, all or nothing.

The file, its length on record, its lock, its writer and its hand-off are the same as for 1C's pieces; only the moment
when the recorded length grows differs (tus 1.0.0, "PATCH" and "Checksum").
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING

from attrs import define, evolve, field, frozen
from twisted.logger import Logger

from onec_twisted.ingest.append import append_what_comes, append_whole, cut
from onec_twisted.ingest.checkpoints import CHECKPOINT_SIZE
from onec_twisted.ingest.engine import Stored
from onec_twisted.model.errors import (
    BodyTimedOut,
    ChecksumMismatch,
    FileDamaged,
    FileSealed,
    FileTooLarge,
    InsufficientStorage,
    InvalidFilename,
    InvalidLength,
    Refused,
    SyncFailed,
    UploadGone,
    UploadLocked,
    UploadStalled,
    UploadTooSlow,
    WrongOffset,
)
from onec_twisted.model.records import Written
from onec_twisted.model.uploads import OPEN, is_whole
from onec_twisted.resumable.checksums import digest_of, new_digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from onec_twisted.catalog.registry import Registry
    from onec_twisted.delivery.handoffs import Handoffs
    from onec_twisted.delivery.relaying import IRelay
    from onec_twisted.http.interfaces import IBody
    from onec_twisted.ingest.engine import Ingest
    from onec_twisted.model.names import SafeName
    from onec_twisted.model.records import Session
    from onec_twisted.model.uploads import Found, UploadRecord
    from onec_twisted.resumable.checksums import Checksum
    from onec_twisted.resumable.claims import Claim
    from onec_twisted.runtime.workers import Workers
    from onec_twisted.storage.interfaces import IStoredFile

__all__ = ["Chunk", "Chunks"]


class _SessionSyncFailed(OSError):
    """The files of a session could not be synced to the disk; all of them are recorded as damaged."""


@frozen(eq=False, kw_only=True)
class Chunks:
    """Appends the bodies of requests to uploads.

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

    async def append(
        self,
        found: Found,
        claim: Claim,
        offset: int,
        length: int | None,
        checksum: Checksum | None,
        *,
        creates: bool = False,
    ) -> Found:
        """Append the claim's body from ``offset`` bytes on; return the new state of the upload.

        ``length`` is the whole upload's length in bytes, if it was unknown before; ``checksum`` is the body's. If the
        request ``creates`` the upload and fails, nothing of the upload is left. Raises ``Refused`` if the body is
        rejected or stopped, ``ConnectionDropped`` if it breaks off; without a checksum, what has arrived is kept.
        """
        chunk = Chunk(self, found, claim, offset, length, checksum, creates, self.live(found))
        try:
            await self.ingest.take(chunk)
        except (BodyTimedOut, UploadTooSlow) as error:
            raise UploadStalled from error
        return chunk.found

    async def complete(self, upload: UploadRecord) -> Found:
        """Hand off an upload whose file is complete already. Raises ``Refused``."""
        async with self.lock(upload):
            found = await self.registry.find(upload.id)
            self.live(found)
            if found.upload.state == OPEN and is_whole(found.upload.length, found.committed):
                committed = found.committed
                found = await self.commit(found, lambda: Written(committed))
            return found

    async def commit(self, found: Found, write: Callable[[], Written], claim: int = 0) -> Found:
        """Record what has arrived of an upload; if it is complete, hand it off. Return the new state of the upload.

        ``write`` is called in a worker, and writes the file to the disk; ``claim`` is that of ``Registry.grow``.
        Raises what ``write`` and ``Registry.grow`` raise.
        """
        ingest, upload, session, now = self.ingest, found.upload, self.live(found), self.ingest.now()
        is_synced_now = self.handoffs.settings.sync

        def write_and_sync() -> Written:
            """Write in a worker; with ``--durability=handoff`` the file is synced when it is handed off."""
            written = write()
            if is_synced_now and is_whole(upload.length, written.length):
                try:
                    ingest.store.sync(session.sessid, upload.safe_name)
                except SyncFailed as error:
                    raise _SessionSyncFailed(*error.args) from error
            return written

        def completes(committed: int) -> dict[str, str] | None:
            """Return the metadata of the hand-off, in a worker, if ``committed`` bytes complete the upload."""
            return upload.metadata_as_text() if is_whole(upload.length, committed) else None

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

    async def undo(self, upload: UploadRecord) -> None:
        """Remove an upload whose client never received its URL, ignoring errors.

        If the session is its own, nobody else writes there. Otherwise the file is removed if all of it is
        the upload's.
        """
        ingest = self.ingest
        try:
            if (await self.registry.find(upload.id)).upload.state != OPEN:
                return
            if upload.own:
                await self.discard(upload)
            elif await self.registry.remove(upload, ingest.now()):
                await self.remove_file(upload)
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


@define(eq=False)
class Chunk:
    """The body of one request for an upload, on its way. ``found`` is the upload's state on record.

    ``upload`` is its state when the request arrived.
    """

    chunks: Chunks
    found: Found
    claim: Claim
    offset: int
    length: int | None
    checksum: Checksum | None
    creates: bool
    session: Session
    start: int = 0
    busy: type[Refused] = UploadLocked
    upload: UploadRecord = field(init=False)
    name: SafeName = field(init=False)
    body: IBody = field(init=False)
    _log = Logger()

    def __attrs_post_init__(self) -> None:
        """Take the name and the body from the upload and the claim."""
        self.upload, self.name, self.body = self.found.upload, self.found.upload.safe_name, self.claim.body

    async def admit(self) -> AbstractContextManager[int]:
        """Reserve nothing yet: how much of the upload is stored is known only under the lock."""
        return nullcontext(0)

    async def store(self, room: int) -> Stored:
        """Append the body, unless the upload is complete."""
        try:
            await self.claim.count(self.chunks.ingest.daemons, self.session, self.upload.id)
            self.found = await self._as_it_stands()
            self.start = self.found.committed
            if self.found.upload.state == OPEN:
                await self._append()
            else:
                self._check_empty()
        except BaseException:
            if self.creates:  # still under the lock, so that no waiting piece is appended to a file being removed
                await self.chunks.undo(self.upload)
                self.body.accepted = 0
            raise
        return Stored(self.found.committed, None, "stored")

    async def _as_it_stands(self) -> Found:
        """Return the current state of the upload, if bytes may be appended at ``offset``.

        ``length`` applies from now on, and is recorded with the first of them. Raises ``UploadGone``,
        ``WrongOffset``, ``InvalidLength``, ``FileTooLarge``, ``FileSealed`` and ``TooManyFiles``.
        """
        registry, files, length = self.chunks.registry, self.chunks.ingest.files, self.length
        found = await registry.find(self.upload.id)
        self.chunks.live(found)
        if self.offset != found.committed:
            raise WrongOffset(found.committed)
        if length is not None and length != found.upload.length:
            if found.upload.length is not None or length < found.committed:
                raise InvalidLength
            if length > registry.quota:
                raise FileTooLarge
            found = evolve(found, upload=evolve(found.upload, length=length))
        if found.upload.state == OPEN and found.file is not None and found.file.sealed:
            raise FileSealed
        if found.file is None:
            files.check_room(found.upload.sessid)
        return found

    def _check_empty(self) -> None:
        """Check that the body for a complete upload is empty. Raises ``FileTooLarge``, ``ChecksumMismatch``."""
        checksum = self.checksum
        if self.body.length != 0:
            raise FileTooLarge
        if checksum is not None and checksum.digest != new_digest(checksum.algorithm).digest():
            raise ChecksumMismatch

    async def _append(self) -> None:
        """Write the body to the disk, and record it."""
        ingest, upload, body = self.chunks.ingest, self.found.upload, self.body
        session = self.session = self.chunks.live(self.found)
        whole = (upload.length if upload.length is not None else self.chunks.registry.quota) - self.start
        if body.length is not None and body.length > whole:
            raise FileTooLarge
        try:
            await ingest.space.look()
            shop = await ingest.shop_rooms.look(session.username, body.length or 1)
            promised = session.sessid, self.chunks.registry.quota - session.held, body, whole, CHECKPOINT_SIZE
            with ingest.space.promise(*promised, user=session.username, shop=shop) as room:
                too_large = FileTooLarge() if room == whole else InsufficientStorage()
                writer = ingest.writer(body, ingest.workers, self._open_file)
                if self.checksum is not None:
                    verify = partial(self._verify, self.checksum)
                    await append_whole(ingest, self, writer, limit=room, too_large=too_large, is_repeat=verify)
                else:
                    await append_what_comes(ingest, self, writer, limit=room, too_large=too_large, whole=whole)
        except (FileDamaged, SyncFailed) as error:
            await ingest.note_damage(session, self.name, error)
            if isinstance(error, FileDamaged):
                raise UploadGone from error
            raise
        except (InsufficientStorage, OSError):
            await cut(ingest, session, self.name)  # the disk may hold a little more than was reported
            raise

    def _open_file(self) -> IStoredFile:
        """Open the file in a worker, at the length that is then on record."""
        file = self.found.file
        store = self.chunks.ingest.store
        return store.open(self.session, self.name, file.committed if file is not None else None)

    async def _verify(self, checksum: Checksum, file: IStoredFile) -> bool:
        """Verify the checksum of what was written; return False, because it is not a repeat.

        Raises ``ChecksumMismatch``, and ``UploadTakenOver`` as soon as a newer request has arrived.
        """
        takes_long = self.body.received > CHECKPOINT_SIZE
        workers = self.chunks.errands if takes_long else self.chunks.ingest.workers
        if await workers(digest_of, file, checksum.algorithm, self.claim.check) != checksum.digest:
            raise ChecksumMismatch
        return False

    async def commit(self, write: Callable[[], Written]) -> None:
        """Record what has arrived, so that the upload can be resumed from there."""
        self.found = await self.chunks.commit(self.found, write, self.claim.shared)
        self.body.accepted = self.found.committed - self.start

    async def broke_off(self, error: BaseException) -> None:
        """Log that a request broke off, and record that its session is in use nevertheless.

        For a complete upload the session is not touched: requests for it must not keep the session alive.
        """
        ingest, upload, body = self.chunks.ingest, self.upload, self.body
        self._log.info(
            "{sessid}: upload of {name} broke off after {received} bytes, of which {kept} were kept: {reason}",
            sessid=upload.sessid,
            user=upload.username,
            name=upload.name,
            received=body.received,
            kept=body.accepted,
            reason=error.words if isinstance(error, Refused) else type(error).__name__,
        )
        if upload.state == OPEN:
            await ingest.sessions.touch(upload.sessid, ingest.now())
