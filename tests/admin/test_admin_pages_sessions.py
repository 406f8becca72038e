"""The list of sessions."""

from __future__ import annotations

from typing import Any

from pages import HOSTILE, NOW, frame, read, source_of

from onec_twisted.admin.pages.sessions import sessions
from onec_twisted.admin.words.english import ENGLISH
from onec_twisted.catalog.sql.overview import MANY_FILES, Overview, SessionLine, Summary
from onec_twisted.model.records import Session


def seen(total: int = 1, **changes: Any) -> Overview:
    """Return a session that owes nothing, of so many."""
    values: dict[str, Any] = {"owed": False, "files": 3, "damaged": False, "waiting": 0, "failed": 0}
    session = Session("a" * 32, changes.pop("username", "shop"), 1, 2048, NOW - 60)
    return Overview(Summary(total, 0, 0, {}), (SessionLine(session, **(values | changes)),), ())


def test_a_session() -> None:
    """Who, how much, when; it can be ended, and what is lost is said before."""
    document = read(sessions(frame(), seen()))

    assert document.all("form")[0]["data-confirm"] == ENGLISH.end_question
    for changes in ({"owed": True}, {"failed": 1}):
        document = read(sessions(frame(), seen(**changes)))
        assert document.all("form")[0]["data-confirm"] == ENGLISH.end_loses
    assert "2.0 KB" in document.text


def test_what_is_handed_off_cannot_be_ended() -> None:
    """It has no button."""
    document = read(sessions(frame(), seen(waiting=2, damaged=True)))

    assert document.all("form") == []
    assert ENGLISH.damaged in document.text
    assert f"{ENGLISH.waiting}: 2" in document.text


def test_what_is_not_shown_is_counted() -> None:
    """Of sessions, and of files."""
    text = read(sessions(frame(), seen(3000, files=MANY_FILES + 1))).text

    assert "Not shown: 2999" in text
    assert f"{ENGLISH.and_more} {MANY_FILES}" in text


def test_a_hostile_user_is_text() -> None:
    """In a cell and in a label."""
    assert "<script" not in source_of(sessions(frame(), seen(username=HOSTILE)))
