"""Credentials, judged at the headers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from in_memory import basic
from twisted.cred.checkers import ICredentialsChecker, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer
from zope.interface.verify import verifyObject

from onec_twisted.auth import access as module
from onec_twisted.auth.access import AT_ONCE, GOOD_FOR, Access, AnyOf, Node, NodeRealm, basic_credentials
from onec_twisted.auth.guesses import ANSWER_DELAY, BURST_SIZE, FORGET_AFTER, MOST_WAITING, WRONG_REST
from onec_twisted.auth.interfaces import IKnowingChecker, INode
from onec_twisted.model.errors import ConnectionDropped, MissingCredentials, TooManyTries, WrongCredentials

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
    assert len(access.addresses) == len(access.lane) == 0


def test_the_answer_to_what_is_wrong_is_held_back(access: Access, clock: Clock) -> None:
    """But to the first one; longer each time, with an end; other addresses, and what is right, do not wait."""
    assert login(access, "guess") == [WrongCredentials]
    for delay in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, ANSWER_DELAY.longest, ANSWER_DELAY.longest):
        clock.advance(WRONG_REST)
        waiting = login(access, "guess")
        assert login(access, "па:роль", "192.0.2.2") == ["shop"]
        clock.advance(delay - 0.01)
        assert waiting == []
        clock.advance(0.02)
        assert waiting == [WrongCredentials]
    assert login(access, "па:роль") == ["shop"]


def test_an_address_that_was_wrong_rests(access: Access, clock: Clock) -> None:
    """A moment, so that one that goes away without an answer guesses no faster; others do not."""
    login(access, "guess")
    right = login(access, "па:роль")
    assert right == []
    assert login(access, "па:роль", "192.0.2.2") == ["shop"]
    clock.advance(WRONG_REST)

    assert right == ["shop"]


def test_guesses_at_a_user_count_wherever_they_come_from(access: Access, clock: Clock) -> None:
    """A guesser with many addresses waits for its answers as well."""
    assert login(access, "guess", "192.0.2.2") == [WrongCredentials]
    waiting = login(access, "guess", "192.0.2.3")
    assert waiting == []
    clock.advance(0.1)

    assert waiting == [WrongCredentials]


def test_the_next_address_of_a_network_is_no_other_guesser(access: Access) -> None:
    """Who has one IPv6 address has all of its /64."""
    assert login(access, "guess", "2001:db8::1") == [WrongCredentials]
    assert login(access, "па:роль", "2001:db8::2") == []
    assert login(access, "па:роль", "2001:db8:0:1::2") == ["shop"]


def test_an_account_of_ones_own_changes_no_count(clock: Clock) -> None:
    """Who logs in as himself between two guesses is held back as who does not."""
    checker = InMemoryUsernamePasswordDatabaseDontUse(shop=b"secret", mine=b"own")
    access = Access.by([checker], clock)

    def guess() -> float:
        outcome = login(access, "guess")
        clock.advance(WRONG_REST)
        began = clock.seconds()
        while not outcome:
            clock.advance(0.1)
        own: list[Any] = []
        Deferred.fromCoroutine(access.login(basic("mine", "own").encode(), "192.0.2.1")).addCallback(own.append)
        clock.advance(WRONG_REST)
        assert own == ["mine"]
        return clock.seconds() - began

    assert [guess() for _ in range(8)][-1] > 5


def test_an_address_is_forgotten(access: Access, clock: Clock) -> None:
    """A guesser that went away leaves nothing behind when another comes."""
    for number in range(50):
        login(access, "guess", f"192.0.2.{number}")
    clock.advance(FORGET_AFTER + 1)
    login(access, "guess", "192.0.2.99")
    assert len(access.addresses) == len(access._users) == 1

    assert login(access, "па:роль", "192.0.2.1") == ["shop"]


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


def test_so_many_passwords_are_checked_at_once(clock: Clock) -> None:
    """Whoever asks: each takes a processor. One that was wrong has one of the places."""
    slow = Slow()
    access = Access(Portal(NodeRealm(), [slow]), clock)
    waiting = [login(access, "x") for _ in range(3)]
    assert len(slow.asked) == AT_ONCE == 2
    slow.asked[0].errback(UnauthorizedLogin())
    clock.advance(WRONG_REST)
    assert waiting[0] == [WrongCredentials]
    assert len(slow.asked) == 2
    slow.asked[1].callback(b"shop")
    assert len(slow.asked) == 3
    slow.asked[2].callback(b"shop")

    assert waiting[1:] == [["shop"], ["shop"]]
    assert len(access.lane) == 0


def test_checkers_of_others_have_more_at_once(clock: Clock) -> None:
    """They wait for an answer from elsewhere, most likely, and not for a processor."""
    for checker, at_once in ((Slow(), 16), (Knowing(), 2)):
        access = Access.by([checker], clock)
        waiting = [login(access, "x") for _ in range(20)]
        assert len(checker.asked) == at_once
        while checker.asked:
            checker.asked.pop().callback(b"shop")
        assert waiting == [["shop"]] * 20


def test_who_comes_last_does_not_wait_for_a_crowd(clock: Clock) -> None:
    """Not from an address of its own, nor from that of the crowd; and who came first has its turn."""
    slow = Slow()
    access = Access(Portal(NodeRealm(), [slow]), clock, at_once=1)
    crowd = [login(access, "x") for _ in range(100)]
    same, other = login(access, "right"), login(access, "right", "192.0.2.2")
    slow.asked.pop().errback(UnauthorizedLogin())
    slow.asked.pop().callback(b"other")
    assert other == ["other"]
    clock.advance(WRONG_REST)
    slow.asked.pop().errback(UnauthorizedLogin())
    clock.advance(WRONG_REST)
    slow.asked.pop().callback(b"same")
    assert same == ["same"]
    assert crowd[:2] == [[], []], "they are not back before it had its turn"
    clock.advance(WRONG_REST * len(crowd))
    assert crowd[:2] == [[WrongCredentials]] * 2
    for place in (2, 99, 3, 98):
        slow.asked.pop().callback(b"of the crowd")
        assert crowd[place] == ["of the crowd"]


def test_one_address_has_so_many_logins_waiting(clock: Clock) -> None:
    """The next one is told to come again; another address is not."""
    slow = Slow()
    access = Access(Portal(NodeRealm(), [slow]), clock)
    waiting = [login(access, "x") for _ in range(MOST_WAITING + AT_ONCE)]
    assert login(access, "x") == [TooManyTries]
    assert login(access, "x", "192.0.2.2") == []
    while slow.asked:
        slow.asked.pop().callback(b"shop")

    assert waiting == [["shop"]] * len(waiting)


def test_so_many_guesses_hold_a_connection(clock: Clock) -> None:
    """Where connections are few: those that wait for a check or for an answer; others are let in beside them."""
    slow = Knowing()
    access = Access.by([slow], clock, most=10)
    guesses = [login(access, "guess") for _ in range(10)]
    assert login(access, "guess") == [TooManyTries]
    assert login(access, "known") == ["shop"]
    other = login(access, "right", "192.0.2.99")
    assert login(access, "right", "192.0.2.99") == [TooManyTries]
    for _ in range(20):
        for asked in slow.asked:
            if not asked.called:
                asked.errback(UnauthorizedLogin())
        clock.advance(WRONG_REST)
    assert other == [WrongCredentials]
    clock.advance(ANSWER_DELAY.longest)
    assert guesses == [[WrongCredentials]] * 10
    assert access._waiting == 0


def test_who_has_gone_is_not_checked(clock: Clock) -> None:
    """Its place goes to those who are still there."""
    slow = Slow()
    access = Access(Portal(NodeRealm(), [slow]), clock, at_once=1)
    gone: list[Any] = []
    first = login(access, "x")
    Deferred.fromCoroutine(access.login(basic("shop", "x").encode(), "192.0.2.1", lambda: True)).addErrback(
        gone.append
    )
    slow.asked.pop().callback(b"shop")

    assert first == ["shop"]
    assert gone[0].check(ConnectionDropped)
    assert slow.asked == []
    assert len(access.lane) == 0


@implementer(IKnowingChecker)
class Knowing(Slow):
    """Knows one password again."""

    def knows(self, credentials: Any) -> Deferred[bool]:
        """Say so."""
        return succeed(credentials.password == b"known")

    def has(self, user: bytes) -> bool:
        """Have one."""
        return user == b"shop"

    def look(self) -> None:
        """Not asked here."""


def test_what_is_known_to_be_right_waits_for_nobody(clock: Clock) -> None:
    """Whoever guesses, wherever: it is not checked, for tus neither."""
    slow = Knowing()
    assert verifyObject(IKnowingChecker, slow)
    access = Access.by([slow], clock)
    for _ in range(200):
        login(access, "guess")
    assert login(access, "known") == again(access, "known") == ["shop"]
    assert len(slow.asked) == AT_ONCE
    assert login(access, "known", "192.0.2.2") == ["shop"]


def test_a_user_comes_before_names_that_nobody_has(clock: Clock) -> None:
    """Where all checkers can say so: a crowd at one address that tries all kinds of names keeps nobody waiting."""
    slow = Knowing()
    for access, first in (
        (Access.by([slow], clock, at_once=1), True),
        (Access.by([slow, Slow()], clock, at_once=1), False),
    ):
        slow.asked.clear()
        outcomes: list[list[Any]] = []
        for name in ("x", "y", "shop", "z"):
            outcomes.append([])
            Deferred.fromCoroutine(access.login(basic(name, "x").encode(), "192.0.2.1")).addCallback(
                outcomes[-1].append
            )
        while slow.asked:
            slow.asked.pop().callback(f"{sum(map(len, outcomes))}".encode())
        assert outcomes[0] == ["0"]
        assert outcomes[2] == (["1"] if first else ["2"])


def test_passwords_are_not_tried_out_on_what_is_known(clock: Clock) -> None:
    """A guesser that goes away before its answer has no more than an allowance; then all of its address wait."""
    slow = Knowing()
    access = Access.by([slow], clock)
    for _ in range(BURST_SIZE + 1):
        Deferred.fromCoroutine(access.login(basic("shop", "guess").encode(), "192.0.2.1", lambda: True)).addErrback(
            lambda failure: failure.trap(ConnectionDropped, TooManyTries)
        )
    assert login(access, "known", "192.0.2.2") == ["shop"]
    assert login(access, "known") == []
    clock.advance(1)
    assert login(access, "known") == ["shop"]


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


def test_users_of_a_checker_that_forgets_beside_one_that_knows(clock: Clock) -> None:
    """They wait no more than without it: an upload of tus has a request for each of its chunks."""
    knowing, slow = Knowing(), Slow()
    access = Access.by([knowing, slow], clock)
    outcomes: list[str] = []
    for _ in range(3):
        Deferred.fromCoroutine(access.login_again(basic("other", "x").encode(), "192.0.2.1")).addCallback(
            outcomes.append
        )
        while knowing.asked:
            knowing.asked.pop().errback(UnauthorizedLogin())
        while slow.asked:
            slow.asked.pop().callback(b"other")
            assert len(outcomes) == 1
    assert outcomes == ["other"] * 3
    for _ in range(2):
        again(access, "secret")
        assert len(knowing.asked) == 1
        knowing.asked.pop().callback(b"shop")


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
    """A wrong password of the same address lets only those rest who are not known yet."""
    assert again(access, "па:роль") == ["shop"]
    assert login(access, "guess") == [WrongCredentials]
    assert login(access, "па:роль") == []
    assert again(access, "па:роль") == ["shop"]


def test_memory_of_passwords_has_an_end(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was right longest ago is asked again."""
    monkeypatch.setattr(module, "REMEMBERED_PASSWORDS", 2)
    access = Access(access.portal, access.clock)
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        assert again(access, "па:роль", address) == ["shop"]
    assert len(access._good) == 2
