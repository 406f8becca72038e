"""Who may not log in any more is let in by no session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from in_memory import PATH, TUS_PATH, USER, InMemory, basic, flush_failures
from line import Line
from passwords import line
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse

from onec_twisted.auth.access import PasswordFile
from onec_twisted.auth.htpasswd import HtpasswdChecker
from onec_twisted.catalog.database import Database
from onec_twisted.daemon.checkers import users_of
from onec_twisted.daemon.membership import membership_of
from onec_twisted.daemon.revocation import Revocation
from onec_twisted.model.errors import CatalogBusy
from onec_twisted.testing import inline

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tus_in_memory import TusInMemory


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with the users of the exchange in memory."""
    path = tmp_path / "htpasswd"
    path.write_bytes(line(USER, "secret") + line("other", "secret"))
    return path


def looking(exchange: InMemory, *checkers: Any, others: tuple[Any, ...] = ()) -> Callable[[], None]:
    """Return what makes the daemon look once."""
    means, parts = exchange.means, exchange.parts
    membership = membership_of(evolve(exchange.config, auth=checkers), exchange.clock)
    revocation = Revocation(
        membership=lambda: membership,
        others=others,
        sessions=means.catalog.sessions,
        locks=parts.locks,
        workers=means.workers,
    )

    def look() -> None:
        done: list[Any] = []
        revocation.once().addCallback(done.append)
        assert done == [None]

    return look


def goes_on(exchange: InMemory, cookie: str, sessid: str) -> bool:
    """Return whether a session lets its node in."""
    reply = exchange.request("POST", f"type=catalog&mode=file&filename=a&sessid={sessid}", b"x", Cookie=cookie)
    assert (reply.status, reply.body) in ((200, b"success"), (403, b"failure\nInvalid session"))
    return reply.status == 200


def warnings(events: list[dict[str, Any]]) -> list[str]:
    """Return whose sessions the log says were ended."""
    return [event["user"] for event in events if "may no longer log in" in (event["log_format"] or "")]


@pytest.mark.parametrize("how", ["removed from the file", "file emptied", "file removed"])
def test_who_may_not_log_in_any_more(
    exchange: InMemory, path: Path, how: str, nothing_left_behind: list[dict[str, Any]]
) -> None:
    """Sessions end by the third look; what was acknowledged stays, and is handed off; the log has a word of it."""
    look = looking(exchange, HtpasswdChecker(str(path), inline))
    cookie, sessid = exchange.checkauth()
    look()
    look()
    assert goes_on(exchange, cookie, sessid)
    if how == "file removed":
        path.unlink()
    else:
        path.write_bytes(b"" if how == "file emptied" else line("other", "secret"))
    look()
    assert goes_on(exchange, cookie, sessid), "an editor may save in two steps"
    look()
    look()

    assert not goes_on(exchange, cookie, sessid)
    assert warnings(nothing_left_behind) == [USER]
    assert exchange.files() == {f"{sessid}/a": b"xx"}
    exchange.clock.advance(400)
    exchange.parts.handoffs.settle_quiet()
    assert set(exchange.files()) == {f"{sessid}/a", f"{sessid}/manifest.json"}


def test_an_editor_that_saves_in_two_steps(exchange: InMemory, path: Path) -> None:
    """Ends no session, however often it does so."""
    checker = HtpasswdChecker(str(path), inline)
    look = looking(exchange, checker)
    cookie, sessid = exchange.checkauth()
    whole = path.read_bytes()
    for _ in range(3):
        path.write_bytes(b"")
        look()
        path.write_bytes(whole)
        look()
    path.unlink()
    look()
    path.write_bytes(whole)
    look()

    assert goes_on(exchange, cookie, sessid)


def test_who_was_taken_away_with_the_option(exchange: InMemory, tmp_path: Path) -> None:
    """A session of a daemon before ends as well: of ``memory:`` and ``file:``, too."""
    words = tmp_path / "words"
    words.write_bytes(b"other:secret\n")
    cookie, sessid = exchange.checkauth()
    look = looking(exchange, InMemoryUsernamePasswordDatabaseDontUse(another=b"x"), PasswordFile(str(words)))
    look()
    look()

    assert not goes_on(exchange, cookie, sessid)
    other = exchange.request("GET", "type=catalog&mode=checkauth", Authorization=basic("other", "secret"))
    assert other.status == 200
    token = other.body.decode().split("\n")
    look()
    look()
    assert goes_on(exchange, f"{token[1]}={token[2]}", token[3].removeprefix("sessid="))


def test_a_piece_on_its_way_is_dropped(exchange: InMemory, path: Path) -> None:
    """What it brings after that is not stored; a user who comes back logs in anew."""
    look = looking(exchange, HtpasswdChecker(str(path), inline))
    cookie, sessid = exchange.checkauth()
    path.write_bytes(line("other", "secret"))
    look()
    sender = Line(exchange.site)
    query = f"type=catalog&mode=file&filename=b&sessid={sessid}"
    sender.send(
        f"POST {PATH}?{query} HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\nContent-Length: 9\r\n\r\nhalf".encode()
    )
    look()
    assert sender.answered.endswith(b"failure\nSession was ended by the administrator")
    sender.lose()
    assert exchange.files() == {}
    assert not goes_on(exchange, cookie, sessid)
    path.write_bytes(line(USER, "secret"))
    look()
    assert not goes_on(exchange, cookie, sessid)
    assert goes_on(exchange, *exchange.checkauth())


def test_tus_is_another_door_to_the_same_sessions(tus: TusInMemory, path: Path) -> None:
    """The cookie opens nothing there either."""
    exchange = tus.exchange
    look = looking(exchange, HtpasswdChecker(str(path), inline))
    tus.cookie, _ = exchange.checkauth()
    assert tus.request("POST", TUS_PATH, Upload_Length="1", Upload_Metadata="filename YQ==").status == 201
    path.write_bytes(line("other", "secret"))
    look()
    look()

    assert tus.request("POST", TUS_PATH, Upload_Length="1", Upload_Metadata="filename Yg==").status == 401


def test_a_database_that_is_away(exchange: InMemory, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next check asks again; whoever notices that it is away logs it."""
    look = looking(exchange, HtpasswdChecker(str(path), inline))

    def away(*_: object) -> None:
        raise CatalogBusy("away")

    monkeypatch.setattr(Database, "survey", away)
    look()  # a failure that was logged would fail this test


def test_where_a_checker_cannot_say(exchange: InMemory, path: Path) -> None:
    """Nobody's session ends: it may be a directory of people elsewhere."""
    path.write_bytes(line("other", "secret"))
    look = looking(exchange, HtpasswdChecker(str(path), inline), object())
    cookie, sessid = exchange.checkauth()
    for _ in range(3):
        look()

    assert goes_on(exchange, cookie, sessid)
    assert users_of(object()) is None


def test_a_file_of_passwords_that_cannot_be_read(exchange: InMemory, tmp_path: Path) -> None:
    """Ends nobody's session, but when it is gone."""
    words = tmp_path / "words"
    words.write_bytes("other:secret".encode("utf-16"))
    look = looking(exchange, PasswordFile(str(words)))
    cookie, sessid = exchange.checkauth()
    for _ in range(3):
        look()
    assert goes_on(exchange, cookie, sessid)
    words.unlink()
    look()
    look()
    assert not goes_on(exchange, cookie, sessid)


def test_the_administrators_file_is_looked_at_as_well(exchange: InMemory, path: Path) -> None:
    """It has no sessions: who is gone from it cannot log in, and a file that is gone lets nobody in."""
    checker = HtpasswdChecker(str(path), inline)
    look = looking(exchange, object(), others=(checker,))
    path.unlink()
    look()
    assert checker.has(b"shop")
    look()

    assert not checker.has(b"shop")


def test_an_error_is_logged(exchange: InMemory, nothing_left_behind: list[dict[str, Any]]) -> None:
    """And the next look tries again."""
    exchange.checkauth()
    broken: Any = InMemoryUsernamePasswordDatabaseDontUse()
    look = looking(exchange, broken)
    broken.users = None
    look()
    assert len(flush_failures(nothing_left_behind)) == 1
