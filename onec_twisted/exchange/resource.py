"""The resource of the exchange: it carries out each mode, and turns refusals into answers."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from attrs import evolve, frozen
from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from onec_twisted.auth.sessions import COOKIE
from onec_twisted.delivery.archives import StillReading
from onec_twisted.exchange import commerceml, protocol
from onec_twisted.exchange.texts import in_english
from onec_twisted.exchange.welcome import is_browser, welcome
from onec_twisted.http import answer, head
from onec_twisted.http.answer import Answer
from onec_twisted.http.refusals import address_of, sender_of
from onec_twisted.http.resource import RefusingResource
from onec_twisted.model import text
from onec_twisted.model.errors import (
    ConnectionDropped,
    FileDamaged,
    ImportFailed,
    MethodNotAllowed,
    MissingFilename,
    NoExchangeHere,
    Refused,
)
from onec_twisted.model.names import safe_name
from onec_twisted.model.records import FAILED, SUCCEEDED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from onec_twisted.auth.members import Members
    from onec_twisted.auth.sessions import Sessions
    from onec_twisted.delivery.handoffs import Handoffs
    from onec_twisted.delivery.relaying import IRelay
    from onec_twisted.exchange.orders import Orders
    from onec_twisted.exchange.protocol import Query
    from onec_twisted.http.interfaces import IRequest
    from onec_twisted.ingest.engine import Ingest
    from onec_twisted.ingest.pieces import Pieces
    from onec_twisted.model.journal import RefusedRequest
    from onec_twisted.model.records import Session
    from onec_twisted.runtime.workers import Workers

__all__ = ["Exchange", "Settings"]

SUCCESS = Answer(body=b"success")

LATE_IS_HARMFUL = frozenset({"import", "complete", "deactivate"})
"""Modes that must not be carried out for a node that has gone on elsewhere: they seal its files."""

LONGEST_TIMESTAMP = 40
"""Characters kept of the ``timestamp`` of ``deactivate``: a number of seconds, or any other text."""


@frozen
class Settings:
    """The administrator's settings: sizes in bytes, times in seconds; ``translate`` is for what people read."""

    file_limit: int
    zipped: bool = True
    always_ok: bool = False
    lock_timeout: float = 30.0
    translate: Callable[[str], str] = in_english


class Exchange(RefusingResource):
    """``1c_exchange.php``: one URL, whose query selects the operation (docs/protocol.md)."""

    _log = Logger()

    def __init__(
        self,
        settings: Settings,
        *,
        members: Members,
        sessions: Sessions,
        ingest: Ingest,
        pieces: Pieces,
        handoffs: Handoffs,
        relay: IRelay,
        errands: Workers,
        orders: Orders | None,
        note_refusal: Callable[[RefusedRequest], None],
    ) -> None:
        """Serve with these settings and parts.

        ``errands`` are workers for long jobs; ``orders`` is None for a site without orders; ``note_refusal`` puts a
        refused request on record.
        """
        super().__init__(ingest.metrics, note_refusal)
        self._settings = settings
        self._members = members
        self._sessions = sessions
        self._ingest = ingest
        self._pieces = pieces
        self._received = pieces.received
        self._handoffs = handoffs
        self._relay = relay
        self._errands = errands
        self._orders = orders
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
        return protocol.failure(refused, self._settings.translate)

    async def respond(self, request: IRequest, refused: Refused | None = None) -> Answer:
        answer = await super().respond(request, refused)
        if self._settings.always_ok and answer.status != 304:
            answer = evolve(answer, status=200)
        return answer

    async def carry_out(self, request: IRequest) -> Answer:
        """Carry out what the query requests, or raise ``Refused``."""
        if request.postpath:
            raise NoExchangeHere
        if is_browser(request):
            return welcome(request)
        query = protocol.parse_query(head.query_of(request.uri))
        if query.type == "listen":
            return Answer(status=304)  # a 200 would start exchanges over and over (docs/protocol.md, N11)
        allowed = b"POST, HEAD" if query.mode == "file" else b"GET, POST"
        if request.method not in allowed.split(b", "):
            raise MethodNotAllowed(allowed)
        if query.mode == "checkauth":
            return await self._checkauth(request)
        token, piece_of = request.getCookie(COOKIE.encode("ascii")), query.filename if query.mode == "file" else None
        session = await self._sessions.of_node(token, query.sessid, piece_of)
        if query.mode != "file":  # recording a piece touches the session too
            self._received.over(session.sessid)
            if query.mode in LATE_IS_HARMFUL:
                daemons = self._ingest.daemons
                await daemons.check_in_time(session, request.body)
            await self._sessions.touch(session)
        return await self._modes[query.mode](session, query, request)

    async def _checkauth(self, request: IRequest) -> Answer:
        """Open a session: every ``checkauth`` opens a new one (docs/protocol.md, N8)."""
        user = await self._members.login(
            request.getHeader(b"authorization"), address_of(request), lambda: request.gone
        )
        opened = await self._sessions.open(user, sender_of(request))
        self._log.info(
            "{sessid}: session opened by {user} from {peer}",
            sessid=opened.sessid,
            user=user,
            peer=address_of(request),
        )
        return protocol.checkauth_answer(
            COOKIE, opened.token, opened.sessid, int(opened.now), secure=request.isSecure()
        )

    async def _init(self, session: Session, query: Query, request: IRequest) -> Answer:
        """Restart the session: permanently discard everything received before, but for what was imported.

        That stays in its folder for a while, and the session gets another. Waits for hand-offs that are being
        delivered, so that no file vanishes during its import.
        """
        ingest, proofs = self._ingest, self._pieces.proofs
        daemons = ingest.daemons
        await ingest.space.look()
        async with ingest.locks.of_session(session.sessid):
            await self._relay.idle(session.sessid, self._settings.lock_timeout)
            await daemons.check_in_time(session, request.body)
            room = ingest.space.room_to_keep(self._pieces.session_quota)
            expected = 0 if daemons.is_alone else session.epoch
            guard = partial(daemons.guarded, request.body)
            epoch = await ingest.sessions.start_epoch(session.sessid, ingest.now(), room, expected, guard)
            proofs.forget(session.sessid)
            if not epoch.has_moved:
                await self._errands(ingest.store.discard, session.sessid)
            ingest.store.move(session.sessid, epoch.folder)
            for folder in epoch.outdated:
                await self._errands(ingest.store.drop, folder)
        user, folder = session.username, epoch.folder
        if epoch.has_moved:
            self._log.info(
                "{sessid}: session restarted in {folder}, what was imported before is kept",
                sessid=session.sessid,
                user=user,
                folder=folder,
            )
        else:
            self._log.info("{sessid}: session restarted, its files were discarded", sessid=session.sessid, user=user)
        return protocol.init_answer(
            query, session.sessid, zipped=self._settings.zipped, file_limit=self._settings.file_limit
        )

    async def _file(self, session: Session, query: Query, request: IRequest) -> Answer:
        """Store a piece of a file, or report the file's length; refusals report the length as well."""
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
        """Have a file imported; on ``progress`` the node repeats the request (docs/protocol.md, N7)."""
        if not query.filename:
            raise MissingFilename
        name, requested = safe_name(query.filename), text.decoded(query.filename)
        gone = request.notifyFinish()
        gone.addErrback(lambda _: None)
        try:
            handoff = await self._handoffs.import_file(session, query.type, name, requested, gone)
        except StillReading as waits:
            return protocol.progress(self._settings.translate(str(waits)))
        except CancelledError as error:
            raise ConnectionDropped from error
        if handoff.state == SUCCEEDED:
            return SUCCESS
        if handoff.state != FAILED:
            return protocol.progress(self._settings.translate(handoff.words))
        if not request.gone:
            await self._handoffs.note_reported(handoff)
        raise ImportFailed(handoff.words)

    async def _event(self, session: Session, query: Query, request: IRequest) -> Answer:
        """Pass the event on to the site: the node has sent everything, or goods are to be deactivated."""
        timestamp = text.decoded(query.timestamp or b"")[:LONGEST_TIMESTAMP]
        await self._handoffs.event_came(session, query.mode, query.type, timestamp)
        return SUCCESS

    async def _success(self, session: Session, query: Query, request: IRequest) -> Answer:
        """Confirm to the site that the node has received its orders."""
        if self._orders is not None and query.type == "sale":
            await self._orders.confirm(session)
        return SUCCESS

    async def _document(self, session: Session, query: Query, request: IRequest) -> Answer:
        """Serve the site's orders, or what 1C:UNF requests about them; an empty document if the site has none.

        A node that requests the site's goods receives no orders: it would confirm and lose them.
        """
        if self._orders is not None and query.type == "sale":
            stream = await self._orders.document(query.mode, session)
            return Answer(content_type=answer.xml_in(stream.charset), stream=stream)
        if query.mode == "info":
            return Answer(body=commerceml.no_directories(), content_type=answer.XML)
        now = datetime.fromtimestamp(self._ingest.now()).astimezone()
        return Answer(body=commerceml.no_orders(now), content_type=answer.XML)
