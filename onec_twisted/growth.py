"""A file grows by what was brought to the disk and put on record; what is not on record after all is cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from attrs import frozen
from twisted.logger import Logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from onec_twisted.catalog import Catalog
    from onec_twisted.interfaces import IStore
    from onec_twisted.metrics import Metrics
    from onec_twisted.names import SafeName
    from onec_twisted.records import Session
    from onec_twisted.workers import Workers

__all__ = ["Growth"]

T = TypeVar("T")


@frozen(eq=False)
class Growth:
    """Lets files grow, whatever protocol their bytes come by."""

    catalog: Catalog
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
        known = await self.catalog.file(session.sessid, str(name))
        await self.workers(self.store.cut, session.sessid, name, known.committed if known is not None else None)

    async def damaged(self, session: Session, name: SafeName, error: Exception) -> None:
        """Put a file on record as damaged, and say so loudly."""
        await self.catalog.damage(session, str(name))
        self._log.critical(
            "{sessid}: {name} is damaged ({error}); it is refused until init",
            sessid=session.sessid,
            user=session.username,
            name=str(name),
            error=type(error).__name__,
        )
