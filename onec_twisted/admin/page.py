"""The status page: one document, readable without scripts, whose ``main`` the script requests periodically.

``twisted.web.template`` escapes names that nodes have chosen. Everything that changes has an id or a fixed place, so
that the script updates it in place: the focus and a screen reader's position are kept.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from attrs import frozen
from twisted.web.template import Tag, tags

from onec_twisted.admin.words import duration, found, size
from onec_twisted.catalog.sql.overview import FEW_FILES, MANY_FILES
from onec_twisted.model.records import FAILED, WAITING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from onec_twisted.admin.status import Status, TransferLine
    from onec_twisted.admin.words import Words
    from onec_twisted.catalog.sql.overview import SessionLine
    from onec_twisted.model.records import Handoff

__all__ = ["Page"]

SESSID_SHOWN = 8
"""Characters of a sessid that are shown, after the name of a shard; the title contains all of it."""


@frozen
class Page:
    """The page in one language. ``token`` proves that a form came from this page."""

    words: Words
    status: Status
    version: str
    token: str

    def document(self, notice: str | None = None) -> Tag:
        """Return the whole page; ``notice`` is a key of ``Words.notices``."""
        words = self.words
        head = tags.head(
            tags.meta(charset="utf-8"),
            tags.meta(name="viewport", content="width=device-width, initial-scale=1"),
            tags.title(words.title),
            tags.link(rel="stylesheet", href="status.css"),
            tags.link(rel="icon", href="status.svg"),
            tags.script(src="status.js", defer="defer"),
        )
        notice_text = words.notices.get(notice or "", "")
        body = tags.body(
            tags.header(tags.h1(words.title), tags.p(words.updating, class_="quiet")),
            tags.p(notice_text, role="status", id="notice"),
            tags.p(words.no_answer, role="alert", id="silence", hidden="hidden"),
            self.main(),
        )
        return tags.html(head, body, lang=words.language)

    def main(self) -> Tag:
        """Return the part that changes."""
        return Tag("main")(self._totals(), self._transfers(), self._handoffs(), self._sessions(), id="main")

    def _size(self, count: float) -> str:
        return size(count, self.words)

    def _totals(self) -> Tag:
        """Return the figures for the whole daemon."""
        status, words = self.status, self.words
        summary = status.overview.summary
        rows = [
            (words.version, self.version),
            (words.up_for, duration(status.running, words)),
            (words.disk_free, self._size(status.free)),
            (words.disk_reserved, self._size(status.reserved)),
            (words.connections, str(status.connections)),
            (words.received, self._size(status.received)),
            (words.accepted, self._size(status.accepted)),
            (words.discarded, self._size(status.discarded)),
            (words.repeats, str(status.repeats)),
            (words.on_record, str(summary.sessions)),
            (words.owing, str(summary.owing)),
            (words.damaged_files, str(summary.damaged)),
        ]
        return tags.dl(
            [
                tags.div(tags.dt(name), tags.dd(value, id=f"total-{place}"))
                for place, (name, value) in enumerate(rows)
            ],
            id="totals",
        )

    def _table(
        self, key: str, title: str, columns: Sequence[str], rows: dict[str, list[Any]], total: int, empty: str
    ) -> Tag:
        """Return a section with a table, or with a message that it is empty.

        ``rows`` maps row ids to cells, for some of ``total`` rows. Each cell has its column's name, which a narrow
        screen shows beside it. Roles are explicit, because the style for narrow screens removes the tags' own.
        """
        heading = tags.h2(title, id=f"{key}-title")
        if not rows:
            return tags.section(heading, tags.p(empty, class_="quiet"), id=key)
        names = [tags.th(column, scope="col", role="columnheader") for column in columns]
        head = tags.thead(tags.tr(names, role="row"), role="rowgroup")
        body = tags.tbody(role="rowgroup")
        for name, cells in rows.items():
            made = [
                tags.td(cell, role="cell", **{"data-label": column})
                for column, cell in zip(columns, cells, strict=True)
            ]
            body(tags.tr(made, id=name, role="row"))
        table = tags.table(head, body, role="table", **{"aria-labelledby": f"{key}-title"})
        hidden = total - len(rows)
        rest = tags.p(f"{self.words.not_shown}: {hidden}" if hidden > 0 else "", class_="quiet")
        return tags.section(heading, table, rest, id=key)

    def _transfers(self) -> Tag:
        """Return the pieces in transfer."""
        words = self.words
        columns = [words.user, words.file, words.session, words.piece, words.rate, words.age]
        rows = {f"upload-{line.key}": self._transfer_cells(line) for line in self.status.transfers}
        return self._table("uploads", words.transfers, columns, rows, self.status.transferring, words.no_transfers)

    def _transfer_cells(self, line: TransferLine) -> list[Any]:
        words = self.words
        received = self._size(line.received)
        if line.waits:
            progress: Any = tags.em(words.waits)
        elif line.length is None:
            progress = received
        else:
            progress = [
                tags.progress(
                    value=str(line.received),
                    max=str(max(line.length, 1)),
                    **{"aria-label": f"{words.piece} {line.name}"},
                ),
                tags.span(f"{received} {words.of} {self._size(line.length)}"),
            ]
        before = f"{words.after} {self._size(line.committed)}" if line.committed else ""
        name = [line.name, tags.span(before, class_="quiet")]
        rate = "" if line.waits else f"{self._size(line.rate)}{words.per_second}"
        return [line.user, name, self._sessid(line.sessid), progress, rate, duration(line.age, words)]

    def _sessid(self, sessid: str) -> Tag:
        shard, dash, random = sessid.rpartition("-")
        return tags.code(f"{shard}{dash}{random[:SESSID_SHOWN]}", title=sessid)

    def _handoffs(self) -> Tag:
        """Return the hand-offs, failed ones first."""
        words = self.words
        columns = [words.what, words.user, words.session, words.state, words.tries, words.last_words, words.actions]
        seen = self.status.overview
        rows = {f"handoff-{handoff.id}": self._handoff_cells(handoff) for handoff in seen.handoffs}
        counts = seen.summary.handoffs
        return self._table("handoffs", words.handoffs, columns, rows, sum(counts.values()), words.no_handoffs)

    def _handoff_cells(self, handoff: Handoff) -> list[Any]:
        words = self.words
        event = words.events.get(handoff.event, handoff.event)
        about = handoff.filename or _files(handoff)
        what = [event, tags.span(about), tags.span(found(handoff, words), class_="quiet")]
        progress = self.status.progress
        said = progress.get(handoff.id, handoff.words) if handoff.state == WAITING else handoff.words
        return [
            what,
            handoff.username,
            self._sessid(handoff.sessid),
            tags.span(words.states[handoff.state], class_=f"state {handoff.state}"),
            str(handoff.tries),
            said,
            self._handoff_actions(handoff, about or event),
        ]

    def _handoff_actions(self, handoff: Handoff, about: str) -> list[Tag]:
        """Return the buttons of a hand-off that has failed, or has been tried in vain."""
        words = self.words
        retry = self._button(f"handoffs/{handoff.id}/retry", words.retry, about)
        drop = f"handoffs/{handoff.id}/drop"
        if handoff.state == WAITING and handoff.tries:
            return [retry, self._button(drop, words.give_up, about, words.give_up_question)]
        if handoff.state != FAILED:
            return []
        question = words.drop_question if handoff.event == "import" else words.drop_loses
        dropped = self._button(drop, words.drop, about, question)
        return [dropped] if handoff.superseded else [retry, dropped]

    def _sessions(self) -> Tag:
        """Return the most recently used sessions."""
        words = self.words
        columns = [words.session, words.user, words.files, words.held, words.touched, words.state, words.actions]
        seen = self.status.overview
        rows = {f"session-{line.session.sessid}": self._session_cells(line) for line in seen.sessions}
        return self._table("sessions", words.sessions, columns, rows, seen.summary.sessions, words.no_sessions)

    def _session_cells(self, line: SessionLine) -> list[Any]:
        words, session = self.words, line.session
        moment = datetime.fromtimestamp(session.touched).astimezone()
        state = [
            *([tags.span(words.damaged, class_="state failed")] if line.damaged else []),
            *([tags.span(words.owed, class_="state waiting")] if line.owed else []),
            *([tags.span(f"{words.waiting}: {line.waiting}", class_="state waiting")] if line.waiting else []),
            *([tags.span(f"{words.failed}: {line.failed}", class_="state failed")] if line.failed else []),
        ]
        question = words.end_loses if line.owed or line.failed else words.end_question
        button = self._button(f"sessions/{session.sessid}/end", words.end, session.username, question)
        return [
            self._sessid(session.sessid),
            session.username,
            str(line.files) if line.files <= MANY_FILES else f"{words.and_more} {MANY_FILES}",
            self._size(session.held),
            tags.time(f"{moment:%Y-%m-%d %H:%M:%S}", datetime=moment.isoformat(timespec="seconds")),
            state,
            "" if line.waiting else button,
        ]

    def _button(self, action: str, label: str, about: str, question: str = "") -> Tag:
        """Return a form with one button; ``question`` is the question that the script has confirmed first."""
        form = tags.form(
            tags.input(type="hidden", name="token", value=self.token),
            tags.button(label, type="submit", id=action.replace("/", "-"), **{"aria-label": f"{label}: {about}"}),
            method="post",
            action=action,
        )
        return form(**{"data-confirm": question}) if question else form


def _files(handoff: Handoff) -> str:
    """Return the names of a hand-off's files, or the first ones of many."""
    names = [name for name, _ in handoff.files[:FEW_FILES]]
    return ", ".join(names) + (", …" if handoff.count > len(names) else "")
