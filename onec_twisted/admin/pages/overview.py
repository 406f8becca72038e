"""The overview: how it goes, at a look, and what happens right now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from attrs import frozen
from twisted.web.template import Tag, tags

from onec_twisted.admin.outlook import HOURS_AHEAD, expected_free, is_overdue
from onec_twisted.admin.pages import plots
from onec_twisted.admin.pages.names import shown, spelled
from onec_twisted.admin.pages.tables import Column, Table, facts
from onec_twisted.admin.status import number_in
from onec_twisted.admin.words.figures import clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onec_twisted.admin.pages.frame import Frame
    from onec_twisted.admin.status import Status, TransferLine
    from onec_twisted.model.daemons import DaemonLine
    from onec_twisted.model.journal import ExchangeLine, Minute, UserRow

__all__ = ["Look", "dots_of", "is_troubled", "overview", "users_section"]

MINUTES_SHOWN = 24 * 60
"""Minutes of the plots along time."""

COLUMN_WIDTH = 3
"""Minutes of one column: a plot has no more room than 480."""

MOST_USERS_SHOWN = 40
"""Users that have a row, those with trouble first."""

LONGEST_PLOT = 480
"""Columns of a plot."""


@frozen(kw_only=True)
class Look:
    """What the overview shows; ``recent`` are the exchanges of the last day."""

    status: Status
    minutes: tuple[Minute, ...]
    users: tuple[UserRow, ...]
    recent: tuple[ExchangeLine, ...]


def overview(frame: Frame, look: Look) -> list[Any]:
    """Return the content of the overview."""
    return [
        _totals(frame, look),
        _daemons(frame, look.status) if look.status.daemons else "",
        _transfers(frame, look.status),
        tags.div(_traffic(frame, look), _disk(frame, look), _imports(frame, look), class_="plots"),
        users_section(frame, look.users),
    ]


def _totals(frame: Frame, look: Look) -> Tag:
    words, status = frame.words, look.status
    received = sum(minute.received for minute in look.minutes)
    rows = [
        (words.received_today, frame.size(received)),
        (words.exchanges_today, str(len(look.recent))),
        (words.refused_today, str(sum(minute.refusals for minute in look.minutes))),
        (words.waiting_now, str(status.overview.summary.handoffs["waiting"])),
        (words.disk_free, frame.size(status.free)),
        (words.up_for, frame.took(status.running)),
    ]
    return facts(rows, "totals")


def _transfers(frame: Frame, status: Status) -> Tag:
    """Return the pieces in transfer."""
    words = frame.words
    columns = [
        Column(words.user, "long"),
        Column(words.file, "long"),
        Column(words.piece, "fill"),
        Column(words.rate, "number"),
        Column(words.age, "number"),
        Column(words.session, "wide"),
    ]
    rows = {f"upload-{line.daemon}{line.key}": _transfer_cells(frame, line) for line in status.transfers}
    hidden = status.transferring - len(rows)
    rest = tags.p(f"{words.not_shown}: {hidden}", class_="quiet") if hidden > 0 else ""
    table = Table(key="uploads", title=words.transfers, columns=columns, rows=rows, empty=words.no_transfers)
    return table.section(after=rest)


def _daemons(frame: Frame, status: Status) -> Tag:
    """Return the daemons that share the records."""
    words = frame.words
    columns = [
        Column(words.daemon, "long"),
        Column(words.version, "wide"),
        Column(words.up_for, "number"),
        Column(words.seen),
        Column(words.transfers, "number"),
        Column(words.connections, "number"),
    ]
    rows = {f"daemon-{place}": _daemon_cells(frame, one) for place, one in enumerate(status.daemons)}
    return Table(key="daemons", title=words.daemons, columns=columns, rows=rows, empty="").section()


def _daemon_cells(frame: Frame, daemon: DaemonLine) -> list[Any]:
    words = frame.words
    name = [shown(daemon.name), " ", tags.span(words.this_one if daemon.is_this else "", class_="quiet")]
    silent = frame.ago(frame.now - daemon.silent)
    seen: Any = [silent, " ", tags.span(words.lost, class_="state failed")] if daemon.is_lost else words.now
    numbers = ["" if daemon.is_lost else str(number_in(daemon.state, one)) for one in ("transferring", "connections")]
    return [name, daemon.version, frame.took(daemon.running), seen, *numbers]


def _transfer_cells(frame: Frame, line: TransferLine) -> list[Any]:
    words, received = frame.words, frame.size(line.received)
    if line.waits:
        progress: Any = tags.em(words.waits)
    elif line.length is None:
        progress = received
    else:
        label = {"aria-label": f"{words.piece} {spelled(line.name)}"}
        bar = tags.progress(value=str(line.received), max=str(max(line.length, 1)), **label)
        progress = [bar, tags.span(f"{received} {words.of} {frame.size(line.length)}")]
    before = f"{words.after} {frame.size(line.committed)}" if line.committed else ""
    name = [shown(line.name), tags.span(before, class_="quiet")]
    rate = "" if line.waits else f"{frame.size(line.rate)}{words.per_second}"
    return [frame.owner(line.user), name, progress, rate, frame.took(line.age), frame.sessid(line.sessid)]


def _axis(frame: Frame, hours: Sequence[float]) -> Tag:
    """Return the labels along a plot, at equal distances; each is so many hours from now."""
    labels = [frame.words.now if not hour else clock(frame.now + hour * 3600) for hour in hours]
    return tags.div([tags.span(label) for label in labels], class_="axis")


def _strip(plot: Tag, top: str) -> Tag:
    """Return a plot with what its top stands for."""
    return tags.div(tags.span(top, class_="scale"), plot, class_="strip")


def _figure(key: str, title: str, said: Any, *content: Any) -> Tag:
    """Return a plot with its title, and what it shows in words, for whoever does not see it."""
    heading = tags.h2(title, id=f"{key}-title")
    return tags.figure(heading, content, tags.figcaption(said), id=key, **{"aria-labelledby": f"{key}-title"})


def _first(frame: Frame) -> int:
    return int(frame.now // 60) - MINUTES_SHOWN + 1


def _in_columns(frame: Frame, known: Sequence[tuple[int, float]]) -> list[float | None]:
    return plots.columns(known, _first(frame), MINUTES_SHOWN // COLUMN_WIDTH, COLUMN_WIDTH)


def _traffic(frame: Frame, look: Look) -> Tag:
    """Return the plot of bytes and of refusals per minute."""
    words = frame.words
    received = [(minute.minute, float(minute.received)) for minute in look.minutes]
    refused = [(minute.minute, float(minute.refusals)) for minute in look.minutes]
    peak = max(received, key=lambda one: one[1], default=(0, 0.0))
    most = max((count for _, count in refused), default=0.0)
    top, high = plots.round_up(peak[1], 1024), plots.round_up(most)
    said = [f"{words.peak}: {frame.size(peak[1])}{words.per_minute}, {clock(peak[0] * 60)}. "] if peak[1] else []
    said.append(f"{words.refusals_total}: {sum(count for _, count in refused):.0f}.")
    return _figure(
        "traffic",
        words.traffic,
        said,
        _strip(plots.bars(_in_columns(frame, received), top, "received"), f"{frame.size(top)}{words.per_minute}"),
        _strip(plots.bars(_in_columns(frame, refused), high, "refused"), f"{high:.0f} {words.refused_per_minute}"),
        _axis(frame, plots.ladder(-24, 0, 5)),
    )


def _disk(frame: Frame, look: Look) -> Tag:
    """Return the plot of the free disk, with what is reserved, and what is to be expected."""
    words, status = frame.words, look.status
    known = [(minute.minute, float(minute.free)) for minute in look.minutes if minute.free > 0]
    heights = _in_columns(frame, known)
    heights[-1] = float(status.free)
    expected = expected_free(look.minutes)
    top = plots.round_up(max(*(value or 0.0 for value in heights), status.reserved, 1), 1024)
    width = (MINUTES_SHOWN + HOURS_AHEAD * 60) // COLUMN_WIDTH
    plot = plots.curve(heights, top, width=width, level=float(status.reserved), expected=expected)
    said = [f"{words.free_now}: {frame.size(status.free)}. {words.disk_reserved}: {frame.size(status.reserved)}. "]
    ahead = words.in_hours.format(hours=HOURS_AHEAD)
    said.append(f"{ahead}: {frame.size(expected)}." if expected is not None else words.too_little_known)
    hours = plots.ladder(-24, HOURS_AHEAD, 4)
    return _figure("disk", words.disk_free, said, _strip(plot, frame.size(top)), _axis(frame, hours))


def _imports(frame: Frame, look: Look) -> Tag:
    """Return the plot of how long the imports of each exchange took."""
    words = frame.words
    timed = [line for line in look.recent if line.import_seconds > 0]
    longest = max((line.import_seconds for line in timed), default=0.0)
    top = plots.round_up(max(longest, 1.0))
    first = frame.now - MINUTES_SHOWN * 60
    found = [
        ((line.started - first) / 60 / COLUMN_WIDTH, line.import_seconds, plots.kind_of(line) != "failed")
        for line in timed
    ]
    plot = plots.spikes(found, top, LONGEST_PLOT)
    middle = sorted(line.import_seconds for line in timed)[len(timed) // 2] if timed else 0.0
    said = (
        f"{words.longest}: {frame.took(longest)}. {words.typical}: {frame.took(middle)}." if timed else words.none_yet
    )
    return _figure(
        "imports", words.durations, said, _strip(plot, frame.took(top)), _axis(frame, plots.ladder(-24, 0, 5))
    )


def users_section(frame: Frame, users: Sequence[UserRow]) -> Tag:
    """Return a row for each user: its last exchanges, and how old the last one is."""
    words = frame.words
    ordered = sorted(users, key=lambda row: not is_troubled(frame, row))[:MOST_USERS_SHOWN]
    columns = [
        Column(words.user, "long"),
        Column(words.last_exchanges, "fill"),
        Column(words.state),
        Column(words.last_one, "number"),
    ]
    rows = {f"user-{place}": _user_cells(frame, row) for place, row in enumerate(ordered) if row.recent}
    hidden = len(users) - len(ordered)
    rest = [tags.p(f"{words.not_shown}: {hidden}", class_="quiet")] if hidden > 0 else []
    legend = tags.p([tags.span(words.legend[kind], class_=f"key {kind}") for kind in words.legend], class_="legend")
    table = Table(key="users", title=words.users, columns=columns, rows=rows, empty=words.no_exchanges)
    return table.section(legend if rows else "", after=rest)


def is_troubled(frame: Frame, row: UserRow) -> bool:
    """Return whether a user is silent for too long, or has failed."""
    return is_overdue(row.recent, frame.now) or (bool(row.recent) and plots.kind_of(row.recent[0]) == "failed")


def dots_of(frame: Frame, recent: Sequence[ExchangeLine]) -> Tag:
    """Return exchanges as a row of dots, with what it shows in words."""
    words, kinds = frame.words, [plots.kind_of(line) for line in recent]
    said = ", ".join(f"{words.legend[kind]}: {kinds.count(kind)}" for kind in words.legend if kind in kinds)
    return tags.div(plots.dots(recent), role="img", **{"aria-label": said})


def _user_cells(frame: Frame, row: UserRow) -> list[Any]:
    words, last = frame.words, row.recent[0]
    late = tags.span(words.overdue, class_="state failed") if is_overdue(row.recent, frame.now) else ""
    name = frame.owner(row.username, link=f"{frame.root}exchanges?user={quote(row.username, safe='')}")
    state = tags.a(frame.state(last.state), href=f"{frame.root}exchanges/{last.number}")
    return [name, dots_of(frame, row.recent), state, [frame.ago(last.started), late]]
