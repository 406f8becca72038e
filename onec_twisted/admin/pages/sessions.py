"""The sessions that are on record, those used last first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.web.template import tags

from onec_twisted.admin.pages.tables import Column, Table
from onec_twisted.catalog.sql.overview import MANY_FILES

if TYPE_CHECKING:
    from onec_twisted.admin.pages.frame import Frame
    from onec_twisted.catalog.sql.overview import Overview, SessionLine

__all__ = ["sessions"]


def sessions(frame: Frame, seen: Overview) -> list[Any]:
    """Return the content of the list."""
    words = frame.words
    columns = [
        Column(words.touched),
        Column(words.user, "long"),
        Column(words.files, "number"),
        Column(words.held, "number"),
        Column(words.state),
        Column(words.session, "wide"),
        Column(words.actions, "acts"),
    ]
    rows = {f"session-{line.session.sessid}": _cells(frame, line) for line in seen.sessions}
    hidden = seen.summary.sessions - len(rows)
    rest = tags.p(f"{words.not_shown}: {hidden}", class_="quiet") if hidden > 0 else ""
    table = Table(key="sessions", title=words.newest_first, columns=columns, rows=rows, empty=words.no_sessions)
    return [table.section(after=rest)]


def _cells(frame: Frame, line: SessionLine) -> list[Any]:
    words, session = frame.words, line.session
    state = [
        *([tags.span(words.damaged, class_="state failed")] if line.damaged else []),
        *([tags.span(words.owed, class_="state waiting")] if line.owed else []),
        *([tags.span(f"{words.waiting}: {line.waiting}", class_="state waiting")] if line.waiting else []),
        *([tags.span(f"{words.failed}: {line.failed}", class_="state failed")] if line.failed else []),
    ]
    question = words.end_loses if line.owed or line.failed else words.end_question
    button = frame.button(f"sessions/{session.sessid}/end", words.end, session.username, question=question)
    return [
        frame.moment(session.touched),
        frame.owner(session.username),
        str(line.files) if line.files <= MANY_FILES else f"{words.and_more} {MANY_FILES}",
        frame.size(session.held),
        state,
        frame.sessid(session.sessid),
        "" if line.waiting else button,
    ]
