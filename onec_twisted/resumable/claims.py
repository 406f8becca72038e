"""The newest request for an upload takes precedence: an older one is stopped at once (RUFH, "Concurrency").

A client sends a second request when it has given up the first, so what still arrives of the first may be stale. The
bytes that the first has received are kept, and its sender, if still connected, receives 409.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import define, field
from cachetools import LRUCache

from onec_twisted.model.errors import UploadTakenOver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onec_twisted.http.interfaces import IBody
    from onec_twisted.ingest.daemons import IDaemons
    from onec_twisted.model.records import Session

__all__ = ["Claim", "Claims"]

REMEMBERED_CLAIMS = 10_000
"""Uploads whose last request is remembered after its end: an older one may still be waiting for authentication."""


@define(eq=False)
class Claim:
    """A request's claim to an upload; ``number`` is its place in the order of arrival.

    ``shared`` is its number among the requests to several daemons; 0 while it has none.
    """

    number: int
    body: IBody
    shared: int = 0
    is_over: bool = False

    def check(self) -> None:
        """Raise ``UploadTakenOver`` when a newer request has arrived."""
        if self.is_over:
            raise UploadTakenOver

    async def count(self, daemons: IDaemons, session: Session, upload_id: str) -> None:
        """Count as the newest request for an upload, whose lock it holds, for all daemons.

        Raises ``UploadTakenOver`` when a newer one has come to this one, and ``FileBusy`` and ``ConnectionDropped``
        when its client may have gone on elsewhere.
        """
        self.check()
        if not daemons.is_alone:
            await daemons.check_in_time(session, self.body)
            self.shared = await daemons.claim(session.sessid, upload_id)


@define(eq=False)
class Claims:
    """The newest request for each upload."""

    _last: int = field(default=0, init=False)
    _newest: dict[str, Claim] = field(factory=dict, init=False)
    _passed: LRUCache[str, int] = field(factory=lambda: LRUCache(REMEMBERED_CLAIMS), init=False)

    def arrive(self) -> int:
        """Return a request's number; call it before the request waits for anything."""
        self._last += 1
        return self._last

    @contextmanager
    def hold(self, upload_id: str, number: int, body: IBody) -> Iterator[Claim]:
        """Claim an upload until the block ends, or until a newer request arrives: then the body is dropped.

        Raises ``UploadTakenOver`` when a newer request has arrived already.
        """
        before = self._newest.get(upload_id)
        if number < self._passed.get(upload_id, 0) or (before is not None and number < before.number):
            raise UploadTakenOver
        claim = self._newest[upload_id] = Claim(number, body)
        if before is not None:
            before.is_over = True
            before.body.drop(UploadTakenOver())
        try:
            yield claim
        finally:
            if self._newest.get(upload_id) is claim:
                del self._newest[upload_id]
                self._passed[upload_id] = number
