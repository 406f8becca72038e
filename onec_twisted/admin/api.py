"""The JSON API under the pages: what they show and do, for programs (docs/admin-api.md)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import asdict, frozen
from twisted.internet import defer

from onec_twisted.admin.pages.exchanges import EXCHANGES_SHOWN, exchange_filter, exchanges_query
from onec_twisted.admin.pages.handoffs import HANDOFFS_SHOWN, handoff_filter, handoffs_query
from onec_twisted.admin.pages.refusals import REFUSALS_SHOWN, refusal_filter, refusals_query
from onec_twisted.http.answer import Answer
from onec_twisted.model.records import FAILED, WAITING
from onec_twisted.model.reloaded import NotReloaded
from onec_twisted.model.shops import shop_of, user_of
from onec_twisted.model.text import decoded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from twisted.web.server import Request

    from onec_twisted.admin.actions import Actions
    from onec_twisted.admin.family import Family
    from onec_twisted.admin.status import Observed
    from onec_twisted.catalog.sql.overview import SessionLine
    from onec_twisted.delivery.lines import Prospect
    from onec_twisted.model.journal import ShopTotals
    from onec_twisted.model.records import Handoff
    from onec_twisted.model.reloaded import Reloaded
    from onec_twisted.model.shops import ShopView

__all__ = ["API_VERSION", "Api", "ApiRequest", "worded_json"]

API_VERSION = "v1"
"""The first part of every path: a later version may answer otherwise."""

JSON = b"application/json"

MINUTES_SHOWN = 86400.0
"""Seconds of which ``minutes`` are returned."""

LONGEST_FIELD = 500
"""Characters of a field that are looked at."""

CONFLICTS = frozenset({"running", "busy", "superseded"})
"""Outcomes of an action that cannot be carried out now."""


@frozen(kw_only=True)
class ApiRequest:
    """A request: its path below the version, its fields, and what a browser says of where it comes from.

    ``fields`` are those of the query, or of the JSON object in the body of a POST.
    """

    method: bytes
    path: Sequence[str]
    fields: Mapping[str, str]
    content_type: str
    fetch_site: str


class WrongRequest(Exception):
    """The request cannot be understood; the message says why."""


def _understood(path: Sequence[str], request: Request) -> ApiRequest:
    """Return a request as a value. Raises ``ValueError`` for a body that is no JSON object of texts."""
    if request.method == b"POST":
        fields = json.loads((request.content.read() if request.content else b"") or b"{}")
        if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
            raise ValueError("not an object of texts")
    else:
        fields = {decoded(name): decoded(values[0])[:LONGEST_FIELD] for name, values in request.args.items()}
    content_type, fetch_site = request.getHeader(b"content-type"), request.getHeader(b"sec-fetch-site")
    return ApiRequest(
        method=request.method,
        path=path,
        fields=fields,
        content_type=decoded(content_type or b""),
        fetch_site=decoded(fetch_site or b""),
    )


def worded_json(status: int, words: str) -> Answer:
    """Return the answer to a request that is not carried out."""
    return Answer(status, _json({"error": words}), content_type=JSON)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8") + b"\n"


def _page(lines: Sequence[Any], most: int, before: str) -> dict[str, Any]:
    """Return what fits on a page, and where the next one begins; None if this is the last."""
    shown = [asdict(line) for line in lines[:most]]
    return {"items": shown, "next": shown[-1][before] if len(lines) > most else None}


def _owned(value: Any) -> Any:
    """Return a value in which whatever has a ``username``, which is an account, also has its shop and its user."""
    if isinstance(value, dict):
        told = {name: _owned(inner) for name, inner in value.items()}
        if "username" in told:
            account = told["username"]
            told["shop"] = told.get("shop") or (shop_of(account) if account else "")
            told["user"] = user_of(account)
        return told
    return [_owned(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _check_fields(given: Mapping[str, str], known: Mapping[str, str], names: Sequence[str]) -> None:
    """Raise ``WrongRequest`` for a field that there is not, or a value that the filter has not understood."""
    for name, value in given.items():
        if name not in names:
            raise WrongRequest(f"there is no field {name}; these are known: {', '.join(names)}")
        if value and known.get(name) != value:
            raise WrongRequest(f"{name}={value}: no such value")


def _plain_session(line: SessionLine) -> dict[str, Any]:
    """Return a session with a summary of its content, without one inside the other."""
    plain = asdict(line)
    session: dict[str, Any] = plain.pop("session")
    return session | plain


def plain_handoff(handoff: Handoff, prospects: Mapping[str, Prospect], now: float) -> dict[str, Any]:
    """Return a hand-off; ``next_try`` is when it is tried again, in seconds since 1970."""
    prospect = prospects.get(handoff.id)
    pause = prospect.pause if prospect is not None else None
    return {
        "number": handoff.number,
        "id": handoff.id,
        "sessid": handoff.sessid,
        "username": handoff.username,
        "event": handoff.event,
        "type": handoff.type,
        "filename": handoff.filename,
        "archive": handoff.archive,
        "created": handoff.created,
        "state": handoff.state,
        "tries": handoff.tries,
        "words": handoff.words,
        "files": handoff.count,
        "superseded": handoff.superseded,
        "running": prospect is not None and prospect.runs,
        "progress": prospect.words if prospect is not None else "",
        "next_try": now + pause if pause is not None else None,
    }


def plain_shop(shop: ShopView, totals: ShopTotals) -> dict[str, Any]:
    """Return a shop with its totals; ``settings`` are those that it has of its own."""
    return {
        "name": shop.name,
        "quota": shop.quota,
        "held": totals.held,
        "sessions": totals.sessions,
        "waiting": totals.handoffs[WAITING],
        "failed": totals.handoffs[FAILED],
        "last": asdict(totals.last) if totals.last is not None else None,
        "settings": dict(shop.own),
    }


@frozen(eq=False, kw_only=True)
class Api:
    """Answers requests whose sender is known to be the administrator."""

    family: Family
    observed: Observed
    actions: Actions
    reload: Callable[[], Awaitable[Reloaded]]

    async def respond(self, path: Sequence[str], request: Request) -> Answer:
        """Return the answer to a request for a path below the version, whatever goes wrong as JSON."""
        try:
            understood = _understood(path, request)
        except ValueError:
            return worded_json(400, "the body is no JSON object of texts")
        try:
            return await self.answer(understood)
        except defer.TimeoutError:
            return worded_json(503, "the disk or the database does not answer")

    async def answer(self, request: ApiRequest) -> Answer:
        """Return the answer to a request."""
        try:
            if request.method == b"POST":
                return await self._act(request)
            if request.method not in {b"GET", b"HEAD"}:
                return worded_json(405, "use GET, or POST for actions")
            ask = self._questions().get(request.path[0]) if request.path else None
            if ask is None or len(request.path) > (2 if request.path[0] == "exchanges" else 1):
                return worded_json(404, "nothing here; see docs/admin-api.md")
            found = await ask(request)
            if found is None:
                return worded_json(404, "gone")
            return Answer(body=_json(_owned(found)), content_type=JSON)
        except WrongRequest as wrong:
            return worded_json(400, str(wrong))

    def _questions(self) -> dict[str, Callable[[ApiRequest], Awaitable[Any]]]:
        return {
            "status": self._status,
            "users": self._users,
            "shops": self._shops,
            "exchanges": self._exchanges,
            "handoffs": self._handoffs,
            "refusals": self._refusals,
            "minutes": self._minutes,
            "sessions": self._sessions,
            "settings": self._settings,
        }

    async def _status(self, request: ApiRequest) -> dict[str, Any]:
        """Return the verdict, and the figures of the overview."""
        known = await self.family.known()
        status, summary = known.status, known.status.overview.summary
        figures = ("running", "connections", "free", "reserved", "received", "accepted", "discarded", "repeats")
        return {
            "version": self.family.version,
            "now": known.now,
            "good": known.verdict.good,
            "reasons": [asdict(reason) for reason in known.verdict.reasons],
            **{name: getattr(status, name) for name in figures},
            "summary": asdict(summary),
            "daemons": [
                {"name": one.name, "version": one.version, "running": one.running, "silent": one.silent}
                for one in status.daemons
            ],
            "transfers": [{**asdict(transfer), "username": transfer.user} for transfer in status.transfers],
        }

    async def _users(self, request: ApiRequest) -> dict[str, Any]:
        """Return each user with the last exchanges, of a shop or of any."""
        query = request.fields
        _check_fields(query, query, ("shop",))
        if not query.get("shop"):
            return {"items": [asdict(row) for row in (await self.family.known()).users]}
        journal, within = self.observed.journal, self.observed.within
        return {"items": [asdict(row) for row in await within(journal.users(query["shop"]))]}

    async def _shops(self, request: ApiRequest) -> dict[str, Any]:
        """Return each shop with its totals and its own settings; none if there is only the default shop."""
        known = await self.family.known()
        return {"items": [plain_shop(shop, known.totals[shop.name]) for shop in known.shops]}

    async def _exchanges(self, request: ApiRequest) -> dict[str, Any] | None:
        """Return a page of exchanges, or one with all that is on record of it."""
        journal, within = self.observed.journal, self.observed.within
        if len(request.path) == 2:
            number = request.path[1]
            if not (number.isascii() and number.isdecimal() and len(number) < 19):
                raise WrongRequest("the number of an exchange is a number")
            found = await within(journal.exchange(int(number)))
            return asdict(found) if found is not None else None
        query = request.fields
        _check_fields(query, exchanges_query(query), ("user", "shop", "state", "day", "file", "before"))
        return _page(await within(journal.exchanges(exchange_filter(query))), EXCHANGES_SHOWN, "number")

    async def _handoffs(self, request: ApiRequest) -> dict[str, Any]:
        """Return a page of hand-offs; ``failed`` is how many have failed in all."""
        query = request.fields
        _check_fields(query, handoffs_query(query), ("user", "shop", "state", "before"))
        observed = self.observed
        journal, relay = observed.journal, observed.relay
        found, failed = await observed.within(journal.handoffs(handoff_filter(query)))
        prospects, now = relay.prospects(), observed.now()
        shown = [plain_handoff(handoff, prospects, now) for handoff in found[:HANDOFFS_SHOWN]]
        return {
            "items": shown,
            "next": shown[-1]["number"] if len(found) > HANDOFFS_SHOWN else None,
            "failed": failed,
        }

    async def _refusals(self, request: ApiRequest) -> dict[str, Any]:
        query = request.fields
        _check_fields(query, refusals_query(query), ("user", "shop", "before"))
        journal = self.observed.journal
        found = await self.observed.within(journal.refusals(refusal_filter(query)))
        return _page(found, REFUSALS_SHOWN, "last")

    async def _minutes(self, request: ApiRequest) -> dict[str, Any]:
        """Return the totals by the minute of the last day."""
        journal, since = self.observed.journal, self.observed.now() - MINUTES_SHOWN
        return {"items": [asdict(one) for one in await self.observed.within(journal.minutes(since))]}

    async def _sessions(self, request: ApiRequest) -> dict[str, Any]:
        """Return the sessions that were used last; ``files`` counts up to 1001."""
        known = await self.family.known()
        lines = known.status.overview.sessions
        return {"items": [_plain_session(line) for line in lines]}

    async def _settings(self, request: ApiRequest) -> dict[str, Any]:
        return {"items": dict(self.family.chosen().settings)}

    async def _reload(self) -> Answer:
        """Read the settings again; what is wrong with them is the answer."""
        try:
            done = await self.reload()
        except NotReloaded as why:
            return worded_json(409, str(why))
        self.family.forget()
        return Answer(body=_json({"outcome": "reloaded", **asdict(done)}), content_type=JSON)

    async def _act(self, request: ApiRequest) -> Answer:
        """Carry out an action: no page of another site can ask for it.

        A form cannot have this content type, and a script of another site would have to ask first (CORS), which
        nobody answers here.
        """
        if request.content_type.partition(";")[0].strip().lower() != "application/json":
            return worded_json(415, "send Content-Type: application/json")
        if request.fetch_site not in {"", "none", "same-origin"}:
            return worded_json(403, "pages of other sites may do nothing here")
        if list(request.path) == ["reload"]:
            return await self._reload()
        if len(request.path) != 3:
            return worded_json(404, "nothing here; see docs/admin-api.md")
        kind, name, verb = request.path
        of = handoff_filter(request.fields)
        acts: dict[tuple[str, str], Callable[[], Awaitable[str]]] = {
            ("handoffs", "retry"): lambda: self.actions.retry(name),
            ("handoffs", "drop"): lambda: self.actions.drop(name),
            ("handoffs", "again"): lambda: self.actions.redeliver(name),
            ("sessions", "end"): lambda: self.actions.end(name),
        }
        if (kind, name) == ("handoffs", "all"):
            acts = {
                ("handoffs", "retry"): lambda: self.actions.retry_all(of),
                ("handoffs", "drop"): lambda: self.actions.drop_all(of),
            }
        act = acts.get((kind, verb))
        if act is None:
            return worded_json(404, "no such action; see docs/admin-api.md")
        outcome = await act()
        self.family.forget()
        status = 404 if outcome == "gone" else 409 if outcome in CONFLICTS else 200
        return Answer(status, _json({"outcome": outcome}), content_type=JSON)
