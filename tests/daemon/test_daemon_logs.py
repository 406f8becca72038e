"""Lines of the log: one for each event, whatever is in it."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import ILogObserver, Logger
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from onec_twisted.daemon.logs import FORMATS, LogFile, is_ours, json_line, log_file, make_observer, text_line

if TYPE_CHECKING:
    from pathlib import Path


def event_of(words: str, **fields: Any) -> dict[str, Any]:
    """Return an event as a Logger makes it."""
    events: list[dict[str, Any]] = []
    source = Logger("a.b", observer=events.append)  # type: ignore[arg-type]
    source.warn(words, **fields)
    events[0]["log_time"] = 1_800_000_000.25
    return events[0]


def test_text() -> None:
    """Time, who and how bad, and the words."""
    line = text_line(event_of("{size} bytes", size=5))

    assert line is not None
    assert line.endswith(" [a.b#warn] 5 bytes\n")


def test_json() -> None:
    """The same as fields, with all that belongs to the event."""
    line = json_line(event_of("{size} bytes of {name}", size=5, name="Ж\n", raw=b"\xff", other=[1], none=None))

    assert json.loads(line or "") == {
        "time": "2027-01-15T08:00:00.250000Z",
        "level": "warn",
        "logger": "a.b",
        "message": "5 bytes of Ж\n",
        "size": 5,
        "name": "Ж\n",
        "raw": "�",
        "other": "[1]",
        "none": None,
    }


@given(form=st.sampled_from(sorted(FORMATS)), words=st.text(), name=st.text(), raw=st.binary())
def test_one_event_is_one_line(form: str, words: str, name: str, raw: bytes) -> None:
    """Whatever a stranger makes us write."""
    line = FORMATS[form](
        event_of("refused: {name} {raw}" + words.replace("{", "").replace("}", ""), name=name, raw=raw)
    )

    assert line is not None
    assert line.endswith("\n")
    assert "\n" not in line[:-1]
    assert "\r" not in line
    assert form == "text" or json.loads(line)["name"] == name


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_a_traceback_is_part_of_the_line(form: str) -> None:
    """So that no other line comes between."""
    try:
        raise ZeroDivisionError("no\nway")
    except ZeroDivisionError:
        event = event_of("it failed", log_failure=Failure())
    line = FORMATS[form](event)

    assert line is not None
    assert line.count("\n") == 1
    assert "ZeroDivisionError" in line
    assert form == "text" or "ZeroDivisionError: no\nway" in json.loads(line)["traceback"]


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_an_event_that_says_nothing(form: str) -> None:
    """It has no line."""
    assert FORMATS[form]({"log_time": 0.0}) is None


class Awkward:
    """A value that has no text."""

    def __str__(self) -> str:
        """Fail."""
        raise ZeroDivisionError


def test_a_field_without_text(tmp_path: Path) -> None:
    """The log goes on."""
    file = LogFile(str(tmp_path / "log"))
    observer = make_observer("json", file)
    observer(event_of("one", field=Awkward()))
    observer(event_of("two"))

    first, second = (tmp_path / "log").read_text().splitlines()
    assert "could not be written" in first
    assert json.loads(second)["message"] == "two"
    closed(file)


def closed(file: LogFile) -> None:
    """Close a file that a daemon would keep."""
    file._file.close()


def test_lines_are_added_to_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in it stays; a daemon without ``--logfile`` writes where twistd would."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "twistd.log").write_text("before\n")
    file = log_file({"logfile": None, "nodaemon": False})
    assert file is not None
    observer = make_observer("text", file)
    assert verifyObject(ILogObserver, observer)
    observer(event_of("after"))

    assert (tmp_path / "twistd.log").read_text().splitlines()[0] == "before"
    assert "after" in (tmp_path / "twistd.log").read_text()
    closed(file)


def test_a_file_that_logrotate_has_moved(tmp_path: Path, nothing_left_behind: list[dict[str, Any]]) -> None:
    """Lines go to the new one once it is opened; one that cannot be opened changes nothing."""
    path = tmp_path / "log"
    file = LogFile(str(path))
    observer = make_observer("text", file)
    path.rename(tmp_path / "log.1")
    observer(event_of("one"))
    file.reopen()
    observer(event_of("two"))
    path.rename(tmp_path / "log.2")
    path.mkdir()
    file.reopen()
    observer(event_of("three"))

    assert [line.split()[-1] for line in (tmp_path / "log.1").read_text().splitlines()] == ["one"]
    assert [line.split()[-1] for line in (tmp_path / "log.2").read_text().splitlines()] == ["two", "three"]
    assert [event["reason"] for event in nothing_left_behind if "reason" in event] == ["Is a directory"]
    closed(file)


def test_a_file_whose_disk_is_full_is_opened_anew(tmp_path: Path) -> None:
    """What could not be written is lost; what comes is not."""
    file = LogFile("/dev/full")
    with pytest.raises(OSError, match="No space"):
        file.write("one\n")
    file.path = str(tmp_path / "log")
    file.reopen()
    file.write("two\n")

    assert (tmp_path / "log").read_text() == "two\n"
    closed(file)


def test_a_file_is_opened_anew_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though twistd has gone to its ``--rundir`` meanwhile."""
    (tmp_path / "rundir").mkdir()
    monkeypatch.chdir(tmp_path)
    file = log_file({"logfile": "log"})
    assert file is not None
    monkeypatch.chdir(tmp_path / "rundir")
    file.reopen()
    file.write("one\n")

    assert (tmp_path / "log").read_text() == "one\n"
    closed(file)


def test_letters_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No event is lost for them, in a file or on a terminal of another code page."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", out)
    file = LogFile(str(tmp_path / "log"))
    for observer in (make_observer("text", None), make_observer("json", file)):
        observer(event_of("opened by {user}", user="магазин \ud800"))
    out.flush()

    assert b"opened by \\u043c" in out.buffer.getvalue()
    assert "магазин" in (tmp_path / "log").read_text()
    closed(file)


def test_what_a_terminal_would_do(tmp_path: Path) -> None:
    """Control characters are told, not done."""
    line = text_line(event_of("{said}", said="a\x1b[2Jb\x00c\u2028d\x85e\tf\\g"))

    assert line is not None
    assert line.endswith("a\\x1b[2Jb\\x00c\\u2028d\\x85e\tf\\\\g\n")


def test_numbers_that_json_does_not_know() -> None:
    """They are texts."""
    line = json_line(event_of("x", nan=float("nan"), infinite=float("inf"), ends="\u2028\x85"))

    assert line is not None
    assert len(line.splitlines()) == 1
    told = json.loads(line, parse_constant=pytest.fail)
    assert (told["nan"], told["infinite"], told["ends"]) == ("nan", "inf", "\u2028\x85")


def test_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the foreground lines go there."""
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    for name in (None, "-"):
        assert log_file({"logfile": name, "nodaemon": True}) is None
    make_observer("text", None)(event_of("seen"))

    assert out.getvalue().count("seen\n") == 1


@pytest.mark.parametrize(
    ("twistd", "ours"),
    [
        ({"syslog": True}, False),
        ({"logfile": "-", "nodaemon": False}, False),
        ({"logfile": "-", "nodaemon": True}, True),
        ({}, True),
    ],
)
def test_what_is_left_to_twistd(twistd: dict[str, Any], ours: bool) -> None:
    """Syslog, and a daemon that cannot write to standard output: twistd says so."""
    assert is_ours(twistd) is ours


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """The start ends with the system's words."""
    with pytest.raises(OSError, match="Is a directory"):
        log_file({"logfile": str(tmp_path)})
