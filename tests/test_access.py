"""Credentials, judged at the headers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from in_memory import basic
from twisted.cred.checkers import ICredentialsChecker, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from onec_twisted import access as module
from onec_twisted.access import (
    FORGET,
    GOOD_FOR,
    LONGEST_DELAY,
    MOST_AT_ONCE,
    MOST_OF_A_USER,
    Access,
    AnyOf,
    Node,
    NodeRealm,
    basic_credentials,
)
from onec_twisted.errors import MissingCredentials, TooManyTries, WrongCredentials
from onec_twisted.interfaces import INode

if TYPE_CHECKING:
    from twisted.internet.task import Clock


@pytest.fixture
def access(clock: Clock) -> Access:
    """A portal that knows one user."""
    checker = InMemoryUsernamePasswordDatabaseDontUse(shop="па:роль".encode())
    return Access(Portal(NodeRealm(), [checker]), clock)


def login(access: Access, password: str, address: str = "192.0.2.1") -> list[Any]:
    """Try to log in; the list holds the user or the error once that is known."""
    outcome: list[Any] = []
    Deferred.fromCoroutine(access.login(basic("shop", password).encode(), address)).addCallbacks(
        outcome.append, lambda failure: outcome.append(type(failure.value))
    )
    return outcome


def test_they_are_what_they_say() -> None:
    """The realm gives nodes, and nothing else."""
    assert verifyObject(IRealm, NodeRealm())
    assert verifyObject(INode, Node("shop"))
    with pytest.raises(NotImplementedError):
        NodeRealm().requestAvatar(b"shop", None)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1251"])
def test_colons_and_russian_letters(encoding: str) -> None:
    """The first colon ends the user name; cp1251 is understood as well."""
    credentials = basic_credentials(basic("Иван", "па:роль:", encoding).encode())

    assert (credentials.username, credentials.password) == ("Иван".encode(), "па:роль:".encode())


@pytest.mark.parametrize(
    "header", [None, b"", b"Basic", b"Basic ", b"Basic x", b"Basic c2hvcA==", b"Bearer abc", b"Basic \xff", b"\xff"]
)
def test_headers_that_cannot_be_read(header: bytes | None) -> None:
    """They count as missing: a proxy may have mangled them."""
    with pytest.raises(MissingCredentials):
        basic_credentials(header)


def test_the_scheme_comes_in_any_case(access: Access) -> None:
    """RFC 9110 section 11.1."""
    assert basic_credentials(basic("a", "b").replace("Basic", "bAsIc  ").encode()).username == b"a"


def test_right_is_answered_at_once(access: Access) -> None:
    """And nothing is remembered of the address."""
    assert login(access, "па:роль") == ["shop"]
    assert access._addresses == {}


def test_wrong_slows_the_next_tries_of_that_address(access: Access, clock: Clock) -> None:
    """A little more each time, never longer than the longest; other addresses do not wait."""
    assert login(access, "guess") == [WrongCredentials]
    for _ in range(10):
        waiting = login(access, "guess")
        assert waiting == []
        assert login(access, "па:роль", "192.0.2.2") == ["shop"]
        clock.advance(LONGEST_DELAY)
        assert waiting == [WrongCredentials]
    right = login(access, "па:роль")
    assert right == []
    clock.advance(LONGEST_DELAY)

    assert right == ["shop"]
    assert login(access, "па:роль") == ["shop"]


def test_an_address_is_forgotten(access: Access, clock: Clock) -> None:
    """A guesser that went away leaves nothing behind."""
    login(access, "guess")
    clock.advance(FORGET + 1)
    assert login(access, "па:роль", "192.0.2.2") == ["shop"]
    assert access._addresses == {}

    assert login(access, "па:роль") == ["shop"]


class Slow(InMemoryUsernamePasswordDatabaseDontUse):
    """Answers when the test says so."""

    def __init__(self) -> None:
        """Begin with nobody waiting."""
        super().__init__()
        self.asked: list[Deferred[Any]] = []

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        """Wait."""
        self.asked.append(Deferred())
        return self.asked[-1]


def test_guesses_at_one_user_wait_for_each_other(clock: Clock) -> None:
    """A guesser with many connections is slowed as one with a single; other users and addresses are not."""
    slow = Slow()
    access = Access(Portal(NodeRealm(), [slow]), clock)
    guesses = [login(access, "x") for _ in range(MOST_OF_A_USER)]
    other_address = login(access, "x", "192.0.2.2")
    other_user: list[Any] = []
    Deferred.fromCoroutine(access.login(basic("other", "x").encode(), "192.0.2.1")).addCallback(other_user.append)
    assert len(slow.asked) == 3
    assert login(access, "x") == [TooManyTries]
    for place in range(MOST_OF_A_USER + 2):
        slow.asked[place].callback(b"shop")

    assert [*guesses, other_address, other_user] == [["shop"]] * (MOST_OF_A_USER + 2)
    assert access._addresses == {}


def test_one_address_has_so_many_logins_at_once(clock: Clock) -> None:
    """The next one is told to come again."""
    slow = Slow()
    access = Access(Portal(NodeRealm(), [slow]), clock)
    for number in range(MOST_AT_ONCE):
        Deferred.fromCoroutine(access.login(basic(f"user{number}", "x").encode(), "192.0.2.1"))

    assert login(access, "x") == [TooManyTries]
    assert login(access, "x", "192.0.2.2") == []
    for waiting in list(slow.asked):
        waiting.callback(b"shop")


def test_several_checkers(clock: Clock) -> None:
    """Each --auth counts: the first that accepts says who it is."""
    checkers = [InMemoryUsernamePasswordDatabaseDontUse(**{name: b"x"}) for name in ("shop", "other")]
    any_of = AnyOf(checkers)
    assert verifyObject(ICredentialsChecker, any_of)
    access = Access(Portal(NodeRealm(), [any_of]), clock)
    for user in ("shop", "other"):
        outcome: list[Any] = []
        Deferred.fromCoroutine(access.login(basic(user, "x").encode(), user)).addCallback(outcome.append)

        assert outcome == [user]
    assert login(access, "wrong", "192.0.2.9") == [WrongCredentials]


def again(access: Access, password: str, address: str = "192.0.2.1") -> list[Any]:
    """Log in as a client that sends its password with each request."""
    outcome: list[Any] = []
    Deferred.fromCoroutine(access.login_again(basic("shop", password).encode(), address)).addCallbacks(
        outcome.append, lambda failure: outcome.append(type(failure.value))
    )
    return outcome


def test_many_requests_of_one_client_ask_once(clock: Clock) -> None:
    """However many come at the same time, and for a while after that."""
    slow = Slow()
    access = Access(Portal(NodeRealm(), [slow]), clock)
    waiting = [again(access, "secret") for _ in range(200)]
    assert len(slow.asked) == 1
    slow.asked[0].callback(b"shop")
    assert waiting == [["shop"]] * 200
    clock.advance(GOOD_FOR - 1)
    assert again(access, "secret") == ["shop"]
    assert len(slow.asked) == 1
    clock.advance(1)
    assert again(access, "secret") == []
    assert len(slow.asked) == 2
    slow.asked[1].errback(UnauthorizedLogin())
    clock.advance(GOOD_FOR)
    assert again(access, "secret") == []


def test_what_was_wrong_is_asked_again(clock: Clock) -> None:
    """Those who wait hear it too; another password, or address, is another question."""
    slow = Slow()
    access = Access(Portal(NodeRealm(), [slow]), clock)
    first, second = again(access, "guess"), again(access, "guess")
    slow.asked[0].errback(UnauthorizedLogin())
    assert first == second == [WrongCredentials]
    other = again(access, "secret", "192.0.2.2")
    slow.asked[1].callback(b"shop")
    assert other == ["shop"]
    again(access, "guess", "192.0.2.2")
    assert len(slow.asked) == 3


def test_who_is_known_does_not_wait_for_those_who_guess(access: Access) -> None:
    """A wrong password of the same address slows only who is not known yet."""
    assert again(access, "па:роль") == ["shop"]
    assert login(access, "guess") == [WrongCredentials]
    assert login(access, "па:роль") == []
    assert again(access, "па:роль") == ["shop"]


def test_memory_of_passwords_has_an_end(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was right longest ago is asked again."""
    monkeypatch.setattr(module, "REMEMBERED", 2)
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        assert again(access, "па:роль", address) == ["shop"]
    assert len(access._good) == 2
