"""A file on its way to the administrator: read block by block in workers, never rendered by the browser."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

if TYPE_CHECKING:
    from twisted.web.server import Request

    from onec_twisted.runtime.workers import Workers

__all__ = ["Download", "send"]

BLOCK_SIZE = 256 * 1024
"""Bytes that are read at once."""


@frozen
class Download:
    """The first ``size`` bytes of an open file, which whoever sends it closes."""

    fd: int
    size: int
    name: str

    def headers(self) -> dict[bytes, bytes]:
        """Return the headers of the answer (RFC 6266; RFC 8187 for names in any language)."""
        name = quote(self.name.rpartition("/")[2], safe="")
        return {
            b"content-type": b"application/octet-stream",
            b"content-disposition": f"attachment; filename*=UTF-8''{name}".encode("ascii"),
            b"content-length": b"%d" % self.size,
        }


@implementer(IPushProducer)
@define(eq=False)
class _Pace:
    """What the connection says of its pace; ``is_over`` once it is gone."""

    is_over: bool = False
    _paused: Deferred[None] | None = field(default=None, init=False)

    def pauseProducing(self) -> None:
        self._paused = self._paused or Deferred()

    def resumeProducing(self) -> None:
        paused, self._paused = self._paused, None
        if paused is not None:
            paused.callback(None)

    def stopProducing(self) -> None:
        self.is_over = True
        self.resumeProducing()

    async def wait(self) -> None:
        """Wait until the connection takes more."""
        if self._paused is not None:
            await self._paused


async def send(download: Download, request: Request, workers: Workers) -> None:
    """Send a file; if it turns out to be shorter, or cannot be read, the connection ends without the rest."""
    pace, sent = _Pace(), 0
    transport: Any = request.transport
    gone: Deferred[Any] = request.notifyFinish()
    gone.addErrback(lambda _: pace.stopProducing())
    request.registerProducer(pace, True)
    try:
        while sent < download.size and not pace.is_over:
            wanted = min(BLOCK_SIZE, download.size - sent)
            block = await workers(os.pread, download.fd, wanted, sent)
            if not block:
                break
            if not pace.is_over:
                request.write(block)
            sent += len(block)
            await pace.wait()
    finally:
        os.close(download.fd)
        if not pace.is_over:
            request.unregisterProducer()
            if sent < download.size:
                transport.abortConnection()
            else:
                request.finish()
