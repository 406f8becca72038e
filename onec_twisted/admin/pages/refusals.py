"""The list of refused requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onec_twisted.admin.pages.names import shown
from onec_twisted.admin.pages.owners import account_asked, owner_fields
from onec_twisted.admin.pages.tables import Column, Table, filters, further
from onec_twisted.model.journal import RefusalFilter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onec_twisted.admin.pages.frame import Frame
    from onec_twisted.model.journal import RefusalLine

__all__ = ["REFUSALS_SHOWN", "refusal_filter", "refusals", "refusals_query"]

REFUSALS_SHOWN = 50
"""Lines on one page."""


def refusals_query(query: Mapping[str, str]) -> dict[str, str]:
    """Return what of a query this page understands."""
    made = {name: query[name] for name in ("user", "shop", "before") if query.get(name)}
    try:
        is_time = 0 <= float(made.get("before", "")) < 1e12
    except ValueError:
        is_time = False
    if not is_time:
        made.pop("before", None)
    return made


def refusal_filter(query: Mapping[str, str]) -> RefusalFilter:
    """Return the filter of a query: one more line than a page shows, so that it is known whether there is one."""
    known = refusals_query(query)
    before = float(known["before"]) if "before" in known else None
    return RefusalFilter(
        username=account_asked(known), shop=known.get("shop", ""), before=before, limit=REFUSALS_SHOWN + 1
    )


def refusals(frame: Frame, query: Mapping[str, str], found: Sequence[RefusalLine], users: Sequence[str]) -> list[Any]:
    """Return the content of the list: the lines of ``refusal_filter``, and users to choose from."""
    words, known = frame.words, refusals_query(query)
    lines = found[:REFUSALS_SHOWN]
    fields = owner_fields(frame, known, users)
    columns = [
        Column(words.last_one),
        Column(words.first, "wide"),
        Column(words.count, "number"),
        Column(words.user, "long"),
        Column(words.address, "wide"),
        Column(words.answer, "words"),
        Column(words.asked, "long"),
    ]
    rows: dict[str, Sequence[Any]] = {
        f"refusal-{one.number}": [
            frame.moment(one.last),
            frame.moment(one.first),
            str(one.count),
            frame.owner(one.username, one.shop),
            shown(one.address),
            [f"{one.status} ", shown(one.words)],
            shown(one.asked),
        ]
        for one in lines
    }
    before = repr(lines[-1].last) if len(found) > len(lines) else ""
    table = Table(key="refusals", title=words.newest_first, columns=columns, rows=rows, empty=words.no_refusals)
    return [filters(frame, fields, is_set=bool(known)), table.section(after=further(frame, known, before))]
