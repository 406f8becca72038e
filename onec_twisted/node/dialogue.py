"""The dialogue of a node with a site: ``checkauth``, ``init``, files in pieces, ``import`` (docs/protocol.md)."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from attrs import frozen
from twisted.internet.task import deferLater
from twisted.web.client import FileBodyProducer

from onec_twisted.node.answers import (
    Busy,
    Login,
    NodeError,
    Parameters,
    RawAnswer,
    Refusal,
    Remark,
    State,
    Strange,
    Unreachable,
    login_of,
    parameters_of,
    refusal_of,
    state_of,
)
from onec_twisted.node.requests import READ_BLOCK, Document, Part, Requests, headers_of, quoted
from onec_twisted.runtime.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from treq.client import HTTPClient

__all__ = ["Node", "Sent"]

T = TypeVar("T")

SHORTEST_PAUSE = 1.0
"""Seconds between two polls of an import: a site that answers at once must not be flooded."""

TRY_PAUSE = Backoff(first=0.5, longest=15.0)
"""How long a node waits before a retry."""

LAST_WORD = 5.0
"""Seconds for the requests that clean up at the end."""

STRAGGLER_WAIT = 0.5
"""Seconds for an aborted piece to arrive, before it is discarded."""


@frozen
class Sent:
    """A file that was sent: its size, and how many bytes had to be sent for that, both in bytes."""

    size: int
    bytes_sent: int
    pieces: int
    remarks: tuple[Remark, ...] = ()


def _ignore(_: object) -> None:
    """Do nothing."""


class Node:
    """One node, and its dialogue with one site.

    ``url`` is the address that a 1C user types. ``timeout`` in seconds limits the wait for one answer, and each
    silence while a body is sent. ``retries`` is how often an unanswered request is retried. ``report`` is called with
    lines for a person.
    """

    def __init__(
        self,
        reactor: Any,
        client: HTTPClient,
        url: str,
        user: str,
        password: str,
        *,
        timeout: float = 180.0,
        retries: int = 5,
        report: Callable[[str], None] = _ignore,
    ) -> None:
        """Send nothing yet; ``http_client`` makes a ``client``."""
        self._reactor = reactor
        self._requests = Requests(reactor, client, url.replace("\\", "/"), user, password, timeout)
        self._retries = retries
        self._report = report
        self._parameters: Parameters | None = None
        self._is_sending = False
        self.repeated: list[str] = []
        """Why requests were repeated, in order: a real 1C does not repeat them."""

    @property
    def sessid(self) -> str:
        """Return the session's public name, empty before ``checkauth``."""
        return self._requests.login.sessid if self._requests.login is not None else ""

    async def checkauth(self, exchange_type: str = "catalog") -> Login:
        """Log in: all later requests belong to this session. Raises ``NodeError``."""
        self._requests.login = None
        answer = await self._tried(lambda: self._requests.ask("GET", f"type={exchange_type}&mode=checkauth"))
        self._requests.login = login_of(answer, exchange_type)
        return self._requests.login

    async def init(self, exchange_type: str = "catalog", version: str = "") -> Parameters:
        """Start the session over, and learn how the site wants its files. Raises ``NodeError``."""
        query = f"type={exchange_type}&mode=init" + (f"&version={version}" if version else "")
        answer = await self._tried(lambda: self._requests.ask("GET", query))
        self._parameters = parameters_of(answer, exchange_type, version=bool(version))
        return self._parameters

    async def send_file(
        self,
        name: str,
        source: Path | BinaryIO,
        exchange_type: str = "catalog",
        progress: Callable[[int], None] = _ignore,
    ) -> Sent:
        """Send a file under a name, in pieces of the site's ``file_limit``.

        ``progress`` gets the number of bytes of the file that were sent. A piece without an answer is sent again. A
        site that reports the length of its file by HEAD, as ours does, is asked first, and gets only the rest. Raises
        ``NodeError``, and ``OSError`` if the file cannot be read.
        """
        with _opened(source) as file:
            size = file.seek(0, os.SEEK_END)
            limit = self._parameters.file_limit if self._parameters is not None else None
            return await self._send(name, file, size, limit or max(size, 1), exchange_type, progress)

    async def _send(
        self, name: str, file: BinaryIO, size: int, limit: int, exchange_type: str, progress: Callable[[int], None]
    ) -> Sent:
        """Send piece after piece; if the site reports its length, continue there, and send each piece's offset."""
        sent, pieces, failures, offset = 0, 0, 0, 0
        claims = asks = False
        remarks: dict[Remark, None] = {}
        before = _state_of_file(file)
        while offset < size or not pieces:
            begun = [0]

            def count_read(read: int, offset: int = offset, begun: list[int] = begun) -> None:
                begun[0] = read
                self._requests.alive()
                progress(offset + read)

            try:
                if asks:
                    length = await self.length(name, exchange_type)
                    asks = False
                    if length is not None:
                        claims = True
                        offset, pieces = self._resumed(name, length, size), pieces + (length > offset)
                        continue
                if _state_of_file(file) != before:
                    raise OSError(f"{name} was changed while it was sent")
                count = min(limit, size - offset)
                state = await self.send_piece(name, file, offset, count, exchange_type, count_read, claims=claims)
            except Unreachable as lost:
                sent += begun[0]
                failures += 1
                if failures > self._retries:
                    raise
                await self._pause(lost, failures)
                asks = True
            except Refusal as refused:
                if not claims or refused.status != 409 or refused.offset in (None, offset):
                    raise
                sent += begun[0]
                offset = self._resumed(name, refused.offset or 0, size)
            else:
                remarks.update(dict.fromkeys(state.remarks))
                claims = claims or state.offset is not None
                offset = offset + count if state.offset is None else self._checked(name, state.offset, size)
                sent, pieces, failures = sent + count, pieces + 1, 0
        return Sent(size, sent, pieces, tuple(remarks))

    def _checked(self, name: str, length: int, size: int) -> int:
        """Return the offset to continue at. Raises ``Strange`` if the site has more bytes than the file."""
        if length > size:
            raise Strange(f"{name}: the site has {length} bytes of it, but the file has {size}; start a new exchange")
        return length

    def _resumed(self, name: str, length: int, size: int) -> int:
        """Return the offset to continue at, and report it."""
        self._report(f"{name}: going on at {length} bytes")
        return self._checked(name, length, size)

    async def _pause(self, lost: Unreachable, failures: int) -> None:
        """Wait before a retry, and report it."""
        pause = TRY_PAUSE.after(failures)
        if isinstance(lost, Busy):
            pause = max(pause, lost.retry_after)
        self.repeated.append(lost.words)
        self._report(f"{lost.words}; trying again in {pause:.1f} s ({failures} of {self._retries})")
        await deferLater(self._reactor, pause)

    async def send_piece(
        self,
        name: str,
        file: BinaryIO,
        offset: int,
        size: int,
        exchange_type: str = "catalog",
        progress: Callable[[int], None] = _ignore,
        *,
        claims: bool = False,
    ) -> State:
        """Send ``size`` bytes of a file from ``offset`` on as one piece; ``claims`` sends the offset, too.

        Raises ``NodeError``; ``Unreachable`` leaves open what the site has.
        """
        part = Part(file, offset, size, progress)
        headers = {"Upload-Offset": str(offset)} if claims else {}
        query = f"type={exchange_type}&mode=file&filename={quoted(name)}"
        self._is_sending = True
        try:
            answer = await self._requests.ask("POST", query, FileBodyProducer(part, readSize=READ_BLOCK), headers)
        except Unreachable:
            if part.error is not None:
                raise part.error from None  # not the site's fault
            raise
        self._is_sending = False
        return state_of(answer, f"file {name}")

    async def length(self, name: str, exchange_type: str = "catalog") -> int | None:
        """Return how many bytes of a file the site has; None if it does not report them. Raises ``NodeError``."""
        answer = await self._requests.ask("HEAD", f"type={exchange_type}&mode=file&filename={quoted(name)}")
        if answer.status in (401, 403):
            raise Refusal("The site no longer knows the session; start a new exchange", answer.status)
        if answer.status >= 500 and answer.status != 501:
            raise Unreachable(f"The site answered {answer.status}", answer.status)
        return answer.offset if answer.status == 200 else None

    async def abandon(self, exchange_type: str = "catalog") -> bool:
        """Make the site discard what was sent, by ``init``, after something broke off; return whether it has.

        A piece that was cut off may arrive after ``init``, through a proxy or at a busy site: then there are two.
        """
        self._requests.timeout = min(self._requests.timeout, LAST_WORD)
        try:
            parameters_of(
                await self._requests.ask("GET", f"type={exchange_type}&mode=init"), exchange_type, version=False
            )
            if self._is_sending:
                await deferLater(self._reactor, STRAGGLER_WAIT)
                parameters_of(
                    await self._requests.ask("GET", f"type={exchange_type}&mode=init"), exchange_type, version=False
                )
        except NodeError:
            return False
        self._is_sending = False
        return True

    async def import_file(
        self, name: str, exchange_type: str = "catalog", progress: Callable[[str], None] = _ignore
    ) -> State:
        """Have a file imported; ``progress`` gets the site's messages until it is done. Raises ``NodeError``."""
        return await self._until_done(
            f"type={exchange_type}&mode=import&filename={quoted(name)}", f"import {name}", progress
        )

    async def complete(self, exchange_type: str = "catalog") -> State:
        """Send ``complete``: everything was sent. Raises ``NodeError``."""
        return await self._until_done(f"type={exchange_type}&mode=complete", "complete", _ignore)

    async def deactivate(self, timestamp: str = "", exchange_type: str = "catalog") -> State:
        """Have goods deactivated that were not updated since ``timestamp``. Raises ``NodeError``."""
        moment = timestamp or (self._requests.login.timestamp if self._requests.login is not None else "")
        return await self._until_done(
            f"type={exchange_type}&mode=deactivate&timestamp={quoted(moment)}", "deactivate", _ignore
        )

    async def _until_done(self, query: str, step: str, progress: Callable[[str], None]) -> State:
        """Repeat a request until the answer is no longer ``progress``."""
        while True:
            began = self._reactor.seconds()
            answer = await self._tried(lambda: self._requests.ask("GET", query))
            state = state_of(answer, step, may_last=True)
            if state.done:
                return state
            progress(state.words)
            await deferLater(self._reactor, max(0.0, SHORTEST_PAUSE - (self._reactor.seconds() - began)))

    async def query_orders(self, write: Callable[[bytes], object]) -> int:
        """Stream the site's orders to ``write``; return their size in bytes. Raises ``NodeError``.

        Nothing is written unless it is a document.
        """
        response = await self._requests.request("GET", "type=sale&mode=query")
        document = Document(write, response.code == 200)
        is_whole = await self._requests.read(response, document.take, None)
        if document.passes and not is_whole and not document.is_closed():
            raise Unreachable("The site's document broke off")
        if not document.passes:
            raise refusal_of(RawAnswer(response.code, document.held, headers_of(response)), "query")
        return document.size

    async def confirm_orders(self) -> State:
        """Confirm that the orders were received. Raises ``NodeError``."""
        return state_of(await self._tried(lambda: self._requests.ask("GET", "type=sale&mode=success")), "success")

    async def listen(self) -> int:
        """Return the HTTP status of the answer to ``type=listen``; 304 means that there is nothing to do."""
        return (await self._requests.ask("GET", "type=listen&version=2.1")).status

    async def _tried(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Return the answer, with as many retries as are allowed."""
        failures = 0
        while True:
            try:
                return await ask()
            except Unreachable as lost:
                failures += 1
                if failures > self._retries:
                    raise
                await self._pause(lost, failures)


def _state_of_file(file: BinaryIO) -> tuple[int, int] | None:
    """Return the size and time of a file, which a write changes; None if it is not a file on disk."""
    try:
        status = os.fstat(file.fileno())
    except (OSError, AttributeError):
        return None
    return status.st_size, status.st_mtime_ns


@contextmanager
def _opened(source: Path | BinaryIO) -> Iterator[BinaryIO]:
    """Open a path and close it afterwards; leave a file that was already open."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield file
    else:
        yield source
