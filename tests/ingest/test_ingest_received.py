"""Each file is logged once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onec_twisted.ingest import received
from onec_twisted.ingest.received import ReceivedFiles
from onec_twisted.model.records import Session

if TYPE_CHECKING:
    import pytest

S, T = Session("s", "shop", 1, 0, 1.0), Session("t", "other", 1, 0, 1.0)


def told(events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return what was logged of files: by name, or how many more."""
    return [(event["sessid"], event.get("name", event.get("count")), event["size"]) for event in events]


def test_a_file_of_three_pieces(nothing_left_behind: list[dict[str, Any]]) -> None:
    """It is one line, when another begins or the session does something else."""
    files = ReceivedFiles()
    for committed in (10, 20, 25):
        files.stored(S, "import0_1.xml", committed)
    files.stored(T, "other.xml", 7)
    assert told(nothing_left_behind) == []
    files.stored(S, "offers0_1.xml", 5)
    assert told(nothing_left_behind) == [("s", "import0_1.xml", 25)]
    assert nothing_left_behind[0]["pieces"] == 3
    files.over("s")
    files.over("s")
    files.over("t")

    assert told(nothing_left_behind)[1:] == [("s", "offers0_1.xml", 5), ("t", "other.xml", 7)]


def test_many_files(nothing_left_behind: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Some are named, the others are counted in one line."""
    monkeypatch.setattr(received, "MOST_LOGGED", 2)
    files = ReceivedFiles()
    for number in range(5):
        files.stored(S, f"{number}.jpg", 10)
    files.over("s")

    assert told(nothing_left_behind) == [("s", "0.jpg", 10), ("s", "1.jpg", 10), ("s", 3, 30)]


def test_a_node_that_falls_silent(nothing_left_behind: list[dict[str, Any]]) -> None:
    """Its last file is logged all the same, once nothing came for a while."""
    files = ReceivedFiles()
    files.stored(S, "a", 1)
    files.end_quiet()
    files.stored(S, "a", 2)
    files.end_quiet()
    assert told(nothing_left_behind) == []
    files.end_quiet()
    files.end_quiet()

    assert told(nothing_left_behind) == [("s", "a", 2)]


def test_sessions_that_never_end(nothing_left_behind: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten, with their line."""
    monkeypatch.setattr(received, "MOST_SESSIONS", 1)
    files = ReceivedFiles()
    files.stored(S, "a", 1)
    files.stored(T, "b", 2)

    assert told(nothing_left_behind) == [("s", "a", 1)]
