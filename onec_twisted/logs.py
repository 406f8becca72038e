"""Events as lines, one each: for people, or for programs.

``twisted.logger`` has the observers; here is what a line looks like. Lines go to standard output, or to the end of
twistd's ``--logfile``; turning that over is left to the system: the journal, or logrotate with ``copytruncate``.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

from twisted.logger import FileLogObserver, eventAsText, formatEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["FORMATS", "json_line", "make_observer", "text_line"]

LEGACY = frozenset({"message", "time", "system", "isError", "format", "why", "failure"})
"""Keys of the older ``twisted.python.log``, which are told in other words."""


def text_line(event: dict[str, Any]) -> str | None:
    """Return an event as a line for people; None for one that says nothing. Tracebacks are part of the line."""
    text = eventAsText(event)
    return text.replace("\\", "\\\\").replace("\r", "\\r").replace("\n", "\\n") + "\n" if text else None


def json_line(event: dict[str, Any]) -> str | None:
    """Return an event as a line of JSON; None for one that says nothing.

    ``time`` is in RFC 3339's form and UTC, ``level`` and ``logger`` are Twisted's, ``message`` is what the other
    format would say; the event's own fields follow, and ``traceback`` where there is one.
    """
    message = formatEvent(event)
    failure = event.get("log_failure")
    if not message and failure is None:
        return None
    moment = datetime.fromtimestamp(event.get("log_time", 0), timezone.utc)
    line = {
        "time": moment.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "level": getattr(event.get("log_level"), "name", "info"),
        "logger": event.get("log_namespace", "-"),
        "message": message,
    }
    for name, value in event.items():
        if not name.startswith("log_") and name not in LEGACY and name not in line:
            line[name] = _plain(value)
    if failure is not None:
        line["traceback"] = failure.getTraceback()
    return json.dumps(line, ensure_ascii=False) + "\n"


def _plain(value: object) -> object:
    """Return what JSON can say of a value."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


FORMATS: dict[str, Callable[[dict[str, Any]], str | None]] = {"text": text_line, "json": json_line}
"""What ``--log-format`` may be."""


def make_observer(form: str, twistd: Mapping[str, Any]) -> FileLogObserver | None:
    """Return the observer that writes lines of ``form`` to where ``twistd``'s options want them.

    None where twistd does that itself: to syslog, and where it will complain. Raises ``OSError`` for a file that
    cannot be written.
    """
    name = twistd.get("logfile")
    if twistd.get("syslog") or (name == "-" and not twistd.get("nodaemon")):
        return None
    out: TextIO = sys.stdout
    if name != "-" and (name or not twistd.get("nodaemon")):
        out = open(name or "twistd.log", "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - open as long as we run
    return FileLogObserver(out, partial(_never_fails, FORMATS[form]))


def _never_fails(line_of: Callable[[dict[str, Any]], str | None], event: dict[str, Any]) -> str | None:
    """Return a line for an event whatever its fields do when they are asked for their text."""
    try:
        return line_of(event)
    except Exception as error:
        return f"an event of {event.get('log_namespace')} could not be written: {type(error).__name__}\n"
