"""What somebody is told, by one verdict after the other."""

from __future__ import annotations

import json
import re
import string

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from onec_twisted.admin import notices
from onec_twisted.admin.notices import NOTICE_PAUSE, TEXTS, Subjects
from onec_twisted.admin.verdict import REASONS, Reason
from onec_twisted.exchange.texts import LANGUAGES, in_russian
from onec_twisted.model.notice import RAISED, RECOVERED

FAILED = Reason(kind="failed", count=2, said="no such group")
SILENT = Reason(kind="overdue", username="shop", since=5.0)


def told(subjects: Subjects, now: float, *reasons: Reason) -> list[tuple[str, str]]:
    """Return the subjects and states of the notices that follow."""
    return [(notice.subject, notice.state) for notice in subjects.update(reasons, now)]


def test_trouble_and_recovery_are_told_once() -> None:
    """However often one looks meanwhile; each subject for itself."""
    subjects = Subjects("en", str)
    assert told(subjects, 0.0, FAILED) == [("failed", RAISED)]
    assert told(subjects, 30.0, FAILED, SILENT) == [("overdue:shop", RAISED)]
    assert told(subjects, 60.0, FAILED, SILENT) == []
    assert told(subjects, 90.0, SILENT) == [("failed", RECOVERED)]
    assert told(subjects, 120.0, SILENT) == []


def test_shops_are_named() -> None:
    """Each is a subject of its own; the default one is as if there were no other."""
    subjects = Subjects("en", str)
    reasons = (
        evolve(FAILED, shop="north"),
        evolve(FAILED, shop="default"),
        evolve(SILENT, username="north:alice"),
        SILENT,
    )
    found = subjects.update(reasons, 0.0)

    assert [notice.subject for notice in found] == [
        "failed:north",
        "failed",
        "overdue:north:alice",
        "overdue:shop",
    ]
    assert found[0].words.startswith("north: 2 imports have failed")
    assert found[2].words == "north: alice has sent nothing for longer than expected"
    assert [notice.user for notice in found] == ["", "", "north:alice", "shop"]
    assert found[3].words.startswith("shop has")


def test_what_comes_and_goes_is_told_once_an_hour() -> None:
    """After that, if it still stands."""
    subjects = Subjects("en", str)
    told(subjects, 0.0, FAILED)
    told(subjects, 30.0)
    assert told(subjects, 60.0, FAILED) == []
    assert told(subjects, 90.0) == []
    assert told(subjects, 120.0, FAILED) == []
    assert told(subjects, NOTICE_PAUSE, FAILED) == [("failed", RAISED)]


@given(st.lists(st.tuples(st.floats(1, 2000), st.lists(st.sampled_from([FAILED, SILENT]), unique=True)), max_size=60))
def test_never_more_often(looks: list[tuple[float, list[Reason]]]) -> None:
    """At most one bad notice per subject and hour, and each recovery follows one."""
    subjects, now = Subjects("ru", str), 0.0
    last: dict[str, tuple[str, float]] = {}
    for pause, reasons in looks:
        now += pause
        for notice in subjects.update(reasons, now):
            state, at = last.get(notice.subject, (RECOVERED, -NOTICE_PAUSE))
            assert notice.state != state
            if notice.state == RAISED:
                assert now - at >= NOTICE_PAUSE
                last[notice.subject] = RAISED, now
            else:
                last[notice.subject] = RECOVERED, at


def test_silent_subjects_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that names that somebody makes up take no memory."""
    monkeypatch.setattr(notices, "MOST_SUBJECTS", 3)
    subjects = Subjects("en", str)
    for number in range(10):
        subjects.update([Reason(kind="refusing", username=f"{number}")], float(number))

    assert len(subjects._known) <= 4


def test_a_notice_as_json() -> None:
    """With words for a person, and fields for a program."""
    (notice,) = Subjects("en", str).update([FAILED], 7.0)

    assert json.loads(notice.as_json()) == {
        "version": 1,
        "event": "failed",
        "subject": "failed",
        "state": "raised",
        "user": "",
        "words": "2 imports have failed and were given up. The last: no such group",
        "time": 7.0,
        "since": None,
        "count": 2,
    }


def test_no_notice_mixes_languages() -> None:
    """What the daemon says of its health, and what nodes were told, is translated, too."""
    reasons = [
        Reason(kind="unhealthy", said="the disk has 5 bytes left, --min-free keeps 7"),
        Reason(kind="refusing", username="shop", count=3, said="Wrong user name or password"),
    ]
    words = [notice.words for notice in Subjects("ru", in_russian).update(reasons, 1.0)]

    assert words[1] == "shop получает отказы, уже 3: Неверное имя пользователя или пароль"
    assert not re.search("[a-z]{3}", words[0].replace("--min-free", "")), words[0]


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_texts_are_complete(language: str) -> None:
    """Each kind of reason has both, in each language, with known places."""
    assert set(TEXTS[language]) == set(REASONS)
    for pair in TEXTS[language].values():
        for text in pair:
            places = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
            assert places <= {"user", "count", "said"}
