"""The hand-offs: what runs, what waits and for what, what has failed; and what can be done about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.web.template import Tag, tags

from onec_twisted.admin.pages.names import shown
from onec_twisted.admin.pages.owners import account_asked, owner_fields
from onec_twisted.admin.pages.tables import Column, Table, choices, filters, further
from onec_twisted.admin.words.figures import found
from onec_twisted.catalog.sql.overview import FEW_FILES
from onec_twisted.model.journal import HandoffFilter
from onec_twisted.model.records import FAILED, SUCCEEDED, WAITING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onec_twisted.admin.pages.frame import Frame
    from onec_twisted.delivery.lines import Prospect
    from onec_twisted.model.records import Handoff

__all__ = [
    "HANDOFFS_SHOWN",
    "HANDOFF_STATES",
    "for_all_failed",
    "handoff_filter",
    "handoffs",
    "handoffs_query",
    "handoffs_table",
]

HANDOFFS_SHOWN = 50
"""Hand-offs on one page."""

HANDOFF_STATES = (FAILED, WAITING, SUCCEEDED)
"""The states that can be chosen."""


def handoffs_query(query: Mapping[str, str]) -> dict[str, str]:
    """Return what of a query this page understands."""
    made = {name: query[name] for name in ("user", "shop", "state", "before") if query.get(name)}
    if made.get("state") not in HANDOFF_STATES:
        made.pop("state", None)
    before = made.get("before", "")
    if not (before.isascii() and before.isdecimal() and len(before) < 19):
        made.pop("before", None)
    return made


def handoff_filter(query: Mapping[str, str]) -> HandoffFilter:
    """Return the filter of a query: one more than a page shows, so that it is known whether there is one."""
    known = handoffs_query(query)
    return HandoffFilter(
        username=account_asked(known),
        shop=known.get("shop", ""),
        state=known.get("state", ""),
        before=int(known["before"]) if "before" in known else None,
        limit=HANDOFFS_SHOWN + 1,
    )


def handoffs(
    frame: Frame,
    query: Mapping[str, str],
    lines: Sequence[Handoff],
    *,
    failed: int,
    prospects: Mapping[str, Prospect],
    users: Sequence[str],
) -> list[Any]:
    """Return the content of the list: the hand-offs of ``handoff_filter``, of which ``failed`` in all have failed."""
    words, known = frame.words, handoffs_query(query)
    shown_lines = lines[:HANDOFFS_SHOWN]
    offered = [("", words.any), *((state, words.states[state]) for state in HANDOFF_STATES)]
    fields = [
        *owner_fields(frame, known, users),
        choices("state", words.state, known.get("state", ""), offered),
    ]
    before = str(shown_lines[-1].number) if len(lines) > len(shown_lines) else ""
    table = handoffs_table(frame, shown_lines, prospects, words.newest_first)
    section = table.section(for_all_failed(frame, known, failed), after=further(frame, known, before))
    return [filters(frame, fields, is_set=bool(known)), section]


def handoffs_table(frame: Frame, lines: Sequence[Handoff], prospects: Mapping[str, Prospect], title: str) -> Table:
    """Return hand-offs as a table."""
    words = frame.words
    columns = [
        Column(words.asked_at),
        Column(words.user, "long"),
        Column(words.what, "long"),
        Column(words.state),
        Column(words.tries, "number wide"),
        Column(words.last_words, "words"),
        Column(words.session, "wide"),
        Column(words.actions, "acts"),
    ]
    rows = {f"handoff-{one.id}": _cells(frame, one, prospects.get(one.id)) for one in lines}
    return Table(key="handoffs", title=title, columns=columns, rows=rows, empty=words.no_handoffs)


def for_all_failed(frame: Frame, known: Mapping[str, str], failed: int) -> Tag | str:
    """Return the buttons for all failed hand-offs that the filter shows, on whatever page of it."""
    words = frame.words
    if not failed or known.get("state") not in {None, FAILED}:
        return ""
    about, of = f"{words.failed}: {failed}", {"user": account_asked(known), "shop": known.get("shop", "")}
    label = f"{words.retry_all}: {failed}"
    retry = frame.button("handoffs/all/retry", label, about, question=words.retry_all_question, **of)
    label = f"{words.drop_all}: {failed}"
    drop = frame.button("handoffs/all/drop", label, about, question=words.drop_all_question, **of)
    return tags.div(retry, drop, class_="all")


def _files(handoff: Handoff) -> str:
    """Return the names of a hand-off's files, or the first ones of many."""
    names = [name for name, _ in handoff.files[:FEW_FILES]]
    return ", ".join(names) + (", …" if handoff.count > len(names) else "")


def _cells(frame: Frame, handoff: Handoff, prospect: Prospect | None) -> list[Any]:
    words = frame.words
    event = words.events.get(handoff.event, handoff.event)
    about = handoff.filename or _files(handoff)
    what = [
        shown(about or event),
        tags.span(event if about else "", class_="quiet"),
        tags.span(found(handoff, words), class_="quiet"),
    ]
    said = prospect.words if prospect is not None and handoff.state == WAITING else handoff.words
    return [
        frame.moment(handoff.created),
        frame.owner(handoff.username),
        what,
        _state(frame, handoff, prospect),
        str(handoff.tries),
        shown(said),
        frame.sessid(handoff.sessid),
        _actions(frame, handoff, about or event),
    ]


def _state(frame: Frame, handoff: Handoff, prospect: Prospect | None) -> list[Any]:
    """Return the state; of what waits also whether it runs, or when it is tried next."""
    words = frame.words
    if handoff.state != WAITING or prospect is None:
        return [frame.state(handoff.state)]
    if prospect.runs:
        return [frame.state("runs")]
    if prospect.pause is None:
        return [frame.state(WAITING)]
    return [
        frame.state(WAITING),
        tags.span(words.next_try, " ", frame.moment(frame.now + prospect.pause), class_="quiet"),
    ]


def _actions(frame: Frame, handoff: Handoff, about: str) -> list[Tag]:
    """Return the buttons of a hand-off that has failed, or has been tried in vain."""
    words = frame.words
    retry = frame.button(f"handoffs/{handoff.id}/retry", words.retry, about)
    drop = f"handoffs/{handoff.id}/drop"
    if handoff.state == WAITING and handoff.tries:
        return [retry, frame.button(drop, words.give_up, about, question=words.give_up_question)]
    if handoff.state != FAILED:
        return []
    question = words.drop_question if handoff.event == "import" else words.drop_loses
    dropped = frame.button(drop, words.drop, about, question=question)
    return [dropped] if handoff.superseded else [retry, dropped]
