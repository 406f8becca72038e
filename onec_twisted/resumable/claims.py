"""The newest request for an upload counts: an older one gives way to it, at once (RUFH, "Concurrency").

A client sends a second request when it has given the first one up, so what still comes of that may be old. The first
one's bytes are kept as far as they came, and its sender, if there is one left, hears 409.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import define, field
from cachetools import LRUCache

from onec_twisted.model.upload_errors import UploadTakenOver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onec_twisted.http.interfaces import IBody

__all__ = ["Claim", "Claims"]

REMEMBERED_CLAIMS = 10_000
"""Uploads whose newest request is remembered when it is over: an older one may still wait for its password."""


@define(eq=False)
class Claim:
    """A request's claim to an upload; ``number`` is its place in the order in which requests came."""

    number: int
    body: IBody
    is_over: bool = False

    def check(self) -> None:
        """Raise ``UploadTakenOver`` when a newer request has come."""
        if self.is_over:
            raise UploadTakenOver


@define(eq=False)
class Claims:
    """Who has which upload."""

    _last: int = field(default=0, init=False)
    _newest: dict[str, Claim] = field(factory=dict, init=False)
    _passed: LRUCache[str, int] = field(factory=lambda: LRUCache(REMEMBERED_CLAIMS), init=False)

    def arrive(self) -> int:
        """Return a request's number; to be asked before anything is waited for."""
        self._last += 1
        return self._last

    @contextmanager
    def hold(self, upload_id: str, number: int, body: IBody) -> Iterator[Claim]:
        """Have an upload until the end, or until a newer request comes: then the body is dropped.

        Raises ``UploadTakenOver`` when a newer request was here already.
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
