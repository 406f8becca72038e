"""One exchange: what came, what became of it, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from twisted.web.template import Tag, tags

from onec_twisted.admin.pages.names import shown
from onec_twisted.admin.pages.tables import Column, Table, facts
from onec_twisted.admin.words.figures import found_in
from onec_twisted.model.records import FAILED, SUCCEEDED, WAITING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onec_twisted.admin.pages.frame import Frame
    from onec_twisted.delivery.peeking import Peeked
    from onec_twisted.model.journal import Exchange, ExchangeFile, ExchangeImport, ImportTry

__all__ = ["exchange_page", "missing_page"]

MOST_STEPS = 200
"""Steps of the time line that are shown."""

MOST_FILES = 300
"""Files that are shown."""


def missing_page(frame: Frame, notice: str) -> list[Any]:
    """Return the content for what is not on record, or cannot be read; ``notice`` is a key of ``Words.notices``."""
    return [tags.p(frame.words.notices[notice], class_="quiet")]


def exchange_page(
    frame: Frame, exchange: Exchange, *, can_read: bool, archive: str = "", inside: Peeked | None = None
) -> list[Any]:
    """Return the content for an exchange, and what is ``inside`` an archive of it, if that was looked into.

    Who looks ``can_read`` the files that are still on the disk, or may know no more than their names.
    """
    return [
        _facts(frame, exchange),
        _imports(frame, exchange),
        _files(frame, exchange, can_read=can_read),
        *([_inside(frame, archive, inside)] if inside is not None else []),
        _time_line(frame, exchange),
        *([_refusals(frame, exchange)] if exchange.refusals else []),
    ]


def _facts(frame: Frame, exchange: Exchange) -> Tag:
    words, line = frame.words, exchange.line
    rows = [
        (words.user, frame.owner(line.username)),
        (words.state, frame.state(line.state)),
        (words.started, frame.moment(line.started)),
        (words.ended, frame.moment(line.ended) or "–"),
        (words.took, frame.took((line.ended if line.ended is not None else frame.now) - line.started)),
        (words.import_took, frame.took(line.import_seconds)),
        (words.files, f"{line.files} · {frame.size(line.size)}"),
        (words.refused, str(line.refusals)),
        (words.address, shown(line.address) if line.address else "–"),
        (words.agent, shown(line.agent) if line.agent else "–"),
        (words.session, frame.sessid(line.sessid)),
    ]
    return facts(rows, "facts")


def _imports(frame: Frame, exchange: Exchange) -> Tag:
    """Return the hand-offs, each with what can be done about it."""
    words = frame.words
    columns = [
        Column(words.what, "long"),
        Column(words.state),
        Column(words.began),
        Column(words.took, "number wide"),
        Column(words.tries, "number wide"),
        Column(words.last_words, "words"),
        Column(words.actions, "acts"),
    ]
    rows = {
        f"handoff-{one.id}": _import_cells(frame, one, live=exchange.live) for one in exchange.imports[:MOST_STEPS]
    }
    table = Table(key="imports", title=words.handoffs, columns=columns, rows=rows, empty=words.no_handoffs)
    return table.section()


def _import_cells(frame: Frame, one: ExchangeImport, *, live: bool) -> list[Any]:
    words = frame.words
    about = one.filename or words.events.get(one.event, one.event)
    what = [
        shown(about),
        tags.span(words.events.get(one.event, one.event), class_="quiet"),
        tags.span(found_in(one.summaries, words), class_="quiet"),
    ]
    seconds = sum(one_try.ended - one_try.begun for one_try in one.tries)
    actions = []
    if live and one.state == FAILED:
        actions.append(frame.button(f"handoffs/{one.id}/retry", words.retry, about))
    if live and one.state == SUCCEEDED:
        actions.append(frame.button(f"handoffs/{one.id}/again", words.again, about, question=words.again_question))
    return [
        what,
        frame.state(one.state),
        frame.moment(one.created),
        frame.took(seconds) if one.tries else "",
        str(len(one.tries)),
        shown(one.words),
        actions,
    ]


def _files(frame: Frame, exchange: Exchange, *, can_read: bool) -> Tag:
    words, line = frame.words, exchange.line
    columns = [
        Column(words.file, "long"),
        Column(words.held, "number"),
        Column(words.kind),
        Column(words.contents, "words"),
        Column(words.actions, "acts"),
    ]
    rows = {
        f"file-{place}": _file_cells(frame, exchange, one, can_read=can_read)
        for place, one in enumerate(exchange.files[:MOST_FILES])
    }
    hidden = line.files - len(rows)
    rest = tags.p(f"{words.not_shown}: {hidden}", class_="quiet") if hidden > 0 else ""
    return Table(key="files", title=words.files, columns=columns, rows=rows, empty=words.no_files).section(after=rest)


def _file_cells(frame: Frame, exchange: Exchange, one: ExchangeFile, *, can_read: bool) -> list[Any]:
    words, place = frame.words, f"{frame.root}exchanges/{exchange.line.number}"
    actions: list[Any] = []
    name = quote(one.name, safe="")
    if exchange.live and can_read:
        actions.append(tags.a(words.download, href=f"{place}/file?name={name}", class_="action"))
    if exchange.live and one.name.casefold().endswith(".zip"):
        actions.append(tags.a(words.look_inside, href=f"{place}?inside={name}#inside", class_="action"))
    summary = found_in((one.summary,), words) if one.summary else ""
    return [shown(one.name), frame.size(one.size), one.type, summary, actions or tags.span("–", class_="quiet")]


def _inside(frame: Frame, archive: str, inside: Peeked) -> Tag:
    words = frame.words
    columns = [Column(words.file, "long"), Column(words.held, "number")]
    rows = {f"entry-{place}": [shown(name), frame.size(size)] for place, (name, size) in enumerate(inside.entries)}
    rest = [tags.p(f"{words.not_shown}: {inside.hidden}", class_="quiet")] if inside.hidden > 0 else []
    table = Table(key="inside", title=words.inside, columns=columns, rows=rows, empty=inside.said or words.no_files)
    return table.section(shown(archive), after=rest)


def _time_line(frame: Frame, exchange: Exchange) -> Tag:
    """Return what happened, in order."""
    words, line = frame.words, exchange.line
    steps: list[tuple[float, str, Any]] = [(line.started, "", words.logged_in)]
    for one in exchange.imports:
        about = one.filename or words.events.get(one.event, one.event)
        steps.append((one.created, WAITING, [words.asked_for, " ", shown(about)]))
        steps += [
            (tried.ended, SUCCEEDED if tried.outcome == SUCCEEDED else FAILED, _try(frame, about, tried))
            for tried in one.tries
        ]
    steps += [
        (refused.last, FAILED, [f"{words.refusal} {refused.status}", f" × {refused.count}: ", shown(refused.words)])
        for refused in exchange.refusals
    ]
    if line.ended is not None:
        steps.append((line.ended, "", words.is_over))
    steps.sort(key=lambda step: step[0])
    made = [
        tags.li(frame.moment(then, exact=True), tags.span(said, class_=f"step {kind}"))
        for then, kind, said in steps[:MOST_STEPS]
    ]
    hidden = len(steps) - len(made)
    rest = tags.p(f"{words.not_shown}: {hidden}", class_="quiet") if hidden > 0 else ""
    return tags.section(tags.h2(words.time_line), tags.ol(made, class_="steps"), rest, id="steps")


def _try(frame: Frame, about: str, tried: ImportTry) -> list[Any]:
    words = frame.words
    outcome = words.succeeded_try if tried.outcome == SUCCEEDED else words.failed_try
    said = [": ", shown(tried.words)] if tried.words else []
    return [shown(about), ": ", outcome, f", {frame.took(tried.ended - tried.begun)}", said]


def _refusals(frame: Frame, exchange: Exchange) -> Tag:
    words = frame.words
    columns = [
        Column(words.last_one),
        Column(words.count, "number"),
        Column(words.answer, "words"),
        Column(words.asked, "long"),
    ]
    rows: dict[str, Sequence[Any]] = {
        f"refusal-{one.number}": [
            frame.moment(one.last), str(one.count), [f"{one.status} ", shown(one.words)], shown(one.asked),
        ]
        for one in exchange.refusals
    }  # fmt: skip
    return Table(key="refusals", title=words.refusals, columns=columns, rows=rows, empty=words.no_refusals).section()
