"""What the command shows of a daemon, as text: pure functions of what the API answers."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from onec_twisted.model.shown import harmless

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["exchange_report", "exchanges_report", "handoffs_report", "sessions_report", "status_report", "table"]


def moment(seconds: float | None) -> str:
    """Return a time in this machine's time zone, without fractions; a dash for none."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S") if seconds is not None else "-"


def size(count: float) -> str:
    """Return a number of bytes in powers of 1024."""
    for unit in ("B", "K", "M", "G"):
        if count < 1024:
            return f"{count:.0f}{unit}" if unit == "B" or count >= 10 else f"{count:.1f}{unit}"
        count /= 1024
    return f"{count:.1f}T"


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table with aligned columns; the last one may be long. Foreign text is made harmless."""
    cells = [tuple(heads), *(tuple(harmless(str(cell)) for cell in row) for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(heads) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in cells
    )


def status_report(status: Mapping[str, Any]) -> str:
    """Return the verdict and the figures of a daemon."""
    summary = status["summary"]
    waiting, failed = summary["handoffs"]["waiting"], summary["handoffs"]["failed"]
    lines = ["all is well" if status["good"] else "needs attention:"]
    for reason in status["reasons"]:
        about = [str(reason[name]) for name in ("username", "said") if reason.get(name)]
        count = f" ({reason['count']})" if reason.get("count") else ""
        lines.append(f"  {reason['kind']}{count}" + (f": {harmless(' - '.join(about))}" if about else ""))
    lines += [
        f"onec-exchange {status['version']}, running for {status['running'] / 3600:.1f} h",
        f"free {size(status['free'])}, of which {size(status['reserved'])} are reserved",
        f"received {size(status['received'])}, stored {size(status['accepted'])}",
        f"{summary['sessions']} sessions, {summary['owing']} with files to hand off",
        f"{summary['damaged']} damaged files",
        f"hand-offs: {waiting} waiting, {failed} failed",
        f"{len(status['transfers'])} pieces in transfer",
    ]
    return "\n".join(lines)


def sessions_report(items: Iterable[Mapping[str, Any]]) -> str:
    """Return the sessions."""
    rows = (
        (
            one["sessid"],
            moment(one["touched"]),
            one["files"],
            size(one["held"]),
            one["waiting"],
            one["failed"],
            one["username"],
        )
        for one in items
    )
    return table(("SESSID", "LAST USED", "FILES", "SIZE", "WAITING", "FAILED", "USER"), rows)


def handoffs_report(items: Iterable[Mapping[str, Any]]) -> str:
    """Return the hand-offs."""
    rows = (
        (
            one["id"],
            moment(one["created"]),
            "running" if one["running"] else one["state"],
            one["tries"],
            moment(one["next_try"]),
            one["username"],
            f"{one['event']} {one['filename']}".strip() + (f" - {one['words']}" if one["words"] else ""),
        )
        for one in items
    )
    return table(("ID", "CREATED", "STATE", "TRIES", "NEXT TRY", "USER", "WHAT"), rows)


def exchanges_report(items: Iterable[Mapping[str, Any]]) -> str:
    """Return exchanges."""
    rows = (
        (
            one["number"],
            moment(one["started"]),
            moment(one["ended"]),
            one["state"],
            one["files"],
            size(one["size"]),
            one["username"],
            one["words"],
        )
        for one in items
    )
    return table(("NUMBER", "BEGAN", "ENDED", "STATE", "FILES", "SIZE", "USER", "MESSAGE"), rows)


def exchange_report(found: Mapping[str, Any]) -> str:
    """Return all of one exchange."""
    line = found["line"]
    parts = [
        exchanges_report([line]),
        f"from {harmless(line['address'] or '-')}, {harmless(line['agent'] or '-')}",
        table(("SIZE", "FILE"), ((size(one["size"]), one["name"]) for one in found["files"])),
    ]
    tries = (
        (
            moment(one["begun"]),
            moment(one["ended"]),
            one["outcome"],
            f"{made['event']} {made['filename']} {one['words']}",
        )
        for made in found["imports"]
        for one in made["tries"]
    )
    parts.append(table(("TRIED", "UNTIL", "OUTCOME", "WHAT"), tries))
    refused = ((moment(one["last"]), one["count"], one["status"], one["words"]) for one in found["refusals"])
    parts.append(table(("REFUSED", "TIMES", "STATUS", "WHY"), refused))
    return "\n\n".join(part for part in parts if "\n" in part or part.startswith("from "))
