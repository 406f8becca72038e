"""What one request brings of an upload: kept as far as it came, or, with a checksum, all of it or nothing.

The file, its length on record, its turn, its way to the disk and its hand-off are those of 1C's pieces; only when the
length on record moves is another matter (DESIGN section 4 for a piece, tus 1.0.0 "PATCH" and "Checksum" for a chunk).
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from attrs import define, evolve, field
from twisted.logger import Logger

from onec_twisted.errors import (
    FileBusy,
    FileDamaged,
    FileSealed,
    FileTooLarge,
    InsufficientStorage,
    Refused,
    SyncFailed,
    WrongOffset,
)
from onec_twisted.growth import Growth
from onec_twisted.intake import receive, receive_what_comes
from onec_twisted.milestones import Milestones
from onec_twisted.pieces import outcome_of
from onec_twisted.tus.checksums import new_digest
from onec_twisted.tus.errors import ChecksumMismatch, InvalidLength, UploadGone, UploadLocked
from onec_twisted.tus.fields import is_whole, parse_metadata
from onec_twisted.tus.records import OPEN
from onec_twisted.wire import decoded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from onec_twisted.exchange import Parts
    from onec_twisted.interfaces import IBody, IPieceFile
    from onec_twisted.records import Session
    from onec_twisted.tus.claims import Claim
    from onec_twisted.tus.fields import Checksum
    from onec_twisted.tus.records import Found, UploadRecord
    from onec_twisted.tus.registry import Registry

__all__ = ["Chunks"]


@define(eq=False)
class _Progress:
    """How far a request has brought an upload: its file had ``before`` bytes when it was last put on record."""

    upload: UploadRecord
    session: Session
    before: int | None
    start: int
    completed: bool = False


@define(eq=False)
class Chunks:
    """Takes what requests bring of uploads.

    ``session_ttl`` is in seconds; ``sync_at_end`` says that bytes are brought to the disk only when a file is handed
    off.
    """

    parts: Parts
    registry: Registry
    session_ttl: float
    sync_at_end: bool = False
    _growth: Growth = field(init=False)
    _log = Logger()

    def __attrs_post_init__(self) -> None:
        """Begin."""
        parts = self.parts
        self._growth = Growth(parts.catalog, parts.store, parts.workers, parts.metrics)

    def live(self, found: Found) -> Session:
        """Return the session of an upload that is there. Raises ``UploadGone``."""
        return found.live(self.parts.now() - self.session_ttl, busy=self.parts.turns.busy(found.upload.sessid))

    @asynccontextmanager
    async def turn(self, upload: UploadRecord, writer: IBody | None) -> AsyncIterator[None]:
        """Have an upload's file to oneself. Raises ``UploadLocked`` when a node does not let go of it."""
        entered = False
        try:
            async with self.parts.turns.of_file(upload.sessid, upload.name, writer):
                entered = True
                yield
        except FileBusy:
            if entered:
                raise
            raise UploadLocked from None

    async def append(
        self, upload: UploadRecord, claim: Claim, offset: int, length: int | None, checksum: Checksum | None
    ) -> Found:
        """Append what the claim's body brings from ``offset`` bytes on; return the upload as it stands then.

        ``length`` tells the whole upload's, in bytes, where it was not known before; ``checksum`` is the body's.
        Raises ``Refused`` for whatever keeps it out or ends it, ``ConnectionDropped`` when it breaks off; without a
        checksum, what has come is kept.
        """
        parts, body = self.parts, claim.body
        began = parts.metrics.seconds()
        running = None
        try:
            await parts.pieces.space.look()
            found = await self.registry.find(upload.id)
            running = parts.pieces.uploads.begin(self.live(found), upload.name, body)
            async with self.turn(upload, body):
                running.begun = parts.pieces.uploads.seconds()
                parts.metrics.lock_wait.observe(running.begun - running.asked)
                claim.check()
                found = await self._begin(upload, offset, length)
                if found.upload.state == OPEN:
                    await self._receive(found, body, checksum)
                elif body.length != 0:
                    raise FileTooLarge
                elif checksum is not None and checksum.digest != new_digest(checksum.algorithm).digest():
                    raise ChecksumMismatch
                found = await self.registry.find(upload.id)
        except BaseException as error:
            kept = body.accepted
            parts.metrics.piece("partial" if kept else outcome_of(error), began)
            if running is not None:
                await self._broke_off(upload, body, error)
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

    async def _begin(self, upload: UploadRecord, offset: int, length: int | None) -> Found:
        """With the turn: return the upload as it stands, when bytes from ``offset`` on may come.

        ``length`` counts from now on, and is put on record with the first of them. Raises ``UploadGone``,
        ``WrongOffset``, ``InvalidLength``, ``FileTooLarge`` and ``FileSealed``.
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
        return found

    async def _receive(self, found: Found, body: IBody, checksum: Checksum | None) -> None:
        """With the turn: bring a body to the disk, and on record."""
        parts, upload = self.parts, found.upload
        session = self.live(found)
        most = (upload.length if upload.length is not None else self.registry.quota) - found.committed
        if body.length is not None and body.length > most:
            raise FileTooLarge
        before = found.file.committed if found.file is not None else None
        progress = _Progress(upload, session, before, before or 0)
        name = upload.safe_name

        def open_file() -> IPieceFile:
            """In a worker; what is on record by then stays."""
            return parts.store.open(upload.sessid, name, progress.before)

        try:
            with parts.pieces.space.promise(session.sessid, session.held, body, most) as room:
                too_large = FileTooLarge() if room == most else InsufficientStorage()
                intake = parts.pieces.intake(body, parts.workers, open_file)
                keep = partial(self._keep, progress, body, may_complete=True)
                if checksum is not None:
                    await receive(body, intake, room, too_large, keep, partial(self._verify, checksum))
                else:
                    milestone = partial(self._keep, progress, body, may_complete=False)
                    intake.milestones = Milestones(milestone, most, parts.pieces.uploads.seconds)
                    try:
                        await receive_what_comes(body, intake, room, too_large, keep)
                    except InsufficientStorage:
                        await self._growth.cut(session, name)  # a disk that is full may have taken a little more
                        raise
        except (FileDamaged, SyncFailed) as error:
            await self._growth.damaged(session, name, error)
            if isinstance(error, FileDamaged):
                raise UploadGone from error
            raise

    async def _verify(self, checksum: Checksum, file: IPieceFile) -> bool:
        """See that what was written is what was meant; it is no repeat. Raises ``ChecksumMismatch``."""

        def digest() -> bytes:
            """In a worker."""
            made = new_digest(checksum.algorithm)
            file.feed(made.update)
            return made.digest()

        if await self.parts.workers(digest) != checksum.digest:
            raise ChecksumMismatch
        return False

    async def _keep(self, progress: _Progress, body: IBody, bring: Callable[[], int], *, may_complete: bool) -> None:
        """Put what has come on the disk and on record; when that is all of the upload, hand it off."""
        parts, upload, session = self.parts, progress.upload, progress.session

        def completes(committed: int) -> dict[str, str] | None:
            """In a worker: return the metadata to hand off with, when so many bytes are all of it."""
            if not may_complete or not is_whole(upload.length, committed):
                return None
            return {key: decoded(value) for key, value in parse_metadata(upload.metadata.encode("ascii")).items()}

        def grown() -> int:
            """In a worker: bring the file to the disk, and return its length."""
            committed = progress.start + bring()
            if self.sync_at_end and completes(committed) is not None:
                parts.store.sync(session.sessid)
            return committed

        committed, handoff = await self._growth.keep(
            session,
            upload.safe_name,
            grown,
            lambda timed: self.registry.grow(session, upload, progress.before, timed, parts.now(), completes),
        )
        progress.before = committed
        body.accepted = committed - progress.start
        if handoff is not None:
            if self.sync_at_end:
                await parts.catalog.sync()
            self._log.info(
                "{sessid}: upload of {name} is complete, {committed} bytes",
                sessid=session.sessid,
                user=session.username,
                name=upload.name,
                committed=committed,
                upload=upload.id,
            )
            parts.relay.add(handoff)

    async def _broke_off(self, upload: UploadRecord, body: IBody, error: BaseException) -> None:
        """Note that a request has not brought what it meant to, and that its session is in use all the same."""
        self._log.info(
            "{sessid}: upload of {name} broke off after {received} bytes, {kept} are kept: {reason}",
            sessid=upload.sessid,
            user=upload.username,
            name=upload.name,
            received=body.received,
            kept=body.accepted,
            reason=error.words if isinstance(error, Refused) else type(error).__name__,
        )
        await self.parts.catalog.touch(upload.sessid, self.parts.now())
