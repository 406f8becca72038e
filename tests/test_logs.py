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

from onec_twisted.logs import FORMATS, json_line, make_observer, text_line

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
    observer = make_observer("json", {"logfile": str(tmp_path / "log"), "nodaemon": True})
    assert observer is not None
    observer(event_of("one", field=Awkward()))
    observer(event_of("two"))

    first, second = (tmp_path / "log").read_text().splitlines()
    assert "could not be written" in first
    assert json.loads(second)["message"] == "two"
    observer._outFile.close()


def test_lines_are_added_to_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in it stays; a daemon without ``--logfile`` writes where twistd would."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "twistd.log").write_text("before\n")
    observer = make_observer("text", {"logfile": None, "nodaemon": False})
    assert verifyObject(ILogObserver, observer)
    assert observer is not None
    observer(event_of("after"))

    assert (tmp_path / "twistd.log").read_text().splitlines()[0] == "before"
    assert "after" in (tmp_path / "twistd.log").read_text()
    observer._outFile.close()


def test_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the foreground lines go there."""
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    for name in (None, "-"):
        observer = make_observer("text", {"logfile": name, "nodaemon": True})
        assert observer is not None
        observer(event_of("seen"))

    assert out.getvalue().count("seen\n") == 2


@pytest.mark.parametrize("twistd", [{"syslog": True}, {"logfile": "-", "nodaemon": False}])
def test_what_is_left_to_twistd(twistd: dict[str, Any]) -> None:
    """Syslog, and a daemon that cannot write to standard output: twistd says so."""
    assert make_observer("text", twistd) is None


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """The start ends with the system's words."""
    with pytest.raises(OSError, match="Is a directory"):
        make_observer("text", {"logfile": str(tmp_path)})
