"""Who the users of a shop are, and whose a user is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from in_memory import PASSWORD, basic
from many_shops import checker
from twisted.internet.defer import Deferred

from onec_twisted.auth.access import Access
from onec_twisted.auth.members import Members, Roster
from onec_twisted.model.errors import WrongCredentials, WrongShop

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from twisted.internet.task import Clock


def outcome_of(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return what a coroutine that waits for nothing returns, or raises."""
    outcome: list[Any] = []
    Deferred.fromCoroutine(coroutine).addCallbacks(outcome.append, lambda failure: outcome.append(failure.value))
    return outcome[0] if outcome else None


@pytest.fixture
def access(clock: Clock) -> Access:
    """How the common users log in."""
    return Access.by([checker("anna", "boris")], clock)


@pytest.mark.parametrize("again", [False, True])
def test_a_user_of_the_shop_gets_its_account(access: Access, again: bool) -> None:
    """By whichever way of logging in."""
    members = Members(shop="north", access=access, checkers=(), names=frozenset({"anna"}))
    login = members.login_again if again else members.login
    assert outcome_of(login(basic("anna", PASSWORD).encode(), "a")) == "north:anna"


@pytest.mark.parametrize("again", [False, True])
def test_a_user_of_another_shop_is_told_so(access: Access, again: bool) -> None:
    """Only with the right password: nobody else learns who is a user."""
    members = Members(shop="north", access=access, checkers=(), names=frozenset({"anna"}))
    login = members.login_again if again else members.login
    assert isinstance(outcome_of(login(basic("boris", PASSWORD).encode(), "a")), WrongShop)
    assert isinstance(outcome_of(login(basic("boris", "wrong").encode(), "a")), WrongCredentials)


def test_the_default_shop_has_whom_no_other_names(access: Access) -> None:
    """Under the name alone."""
    members = Members(shop="default", access=access, checkers=(), others=frozenset({"anna"}))
    assert outcome_of(members.login(basic("boris", PASSWORD).encode(), "a")) == "boris"
    assert isinstance(outcome_of(members.login(basic("anna", PASSWORD).encode(), "a")), WrongShop)


def test_whose_a_user_is() -> None:
    """Whom a table names, whom a checker knows, or else of the default shop; a look refreshes it."""
    known = {"dora": "south"}
    roster = Roster({"anna": "north"}, lambda: dict(known))
    assert roster.shop_of("dora") == "default", "nobody has looked"
    roster.look()
    assert [roster.shop_of(user) for user in ("anna", "dora", "boris", "")] == [
        "north",
        "south",
        "default",
        "default",
    ]
    known["boris"] = "south"
    roster.look()
    assert roster.shop_of("boris") == "south"
