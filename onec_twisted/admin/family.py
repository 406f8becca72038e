"""The family of pages: which page a path names, and the values that it is made from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from attrs import define, field, frozen
from cachetools import TTLCache
from twisted.internet.defer import Deferred

from onec_twisted.admin.download import Download
from onec_twisted.admin.pages.exchange import exchange_page, missing_page
from onec_twisted.admin.pages.exchanges import LARGEST_NUMBER, exchange_filter, exchanges
from onec_twisted.admin.pages.frame import PAGES_OF_SHOPS, Frame
from onec_twisted.admin.pages.handoffs import handoff_filter, handoffs
from onec_twisted.admin.pages.overview import Look, overview
from onec_twisted.admin.pages.refusals import refusal_filter, refusals
from onec_twisted.admin.pages.sessions import sessions
from onec_twisted.admin.pages.settings import settings
from onec_twisted.admin.pages.shops import LINES_OF_SHOP, ShopLook, shop_page, shops
from onec_twisted.admin.verdict import Facts, Verdict, judge
from onec_twisted.delivery.peeking import Peeked
from onec_twisted.delivery.processes import TooMuchAsked
from onec_twisted.model.errors import FileNotFound, Refused
from onec_twisted.model.journal import ExchangeFilter, HandoffFilter, RefusalFilter
from onec_twisted.model.names import SafeName
from onec_twisted.model.records import FAILED, WAITING
from onec_twisted.model.shops import DEFAULT_SHOP, ShopView, is_shop_name, shop_of
from onec_twisted.runtime.singleflight import SingleFlight

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from onec_twisted.admin.health import HealthCheck
    from onec_twisted.admin.status import Observed, Status
    from onec_twisted.admin.words.text import Words
    from onec_twisted.model.journal import Minute, ShopTotals, UserRow

__all__ = ["Asked", "Chosen", "Family", "Known", "Made"]

FACTS_FRESH_FOR = 0.5
"""Seconds for which what all pages are made from is cached."""

PEEKED_ARCHIVES = 20
"""Archives whose lists are in memory."""

PEEKED_FOR = 60.0
"""Seconds for which such a list is taken for right, as long as the archive has the same size."""

DAY_SHOWN = 86400.0
"""Seconds before now that the overview shows."""

MOST_EXCHANGES_PLOTTED = 2000
"""Exchanges whose imports are plotted."""

MOST_REFUSALS_JUDGED = 200
"""Lines of refusals that the verdict looks at."""


@frozen(kw_only=True)
class Asked:
    """A request for a page: its path in segments, its query, and the language. ``token`` goes into its forms."""

    path: tuple[str, ...]
    query: Mapping[str, str]
    words: Words
    token: str


@frozen
class Made:
    """A page: its frame, its title, and its content; ``status`` is that of the answer."""

    frame: Frame
    title: str
    content: Any
    status: int = 200


@frozen(kw_only=True)
class Known:
    """What all pages are made from.

    ``shops`` are all shops, if there is one besides the default one: those of the configuration, and others of which
    something is on record; ``totals`` are theirs, by name.
    """

    now: float
    status: Status
    verdict: Verdict
    minutes: tuple[Minute, ...]
    users: tuple[UserRow, ...]
    shops: tuple[ShopView, ...]
    totals: Mapping[str, ShopTotals]

    @property
    def usernames(self) -> Sequence[str]:
        """Return the users, by name."""
        return sorted(row.username for row in self.users)


@frozen(kw_only=True)
class Chosen:
    """What the administrator has chosen, as far as pages show and judge it.

    ``settings`` are the options in force with their values, ``shops`` all but the default one. Each user is expected
    to begin an exchange every ``expect_every`` seconds, if that is not None.
    """

    settings: Sequence[tuple[str, str]] = ()
    expect_every: float | None = None
    shops: Sequence[ShopView] = ()


@define(eq=False, kw_only=True)
class Family:
    """Makes the pages.

    ``chosen`` returns what the administrator has chosen; who looks ``can_read`` files if there is a password.
    ``peek`` lists what is in the archive in the first bytes of an open file.
    """

    observed: Observed
    health: HealthCheck
    chosen: Callable[[], Chosen]
    version: str
    can_read: bool
    peek: Callable[[int, int], Deferred[Peeked]]
    _known: Known | None = field(default=None, init=False)
    _known_at: float = field(default=0.0, init=False)
    _peeked: TTLCache[tuple[int, str, int], Peeked] = field(init=False)
    """What archives contain: a page that updates itself does not start a process each time."""
    _looking: SingleFlight[Known] = field(factory=SingleFlight, init=False)

    @_peeked.default
    def _nothing_peeked(self) -> TTLCache[tuple[int, str, int], Peeked]:
        return TTLCache(PEEKED_ARCHIVES, PEEKED_FOR, self.observed.seconds)

    @staticmethod
    def has(path: Sequence[str]) -> bool:
        """Return whether there may be a page at a path."""
        if len(path) == 1:
            return path[0] in PAGES_OF_SHOPS
        if len(path) != 2:
            return False
        is_shop = path[1] == DEFAULT_SHOP or is_shop_name(path[1])
        return (path[0] == "shops" and is_shop) or (path[0] == "exchanges" and _number(path[1]) is not None)

    async def page(self, asked: Asked) -> Made:
        """Return a page at a path that ``has`` accepts; if that fails with the disk or the database, it says so."""
        try:
            return await self._page(asked)
        except Exception:
            health = await self.health.look()
            if health.ready:
                raise
            verdict = judge(Facts(now=self.observed.now(), health=health.reasons))
            names = tuple(shop.name for shop in self.chosen().shops)
            frame = self._frame(asked, verdict, self.observed.now(), names)
            return Made(
                frame, asked.words.pages[frame.page] if frame.page else "", missing_page(frame, "unknown"), 503
            )

    def _frame(self, asked: Asked, verdict: Verdict, now: float, shops: tuple[str, ...]) -> Frame:
        return Frame(
            words=asked.words,
            page=asked.path[0],
            root="../" * (len(asked.path) - 1),
            here=_here(asked.path, asked.query),
            verdict=verdict,
            now=now,
            version=self.version,
            token=asked.token,
            shops=shops,
        )

    async def _page(self, asked: Asked) -> Made:
        """Return a page with its content."""
        known = await self._facts()
        frame = self._frame(asked, known.verdict, known.now, tuple(shop.name for shop in known.shops))
        if asked.path[0] == "shops":
            return await self._shops(frame, asked, known)
        if len(asked.path) == 2:
            return await self._exchange(frame, asked, known)
        title = asked.words.pages[frame.page] if frame.page else ""
        return Made(frame, title, await self._content(frame, asked.query, known))

    async def _content(self, frame: Frame, query: Mapping[str, str], known: Known) -> Any:
        """Return the content of a page of the navigation."""
        journal, within, users = self.observed.journal, self.observed.within, known.usernames
        if frame.page == "exchanges":
            return exchanges(frame, query, await within(journal.exchanges(exchange_filter(query))), users)
        if frame.page == "handoffs":
            found, failed = await within(journal.handoffs(handoff_filter(query)))
            prospects = known.status.prospects
            return handoffs(frame, query, found, failed=failed, prospects=prospects, users=users)
        if frame.page == "refusals":
            return refusals(frame, query, await within(journal.refusals(refusal_filter(query))), users)
        if frame.page == "sessions":
            return sessions(frame, known.status.overview)
        if frame.page == "settings":
            return settings(frame, known.status, self.chosen().settings)
        last_day = ExchangeFilter(since=known.now - DAY_SHOWN, limit=MOST_EXCHANGES_PLOTTED)
        recent = await within(journal.exchanges(last_day))
        return overview(frame, Look(status=known.status, minutes=known.minutes, users=known.users, recent=recent))

    async def _shops(self, frame: Frame, asked: Asked, known: Known) -> Made:
        """Return the page of all shops, or of one."""
        words, by_name = frame.words, {shop.name: shop for shop in known.shops}
        shop = by_name.get(asked.path[-1])
        if len(asked.path) == 1 and by_name:
            every = [(one, known.totals[one.name]) for one in known.shops]
            return Made(frame, words.pages["shops"], shops(frame, asked.query, every, known.users))
        if shop is None or len(asked.path) == 1:
            return Made(frame, words.shop, missing_page(frame, "gone"), 404)
        journal, within = self.observed.journal, self.observed.within
        failed = await within(journal.handoffs(HandoffFilter(shop=shop.name, state=FAILED, limit=LINES_OF_SHOP)))
        waiting = await within(journal.handoffs(HandoffFilter(shop=shop.name, state=WAITING, limit=LINES_OF_SHOP)))
        look = ShopLook(
            shop=shop,
            totals=known.totals[shop.name],
            users=await within(journal.users(shop.name)),
            recent=await within(journal.exchanges(ExchangeFilter(shop=shop.name, limit=LINES_OF_SHOP))),
            handoffs=(*failed[0], *waiting[0]),
            prospects=known.status.prospects,
        )
        return Made(frame, f"{words.shop} {shop.name}", shop_page(frame, look))

    async def _exchange(self, frame: Frame, asked: Asked, known: Known) -> Made:
        """Return the page of one exchange."""
        number = _number(asked.path[1])
        journal = self.observed.journal
        found = await self.observed.within(journal.exchange(number or 0))
        title = f"{frame.words.exchange} {number}"
        if found is None:
            return Made(frame, title, missing_page(frame, "gone"), 404)
        archive = asked.query.get("inside", "")
        inside = await self._look_inside(found.line.number, archive) if archive else None
        return Made(frame, title, exchange_page(frame, found, can_read=self.can_read, archive=archive, inside=inside))

    async def _look_inside(self, number: int, archive: str) -> Peeked:
        """Return what is in an archive of an exchange, or why nobody knows."""
        try:
            file = await self.open_file(number, archive)
            try:
                key = number, archive, file.size
                if key not in self._peeked:
                    self._peeked[key] = await self.peek(file.fd, file.size)
                return self._peeked[key]
            finally:
                os.close(file.fd)
        except (Refused, OSError, TooMuchAsked) as error:
            return Peeked((), 0, str(getattr(error, "words", error)))

    async def open_file(self, number: int, name: str) -> Download:
        """Open a file of an exchange, which the caller closes. Raises ``FileNotFound``."""
        observed = self.observed
        held = await observed.within(observed.journal.held_file(number, name))
        if held is None:
            raise FileNotFound(name)
        sessid, size = held
        fd = await observed.within(
            observed.workers(observed.store.open_archive, sessid, SafeName((*name.split("/"),)))
        )
        return Download(fd, size, name)

    async def verdict(self) -> Verdict:
        """Return the verdict on the daemon; if the disk or the database fails, that is what it says."""
        try:
            return (await self._facts()).verdict
        except Exception:
            health = await self.health.look()
            if health.ready:
                raise
            return judge(Facts(now=self.observed.now(), health=health.reasons))

    async def known(self) -> Known:
        """Return what all pages are made from, for the API."""
        return await self._facts()

    def forget(self) -> None:
        """Forget what is cached: somebody has changed something, or wants to know."""
        self._known = None

    def back_to(self, here: str, notice: str) -> str:
        """Return where a button leads that was pressed ``here``, with a notice; the overview, if there is no page."""
        place, _, query = here.partition("?")
        path = tuple(place.split("/"))
        return _here(path if self.has(path) else ("",), {**dict(parse_qsl(query)), "notice": notice})

    async def _facts(self) -> Known:
        """Return what all pages are made from, at most half a second old."""
        if self._known is not None and self.observed.seconds() - self._known_at < FACTS_FRESH_FOR:
            return self._known
        return await self._looking.call("facts", self._look)

    async def _look(self) -> Known:
        observed = self.observed
        journal, within = observed.journal, observed.within
        looking = Deferred.fromCoroutine(self.health.look())  # meanwhile: each waits for seconds if the disk does
        status, now = await observed.status(), observed.now()
        minutes = await within(journal.minutes(now - DAY_SHOWN))
        users = await within(journal.users())
        views = {shop.name: shop for shop in self.chosen().shops}
        totals = await within(journal.shops(views)) if views else {}
        refused = await within(journal.refusals(RefusalFilter(limit=MOST_REFUSALS_JUDGED)))
        health = await looking
        seen = status.overview
        failures = {shop_of(one.username): one.words for one in reversed(seen.handoffs) if one.state == FAILED}
        newest = [one.words for one in seen.handoffs if one.state == FAILED]
        facts = Facts(
            now=now,
            health=health.reasons,
            failed=0 if totals else seen.summary.handoffs[FAILED],
            failure=newest[0] if newest else "",
            failed_of={name: (one.handoffs[FAILED], failures.get(name, "")) for name, one in totals.items()},
            damaged=seen.summary.damaged,
            reserved=status.reserved,
            users=users,
            refusals=refused,
            minutes=minutes,
            expect_every=self.chosen().expect_every,
            daemons=status.daemons,
        )
        self._known = Known(
            now=now,
            status=status,
            verdict=judge(facts),
            minutes=minutes,
            users=users,
            shops=tuple(views.get(name) or ShopView(name, None, ()) for name in totals),
            totals=totals,
        )
        self._known_at = observed.seconds()
        return self._known


def _here(path: Sequence[str], query: Mapping[str, str]) -> str:
    """Return the path of a page from the overview's, with its query."""
    return "/".join(path) + (f"?{urlencode(query)}" if query else "")


def _number(text: str) -> int | None:
    """Return the number of an exchange, None if a text is none."""
    is_number = text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= LARGEST_NUMBER
    return int(text) if is_number else None
