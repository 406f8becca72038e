"""Append the body of one request to an upload: as far as it arrives or, with a checksum, all or nothing."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

from attrs import define, evolve, field
from twisted.logger import Logger
from zope.interface import implementer

from onec_twisted.http.interfaces import IBodyConsumer
from onec_twisted.ingest.append import append_what_comes, append_whole, cut
from onec_twisted.ingest.checkpoints import CHECKPOINT_SIZE
from onec_twisted.ingest.engine import Stored
from onec_twisted.model.errors import (
    BodyTimedOut,
    ChecksumMismatch,
    DigestMismatch,
    FileDamaged,
    FileSealed,
    FileTooLarge,
    InsufficientStorage,
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
from onec_twisted.model.uploads import OPEN
from onec_twisted.resumable.checksums import Checksum, digest_of, digest_of_first, new_digest
from onec_twisted.resumable.endings import Ending

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from onec_twisted.http.interfaces import IBody
    from onec_twisted.ingest.writers import BufferedWriter
    from onec_twisted.model.names import SafeName
    from onec_twisted.model.records import Session
    from onec_twisted.model.uploads import Found, UploadRecord
    from onec_twisted.resumable.chunks import Chunks
    from onec_twisted.resumable.claims import Claim
    from onec_twisted.storage.interfaces import IStoredFile

__all__ = ["Chunk", "append"]


def _tell_nobody(_committed: int) -> None:
    """Take note of progress."""


@implementer(IBodyConsumer)
class _Nothing:
    """Takes a body in chunks that must be empty."""

    def write(self, data: bytes) -> None:
        raise AssertionError("one byte is too many")


async def append(
    chunks: Chunks,
    found: Found,
    claim: Claim,
    offset: int,
    length: int | None = None,
    checksum: Checksum | None = None,
    *,
    creates: bool = False,
    ending: Ending = Ending.BY_LENGTH,
    progress: Callable[[int], object] = _tell_nobody,
) -> Found:
    """Append the claim's body from ``offset`` bytes on; return the new state of the upload.

    ``length`` is the whole upload's length in bytes, if it was unknown before; ``checksum`` is the body's. If the
    request ``creates`` the upload and fails, nothing of the upload is left. ``ending`` is what completes the upload,
    and ``progress`` is called with its length whenever that has grown on record. Raises ``Refused`` if the body is
    rejected or stopped, ``ConnectionDropped`` if it breaks off; without a checksum, what has arrived is kept.
    """
    chunk = Chunk(chunks, found, claim, offset, length, checksum, creates, ending, progress, chunks.live(found))
    try:
        await chunks.ingest.take(chunk)
    except (BodyTimedOut, UploadTooSlow) as error:
        raise UploadStalled from error
    return chunk.found


@define(eq=False)
class Chunk:
    """The body of one request for an upload, on its way. ``found`` is the upload's state on record.

    ``upload`` is its state when the request arrived. ``ending`` tells whether this request completes it.
    """

    chunks: Chunks
    found: Found
    claim: Claim
    offset: int
    length: int | None
    checksum: Checksum | None
    creates: bool
    ending: Ending
    progress: Callable[[int], object]
    session: Session
    start: int = 0
    busy: type[Refused] = UploadLocked
    upload: UploadRecord = field(init=False)
    name: SafeName = field(init=False)
    body: IBody = field(init=False)
    _writer: BufferedWriter | None = field(default=None, init=False)
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
                await self._check_empty()
        except BaseException as error:
            if self.creates:  # still under the lock, so that no waiting piece is appended to a file being removed
                await self.chunks.undo(self.upload)
                self.body.accepted = 0
            elif isinstance(error, FileTooLarge) and self._is_over_length():
                await self.chunks.end(self.upload)
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

    async def _check_empty(self) -> None:
        """Check that the body for a complete upload is empty. Raises ``FileTooLarge``, ``ChecksumMismatch``."""
        checksum = self.checksum
        if self.body.length is None and self.ending is Ending.HERE:
            await self.body.stream_to(_Nothing(), 0, FileTooLarge())
        elif self.body.length != 0:
            raise FileTooLarge
        if checksum is not None and checksum.digest != new_digest(checksum.algorithm).digest():
            raise ChecksumMismatch

    async def _append(self) -> None:
        """Write the body to the disk, and record it; complete the upload if that is due."""
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
                writer = self._writer = ingest.writer(body, ingest.workers, self._open_file)
                if self.checksum is not None:
                    verify = partial(self._verify, self.checksum)
                    await append_whole(ingest, self, writer, limit=room, too_large=too_large, is_repeat=verify)
                else:
                    await append_what_comes(ingest, self, writer, limit=room, too_large=too_large, whole=whole)
            await self._end()
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
        self.found = await self.chunks.commit(self.found, write, self.claim.shared, self._ends)
        self.body.accepted = self.found.committed - self.start
        is_last = self.body.complete and not self.upload.digest  # the answer tells; a digest takes its time before it
        if self.found.upload.state == OPEN and not is_last:
            self.progress(self.found.committed)

    def _ends(self, committed: int) -> bool:
        """Return whether the upload is complete with so many bytes on record; may be called in a worker."""
        writer, body, upload = self._writer, self.body, self.found.upload
        all_came = (
            writer is not None and writer.has_ended and body.complete and committed == self.start + body.received
        )
        return not upload.digest and self.ending.is_reached(upload.length, committed, all_came=all_came)

    async def _end(self) -> None:
        """Check what only a whole body shows, and complete an upload whose digest has to be verified before that.

        Raises ``InvalidLength`` when the upload was to end with this request, and has another length, and
        ``DigestMismatch``: the upload is gone then.
        """
        upload, committed, chunks = self.found.upload, self.found.committed, self.chunks
        if upload.state != OPEN or self.ending is not Ending.HERE:
            return
        if upload.length not in {None, committed}:
            raise InvalidLength
        expected = Checksum.unpacked(upload.digest)
        if await self._digest_on_record(expected.algorithm) != expected.digest:
            await chunks.end(self.upload)
            self.body.accepted = 0
            raise DigestMismatch
        self.found = await chunks.commit(self.found, lambda: Written(committed), ends=lambda _: True)

    async def _digest_on_record(self, algorithm: str) -> bytes:
        """Return the digest of the whole file. Raises ``FileDamaged``, ``OSError``.

        Newer requests wait: all bytes are here, and a client that is less patient would never have them verified.
        """
        upload, committed, store = self.found.upload, self.found.committed, self.chunks.ingest.store

        def read() -> bytes:
            with open(store.open_archive(upload.sessid, self.name), "rb", buffering=0) as file:
                return digest_of_first(file.fileno(), committed, algorithm)

        return await self.chunks.errands(read)

    def _is_over_length(self) -> bool:
        """Return whether a body that is too large is the end of its upload (RUFH, "Upload Length")."""
        upload = self.found.upload
        return upload.state == OPEN and upload.length is not None and self.ending is not Ending.BY_LENGTH

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
