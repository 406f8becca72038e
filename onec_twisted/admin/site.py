"""The administrator's site: its paths, who may see them, and what keeps other sites' pages from using them."""

from __future__ import annotations

import secrets
from hmac import compare_digest
from importlib.resources import files
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from attrs import define, evolve, frozen
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.template import flattenString

import onec_twisted
from onec_twisted.admin.door import AdminDoor
from onec_twisted.admin.page import Page
from onec_twisted.admin.words import words_for
from onec_twisted.http.head import fields_of_target
from onec_twisted.model.errors import MissingCredentials, Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from twisted.web.http import Request as HTTPRequest

    from onec_twisted.admin.actions import Actions
    from onec_twisted.admin.gauges import Gauges
    from onec_twisted.admin.health import HealthCheck
    from onec_twisted.admin.status import Observed
    from onec_twisted.auth.access import Access
    from onec_twisted.http.answer import Answer
    from onec_twisted.http.connections import Connections
    from onec_twisted.http.site import Limits

__all__ = ["AdminParts", "AdminSite"]

PART_FRESH_FOR = 1.0
"""Seconds that the part of the page that changes is good for."""

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
"""On every answer. ``same-origin`` lets forms tell where they come from; with ``no-referrer`` they would not."""

ASSETS = {
    "status.css": "text/css; charset=utf-8",
    "status.js": "text/javascript; charset=utf-8",
    "status.svg": "image/svg+xml",
}
"""What belongs to the page, and lies beside this module."""

HTML = "text/html; charset=utf-8"
TEXT = "text/plain; charset=utf-8"


@frozen
class Answered:
    """What is answered: status, body, type, and where to go on."""

    body: bytes
    content_type: str = TEXT
    status: int = 200
    location: str | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()


@define(eq=False)
class AdminParts:
    """What the site works with. ``access`` is None where everybody who can connect may see it."""

    observed: Observed
    health: HealthCheck
    gauges: Gauges
    actions: Actions
    access: Access | None


def _asset(name: str) -> bytes:
    return files("onec_twisted.admin").joinpath(name).read_bytes()


class Admin(Resource):
    """All paths of the site."""

    isLeaf = True
    _log = Logger()

    def __init__(self, parts: AdminParts) -> None:
        """Serve these parts."""
        super().__init__()
        self._observed = parts.observed
        self._counted = parts.observed.metrics
        self._check = parts.health
        self._gauges = parts.gauges
        self._actions = parts.actions
        self._access = parts.access
        self._token = secrets.token_urlsafe(32)
        self._live_parts: dict[str, tuple[float, bytes]] = {}
        self._assets = {name: Answered(_asset(name), kind) for name, kind in ASSETS.items()}
        self._pages: dict[str, Callable[[Request], Awaitable[Answered]]] = {
            "": self._page,
            "live": self._live,
            "metrics": self._metrics,
            **dict.fromkeys(ASSETS, self._asset),
        }

    def render(self, request: Request) -> Any:
        """Answer when that is known."""
        Deferred.fromCoroutine(self._render(request)).addErrback(
            lambda failure: self._log.failure("the status page failed", failure)
        )
        return NOT_DONE_YET

    async def _render(self, request: Request) -> None:
        gone = request.notifyFinish()
        gone.addErrback(lambda _: None)
        try:
            answered = await self._answer(request)
        except Refused as refused:
            answered = Answered(f"{refused.words}\n".encode(), status=refused.status, headers=refused.headers)
        except defer.TimeoutError:
            answered = Answered(b"The disk or the database does not answer: see /health\n", status=503)
        except Exception:
            self._log.failure("{path} failed", **fields_of_target(request.method, request.uri))
            answered = Answered(b"Internal server error\n", status=500)
        if gone.called:
            return
        request.setResponseCode(answered.status)
        for name, value in (*HEADERS.items(), *answered.headers):
            request.setHeader(name, value)
        request.setHeader(b"content-type", answered.content_type.encode("ascii"))
        request.setHeader(b"content-length", b"%d" % len(answered.body))
        if answered.location is not None:
            request.setHeader(b"location", answered.location.encode("ascii"))
        request.write(b"" if request.method == b"HEAD" else answered.body)
        request.finish()

    async def _answer(self, request: Request) -> Answered:
        path = [part.decode("utf-8", "replace") for part in request.postpath or []]
        if path[:1] == ["health"] and request.method in {b"GET", b"HEAD"}:
            return await self._health(path[1:])
        if self._access is None and not _names_us(request):
            return Answered(b"Open this page by its address, as in http://127.0.0.1:PORT/\n", status=403)
        await self._login(request)
        page = self._pages.get(path[0]) if len(path) == 1 else None
        if page is not None and request.method in {b"GET", b"HEAD"}:
            return await page(request)
        if len(path) == 3 and request.method == b"POST":
            return await self._act(path, request)
        return Answered(b"Nothing here\n", status=404 if page is None else 405)

    async def _login(self, request: Request) -> None:
        """See that whoever asks may see it. Raises ``Refused``."""
        if self._access is not None:
            address = str(getattr(request.getClientAddress(), "host", "-"))
            try:
                await self._access.login(request.getHeader(b"authorization"), address)
            except MissingCredentials as missing:
                missing.words = "User name and password are required"
                raise
            except Refused as refused:
                self._counted.refused(refused)
                self._log.warn("--admin refused {peer}: {words}", peer=address, words=refused.words)
                raise

    async def _health(self, path: list[str]) -> Answered:
        if path == ["live"]:
            return Answered(b'{"live": true}\n', "application/json")
        if path not in ([], ["ready"]):
            return Answered(b"Nothing here\n", status=404)
        health = await self._check.look()
        return Answered(health.as_json(), "application/json", 200 if health.ready else 503)

    async def _metrics(self, request: Request) -> Answered:
        body, content_type = await self._gauges.exposition(_header(request, b"accept"))
        return Answered(body, content_type)

    async def _asset(self, request: Request) -> Answered:
        return self._assets[(request.postpath or [b""])[0].decode("ascii")]

    async def _made(self, request: Request) -> Page:
        """Return the page as it is now, in the language that the browser wants."""
        words = words_for(_header(request, b"accept-language"))
        status = await self._observed.status()
        return Page(words, status, onec_twisted.__version__, self._token)

    async def _page(self, request: Request) -> Answered:
        page = await self._made(request)
        notice = request.args.get(b"notice", [b""])[0].decode("ascii", "replace")
        return Answered(b"<!DOCTYPE html>\n" + await flattenString(None, page.document(notice)), HTML)

    async def _live(self, request: Request) -> Answered:
        """Return the part that changes, which several browsers may ask for at the same time."""
        language = words_for(_header(request, b"accept-language")).language
        made, body = self._live_parts.get(language, (float("-inf"), b""))
        now = self._observed.seconds()
        if now - made >= PART_FRESH_FOR:
            body = await flattenString(None, (await self._made(request)).main())
            self._live_parts[language] = now, body
        return Answered(body, HTML)

    async def _act(self, path: list[str], request: Request) -> Answered:
        """Do what a button says, if it was ours that was pressed; then show the page."""
        kind, name, verb = path
        actions = {
            ("handoffs", "retry"): self._actions.retry,
            ("handoffs", "drop"): self._actions.drop,
            ("sessions", "end"): self._actions.end,
        }
        act = actions.get((kind, verb))
        if act is None:
            return Answered(b"Nothing here\n", status=404)
        token = request.args.get(b"token", [b""])[0]
        from_here = _header(request, b"sec-fetch-site") in {"", "same-origin"}
        if not from_here or not compare_digest(token, self._token.encode("ascii")):
            self._log.warn("a form that did not come from the status page was refused")
            return Answered(b"This form is not of this page, or too old. Go back, and reload the page.\n", status=403)
        notice = await act(name)
        return Answered(b"", status=303, location=f"../../?notice={notice}")


def _names_us(request: HTTPRequest) -> bool:
    """Return whether a request names us by an address or by ``localhost``, or came over a unix socket.

    Another site's name may be made to lead here, and its pages would then be ours to the browser. Where passwords are
    asked for that does them no good.
    """
    if not hasattr(request.getClientAddress(), "host"):
        return True
    try:
        host = urlsplit(f"//{_header(request, b'host') or 'localhost'}").hostname or ""
        return host == "localhost" or bool(ip_address(host))
    except ValueError:
        return False


def _header(request: HTTPRequest, name: bytes) -> str:
    """Return a header, whatever bytes it has; empty when it did not come."""
    return (request.getHeader(name) or b"").decode("latin-1")


class AdminSite(AdminDoor):
    """Serves the administrator."""

    def __init__(
        self,
        parts: AdminParts,
        reactor: Any,
        limits: Limits | None = None,
        connections: Connections | None = None,
    ) -> None:
        """Serve these parts, with the reactor's clock."""
        super().__init__(Admin(parts), reactor, limits, connections, parts.observed.metrics)

    def refusal(self, refused: Refused, address: str) -> Answer:
        """Return the words alone, for a person."""
        answer = super().refusal(refused, address)
        return evolve(answer, body=f"{refused.words}\n".encode(), headers=(*answer.headers, *HEADERS.items()))

    def log(self, request: HTTPRequest) -> None:
        """Write nothing: a scrape every few seconds is no news, and actions are events of their own."""
