"""Credentials, judged at the headers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from in_memory import basic
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from onec_twisted.access import FORGET, LONGEST_DELAY, Access, Node, NodeRealm, basic_credentials
from onec_twisted.errors import MissingCredentials, WrongCredentials
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
    Deferred.fromCoroutine(access.login(basic("shop", password), address)).addCallbacks(
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
    credentials = basic_credentials(basic("Иван", "па:роль:", encoding))

    assert (credentials.username, credentials.password) == ("Иван".encode(), "па:роль:".encode())


@pytest.mark.parametrize(
    "header", [None, "", "Basic", "Basic ", "Basic x", "Basic c2hvcA==", "Bearer abc", "Basic \xff"]
)
def test_headers_that_cannot_be_read(header: str | None) -> None:
    """They count as missing: a proxy may have mangled them."""
    with pytest.raises(MissingCredentials):
        basic_credentials(header)


def test_the_scheme_comes_in_any_case(access: Access) -> None:
    """RFC 9110 section 11.1."""
    assert basic_credentials(basic("a", "b").replace("Basic", "bAsIc  ")).username == b"a"


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


def test_one_address_has_one_check_at_a_time(clock: Clock) -> None:
    """A guesser with a thousand connections occupies one worker."""
    asked: list[Deferred[Any]] = []

    class Slow(InMemoryUsernamePasswordDatabaseDontUse):
        """Answers when the test says so."""

        def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
            """Wait."""
            asked.append(Deferred())
            return asked[-1]

    access = Access(Portal(NodeRealm(), [Slow()]), clock)
    outcomes = [login(access, "x") for _ in range(5)]
    other = login(access, "x", "192.0.2.2")
    assert len(asked) == 2
    for place in range(6):
        asked[place].callback(b"shop")

    assert [*outcomes, other] == [["shop"]] * 6
