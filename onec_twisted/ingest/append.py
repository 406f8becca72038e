"""Write a body to the disk and record it: all or nothing, or as far as it arrives."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from onec_twisted.ingest.checkpoints import Checkpoints
from onec_twisted.model.errors import FileTooLarge, InsufficientStorage
from onec_twisted.model.records import Written

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from onec_twisted.ingest.engine import Append, Ingest
    from onec_twisted.ingest.writers import BufferedWriter
    from onec_twisted.model.names import SafeName
    from onec_twisted.model.records import Session
    from onec_twisted.storage.interfaces import IStoredFile

__all__ = ["append_what_comes", "append_whole", "commit_body", "compare_whole", "cut"]


async def commit_body(
    ingest: Ingest, append: Append, writer: BufferedWriter, write_last: Callable[[], object]
) -> None:
    """Commit what has arrived of a body: afterwards it is on the disk and on record, or nothing of it is left.

    One hop to a worker performs these steps in order:

    1. write: ``write_last`` writes what is still in memory; most was written as it arrived;
    2. sync: the file's bytes, and the names of new files and folders;
    3. record: ``append.commit`` records the file's new length.

    If recording fails, another hop performs

    4. undo: cut the file back to the length on record.

    An earlier failure leaves the file open: the caller must let ``writer`` roll it back.
    """
    is_synced = False

    def write() -> Written:
        """In a worker: return what the file is now."""
        nonlocal is_synced
        began = ingest.metrics.seconds()
        try:
            write_last()
            written = writer.sync()
        finally:
            ingest.metrics.synced("file", began)
        is_synced = True
        return written or Written(append.start + writer.written_size)

    try:
        await append.commit(write)
    except BaseException:
        if is_synced:
            await cut(ingest, append.session, append.name)
        raise


async def append_whole(
    ingest: Ingest,
    append: Append,
    writer: BufferedWriter,
    *,
    limit: int,
    too_large: BaseException,
    is_repeat: Callable[[IStoredFile], Awaitable[bool]] | None = None,
) -> int | None:
    """Append a whole body of at most ``limit`` bytes, or nothing of it; return its size in bytes.

    ``is_repeat``, when given, is called after all bytes are written and before they are synced. If it returns true,
    nothing is kept and the result is None. It may also raise a refusal.

    Raises what ``IBody.stream_to`` fails with, ``InsufficientStorage`` on a full disk, ``FileDamaged``, ``OSError``,
    and what ``append.commit`` raises. The file is then restored to its previous state.
    """
    body = append.body
    try:
        await body.stream_to(writer, limit, too_large)
        if is_repeat is not None and await is_repeat(await writer.written()):
            await writer.roll_back()
            return None
        await writer.end()
        await commit_body(ingest, append, writer, writer.write_rest)
    except BaseException:
        await writer.roll_back()
        raise
    return body.received


async def append_what_comes(
    ingest: Ingest, append: Append, writer: BufferedWriter, *, limit: int, too_large: BaseException, whole: int
) -> None:
    """Append a body as far as it arrives: if it breaks off, keep what arrived, including all checkpoints.

    ``whole`` is a size in bytes that only the end of the body may record; see ``Checkpoints``. Raises what
    ``IBody.stream_to`` fails with, and what ``append.commit`` raises. On ``FileTooLarge`` only the last checkpoint
    is kept, because nobody knows what such a body was meant to be.
    """
    body, commit = append.body, partial(commit_body, ingest, append, writer)
    writer.checkpoints = Checkpoints(commit, whole, ingest.transfers.seconds)
    try:
        try:
            await body.stream_to(writer, limit, too_large)
        except FileTooLarge:
            raise
        except BaseException:
            left = body.left()
            if body.received <= limit:
                for data in left:
                    writer.write(data)
            if await writer.end_early():
                await commit(writer.write_what_came)
            raise
        try:
            await writer.end()
            await commit(writer.write_rest)
        except InsufficientStorage:
            if writer.is_disk_full and await writer.end_early():
                await commit(writer.write_what_came)
            raise
    except BaseException:
        await writer.roll_back()
        raise


async def compare_whole(
    ingest: Ingest, append: Append, writer: BufferedWriter, *, limit: int, differs: BaseException
) -> None:
    """Compare a body with the content of ``writer``'s file, without writing, syncing or recording anything.

    Raises ``differs`` for a body of more than ``limit`` bytes, and what the file and ``IBody.stream_to`` raise.
    """
    try:
        await append.body.stream_to(writer, limit, differs)
        await writer.end()
        await ingest.workers(writer.write_and_sync)
    except BaseException:
        await writer.roll_back()
        raise


async def cut(ingest: Ingest, session: Session, name: SafeName) -> None:
    """Cut a file to the length on record: the commit may have been recorded despite the error."""
    known = await ingest.files.find(session.sessid, name.text)
    await ingest.workers(ingest.store.cut, session.sessid, name, known.committed if known is not None else None)
