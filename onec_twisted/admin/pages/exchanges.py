"""The list of exchanges, with its filter."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from attrs import evolve
from twisted.web.template import tags

from onec_twisted.admin.pages.names import shown
from onec_twisted.admin.pages.owners import account_asked, owner_fields
from onec_twisted.admin.pages.tables import Column, Table, choices, entry, filters, further
from onec_twisted.model.journal import STATES, ExchangeFilter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onec_twisted.admin.pages.frame import Frame
    from onec_twisted.model.journal import ExchangeLine

__all__ = ["EXCHANGES_SHOWN", "LARGEST_NUMBER", "exchange_filter", "exchanges", "exchanges_query", "exchanges_table"]

EXCHANGES_SHOWN = 50
"""Exchanges on one page."""

LARGEST_NUMBER = 2**63 - 1
"""The largest number that the database takes."""


def _day(text: str) -> tuple[float, float] | None:
    """Return when a day of the machine's time zone begins and ends, as ``2026-11-25``; None if it is none."""
    try:
        day = date.fromisoformat(text)
        begins = datetime(day.year, day.month, day.day).astimezone()
        ends = datetime(*(day + timedelta(days=1)).timetuple()[:3]).astimezone()
        return begins.timestamp(), ends.timestamp()
    except (ValueError, OverflowError):
        return None


def exchanges_query(query: Mapping[str, str]) -> dict[str, str]:
    """Return what of a query this page understands."""
    made = {name: query[name] for name in ("user", "shop", "state", "day", "file", "before") if query.get(name)}
    if made.get("state") not in STATES:
        made.pop("state", None)
    if _day(made.get("day", "")) is None:
        made.pop("day", None)
    before = made.get("before", "")
    if not (before.isascii() and before.isdecimal() and len(before) < 20 and int(before) <= LARGEST_NUMBER):
        made.pop("before", None)
    return made


def exchange_filter(query: Mapping[str, str]) -> ExchangeFilter:
    """Return the filter of a query: one more exchange than a page shows, so that it is known whether there is one."""
    known = exchanges_query(query)
    day = _day(known.get("day", ""))
    wanted = ExchangeFilter(
        username=account_asked(known),
        shop=known.get("shop", ""),
        state=known.get("state", ""),
        file=known.get("file", ""),
        before=int(known["before"]) if "before" in known else None,
        limit=EXCHANGES_SHOWN + 1,
    )
    return wanted if day is None else evolve(wanted, since=day[0], until=day[1])


def exchanges(
    frame: Frame, query: Mapping[str, str], found: Sequence[ExchangeLine], users: Sequence[str]
) -> list[Any]:
    """Return the content of the list: the exchanges of ``exchange_filter``, and users to choose from."""
    words, known = frame.words, exchanges_query(query)
    lines = found[:EXCHANGES_SHOWN]
    fields = [
        *owner_fields(frame, known, users),
        choices(
            "state",
            words.state,
            known.get("state", ""),
            [("", words.any), *((state, words.states[state]) for state in STATES)],
        ),
        entry("day", words.day, known.get("day", ""), "date"),
        entry("file", words.file_name, known.get("file", "")),
    ]
    before = str(lines[-1].number) if len(found) > len(lines) else ""
    table = exchanges_table(frame, lines, words.newest_first)
    return [filters(frame, fields, is_set=bool(known)), table.section(after=further(frame, known, before))]


def exchanges_table(frame: Frame, lines: Sequence[ExchangeLine], title: str) -> Table:
    """Return exchanges as a table."""
    words = frame.words
    columns = [
        Column(words.started),
        Column(words.user, "long"),
        Column(words.state),
        Column(words.files, "number"),
        Column(words.held, "number"),
        Column(words.took, "number"),
        Column(words.refused, "number wide"),
        Column(words.address, "wide"),
        Column(words.last_words, "words"),
    ]
    rows = {f"exchange-{line.number}": _cells(frame, line) for line in lines}
    return Table(key="exchanges", title=title, columns=columns, rows=rows, empty=words.none_found)


def _cells(frame: Frame, line: ExchangeLine) -> list[Any]:
    took = frame.took(line.ended - line.started) if line.ended is not None else ""
    return [
        tags.a(frame.moment(line.started), href=f"{frame.root}exchanges/{line.number}"),
        frame.owner(line.username),
        frame.state(line.state),
        str(line.files),
        frame.size(line.size),
        took,
        str(line.refusals) if line.refusals else "",
        shown(line.address),
        shown(line.words),
    ]
