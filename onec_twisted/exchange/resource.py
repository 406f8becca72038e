"""The Resource: what each mode means. A refusal becomes an answer here."""

from __future__ import annotations

import secrets
from datetime import datetime
from hmac import compare_digest
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen
from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from onec_twisted.delivery.archives import StillReading
from onec_twisted.exchange import commerceml, protocol
from onec_twisted.http import answer, head
from onec_twisted.http.answer import Answer
from onec_twisted.http.refusals import address_of
from onec_twisted.http.resource import RefusingResource
from onec_twisted.model import text
from onec_twisted.model.errors import (
    ConnectionDropped,
    FileDamaged,
    ImportFailed,
    InvalidSession,
    MethodNotAllowed,
    MissingFilename,
    MissingSessid,
    NoExchangeHere,
    Refused,
)
from onec_twisted.model.names import safe_name
from onec_twisted.model.records import FAILED, SUCCEEDED
from onec_twisted.runtime.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from onec_twisted.auth.access import Access
    from onec_twisted.catalog.catalog import Catalog
    from onec_twisted.delivery.handoffs import Handoffs
    from onec_twisted.delivery.relay import Relay
    from onec_twisted.exchange.orders import Orders
    from onec_twisted.exchange.protocol import Query
    from onec_twisted.http.interfaces import IRequest
    from onec_twisted.ingest.locks import FileLocks
    from onec_twisted.ingest.pieces import Pieces
    from onec_twisted.model.records import Session
    from onec_twisted.runtime.workers import Workers
    from onec_twisted.storage.interfaces import IStore

__all__ = ["COOKIE", "Exchange", "Parts", "Settings"]

COOKIE = "onec_session"
"""The name of the cookie that carries the token."""

SUCCESS = Answer(body=b"success")

LONGEST_TIMESTAMP = 40
"""Characters of what a node sends with ``deactivate``: a number of seconds, or what it likes."""


@frozen
class Settings:
    """What the administrator chose: sizes in bytes, times in seconds."""

    file_limit: int
    session_ttl: float
    zipped: bool = True
    sessid_required: bool = True
    always_ok: bool = False
    lock_timeout: float = 30.0
    sessions_per_user: int = 0


@frozen
class Parts:
    """What the exchange works with; ``orders`` is None for a site without. ``now`` returns seconds since 1970.

    ``workers`` are for what takes long; those of ``pieces`` are quick.
    """

    access: Access
    catalog: Catalog
    store: IStore
    locks: FileLocks
    pieces: Pieces
    workers: Workers
    handoffs: Handoffs
    relay: Relay
    now: Callable[[], float]
    orders: Orders | None = None
    metrics: Metrics = field(factory=Metrics)


class Exchange(RefusingResource):
    """``1c_exchange.php``: one URL, whose query chooses what it does (protocol.md, A)."""

    _log = Logger()

    def __init__(self, settings: Settings, parts: Parts) -> None:
        """Serve with these settings and parts."""
        super().__init__(parts.metrics)
        self._settings = settings
        self._parts = parts
        self._pieces = parts.pieces
        self._modes: dict[str, Callable[[Session, Query, IRequest], Awaitable[Answer]]] = {
            "init": self._init,
            "file": self._file,
            "import": self._import,
            "complete": self._event,
            "deactivate": self._event,
            "success": self._success,
            "query": self._document,
            "info": self._document,
        }

    def refusal(self, refused: Refused) -> Answer:
        return protocol.failure(refused)

    async def respond(self, request: IRequest, refused: Refused | None = None) -> Answer:
        answer = await super().respond(request, refused)
        if self._settings.always_ok and answer.status != 304:
            answer = evolve(answer, status=200)
        return answer

    async def carry_out(self, request: IRequest) -> Answer:
        """Do what the query asks, or raise ``Refused``."""
        if request.postpath:
            raise NoExchangeHere
        query = protocol.parse_query(head.query_of(request.uri))
        if query.type == "listen":
            return Answer(status=304)  # a 200 would start an exchange, again and again (A.2 row 20)
        allowed = b"POST, HEAD" if query.mode == "file" else b"GET, POST"
        if request.method not in allowed.split(b", "):
            raise MethodNotAllowed(allowed)
        if query.mode == "checkauth":
            return await self._checkauth(request)
        session = await self._session(query, request)
        return await self._modes[query.mode](session, query, request)

    async def _checkauth(self, request: IRequest) -> Answer:
        """Open a session: every ``checkauth`` opens one of its own (protocol.md, A.7)."""
        user = await self._parts.access.login(
            request.getHeader(b"authorization"), address_of(request), lambda: request.gone
        )
        sessid, token, now = secrets.token_hex(16), secrets.token_hex(32), self._parts.now()
        most = self._settings.sessions_per_user
        await self._parts.catalog.sessions.open(sessid, token, user, now, most)
        self._log.info(
            "{sessid}: session opened by {user} from {peer}", sessid=sessid, user=user, peer=address_of(request)
        )
        return protocol.checkauth_answer(COOKIE, token, sessid, int(now), secure=request.isSecure())

    async def _session(self, query: Query, request: IRequest) -> Session:
        """Return the session that a request belongs to, by its cookie and its sessid."""
        if not query.sessid and self._settings.sessid_required:
            raise MissingSessid
        token = request.getCookie(COOKIE.encode("ascii"))
        session = await self._parts.catalog.sessions.find(text.decoded(token)) if token else None
        if token is None or session is None:
            raise InvalidSession
        if query.sessid:
            is_sessid = compare_digest(query.sessid, session.sessid.encode("ascii"))
            is_token = compare_digest(query.sessid, token)
            if not is_sessid and not is_token:
                raise InvalidSession
        now = self._parts.now()
        if session.is_over(now - self._settings.session_ttl, busy=self._parts.locks.busy(session.sessid)):
            raise InvalidSession
        if query.mode != "file":  # a piece is noted with its record
            await self._parts.catalog.sessions.touch(session.sessid, now)
        return session

    async def _init(self, session: Session, query: Query, request: IRequest) -> Answer:
        """Start the session afresh: what came before is gone, and never comes back.

        What is being handed off does not vanish under the importer's hands: it is waited for.
        """
        async with self._parts.locks.of_session(session.sessid):
            await self._parts.relay.idle(session.sessid, self._settings.lock_timeout)
            await self._parts.catalog.sessions.start_epoch(session.sessid, self._parts.now())
            self._pieces.proofs.forget(session.sessid)
            await self._parts.workers(self._parts.store.discard, session.sessid)
        self._log.info("{sessid}: new epoch", sessid=session.sessid, user=session.username)
        return protocol.init_answer(
            query, session.sessid, zipped=self._settings.zipped, file_limit=self._settings.file_limit
        )

    async def _file(self, session: Session, query: Query, request: IRequest) -> Answer:
        """Take a piece of a file, or tell how long the file is; a refusal tells that as well."""
        name = safe_name(query.filename)
        try:
            if request.method == b"HEAD":
                committed = await self._pieces.length(session, name)
                return Answer(headers=(protocol.offset_header(committed), (b"Cache-Control", b"no-store")))
            upload_offset, content_range = request.getHeader(b"upload-offset"), request.getHeader(b"content-range")
            offset = protocol.parse_offset(upload_offset, content_range, request.body.length)
            stored = await self._pieces.take(session, name, request.body, offset, query.type)
        except FileDamaged:
            raise
        except Refused as refused:
            refused.headers = (*refused.headers, protocol.offset_header(await self._pieces.length(session, name)))
            raise
        offset_now = protocol.offset_header(stored.committed)
        return Answer(body=SUCCESS.body, headers=(offset_now,), acknowledgement=stored.acknowledgement)

    async def _import(self, session: Session, query: Query, request: IRequest) -> Answer:
        """Have a file imported: the node hears ``progress`` and asks again, until it is done (protocol.md, A.6)."""
        if not query.filename:
            raise MissingFilename
        name, asked = safe_name(query.filename), text.decoded(query.filename)
        gone = request.notifyFinish()
        gone.addErrback(lambda _: None)
        try:
            handoff = await self._parts.handoffs.import_file(session, query.type, name, asked, gone)
        except StillReading as waits:
            return protocol.progress(str(waits))
        except CancelledError as error:
            raise ConnectionDropped from error
        if handoff.state == SUCCEEDED:
            return SUCCESS
        if handoff.state != FAILED:
            return protocol.progress(handoff.words)
        if not request.gone:
            await self._parts.handoffs.tell(handoff)
        raise ImportFailed(handoff.words)

    async def _event(self, session: Session, query: Query, request: IRequest) -> Answer:
        """Pass on that the node has sent everything, or what is to be deactivated; that is for the site to do."""
        timestamp = text.decoded(query.timestamp or b"")[:LONGEST_TIMESTAMP]
        await self._parts.handoffs.event_came(session, query.mode, query.type, timestamp)
        return SUCCESS

    async def _success(self, session: Session, query: Query, request: IRequest) -> Answer:
        """Tell the site that the node has taken its orders."""
        if self._parts.orders is not None and query.type == "sale":
            await self._parts.orders.confirm(session)
        return SUCCESS

    async def _document(self, session: Session, query: Query, request: IRequest) -> Answer:
        """Give the site's orders, or what 1C:UNF asks about them; an empty document when the site has none.

        Who asks for the site's goods is given no orders, which it would confirm and lose.
        """
        if self._parts.orders is not None and query.type == "sale":
            stream = await self._parts.orders.document(query.mode, session)
            return Answer(content_type=answer.xml_in(stream.charset), stream=stream)
        if query.mode == "info":
            return Answer(body=commerceml.no_directories(), content_type=answer.XML)
        now = datetime.fromtimestamp(self._parts.now()).astimezone()
        return Answer(body=commerceml.no_orders(now), content_type=answer.XML)
