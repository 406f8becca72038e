"""What the command shows of a daemon, as text: pure functions of what the API answers."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from onec_twisted.model.daemons import SILENT_AFTER
from onec_twisted.model.shops import DEFAULT_SHOP
from onec_twisted.model.shown import harmless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = [
    "exchange_report",
    "exchanges_report",
    "handoffs_report",
    "reload_report",
    "sessions_report",
    "shops_report",
    "status_report",
    "table",
    "users_report",
]


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


def _owned_table(
    heads: Sequence[str], items: Iterable[Mapping[str, Any]], cells: Callable[[Mapping[str, Any]], Sequence[object]]
) -> str:
    """Return a table of lines with a column USER, and before it SHOP if any line is of another than the default shop.

    ``cells`` returns the cells of a line; that of its user is empty, and filled in here.
    """
    items, place = list(items), heads.index("USER")
    if all(one.get("shop", DEFAULT_SHOP) == DEFAULT_SHOP for one in items):
        rows = [(*row[:place], one["username"], *row[place + 1 :]) for one in items for row in [cells(one)]]
        return table(heads, rows)
    rows = [(*row[:place], one["shop"], one["user"], *row[place + 1 :]) for one in items for row in [cells(one)]]
    return table((*heads[:place], "SHOP", *heads[place:]), rows)


def status_report(status: Mapping[str, Any]) -> str:
    """Return the verdict and the figures of a daemon."""
    summary = status["summary"]
    waiting, failed = summary["handoffs"]["waiting"], summary["handoffs"]["failed"]
    lines = ["all is well" if status["good"] else "needs attention:"]
    for reason in status["reasons"]:
        names = ("username" if reason.get("username") else "shop", "said")
        about = [str(reason[name]) for name in names if reason.get(name)]
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
    daemons = status.get("daemons")  # an older daemon tells of none
    if daemons:
        rows = ((one["name"], one["version"], f"{one['running'] / 3600:.1f} h", _seen(one)) for one in daemons)
        lines += ["", table(("DAEMON", "VERSION", "RUNNING", "SEEN"), rows)]
    return "\n".join(lines)


def _seen(daemon: Mapping[str, Any]) -> str:
    """Return when a daemon was last seen by the others."""
    silent = float(daemon["silent"])
    return f"{silent:.0f} s ago - lost" if silent > SILENT_AFTER else "now"


def sessions_report(items: Iterable[Mapping[str, Any]]) -> str:
    """Return the sessions."""
    return _owned_table(
        ("SESSID", "LAST USED", "FILES", "SIZE", "WAITING", "FAILED", "USER"),
        items,
        lambda one: (
            one["sessid"],
            moment(one["touched"]),
            one["files"],
            size(one["held"]),
            one["waiting"],
            one["failed"],
            "",
        ),
    )


def shops_report(items: Iterable[Mapping[str, Any]]) -> str:
    """Return the shops, each with its last exchange."""
    rows = (
        (
            one["name"],
            size(one["held"]),
            size(one["quota"]) if one["quota"] is not None else "-",
            one["sessions"],
            one["waiting"],
            one["failed"],
            moment(one["last"]["started"] if one["last"] else None),
            f"{one['last']['state']} {one['last']['user']}" if one["last"] else "-",
        )
        for one in items
    )
    return table(("SHOP", "SIZE", "QUOTA", "SESSIONS", "WAITING", "FAILED", "LAST BEGAN", "LAST"), rows)


def users_report(items: Iterable[Mapping[str, Any]]) -> str:
    """Return users, each with the last exchange."""
    return _owned_table(
        ("USER", "LAST BEGAN", "STATE", "MESSAGE"),
        items,
        lambda one: (
            "",
            moment(one["recent"][0]["started"]),
            one["recent"][0]["state"],
            one["recent"][0]["words"],
        ),
    )


def handoffs_report(items: Iterable[Mapping[str, Any]]) -> str:
    """Return the hand-offs."""
    return _owned_table(
        ("ID", "CREATED", "STATE", "TRIES", "NEXT TRY", "USER", "WHAT"),
        items,
        lambda one: (
            one["id"],
            moment(one["created"]),
            "running" if one["running"] else one["state"],
            one["tries"],
            moment(one["next_try"]),
            "",
            f"{one['event']} {one['filename']}".strip() + (f" - {one['words']}" if one["words"] else ""),
        ),
    )


def exchanges_report(items: Iterable[Mapping[str, Any]]) -> str:
    """Return exchanges."""
    return _owned_table(
        ("NUMBER", "BEGAN", "ENDED", "STATE", "FILES", "SIZE", "USER", "MESSAGE"),
        items,
        lambda one: (
            one["number"],
            moment(one["started"]),
            moment(one["ended"]),
            one["state"],
            one["files"],
            size(one["size"]),
            "",
            one["words"],
        ),
    )


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


def reload_report(done: Mapping[str, Any]) -> str:
    """Return what a reload has changed."""
    changed, stays = done["changed"], done["need_restart"]
    lines = [f"reloaded: {', '.join(changed) if changed else 'nothing is different'}"]
    if stays:
        lines.append(f"needs a restart: {', '.join(stays)}")
    return "\n".join(lines)
