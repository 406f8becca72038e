"""Sessions in use, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onec_twisted.catalog import cache
from onec_twisted.catalog.cache import KnownSession, KnownSessions
from onec_twisted.model.records import FileRecord, Session

if TYPE_CHECKING:
    import pytest


def known(sessid: str = "s", files: int = 0) -> KnownSession:
    """Return a session in its first epoch, with files of 1 byte."""
    session = Session(sessid, "shop", epoch=1, held=files, touched=1.0)
    return KnownSession(session, {f"f{n}": FileRecord(1, 0) for n in range(files)})


def test_outcomes_that_come_late_change_nothing() -> None:
    """Of an epoch that is gone, or of a length that a file has left behind."""
    session = known(files=1)
    session.commit(1, "f0", 1, 5, 2.0)
    session.prove(1, "f0", 1)
    assert session.files["f0"] == FileRecord(5, 1)
    session.start_epoch(2, 3.0)
    session.commit(1, "f0", 5, 9, 4.0)
    session.prove(1, "f0", 5)
    session.damage(1, ["f0"])
    session.start_epoch(2, 9.0)

    assert session.files == {}
    assert session.session == Session("s", "shop", epoch=2, held=0, touched=3.0)


def test_a_sealed_file_stays_sealed() -> None:
    """A proof that comes after the hand-off, or a piece that was recorded before it, changes nothing about that."""
    session = known(files=1)
    session.seal(1, ["f0", "gone"])
    session.prove(1, "f0", 1)
    assert session.files["f0"] == FileRecord(1, 0, proven=True, sealed=True)
    session.commit(1, "f0", 1, 5, 2.0)
    assert session.files["f0"] == FileRecord(5, 1, sealed=True)
    session.start_epoch(2, 3.0)
    session.commit(2, "f0", None, 1, 4.0)
    session.seal(1, ["f0"])

    assert session.files["f0"] == FileRecord(1, 0)


def test_time_never_goes_back() -> None:
    """Whichever outcome comes first."""
    session = known()
    session.touch(9.0)
    session.touch(5.0)
    session.commit(1, "a", None, 1, 6.0)

    assert session.session.touched == 9.0


def test_the_least_recently_used_is_forgotten() -> None:
    """When there are too many sessions."""
    sessions = KnownSessions(sessions=2)
    sessions.add("ta", known("a"))
    sessions.add("tb", known("b"))
    assert sessions.of_token("ta") is not None
    sessions.add("tc", known("c"))

    assert sessions.of_token("tb") is None
    assert sessions.of_sessid("b") is None
    assert sessions.of_token("ta") is not None
    assert sessions.of_sessid("c") is not None


def test_files_are_bounded() -> None:
    """Those of all sessions but the one in use together."""
    sessions = KnownSessions(files=10)
    for name in "abcd":
        sessions.add(f"t{name}", known(name, files=6))

    assert [name for name in "abcd" if sessions.of_sessid(name) is not None] == ["c", "d"]


def test_a_session_is_known_once() -> None:
    """One that is added again takes the place of what was known."""
    sessions = KnownSessions()
    sessions.add("t", known(files=1))
    again = known(files=2)
    sessions.add("t", again)
    assert sessions.of_token("t") is again
    sessions.forget("s")
    sessions.forget("s")

    assert sessions.of_token("t") is None


def test_a_file_that_was_not_read_is_not_known() -> None:
    """Of a session with very many; what is new is, and what is told of another changes nothing but the sum."""
    session = KnownSession(Session("s", "shop", 1, 100, 1.0), complete=False, count=20)
    assert not session.knows("a")
    session.commit(1, "a", 5, 9, 2.0)
    session.commit(1, "new", None, 3, 2.0)
    session.seal(1, ["a"])
    assert (session.files, session.count, session.session.held) == ({"new": FileRecord(3, 0)}, 21, 107)
    session.remove(1, "new")
    assert (session.count, session.session.held) == (20, 104)
    session.start_epoch(2, 3.0)

    assert (session.complete, session.count) == (True, 0)


def test_files_that_come_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that has more than may be in memory goes on, and each file is read when it is asked for."""
    monkeypatch.setattr(cache, "TRIM_AFTER", 10)
    sessions = KnownSessions(files=100)
    one, two = known("a"), known("b")
    sessions.add("ta", one)
    sessions.add("tb", two)
    for number in range(150):
        two.commit(1, f"f{number}", None, 1, 2.0)
        sessions.note_file()
    assert (two.complete, two.count) == (False, 150)
    assert len(two.files) <= 110
    for number in range(150):
        one.commit(1, f"f{number}", None, 1, 2.0)
        sessions.note_file()

    assert len(one.files) + len(two.files) <= 220
    assert sessions.of_sessid("b") is two
