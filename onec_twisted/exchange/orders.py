"""Stream the site's orders to 1C.

``type=sale&mode=query`` and ``mode=info`` are answered with the site's document, and ``mode=success`` confirms to the
site that 1C has received it (docs/protocol.md, N10). Documents are not buffered: a slow node slows the site down.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from attrs import field, frozen
from twisted.internet import defer
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import UNKNOWN_LENGTH
from zope.interface import implementer

from onec_twisted.http.client import reason_of
from onec_twisted.http.interfaces import IAnswerStream
from onec_twisted.model.description import JSON_VERSION
from onec_twisted.model.errors import ConfirmationFailed, OrdersUnavailable
from onec_twisted.model.shops import DEFAULT_SHOP, shares_of, shop_of, user_of
from onec_twisted.runtime.fairness import Places, Slots

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from onec_twisted.delivery.client import SiteClient
    from onec_twisted.model.records import Session

__all__ = ["Document", "Orders"]

SITE_PATIENCE = 60.0
"""Seconds for the site to begin its answer, and between its parts; nodes wait 180 s (docs/protocol.md, N12)."""

AT_ONCE = 32
"""Documents of one user on their way at the same time; of all users, twice as many."""

NODE_PATIENCE = 600.0
"""Seconds that a node may read nothing of its answer."""

BEGINNING = b"<?xml"
"""What nodes look for; they reject a document with anything before it, even a BOM (docs/protocol.md, N10)."""

LONGEST_DECLARATION = 1024
"""Bytes that are held while looking for the declared encoding."""

_ENCODING = re.compile(rb"""<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z][A-Za-z0-9._-]{0,39})["']""")

_CHARSET = re.compile(r"""charset\s*=\s*["']?([A-Za-z][A-Za-z0-9._-]{0,39})""", re.IGNORECASE)


def _charset_of(response: Any) -> str:
    """Return the charset of a response's Content-Type, or an empty string."""
    found = _CHARSET.search(response.headers.getRawHeaders("content-type", [""])[0])
    return found[1] if found is not None else ""


class DocumentBroken(Exception):
    """The site broke its document off, or stalled in the middle of it."""


@implementer(IPushProducer, IAnswerStream)
class Document(Protocol):
    """A document on its way from the site to a node. ``begun`` fires with its first bytes, enough to check it."""

    def __init__(self, clock: IReactorTime, length: int | None) -> None:
        """Wait for the first bytes of a body of ``length`` bytes, None if unknown."""
        self.length = length
        self.charset = ""
        """The encoding that it declares, or that the site names; empty when neither does."""
        self.over: Deferred[None] = Deferred()
        """Fires when the site sends no more of it."""
        self.begun: Deferred[bytes] = Deferred(lambda _: self.stopProducing())
        self._declared: Deferred[None] | None = None
        self._clock = clock
        self._held = b""
        self._write: Callable[[bytes], object] | None = None
        self._written: Deferred[None] = Deferred()
        self._end: Failure | None = None
        self._late: IDelayedCall | None = None
        self._gave_up = False

    def connectionMade(self) -> None:
        """Start waiting for bytes."""
        self._watch()

    def _watch(self, patience: float = SITE_PATIENCE) -> None:
        """Restart the time-out for the site, or for the node."""
        self._rest()
        self._late = self._clock.callLater(patience, self._give_up)

    def _give_up(self) -> None:
        """Stop a document that has stalled."""
        self._gave_up = True
        self.stopProducing()

    def _rest(self) -> None:
        if self._late is not None and self._late.active():
            self._late.cancel()

    def dataReceived(self, data: bytes) -> None:
        """Pass bytes on, or hold the first ones until ``write_to`` is called."""
        self._watch()
        if self._write is not None:
            self._write(data)
            return
        self._held += data
        if len(self._held) >= len(BEGINNING) and (not self.begun.called or self._is_declared()):
            self._site().pauseProducing()  # the time-out keeps running: the document must be used soon
            self._report_begun()

    def _report_begun(self) -> None:
        if not self.begun.called:
            self.begun.callback(self._held[: len(BEGINNING)])
        if self._declared is not None and not self._declared.called and self._is_declared():
            self._declared.callback(None)

    def _is_declared(self) -> bool:
        """Return whether the XML declaration is complete, or no more bytes will be held to find its end."""
        return b"?>" in self._held or len(self._held) >= LONGEST_DECLARATION or self._end is not None

    async def encoding(self) -> str:
        """Return the encoding that the document declares (XML 1.0, 4.3.3), or an empty string."""
        if not self._is_declared():
            self._declared = Deferred(lambda _: self.stopProducing())
            self.resumeProducing()
            await self._declared
        found = _ENCODING.match(self._held)
        return found[1].decode("ascii") if found is not None else ""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note the end of the response."""
        self._rest()
        self._end = reason
        self.over.callback(None)
        self._report_begun()
        if self._write is not None:
            self._report_written()

    def _report_written(self) -> None:
        """Report how it ended; a closed connection ends a document without a length, unless this side closed it."""
        if self._written.called or self._end is None:
            return
        if self._gave_up:
            self._written.errback(DocumentBroken("it came to a stop"))
        elif self._end.check(ResponseDone, PotentialDataLoss):
            self._written.callback(None)
        else:
            self._written.errback(DocumentBroken(reason_of(self._end.value or DocumentBroken())))

    def write_to(self, write: Callable[[bytes], object]) -> Deferred[None]:
        self._write = write
        held, self._held = self._held, b""
        write(held)
        self.resumeProducing()
        self._report_written()
        return self._written

    def _site(self) -> Any:
        """Return the connection to the site, as a producer."""
        return self.transport

    def pauseProducing(self) -> None:
        """Pause the site while the node does not read, for a limited time."""
        if self._end is None:
            self._watch(NODE_PATIENCE)
            self._site().pauseProducing()

    def resumeProducing(self) -> None:
        """Resume the site."""
        if self._end is None and self.transport is not None:
            self._watch()
            self._site().resumeProducing()

    def stopProducing(self) -> None:
        """Close the connection to the site."""
        self._rest()
        if self._end is None and self.transport is not None:
            self._site().stopProducing()


def _of(session: Session) -> dict[str, str]:
    """Return what the site is told of a session; its shop, if that is not the default one."""
    shop = shop_of(session.username)
    told = {"user": user_of(session.username), "sessid": session.sessid}
    return told if shop == DEFAULT_SHOP else {"shop": shop, **told}


@frozen(eq=False)
class Orders:
    """Requests orders from the site at ``url``."""

    url: str
    client: SiteClient
    _slots: Slots = field(factory=lambda: Slots(Places(2 * AT_ONCE)), init=False)
    _log = Logger()

    def _url_for(self, mode: str, session: Session) -> str:
        """Return the URL that requests a mode on behalf of a session."""
        mark = "&" if "?" in self.url else "?"
        query = {"type": "sale", "mode": mode, **_of(session)}
        return f"{self.url}{mark}{urlencode(query)}"

    async def document(self, mode: str, session: Session) -> Document:
        """Request the site's document for ``query`` or ``info``. Raises ``OrdersUnavailable``.

        Users share the documents that may be on their way: a user that requests more than its share waits.
        """
        path, document = shares_of(session.username), None
        try:
            await self._slots.ask(path).addTimeout(SITE_PATIENCE, self.client.clock)
        except defer.TimeoutError:
            raise self._refused(OrdersUnavailable(), session, ValueError("others of this user take long")) from None
        try:
            response = await self.client.ask("GET", self._url_for(mode, session), SITE_PATIENCE)
            length = None if response.length is UNKNOWN_LENGTH else int(response.length)
            document = Document(self.client.clock, length)
            document.over.addCallback(lambda _: self._slots.leave(path))
            response.deliverBody(document)
            begun = await document.begun
            if response.code != 200:
                raise ValueError(f"it answered {response.code}")
            if begun != BEGINNING:
                raise ValueError("it gave no XML document")
            document.charset = await document.encoding() or _charset_of(response)
        except CancelledError:
            self._end(path, document)
            raise
        except Exception as error:  # anything that a network, a name server, TLS or a broken site can raise
            self._end(path, document)
            raise self._refused(OrdersUnavailable(), session, error) from error
        return document

    def _end(self, path: tuple[str, ...], document: Document | None) -> None:
        """Stop a document; if it had not begun, free its slot."""
        if document is None:
            self._slots.leave(path)
        else:
            document.stopProducing()

    async def confirm(self, session: Session) -> None:
        """Confirm to the site that the node has received the orders. Raises ``ConfirmationFailed``."""
        payload: dict[str, Any] = {"version": JSON_VERSION, "event": "success", "type": "sale"}
        payload |= _of(session)
        headers = {"Content-Type": "application/json"}
        try:
            response = await self.client.ask(
                "POST", self.url, SITE_PATIENCE, json.dumps(payload).encode("utf-8"), headers
            )
            await self.client.text_of(response, SITE_PATIENCE)
            if not 200 <= response.code < 300:
                raise ValueError(f"it answered {response.code}")
        except CancelledError:
            raise
        except Exception as error:
            raise self._refused(ConfirmationFailed(), session, error) from error

    def _refused(
        self, refused: OrdersUnavailable | ConfirmationFailed, session: Session, error: Exception
    ) -> OrdersUnavailable | ConfirmationFailed:
        """Log why the request to the site failed; the node receives only the refusal."""
        reason = str(error) if isinstance(error, ValueError) else reason_of(error)
        self._log.warn(
            "{sessid}: {words}: {reason}",
            sessid=session.sessid,
            user=session.username,
            words=refused.words,
            reason=reason,
        )
        return refused
