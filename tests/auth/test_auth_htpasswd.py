"""Users and bcrypt hashes in a file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from in_memory import flush_failures
from passwords import line
from pytest_twisted import ensureDeferred
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import ICheckerFactory, InvalidAuthArgumentString, findCheckerFactory
from zope.interface.verify import verifyObject

from onec_twisted.auth.htpasswd import HtpasswdChecker, HtpasswdCheckerFactory, HtpasswdUnreadable, parse_htpasswd
from onec_twisted.auth.interfaces import IKnowingChecker
from onec_twisted.testing import inline

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one user."""
    path = tmp_path / "htpasswd"
    path.write_bytes(b"# who may upload\n\n" + line("shop", "se:cr:et"))
    return path


def accepts(checker: HtpasswdChecker, user: str, password: str | bytes) -> bool:
    """Return what the checker says."""
    password = password.encode() if isinstance(password, str) else password
    outcome: list[Any] = []
    checker.requestAvatarId(UsernamePassword(user.encode(), password)).addBoth(outcome.append)
    if outcome[0] == user.encode():
        return True
    outcome[0].trap(UnauthorizedLogin)
    return False


def test_they_are_what_they_say(path: Path) -> None:
    """strcred finds the factory, and cred can use the checker."""
    factory = findCheckerFactory("htpasswd")

    assert isinstance(factory, HtpasswdCheckerFactory)
    assert verifyObject(ICheckerFactory, factory)
    assert verifyObject(ICredentialsChecker, factory.generateChecker(str(path)))


def test_right_and_wrong(path: Path) -> None:
    """A password may hold colons; near is not right."""
    checker = HtpasswdChecker(str(path), inline)

    assert accepts(checker, "shop", "se:cr:et")
    assert not accepts(checker, "shop", "se")
    assert not accepts(checker, "shop", "")
    assert not accepts(checker, "nobody", "se:cr:et")
    assert not accepts(checker, "", "se:cr:et")


@pytest.mark.parametrize("password", ["пароль", "я" * 50, "x" * 100])
def test_letters_and_length(path: Path, password: str) -> None:
    """bcrypt looks at 72 bytes; a longer password works as it does with ``htpasswd``."""
    path.write_bytes(line("Иван", password.encode()[:72].decode(errors="ignore")))
    checker = HtpasswdChecker(str(path), inline)

    assert accepts(checker, "Иван", password)
    assert not accepts(checker, "Иван", "y" + password)


def test_a_nul_is_wrong_not_an_error(path: Path) -> None:
    """bcrypt would raise."""
    assert not accepts(HtpasswdChecker(str(path), inline), "shop", b"se:cr:et\0")


def checks_of(checker: HtpasswdChecker) -> list[bytes]:
    """Return a list that takes each hash which is checked against from now on."""
    checked: list[bytes] = []
    real = checker._bcrypt

    class Counting:
        """bcrypt that notes what it checks against."""

        @staticmethod
        def checkpw(password: bytes, hashed: bytes) -> bool:
            """Note it."""
            checked.append(hashed)
            return bool(real.checkpw(password, hashed))

    checker._bcrypt = Counting  # type: ignore[assignment]
    return checked


def test_an_unknown_user_costs_as_much(path: Path) -> None:
    """A hash of the file's cost is checked for whoever is not in it."""
    path.write_bytes(line("shop", "x", cost=5))
    checker = HtpasswdChecker(str(path), inline)
    checked = checks_of(checker)
    accepts(checker, "shop", "x")
    accepts(checker, "nobody", "x")
    accepts(checker, "shop", b"\0")

    assert [hashed[4:6] for hashed in checked] == [b"05"] * 3


def test_the_right_password_is_known_again(path: Path) -> None:
    """A client of tus sends it with each request; what is wrong costs as much as ever."""
    checker = HtpasswdChecker(str(path), inline)
    checked = checks_of(checker)
    assert [accepts(checker, "shop", "se:cr:et") for _ in range(5)] == [True] * 5
    assert len(checked) == 1
    assert not accepts(checker, "shop", "se:cr:ex")
    assert len(checked) == 2
    assert accepts(checker, "shop", "se:cr:et")
    assert len(checked) == 2


def test_a_password_that_was_changed_is_not_known_any_more(path: Path) -> None:
    """Nor is a user who was removed."""
    checker = HtpasswdChecker(str(path), inline)
    assert accepts(checker, "shop", "se:cr:et")
    path.write_bytes(line("shop", "new"))
    os.utime(path, ns=(1, 1))
    assert not accepts(checker, "shop", "se:cr:et")
    assert accepts(checker, "shop", "new")
    path.write_bytes(line("other", "x"))
    os.utime(path, ns=(2, 2))
    assert not accepts(checker, "shop", "new")


def knows(checker: HtpasswdChecker, password: str, user: str = "shop") -> bool:
    """Return whether the checker knows a password to be right."""
    outcome: list[bool] = []
    checker.knows(UsernamePassword(user.encode(), password.encode())).addCallback(outcome.append)
    return outcome[0]


def test_what_is_known_is_not_checked(path: Path) -> None:
    """Only what was right; a password that was changed is not known at once, and its old one never again."""
    checker = HtpasswdChecker(str(path), inline)
    assert verifyObject(IKnowingChecker, checker)
    checked = checks_of(checker)
    assert not knows(checker, "se:cr:et")
    assert accepts(checker, "shop", "se:cr:et")
    assert knows(checker, "se:cr:et")
    assert not knows(checker, "se:cr:ex")
    assert not knows(checker, "se:cr:et\0")
    assert not knows(checker, "se:cr:et", "nobody")
    assert len(checked) == 1
    path.write_bytes(line("shop", "new"))
    assert not knows(checker, "se:cr:et")
    assert not knows(checker, "new")
    assert not accepts(checker, "shop", "se:cr:et")


@pytest.mark.parametrize("emptied", [True, False])
def test_a_file_without_users_at_two_looks(
    path: Path, emptied: bool, nothing_left_behind: list[dict[str, Any]]
) -> None:
    """Lets nobody in, what was known to be right neither; users who come back are known again."""
    checker = HtpasswdChecker(str(path), inline)
    whole = path.read_bytes()
    assert accepts(checker, "shop", "se:cr:et")
    if emptied:
        path.write_bytes(b"# nobody\n")
    else:
        path.unlink()
    checker.look()
    assert accepts(checker, "shop", "se:cr:et")
    assert checker.has(b"shop")
    checker.look()
    assert not knows(checker, "se:cr:et")
    assert not accepts(checker, "shop", "se:cr:et")
    assert not checker.has(b"shop")
    checker.look()
    told = [event["log_format"] for event in nothing_left_behind if "reason" in event]
    assert len(told) == 2, "once that it is so, and once what that means"
    path.write_bytes(whole)
    checker.look()
    assert checker.has(b"shop")
    assert accepts(checker, "shop", "se:cr:et")


def test_users_who_came_back_between_two_looks(path: Path) -> None:
    """As soon as one of them has logged in, the file is not taken for gone."""
    checker = HtpasswdChecker(str(path), inline)
    whole = path.read_bytes()
    path.unlink()
    checker.look()
    path.write_bytes(whole)
    assert accepts(checker, "shop", "se:cr:et")
    path.unlink()
    checker.look()
    assert checker.has(b"shop")


def test_a_file_with_a_slip_keeps_its_users(path: Path, nothing_left_behind: list[dict[str, Any]]) -> None:
    """However often it is looked at; the log says it once, whoever guesses meanwhile."""
    checker = HtpasswdChecker(str(path), inline)
    path.write_bytes(path.read_bytes() + b"other:password\n")
    for _ in range(3):
        checker.look()
        assert not accepts(checker, "shop", "guess")
        assert accepts(checker, "shop", "se:cr:et")
    assert len([event for event in nothing_left_behind if "line 4" in event.get("reason", "")]) == 1


def test_a_changed_file_is_read_again(path: Path) -> None:
    """Without a restart."""
    checker = HtpasswdChecker(str(path), inline)
    path.write_bytes(line("other", "new"))
    os.utime(path, ns=(1, 1))

    assert accepts(checker, "other", "new")
    assert not accepts(checker, "shop", "se:cr:et")


def test_a_file_that_goes_away_is_logged(path: Path, nothing_left_behind: list[dict[str, Any]]) -> None:
    """The users known before stay: an editor that saves in two steps locks nobody out."""
    checker = HtpasswdChecker(str(path), inline)
    path.unlink()

    assert accepts(checker, "shop", "se:cr:et")
    assert any("cannot read" in event.get("reason", "") for event in nothing_left_behind)
    assert flush_failures(nothing_left_behind) == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1251"])
def test_a_file_from_windows(path: Path, encoding: str) -> None:
    """Its first user logs in, whatever stands before it; so does one with a Russian name."""
    text = (line("shop", "x") + line("Иван", "y")).decode()
    path.write_bytes(text.replace("\n", "\r\n").encode(encoding))
    checker = HtpasswdChecker(str(path), inline)

    assert accepts(checker, "shop", "x")
    assert accepts(checker, "Иван", "y")


def test_a_file_in_utf_16(path: Path) -> None:
    """Is told, with what to do."""
    path.write_bytes(line("shop", "x").decode().encode("utf-16"))
    with pytest.raises(HtpasswdUnreadable, match=r"htpasswd is UTF-16: save it as UTF-8"):
        HtpasswdChecker(str(path), inline)


@pytest.mark.parametrize(
    "text",
    [
        b"shop",
        b"shop:",
        b":$2y$",
        b"shop:{SHA}abc",
        b"shop:$apr1$x$y",
        b"shop:$2y$04$short",
        b"shop:$2y$zz$" + b"x" * 53,
        b"shop:$2y$99$" + b"x" * 53,
    ],
)
def test_lines_that_are_not_bcrypt(text: bytes) -> None:
    """The line's number and the command that helps are told."""
    with pytest.raises(HtpasswdUnreadable, match=r"line 2 of P .*htpasswd -B P USER"):
        parse_htpasswd(b"# comment\n" + text, "P")


@pytest.mark.parametrize("argument", ["", " ", "/nowhere/htpasswd"])
def test_arguments_that_cannot_be(argument: str) -> None:
    """One line says what is wrong."""
    with pytest.raises(InvalidAuthArgumentString):
        HtpasswdCheckerFactory().generateChecker(argument)


def test_a_file_without_users(path: Path) -> None:
    """Nobody could log in: it is told at the start."""
    path.write_bytes(b"# nobody\n")
    with pytest.raises(HtpasswdUnreadable, match="has no users"):
        HtpasswdChecker(str(path), inline)


@ensureDeferred
async def test_it_is_checked_in_a_thread(path: Path) -> None:
    """With nothing in between, as the daemon does."""
    user = await HtpasswdChecker(str(path)).requestAvatarId(UsernamePassword(b"shop", b"se:cr:et"))

    assert user == b"shop"
