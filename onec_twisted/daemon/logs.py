"""The log: one line per event, for people or for programs.

``twisted.logger`` has the observers; this module formats the lines. They go to standard output, or are appended to
twistd's ``--logfile``; rotation is left to the system: the journal, or logrotate with SIGUSR1.
"""

from __future__ import annotations

import io
import json
import math
import re
import sys
from contextlib import suppress
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from attrs import define, field
from twisted.logger import FileLogObserver, Logger, eventAsText, formatEvent

from onec_twisted.daemon.config import CannotStart

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["FORMATS", "LogFile", "is_ours", "json_line", "log_file", "log_of", "make_observer", "text_line"]

_OBEYED = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029)}
"""Line ends and control characters that JSON does not escape."""

LEGACY = frozenset({"message", "time", "system", "isError", "format", "why", "failure"})
"""Keys of the older ``twisted.python.log``, which other fields replace."""

_UNSEEN = re.compile(r"[\\\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
"""Line ends and control characters, and the backslash that escapes them."""


SESSID_SHOWN = 8
"""Characters of a sessid in a line for people: enough to tell sessions apart, and to find the folder."""


def _short(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event with the beginning of its sessid; JSON has all of it."""
    sessid = event.get("sessid")
    if not isinstance(sessid, str) or len(sessid) <= SESSID_SHOWN:
        return event
    return {**event, "sessid": sessid[: SESSID_SHOWN + (sessid.find("-") + 1)]}


def text_line(event: dict[str, Any]) -> str | None:
    """Return an event as a line for people, with its traceback; None for an empty event."""
    text = eventAsText(_short(event))
    return _UNSEEN.sub(lambda found: repr(found[0])[1:-1], text) + "\n" if text else None


def json_line(event: dict[str, Any]) -> str | None:
    """Return an event as a line of JSON; None for an empty event.

    ``time`` is in RFC 3339 format and UTC, ``level`` and ``logger`` are Twisted's, ``message`` is the text of the
    other format; the event's own fields follow, and ``traceback`` if there is one.
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
    return json.dumps(line, ensure_ascii=False).translate(_OBEYED) + "\n"


def _plain(value: object) -> object:
    """Return a value in a form that JSON can represent."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


FORMATS: dict[str, Callable[[dict[str, Any]], str | None]] = {"text": text_line, "json": json_line}
"""The values of ``--log-format``."""


@define(eq=False)
class LogFile:
    """A file that lines are appended to; logrotate may rename it, and has it reopened by SIGUSR1."""

    path: str
    _file: TextIO = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Open the file. Raises ``OSError``."""
        self._file = self._opened()

    def _opened(self) -> TextIO:
        return open(self.path, "a", encoding="utf-8", errors="backslashreplace", buffering=1)

    def write(self, text: str) -> None:
        """Append a line."""
        self._file.write(text)

    def flush(self) -> None:
        """Do nothing: each line is flushed."""

    def reopen(self) -> None:
        """Reopen the file by its path; if that fails, keep the old one."""
        try:
            fresh = self._opened()
        except OSError as error:
            Logger(namespace=__name__).error(
                "{path} cannot be reopened ({reason})", path=self.path, reason=error.strerror
            )
            return
        self._file, old = fresh, self._file
        with suppress(OSError):  # the disk may be full
            old.close()


def log_file(twistd: Mapping[str, Any]) -> LogFile | None:
    """Return the file that twistd's options name, None for standard output. Raises ``OSError``."""
    name = twistd.get("logfile")
    if name == "-" or (not name and twistd.get("nodaemon")):
        return None
    return LogFile(str(Path(name or "twistd.log").absolute()))  # twistd changes to --rundir later


def is_ours(twistd: Mapping[str, Any]) -> bool:
    """Return whether we write the log: not to syslog, and not where twistd reports an error."""
    return not twistd.get("syslog") and (twistd.get("logfile") != "-" or bool(twistd.get("nodaemon")))


def make_observer(form: str, file: LogFile | None) -> FileLogObserver:
    """Return the observer that writes lines of ``form`` to a file, or to standard output."""
    if file is None and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a line must not be lost because of a letter
    return FileLogObserver(file or sys.stdout, partial(_never_fails, FORMATS[form]))  # type: ignore[arg-type]  # it needs less than an IO


def _never_fails(line_of: Callable[[dict[str, Any]], str | None], event: dict[str, Any]) -> str | None:
    """Return a line for an event, even if formatting its fields raises an exception."""
    try:
        return line_of(event)
    except Exception as error:
        return f"an event of {event.get('log_namespace')} could not be written: {type(error).__name__}\n"


def log_of(twistd: Mapping[str, Any], form: str) -> tuple[FileLogObserver | None, Callable[[], None] | None]:
    """Return the log's observer and the function that reopens its file; None and None if twistd writes the log.

    Raises ``CannotStart``.
    """
    if not is_ours(twistd):
        return None, None
    try:
        file = log_file(twistd)
    except OSError as error:
        raise CannotStart(f"--logfile={twistd.get('logfile')}: cannot be written ({error.strerror})") from None
    return make_observer(form, file), file.reopen if file is not None else _do_nothing


def _do_nothing() -> None:
    """Leave standard output open."""
