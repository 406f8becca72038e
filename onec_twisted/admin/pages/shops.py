"""The shops, and one shop: who sends for it, what it holds, what waits and what has failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.web.template import Tag, tags

from onec_twisted.admin.outlook import is_overdue
from onec_twisted.admin.pages import plots
from onec_twisted.admin.pages.exchanges import exchanges_table
from onec_twisted.admin.pages.handoffs import for_all_failed, handoffs_table
from onec_twisted.admin.pages.names import shown
from onec_twisted.admin.pages.overview import dots_of, is_troubled, users_section
from onec_twisted.admin.pages.tables import Column, Table, entry, facts, filters
from onec_twisted.model.records import FAILED, WAITING
from onec_twisted.model.shops import shop_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onec_twisted.admin.pages.frame import Frame
    from onec_twisted.delivery.lines import Prospect
    from onec_twisted.model.journal import ExchangeLine, ShopTotals, UserRow
    from onec_twisted.model.records import Handoff
    from onec_twisted.model.shops import ShopView

__all__ = ["LINES_OF_SHOP", "ShopLook", "shop_page", "shops"]

MOST_SHOPS_SHOWN = 100
"""Shops that have a row, those with trouble first."""

LINES_OF_SHOP = 20
"""Exchanges, waiting hand-offs and failed ones on the page of a shop."""


@frozen(kw_only=True)
class ShopLook:
    """What the page of a shop shows; ``handoffs`` are some that failed, and some that wait."""

    shop: ShopView
    totals: ShopTotals
    users: Sequence[UserRow]
    recent: Sequence[ExchangeLine]
    handoffs: Sequence[Handoff]
    prospects: Mapping[str, Prospect]


def shops(
    frame: Frame,
    query: Mapping[str, str],
    known: Sequence[tuple[ShopView, ShopTotals]],
    users: Sequence[UserRow],
) -> list[Any]:
    """Return the content of the list; ``users`` are those whose exchanges are the newest."""
    words, name = frame.words, query.get("name", "").casefold()
    of_shops: dict[str, list[UserRow]] = {}
    for row in users:
        of_shops.setdefault(shop_of(row.username), []).append(row)
    wanted = [one for one in known if name in one[0].name]
    ordered = sorted(wanted, key=lambda one: not _in_trouble(frame, one[1], of_shops.get(one[0].name, ())))
    columns = [
        Column(words.shop, "long"),
        Column(words.last_exchanges, "fill"),
        Column(words.last_one, "number"),
        Column(words.takes, "number"),
        Column(words.states[WAITING].capitalize(), "number"),
        Column(words.failed.capitalize(), "number"),
    ]
    rows = {
        f"shop-{shop.name}": _cells(frame, shop, totals, of_shops.get(shop.name, ()))
        for shop, totals in ordered[:MOST_SHOPS_SHOWN]
    }
    hidden = len(ordered) - len(rows)
    rest = tags.p(f"{words.not_shown}: {hidden}", class_="quiet") if hidden > 0 else ""
    table = Table(key="shops", title=words.shops, columns=columns, rows=rows, empty=words.none_found)
    form = filters(frame, [entry("name", words.shop_name, query.get("name", ""))], is_set=bool(name))
    return [form, table.section(after=rest)]


def _in_trouble(frame: Frame, totals: ShopTotals, users: Sequence[UserRow]) -> bool:
    return bool(totals.handoffs[FAILED]) or any(is_troubled(frame, row) for row in users)


def _cells(frame: Frame, shop: ShopView, totals: ShopTotals, users: Sequence[UserRow]) -> list[Any]:
    lines = {line.number: line for row in users for line in row.recent}
    if totals.last is not None:
        lines[totals.last.number] = totals.last
    recent = [lines[number] for number in sorted(lines, reverse=True)[: plots.MOST_DOTS]]
    last: list[Any] = []
    if recent:
        newest = recent[0]
        last.append(tags.a(frame.state(newest.state), href=f"{frame.root}exchanges/{newest.number}"))
        last.append(tags.span(frame.ago(newest.started)))
    if any(is_overdue(row.recent, frame.now) for row in users):
        last.append(tags.span(frame.words.overdue, class_="state failed"))
    return [
        tags.a(shop.name, href=f"{frame.root}shops/{shop.name}"),
        dots_of(frame, recent) if recent else "",
        last,
        _held(frame, shop, totals),
        _count(frame, shop, totals, WAITING),
        _count(frame, shop, totals, FAILED),
    ]


def _held(frame: Frame, shop: ShopView, totals: ShopTotals) -> str:
    """Return what a shop holds, and how much it may."""
    held = frame.size(totals.held)
    return held if shop.quota is None else f"{held} {frame.words.of} {frame.size(shop.quota)}"


def _count(frame: Frame, shop: ShopView, totals: ShopTotals, state: str) -> Tag | str:
    """Return how many hand-offs are in a state, with a link to them."""
    count, link = totals.handoffs[state], f"{frame.root}handoffs?shop={shop.name}&state={state}"
    return tags.a(str(count), href=link, class_=f"state {state}") if count else ""


def shop_page(frame: Frame, look: ShopLook) -> list[Any]:
    """Return the content for a shop."""
    words, shop, totals = frame.words, look.shop, look.totals
    rows = [
        (words.on_record, str(totals.sessions)),
        (words.takes, _held(frame, shop, totals)),
        (words.waiting_now, str(totals.handoffs[WAITING])),
        (words.reasons[FAILED], str(totals.handoffs[FAILED])),
        (words.last_one, frame.moment(totals.last.started) if totals.last is not None else "–"),
    ]
    return [
        facts(rows, "totals"),
        users_section(frame, look.users),
        _handoffs(frame, look),
        exchanges_table(frame, look.recent, words.exchanges).section(after=_all(frame, shop, "exchanges")),
        _settings(frame, shop),
    ]


def _all(frame: Frame, shop: ShopView, page: str) -> Tag:
    """Return a link to all lines of a list that are the shop's."""
    link = tags.a(frame.words.all_of_shop, href=f"{frame.root}{page}?shop={shop.name}")
    return tags.nav(link, class_="further", **{"aria-label": frame.words.pages[page]})


def _handoffs(frame: Frame, look: ShopLook) -> Tag:
    """Return what has failed and what waits, with the buttons for all that failed."""
    failed = look.totals.handoffs[FAILED]
    table = handoffs_table(frame, look.handoffs, look.prospects, frame.words.handoffs)
    buttons = for_all_failed(frame, {"shop": look.shop.name}, failed)
    return table.section(buttons, after=_all(frame, look.shop, "handoffs"))


def _settings(frame: Frame, shop: ShopView) -> Tag:
    words = frame.words
    rows = {f"option-{place}": [tags.code(name), shown(value)] for place, (name, value) in enumerate(shop.own)}
    columns = [Column(words.option), Column(words.value, "long")]
    title, empty = words.own_settings, words.no_own_settings
    return Table(key="options", title=title, columns=columns, rows=rows, empty=empty).section()
