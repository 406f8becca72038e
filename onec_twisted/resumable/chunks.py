"""What one request brings of an upload: kept as far as it came, or, with a checksum, all of it or nothing.

The file, its length on record, its turn, its way to the disk and its hand-off are those of 1C's pieces; only when the
length on record moves is another matter (DESIGN section 4 for a piece, tus 1.0.0 "PATCH" and "Checksum" for a chunk).
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from attrs import define, evolve, frozen
from twisted.logger import Logger

from onec_twisted.ingest.append import receive, receive_what_comes
from onec_twisted.ingest.checkpoints import CHECKPOINT_SIZE, Checkpoints
from onec_twisted.ingest.pieces import outcome_of
from onec_twisted.model.errors import (
    BodyTimedOut,
    FileBusy,
    FileDamaged,
    FileSealed,
    FileTooLarge,
    InsufficientStorage,
    InvalidFilename,
    Refused,
    SyncFailed,
    UploadTooSlow,
    WrongOffset,
)
from onec_twisted.model.text import decoded
from onec_twisted.model.upload_errors import ChecksumMismatch, InvalidLength, UploadGone, UploadLocked, UploadStalled
from onec_twisted.model.uploads import OPEN, is_whole
from onec_twisted.resumable.checksums import new_digest
from onec_twisted.tus.fields import parse_metadata

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from onec_twisted.catalog.registry import Registry
    from onec_twisted.exchange.resource import Parts
    from onec_twisted.http.interfaces import IBody
    from onec_twisted.model.records import Session
    from onec_twisted.model.uploads import Found, UploadRecord
    from onec_twisted.resumable.checksums import Checksum
    from onec_twisted.resumable.claims import Claim
    from onec_twisted.storage.interfaces import IStoredFile

__all__ = ["Chunks"]


class _SessionSyncFailed(OSError):
    """The files of a session could not be brought to the disk; all of them are on record as damaged."""


@define(eq=False)
class _Progress:
    """An upload as it stands on record, while a request goes on with it from ``start`` bytes on."""

    found: Found
    start: int

    @property
    def before(self) -> int | None:
        """Return the bytes of the file that are on record, None if it is not there."""
        return self.found.file.committed if self.found.file is not None else None


@frozen(eq=False)
class Chunks:
    """Takes what requests bring of uploads.

    ``session_ttl`` is in seconds.
    """

    parts: Parts
    registry: Registry
    session_ttl: float
    _log = Logger()

    def live(self, found: Found) -> Session:
        """Return the session of an upload that is there. Raises ``UploadGone``."""
        return found.live(self.parts.now() - self.session_ttl, busy=self.parts.locks.busy(found.upload.sessid))

    @asynccontextmanager
    async def turn(self, upload: UploadRecord, writer: IBody | None) -> AsyncIterator[None]:
        """Have an upload's file to oneself. Raises ``UploadLocked`` when a node does not let go of it."""
        try:
            async with self.parts.locks.of_file(upload.sessid, upload.name, writer):
                yield
        except FileBusy:
            raise UploadLocked from None

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
        """Append what the claim's body brings from ``offset`` bytes on; return the upload as it stands then.

        ``length`` tells the whole upload's, in bytes, where it was not known before; ``checksum`` is the body's. The
        request that ``creates`` the upload leaves nothing of it when it fails. Raises ``Refused`` for whatever keeps
        it out or ends it, ``ConnectionDropped`` when it breaks off; without a checksum, what has come is kept.
        """
        parts, upload, body = self.parts, found.upload, claim.body
        began = parts.metrics.seconds()
        running = None
        try:
            running = parts.pieces.uploads.begin(self.live(found), upload.name, body)
            async with self.turn(upload, body):
                running.begun = parts.pieces.uploads.seconds()
                parts.metrics.lock_wait.observe(running.begun - running.asked)
                try:
                    claim.check()
                    found = await self._take(await self._begin(upload, offset, length), claim, checksum)
                except BaseException:
                    if creates:  # with the turn: a node's piece that waits is not appended to what goes
                        await self.undo(upload)
                        body.accepted = 0
                    raise
        except BaseException as error:
            parts.metrics.piece("partial" if body.accepted else outcome_of(error), began)
            if running is not None:
                await self._broke_off(upload, body, error)
            if isinstance(error, (BodyTimedOut, UploadTooSlow)):
                raise UploadStalled from error
            raise
        finally:
            if running is not None:
                parts.pieces.uploads.end(running)
        parts.metrics.piece("stored", began)
        if parts.pieces.logs_each:
            self._log.info(
                "{sessid}: {name}: {size} bytes stored in {seconds:.3f} s, {committed} in all",
                sessid=upload.sessid,
                user=upload.username,
                name=upload.name,
                size=body.received,
                seconds=parts.metrics.seconds() - began,
                committed=found.committed,
            )
        return found

    async def complete(self, upload: UploadRecord) -> Found:
        """Hand an upload off whose file is whole already. Raises ``Refused``."""
        async with self.turn(upload, None):
            found = await self.registry.find(upload.id)
            self.live(found)
            progress = _Progress(found, found.committed)
            if found.upload.state == OPEN and is_whole(found.upload.length, found.committed):
                await self._keep(progress, lambda: 0, may_complete=True)
            return progress.found

    async def undo(self, upload: UploadRecord) -> None:
        """Leave nothing of an upload whose client never heard of it; no error of that counts.

        Nobody else writes to a session of its own. In another's, the file goes if all of it is the upload's.
        """
        parts = self.parts
        try:
            if (await self.registry.find(upload.id)).upload.state != OPEN:
                return
            if upload.own:
                await parts.catalog.sessions.end(upload.sessid)
                await parts.workers(parts.store.discard, upload.sessid)
            elif await self.registry.remove(upload, parts.now()):
                await self.remove_file(upload)
        except Refused:
            return  # it is gone already
        except Exception:
            self._log.failure("{sessid}: an upload could not be removed", sessid=upload.sessid)

    async def remove_file(self, upload: UploadRecord) -> None:
        """With the turn: remove the file of an upload, which is off the record; another of its name may come."""
        self.parts.handoffs.forget_archives(upload.sessid)
        with suppress(InvalidFilename):  # nothing of it could ever be written
            await self.parts.workers(self.parts.store.cut, upload.sessid, upload.safe_name, None)

    async def _begin(self, upload: UploadRecord, offset: int, length: int | None) -> Found:
        """With the turn: return the upload as it stands, when bytes from ``offset`` on may come.

        ``length`` counts from now on, and is put on record with the first of them. Raises ``UploadGone``,
        ``WrongOffset``, ``InvalidLength``, ``FileTooLarge``, ``FileSealed`` and ``TooManyFiles``.
        """
        found = await self.registry.find(upload.id)
        self.live(found)
        if offset != found.committed:
            raise WrongOffset(found.committed)
        if length is not None and length != found.upload.length:
            if found.upload.length is not None or length < found.committed:
                raise InvalidLength
            if length > self.registry.quota:
                raise FileTooLarge
            found = evolve(found, upload=evolve(found.upload, length=length))
        if found.upload.state == OPEN and found.file is not None and found.file.sealed:
            raise FileSealed
        if found.file is None:
            self.parts.catalog.files.check_room(found.upload.sessid)
        return found

    async def _take(self, found: Found, claim: Claim, checksum: Checksum | None) -> Found:
        """With the turn: take a body, and return the upload as it stands then."""
        body = claim.body
        if found.upload.state == OPEN:
            return await self._receive(found, claim, checksum)
        if body.length != 0:
            raise FileTooLarge
        if checksum is not None and checksum.digest != new_digest(checksum.algorithm).digest():
            raise ChecksumMismatch
        return found

    async def _receive(self, found: Found, claim: Claim, checksum: Checksum | None) -> Found:
        """With the turn: bring a body to the disk, and on record; return the upload as it stands then."""
        parts, upload, body = self.parts, found.upload, claim.body
        session = self.live(found)
        most = (upload.length if upload.length is not None else self.registry.quota) - found.committed
        if body.length is not None and body.length > most:
            raise FileTooLarge
        progress = _Progress(found, found.committed)
        name = upload.safe_name

        def open_file() -> IStoredFile:
            """In a worker; what is on record by then stays."""
            return parts.store.open(upload.sessid, name, progress.before)

        async def keep(bring: Callable[[], int], *, may_complete: bool = True) -> None:
            """Put what has come on record."""
            await self._keep(progress, bring, may_complete=may_complete)
            body.accepted = progress.found.committed - progress.start

        try:
            await parts.pieces.space.look()
            promised = session.sessid, session.held, body, most, CHECKPOINT_SIZE
            with parts.pieces.space.promise(*promised, user=session.username) as room:
                too_large = FileTooLarge() if room == most else InsufficientStorage()
                intake = parts.pieces.intake(body, parts.pieces.workers, open_file)
                if checksum is not None:
                    await receive(body, intake, room, too_large, keep, partial(self._verify, checksum, claim))
                else:
                    seconds = parts.pieces.uploads.seconds
                    intake.checkpoints = Checkpoints(partial(keep, may_complete=False), most, seconds)
                    await receive_what_comes(body, intake, room, too_large, keep)
        except (FileDamaged, SyncFailed) as error:
            await parts.pieces.growth.damaged(session, name, error)
            if isinstance(error, FileDamaged):
                raise UploadGone from error
            raise
        except (InsufficientStorage, OSError):
            await parts.pieces.growth.cut(session, name)  # the disk may have taken a little more than it said
            raise
        return progress.found

    async def _verify(self, checksum: Checksum, claim: Claim, file: IStoredFile) -> bool:
        """See that what was written is what was meant; it is no repeat.

        Raises ``ChecksumMismatch``, and ``UploadTakenOver`` as soon as a newer request has come.
        """

        def digest() -> bytes:
            """In a worker."""
            made = new_digest(checksum.algorithm)

            def update(data: bytes) -> None:
                claim.check()
                made.update(data)

            file.feed(update)
            return made.digest()

        workers = self.parts.workers if claim.body.received > CHECKPOINT_SIZE else self.parts.pieces.workers
        if await workers(digest) != checksum.digest:
            raise ChecksumMismatch
        return False

    async def _keep(self, progress: _Progress, bring: Callable[[], int], *, may_complete: bool) -> None:
        """Put what has come on the disk and on record; when that is all of the upload, hand it off."""
        parts, upload, session, now = self.parts, progress.found.upload, self.live(progress.found), self.parts.now()

        def completes(committed: int) -> dict[str, str] | None:
            """In a worker: return the metadata to hand off with, when so many bytes are all of it."""
            if not may_complete or not is_whole(upload.length, committed):
                return None
            return {key: decoded(value) for key, value in parse_metadata(upload.metadata.encode("ascii")).items()}

        def grown() -> int:
            """In a worker: bring the file to the disk, and return its length."""
            committed = progress.start + bring()
            if parts.handoffs.settings.sync and completes(committed) is not None:
                try:
                    parts.store.sync(session.sessid, upload.safe_name)
                except SyncFailed as error:
                    raise _SessionSyncFailed(*error.args) from error
            return committed

        try:
            committed, handoff = await parts.pieces.growth.keep(
                session,
                upload.safe_name,
                grown,
                lambda timed: self.registry.grow(session, upload, progress.before, timed, now, completes),
            )
        except _SessionSyncFailed as error:
            await parts.handoffs.damaged(session, error)
            raise
        progress.found = progress.found.grown(committed, now, complete=handoff is not None)
        if handoff is not None:
            self._log.info(
                "{sessid}: upload of {name} is complete, {committed} bytes",
                sessid=session.sessid,
                user=session.username,
                name=upload.name,
                committed=committed,
                upload=upload.id,
            )
            try:
                if parts.handoffs.settings.sync:
                    await parts.catalog.files.sync()
            finally:
                parts.relay.add(handoff)

    async def _broke_off(self, upload: UploadRecord, body: IBody, error: BaseException) -> None:
        """Note that a request has not brought what it meant to, and that its session is in use all the same.

        Unless there was nothing to bring: a session is over in spite of those who go on with what is complete.
        """
        self._log.info(
            "{sessid}: upload of {name} broke off after {received} bytes, {kept} are kept: {reason}",
            sessid=upload.sessid,
            user=upload.username,
            name=upload.name,
            received=body.received,
            kept=body.accepted,
            reason=error.words if isinstance(error, Refused) else type(error).__name__,
        )
        if upload.state == OPEN:
            await self.parts.catalog.sessions.touch(upload.sessid, self.parts.now())
