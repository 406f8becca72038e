"""The settings in force, what is on record, and the limits of what is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.web.template import tags

from onec_twisted.admin.pages.exchanges import EXCHANGES_SHOWN
from onec_twisted.admin.pages.names import shown
from onec_twisted.admin.pages.refusals import REFUSALS_SHOWN
from onec_twisted.admin.pages.tables import Column, Table, facts
from onec_twisted.admin.status import MOST_SHOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onec_twisted.admin.pages.frame import Frame
    from onec_twisted.admin.status import Status

__all__ = ["settings"]


def settings(frame: Frame, status: Status, in_force: Sequence[tuple[str, str]]) -> list[Any]:
    """Return the content: options with their values, totals since the start, and limits."""
    words, known = frame.words, status.overview.summary
    totals = [
        (words.version, frame.version),
        (words.up_for, frame.took(status.running)),
        (words.disk_free, frame.size(status.free)),
        (words.disk_reserved, frame.size(status.reserved)),
        (words.connections, str(status.connections)),
        (words.received, frame.size(status.received)),
        (words.accepted, frame.size(status.accepted)),
        (words.discarded, frame.size(status.discarded)),
        (words.repeats, str(status.repeats)),
        (words.on_record, str(known.sessions)),
        (words.owing, str(known.owing)),
        (words.damaged_files, str(known.damaged)),
    ]
    rows = {f"option-{place}": [tags.code(name), shown(value)] for place, (name, value) in enumerate(in_force)}
    columns = [Column(words.option), Column(words.value, "long")]
    table = Table(key="options", title=words.in_force, columns=columns, rows=rows, empty=words.no_settings)
    limits = words.limits.format(exchanges=EXCHANGES_SHOWN, refusals=REFUSALS_SHOWN, others=MOST_SHOWN)
    return [
        facts(totals, "totals"),
        table.section(),
        tags.section(tags.h2(words.limits_title), tags.p(limits), id="limits"),
    ]
