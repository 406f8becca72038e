"""The frame of every page: head, navigation, verdict, foot; and the small parts that all pages are made of."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from attrs import frozen
from twisted.web.template import Tag, tags

from onec_twisted.admin.pages.names import shown, spelled
from onec_twisted.admin.words.figures import duration, size
from onec_twisted.model.shops import shop_of, user_of

if TYPE_CHECKING:
    from onec_twisted.admin.verdict import Reason, Verdict
    from onec_twisted.admin.words.text import Words

__all__ = ["PAGES", "PAGES_OF_SHOPS", "Frame"]

PAGES = ("", "exchanges", "handoffs", "sessions", "refusals", "settings")
"""The pages that the navigation leads to; the first is the overview."""

PAGES_OF_SHOPS = (*PAGES[:1], "shops", *PAGES[1:])
"""The same, if there are shops besides the default one."""

SESSID_SHOWN = 8
"""Characters of a sessid that are shown, after the name of a shard; the title contains all of it."""

LEADS_TO = {
    "unhealthy": "settings",
    "lost": "",
    "refusing": "refusals",
    "disk": "settings",
    "failed": "handoffs?state=failed",
    "damaged": "sessions",
    "overdue": "exchanges",
}
"""The page that says more about a reason of the verdict."""


@frozen(kw_only=True)
class Frame:
    """What all pages have in common.

    ``page`` is one of ``PAGES_OF_SHOPS``; ``root`` leads from the page's path to the overview's, and ``here`` back,
    with its query; ``now`` is in seconds since 1970; ``token`` proves that a form came from one of our pages.
    ``shops`` are their names, none if there is only the default one.
    """

    words: Words
    page: str
    root: str
    here: str
    verdict: Verdict
    now: float
    version: str
    token: str
    shops: tuple[str, ...]

    def document(self, title: str, content: Any, notice: str = "") -> Tag:
        """Return a whole page; ``notice`` is a key of ``Words.notices``."""
        words, pages = self.words, PAGES_OF_SHOPS if self.shops else PAGES
        head = tags.head(
            tags.meta(charset="utf-8"),
            tags.meta(name="viewport", content="width=device-width, initial-scale=1"),
            tags.title(self._title(title)),
            tags.link(rel="stylesheet", href=f"{self.root}status.css"),
            tags.link(rel="icon", href=f"{self.root}{self._icon()}", id="icon"),
            tags.script(src=f"{self.root}status.js", defer="defer"),
        )
        body = tags.body(
            tags.a(words.skip, href="#main", class_="skip"),
            tags.header(
                tags.a(words.title, href=self.root or "./", class_="brand"),
                tags.nav(tags.ul([self._link(page) for page in pages]), **{"aria-label": words.navigation}),
            ),
            tags.p(words.notices.get(notice, ""), role="status", id="notice"),
            tags.p(
                words.no_answer, " ", tags.span(words.as_of, " ", tags.b(id="as-of")),
                role="alert", id="silence", hidden="hidden",
            ),
            self.main(title, content),
        )  # fmt: skip
        return tags.html(head, body, lang=words.language)

    def main(self, title: str, content: Any) -> Tag:
        """Return the part of a page that changes, with what the script puts into the head."""
        made = Tag("main")(self._verdict(title), content, self._foot(), id="main", tabindex="-1")
        made.attributes.update(
            {
                "data-title": self._title(title),
                "data-icon": f"{self.root}{self._icon()}",
                "data-api": f"{self.root}api/v1/pages/{self.here}",
                "data-time": f"{datetime.fromtimestamp(self.now).astimezone():%H:%M:%S}",
            }
        )
        return made

    def _title(self, title: str) -> str:
        words = self.words
        mark = f"✓ {words.good}" if self.verdict.good else f"✗ {words.bad}: {len(self.verdict.reasons)}"
        return " · ".join(part for part in (mark, title, words.title) if part)

    def _icon(self) -> str:
        return "status.svg" if self.verdict.good else "alarm.svg"

    def _link(self, page: str) -> Tag:
        link = tags.a(self.words.pages[page], href=f"{self.root}{page}" or "./")
        return tags.li(link(**{"aria-current": "page"}) if page == self.page else link)

    def _verdict(self, title: str) -> Tag:
        """Return the verdict: with all reasons on the overview, in one line on the other pages."""
        words, good = self.words, self.verdict.good
        said = words.good if good else f"{words.bad}: {len(self.verdict.reasons)}"
        kind = "verdict good" if good else "verdict bad"
        mark = tags.span("✓" if good else "✗", class_="sign", **{"aria-hidden": "true"})
        if self.page != "" or title:
            line = tags.a(mark, said, href=self.root or "./", class_=f"{kind} short")
            return tags.div(tags.h1(title), line, class_="top")
        reasons = [tags.li(self._reason(reason)) for reason in self.verdict.reasons]
        text = tags.div(tags.h1(said), tags.ul(reasons) if reasons else tags.p(words.good_details))
        return tags.section(mark, text, class_=kind, id="verdict")

    def _reason(self, reason: Reason) -> list[Any]:
        """Return a reason in words, with the words of others, and a link to more."""
        words, link = self.words, self.root + LEADS_TO[reason.kind]
        shop = reason.shop or (shop_of(reason.username) if reason.username else "")
        if shop and self.shops:
            link += f"{'&' if '?' in link else '?'}shop={quote(shop)}"
        made: list[Any] = [tags.a(words.reasons[reason.kind], href=link)]
        if reason.username:
            made += [" ", shown(user_of(reason.username) if self.shops else reason.username)]
        if shop and self.shops:
            made += [" (", shown(shop), ")"]
        if reason.kind == "disk":
            made += [" ", words.within, f" {reason.count} {words.times[2]}"]
        elif reason.count:
            made += [f": {reason.count}" if not reason.username else f" – {reason.count}"]
        if reason.since is not None:
            made += [", ", words.last, " ", self.moment(reason.since)]
        if reason.said:
            said = words.health(reason.said) if reason.kind == "unhealthy" else reason.said
            made += [" – ", shown(said)]
        return made

    def _foot(self) -> Tag:
        words = self.words
        zone = datetime.fromtimestamp(self.now).astimezone()
        offset = f"UTC{zone:%z}"
        named = f"{zone:%Z}" if zone.tzname() not in {None, "UTC"} and f"{zone:%Z}"[0] not in "+-" else ""
        return tags.footer(
            tags.span(f"{words.title} {self.version}"),
            tags.span(words.as_of, " ", self.moment(self.now), id="made"),
            tags.span(words.zone, ": ", " ".join(part for part in (offset, named) if part)),
            tags.span(words.no_script, class_="reload"),
        )

    # Small parts

    def size(self, count: float) -> str:
        """Return a number of bytes for people."""
        return size(count, self.words)

    def took(self, seconds: float) -> str:
        """Return a duration for people."""
        return duration(seconds, self.words)

    def moment(self, then: float | None, *, exact: bool = False) -> Tag | str:
        """Return a moment: the time of day, with the date unless it is today's; empty without one.

        The seconds of another day are shown if it is to be ``exact``.
        """
        if then is None:
            return ""
        moment = datetime.fromtimestamp(then).astimezone()
        is_today = moment.date() == datetime.fromtimestamp(self.now).astimezone().date()
        other = f"{moment:%Y-%m-%d %H:%M:%S}" if exact else f"{moment:%Y-%m-%d %H:%M}"
        full = moment.isoformat(timespec="seconds")
        return tags.time(f"{moment:%H:%M:%S}" if is_today else other, datetime=full, title=full)

    def ago(self, then: float) -> str:
        """Return how long ago a moment was."""
        words = self.words
        return words.ago.format(time=self.took(self.now - then))

    def state(self, state: str) -> Tag:
        """Return the state of an exchange or a hand-off."""
        return tags.span(self.words.states[state], class_=f"state {state}")

    def owner(self, account: str, shop: str = "", *, link: str = "") -> Any:
        """Return whose something is: the user, with the shop beside, if there are any, and this is not its page.

        ``shop`` is that of something without a user; the user may be a ``link``.
        """
        user = shown(user_of(account) if self.shops else account)
        made = tags.a(user, href=link) if link else user
        beside = shop_of(account) if account else shop
        if not self.shops or not beside or self.here.partition("?")[0] == f"shops/{beside}":
            return made
        return [made, " ", tags.span(shown(beside), class_="quiet")]

    def sessid(self, sessid: str) -> Tag:
        """Return the beginning of a sessid, which is what one compares."""
        shard, dash, random = sessid.rpartition("-")
        return tags.code(f"{shard}{dash}{random[:SESSID_SHOWN]}", title=sessid)

    def button(self, action: str, label: str, about: str, *, question: str = "", **hidden: str) -> Tag:
        """Return a form with one button.

        ``question`` is what the script asks first; ``hidden`` goes with the form.
        """
        form = tags.form(
            tags.input(type="hidden", name="token", value=self.token),
            tags.input(type="hidden", name="back", value=self.here),
            [tags.input(type="hidden", name=name, value=value) for name, value in hidden.items()],
            tags.button(
                label, type="submit", id=action.replace("/", "-"), **{"aria-label": f"{label}: {spelled(about)}"}
            ),
            method="post",
            action=f"{self.root}{action}",
        )
        return form(**{"data-confirm": question}) if question else form
