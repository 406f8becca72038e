"""The administrator's site: its paths, access to them, and protection against other sites' pages."""

from __future__ import annotations

import json
import os
import secrets
from hmac import compare_digest
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from attrs import define, evolve
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.template import flattenString

import onec_twisted
from onec_twisted.admin.api import API_VERSION, Api, worded_json
from onec_twisted.admin.door import MOST_CONNECTIONS, AdminDoor, names_us
from onec_twisted.admin.download import Download, send
from onec_twisted.admin.family import Asked, Family
from onec_twisted.admin.pages.handoffs import handoff_filter
from onec_twisted.admin.words.language import words_for
from onec_twisted.http.answer import Answer
from onec_twisted.http.head import fields_of_target
from onec_twisted.http.refusals import Refusals, address_of
from onec_twisted.http.server import Server
from onec_twisted.model.errors import FileNotFound, MissingCredentials, Refused, Unforeseen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from twisted.internet.interfaces import IReactorTime
    from twisted.web.http import Request as HTTPRequest

    from onec_twisted.admin.actions import Actions
    from onec_twisted.admin.family import Chosen
    from onec_twisted.admin.gauges import Gauges
    from onec_twisted.admin.health import HealthCheck
    from onec_twisted.admin.status import Observed
    from onec_twisted.auth.access import Access
    from onec_twisted.delivery.peeking import Peeked
    from onec_twisted.http.connections import Connections
    from onec_twisted.http.server import Limits
    from onec_twisted.model.journal import RefusedRequest
    from onec_twisted.model.reloaded import Reloaded

__all__ = ["AdminParts", "AdminSite"]

PART_FRESH_FOR = 0.5
"""Seconds that the changing part of a page is cached: several browsers may request it at the same time."""

PARTS_CACHED = 50
"""Most such parts in memory."""

LONGEST_FIELD = 1000
"""Characters of a field of a query that are looked at."""

POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

HEADERS = {
    b"content-security-policy": POLICY,
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
    b"vary": b"Accept-Language",
}
"""Headers of every response. With ``same-origin`` forms send their origin; with ``no-referrer`` they would not."""

ASSETS = {
    "status.css": b"text/css; charset=utf-8",
    "status.js": b"text/javascript; charset=utf-8",
    "status.svg": b"image/svg+xml",
    "alarm.svg": b"image/svg+xml",
}
"""The page's static files, which are stored beside this module."""

HTML, JSON = b"text/html; charset=utf-8", b"application/json"


@define(eq=False, kw_only=True)
class AdminParts:
    """The parts that the site uses. ``access`` is None if everybody who can connect may see it.

    ``chosen`` is as in ``Family``; ``reload`` reads the settings again, and raises ``NotReloaded``.
    """

    observed: Observed
    health: HealthCheck
    gauges: Gauges
    actions: Actions
    access: Access | None
    chosen: Callable[[], Chosen]
    reload: Callable[[], Awaitable[Reloaded]]
    peek: Callable[[int, int], Deferred[Peeked]]
    note_refusal: Callable[[RefusedRequest], None]


def _asset(name: str) -> bytes:
    return files("onec_twisted.admin").joinpath(name).read_bytes()


class Admin(Resource):
    """All paths of the site."""

    isLeaf = True
    _log = Logger()

    def __init__(self, parts: AdminParts) -> None:
        """Serve these parts."""
        super().__init__()
        self._counted = parts.observed.metrics
        self._check = parts.health
        self._gauges = parts.gauges
        self._actions = parts.actions
        self._access = parts.access
        self._token = secrets.token_urlsafe(32)
        self._family = Family(
            observed=parts.observed,
            health=parts.health,
            chosen=parts.chosen,
            version=onec_twisted.__version__,
            can_read=parts.access is not None,
            peek=parts.peek,
        )
        self._api = Api(family=self._family, observed=parts.observed, actions=parts.actions, reload=parts.reload)
        self._parts: dict[tuple[object, ...], tuple[float, Answer]] = {}
        self._seconds, self._workers = parts.observed.seconds, parts.observed.workers
        self._assets = {name: Answer(body=_asset(name), content_type=kind) for name, kind in ASSETS.items()}
        self._pages: dict[str, Callable[[Request], Awaitable[Answer]]] = {
            "metrics": self._metrics,
            **dict.fromkeys(ASSETS, self._asset),
        }

    def render(self, request: Request) -> Any:
        """Send the response as soon as it is available."""
        Deferred.fromCoroutine(self._render(request)).addErrback(
            lambda failure: self._log.failure("the status page failed", failure)
        )
        return NOT_DONE_YET

    async def _render(self, request: Request) -> None:
        gone = request.notifyFinish()
        gone.addErrback(lambda _: None)
        try:
            answer = await self._answer(request)
        except Refused as refused:
            answer = worded(refused)
        except defer.TimeoutError:
            answer = Answer(503, b"The disk or the database does not answer: see /health\n")
        except Exception:
            self._log.failure("{path} failed", **fields_of_target(request.method, request.uri))
            answer = worded(Unforeseen())
        if gone.called:
            if isinstance(answer, Download):
                os.close(answer.fd)
            return
        if isinstance(answer, Download):
            await self._send(answer, request)
            return
        request.setResponseCode(answer.status)
        for name, value in (*HEADERS.items(), *answer.headers):
            request.setHeader(name, value)
        request.setHeader(b"content-type", answer.content_type)
        request.setHeader(b"content-length", b"%d" % len(answer.body))
        request.write(b"" if request.method == b"HEAD" else answer.body)
        request.finish()

    async def _send(self, download: Download, request: Request) -> None:
        for name, value in (*HEADERS.items(), *download.headers().items()):
            request.setHeader(name, value)
        await send(download, request, self._workers)

    async def _answer(self, request: Request) -> Answer | Download:
        path = [part.decode("utf-8", "replace") for part in request.postpath or []]
        if path[:1] == ["health"] and request.method in {b"GET", b"HEAD"}:
            return await self._health(path[1:])
        if self._access is None and not names_us(request):
            return Answer(403, b"Open this page by its address, as in http://127.0.0.1:PORT/\n")
        await self._login(request)
        return await self._answer_administrator(path, request)

    async def _answer_administrator(self, path: list[str], request: Request) -> Answer | Download:
        """Return the answer to a request of somebody who has access."""
        if path[:3] == ["api", API_VERSION, "pages"] and request.method in {b"GET", b"HEAD"}:
            return await self._part(path[3:], request)
        if path[:2] == ["api", API_VERSION]:
            return await self._api.respond(path[2:], request)
        page = self._pages.get(path[0]) if len(path) == 1 else None
        page = self._page if self._family.has(path) else page
        if page is not None and request.method in {b"GET", b"HEAD"}:
            return await page(request)
        if len(path) == 3 and path[::2] == ["exchanges", "file"] and request.method == b"GET":
            return await self._file(path[1], request)
        if len(path) == 3 and request.method == b"POST":
            return await self._act(path, request)
        return Answer(404 if page is None else 405, b"Nothing here\n")

    async def _login(self, request: Request) -> None:
        """Check that the requester has access. Raises ``Refused``."""
        if self._access is not None:
            address = address_of(request)
            try:
                await self._access.login(request.getHeader(b"authorization"), address)
            except MissingCredentials as missing:
                missing.words = "User name and password are required"
                raise
            except Refused as refused:
                self._counted.refused(refused)
                self._log.warn("--admin refused {peer}: {words}", peer=address, words=refused.words)
                raise

    async def _health(self, path: list[str]) -> Answer:
        if path == ["live"]:
            return Answer(body=b'{"live": true}\n', content_type=JSON)
        if path not in ([], ["ready"]):
            return Answer(404, b"Nothing here\n")
        health = await self._check.look()
        return Answer(200 if health.ready else 503, health.as_json(), JSON)

    async def _metrics(self, request: Request) -> Answer:
        body, content_type = await self._gauges.exposition(_header(request, b"accept"))
        return Answer(body=body, content_type=content_type.encode("ascii"))

    async def _asset(self, request: Request) -> Answer:
        return self._assets[(request.postpath or [b""])[0].decode("ascii")]

    def _asked(self, path: Sequence[str], request: Request) -> Asked:
        """Return a request for a page as a value."""
        query = {name: _field(request, name) for name in request.args if name != b"notice"}
        return Asked(
            path=tuple(path),
            query={name.decode("utf-8", "replace"): value for name, value in query.items()},
            words=words_for(_header(request, b"accept-language")),
            token=self._token,
        )

    async def _page(self, request: Request) -> Answer:
        """Return a page."""
        path = [part.decode("utf-8", "replace") for part in request.postpath or []]
        self._family.forget()  # who loads a page wants to see what is there now
        made = await self._family.page(self._asked(path, request))
        document = await flattenString(
            None, made.frame.document(made.title, made.content, _field(request, b"notice"))
        )
        return Answer(made.status, b"<!DOCTYPE html>\n" + document, content_type=HTML)

    async def _part(self, path: list[str], request: Request) -> Answer:
        """Return the part of a page that changes, for its script: as JSON, at most half a second old."""
        if not self._family.has(path):
            return worded_json(404, "there is no such page")
        asked = self._asked(path, request)
        key = asked.words.language, asked.path, *sorted(asked.query.items())
        made_at, answer = self._parts.get(key, (float("-inf"), Answer()))
        if self._seconds() - made_at < PART_FRESH_FOR:
            return answer
        made = await self._family.page(asked)
        html = await flattenString(None, made.frame.main(made.title, made.content))
        if len(self._parts) >= PARTS_CACHED:
            self._parts.clear()
        body = json.dumps({"html": html.decode("utf-8")}).encode("ascii")
        answer = Answer(made.status, body, content_type=JSON)
        self._parts[key] = self._seconds(), answer
        return answer

    async def _file(self, number: str, request: Request) -> Answer | Download:
        """Return a file of an exchange, if a password was needed to come here."""
        if self._access is None:
            return Answer(403, b"Files can be downloaded with --admin-auth only\n")
        name = _field(request, b"name")
        try:
            return await self._family.open_file(int(number) if self._family.has(("exchanges", number)) else 0, name)
        except (FileNotFound, OSError):
            return Answer(404, b"The file is no longer there\n")

    async def _act(self, path: list[str], request: Request) -> Answer:
        """Carry out a button's action, if the form is one of ours; then show the page."""
        kind, name, verb = path
        actions = {
            ("handoffs", "retry"): self._actions.retry,
            ("handoffs", "drop"): self._actions.drop,
            ("handoffs", "again"): self._actions.redeliver,
            ("sessions", "end"): self._actions.end,
        }
        of_all = {"retry": self._actions.retry_all, "drop": self._actions.drop_all}
        act = actions.get((kind, verb))
        if act is None:
            return Answer(404, b"Nothing here\n")
        token = request.args.get(b"token", [b""])[0]
        from_here = _header(request, b"sec-fetch-site") in {"", "same-origin"}
        if not from_here or not compare_digest(token, self._token.encode("ascii")):
            self._log.warn("a form was refused, because it was not sent by the status page")
            return Answer(403, b"This form is not of this page, or too old. Go back, and reload the page.\n")
        is_for_all = (kind, name) == ("handoffs", "all") and verb in of_all
        of = handoff_filter({"user": _field(request, b"user"), "shop": _field(request, b"shop")})
        notice = await (of_all[verb](of) if is_for_all else act(name))
        self._family.forget()
        self._parts.clear()
        back = self._family.back_to(_field(request, b"back"), notice)
        return Answer(303, headers=((b"Location", f"../../{back}".encode("ascii")),))


def _header(request: HTTPRequest, name: bytes) -> str:
    """Return a header, whatever bytes it contains; empty if it is missing."""
    return (request.getHeader(name) or b"").decode("latin-1")


def _field(request: Request, name: bytes) -> str:
    """Return a field of a query or a form, whatever bytes it contains; empty if it is missing."""
    return str(request.args.get(name, [b""])[0].decode("utf-8", "replace"))[:LONGEST_FIELD]


def worded(refused: Refused) -> Answer:
    """Return the response to a refusal: its message alone, for a person."""
    return Answer(refused.status, f"{refused.words}\n".encode(), headers=refused.headers)


def _worded_unseen(refused: Refused) -> Answer:
    """Return the response to a refusal before this resource was reached, with the same headers."""
    answer = worded(refused)
    return evolve(answer, headers=(*answer.headers, *HEADERS.items()))


class AdminSite(AdminDoor):
    """The administrator's site."""

    def __init__(self, parts: AdminParts, clock: IReactorTime, limits: Limits, connections: Connections) -> None:
        """Serve these parts."""
        metrics = parts.observed.metrics
        refusals = Refusals(metrics, _worded_unseen, parts.note_refusal)
        super().__init__(Admin(parts), Server(clock, limits, connections, metrics, refusals, MOST_CONNECTIONS))

    def log(self, request: HTTPRequest) -> None:
        """Write nothing: frequent scrapes are not worth logging, and actions are logged as events."""
