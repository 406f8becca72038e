"""A body on its way to the disk and on record: all or nothing, or as far as it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from attrs import frozen
from twisted.logger import Logger

from onec_twisted.model.errors import FileTooLarge, InsufficientStorage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from onec_twisted.catalog.files import FileRecords
    from onec_twisted.http.interfaces import IBody
    from onec_twisted.ingest.checkpoints import Commit
    from onec_twisted.ingest.writers import BufferedWriter
    from onec_twisted.model.names import SafeName
    from onec_twisted.model.records import Session
    from onec_twisted.runtime.metrics import Metrics
    from onec_twisted.runtime.workers import Workers
    from onec_twisted.storage.interfaces import IStore, IStoredFile

__all__ = ["Growth", "receive", "receive_what_comes"]


async def receive(
    body: IBody,
    intake: BufferedWriter,
    limit: int,
    too_large: BaseException,
    keep: Commit,
    is_repeat: Callable[[IStoredFile], Awaitable[bool]] | None = None,
) -> int | None:
    """Bring a whole body to the disk, or nothing of it; return its bytes.

    ``keep`` is given a function that brings the last bytes to the disk and returns their number; it runs it in a
    worker, and records what is there then in the same hop. ``is_repeat``, when given, is asked once all bytes are
    written, and before they are synced; None is returned, and nothing is kept, if it says so. It may raise a refusal
    as well.

    Raises what ``IBody.deliver`` fails with, ``InsufficientStorage`` on a full disk, ``FileDamaged``, or ``OSError``,
    and what ``keep`` raises. The file is what it was before then, unless it was brought to the disk.
    """
    try:
        await body.stream_to(intake, limit, too_large)
        if is_repeat is not None and await is_repeat(await intake.written()):
            await intake.roll_back()
            return None
        await intake.finish(keep)
    except BaseException:
        await intake.roll_back()
        raise
    return body.received


async def receive_what_comes(
    body: IBody, intake: BufferedWriter, limit: int, too_large: BaseException, keep: Commit
) -> None:
    """Bring a body to the disk as far as it comes: what has come when it breaks off is kept, and so are milestones.

    ``keep`` is as for ``receive``. Raises what ``IBody.deliver`` fails with, and what ``keep`` raises. When that is
    ``FileTooLarge``, no more than the last milestone is left: nobody knows what such a body was meant to be.
    """
    try:
        try:
            await body.stream_to(intake, limit, too_large)
        except FileTooLarge:
            raise
        except BaseException:
            left = body.left()
            if body.received <= limit:
                for data in left:
                    intake.write(data)
            await intake.keep_what_came(keep)
            raise
        try:
            await intake.finish(keep)
        except InsufficientStorage:
            if intake.is_disk_full:
                await intake.keep_what_came(keep)
            raise
    except BaseException:
        await intake.roll_back()
        raise


T = TypeVar("T")


@frozen(eq=False)
class Growth:
    """Lets files grow, whatever protocol their bytes come by."""

    files: FileRecords
    store: IStore
    workers: Workers
    metrics: Metrics
    _log = Logger()

    async def keep(
        self,
        session: Session,
        name: SafeName,
        bring: Callable[[], int],
        record: Callable[[Callable[[], int]], Awaitable[T]],
    ) -> T:
        """Bring bytes to the disk, and put them on record; return what that returned.

        ``bring`` is called in a worker; ``record`` is given it, and has to call it there. Raises what they raise, and
        the file is then as long as the record says.
        """
        brought = False

        def timed() -> int:
            """In a worker."""
            nonlocal brought
            began = self.metrics.seconds()
            try:
                size = bring()
            finally:
                self.metrics.synced("file", began)
            brought = True
            return size

        try:
            return await record(timed)
        except BaseException:
            if brought:
                await self.cut(session, name)
            raise

    async def cut(self, session: Session, name: SafeName) -> None:
        """Make a file as long as its record says: it may have been recorded all the same."""
        known = await self.files.find(session.sessid, str(name))
        await self.workers(self.store.cut, session.sessid, name, known.committed if known is not None else None)

    async def damaged(self, session: Session, name: SafeName, error: Exception) -> None:
        """Put a file on record as damaged, and say so loudly."""
        await self.files.damage(session, str(name))
        self._log.critical(
            "{sessid}: {name} is damaged ({error}); it is refused until init",
            sessid=session.sessid,
            user=session.username,
            name=str(name),
            error=type(error).__name__,
        )
