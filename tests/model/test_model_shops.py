"""Whose an account is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onec_twisted.model.shops import (
    DEFAULT_SHOP,
    account_of,
    accounts_of,
    is_shop_name,
    shares_of,
    shop_of,
    user_of,
)

NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,31}", fullmatch=True).filter(lambda name: name != DEFAULT_SHOP)
USERS = st.text().filter(lambda user: ":" not in user)


@given(NAMES | st.just(DEFAULT_SHOP), USERS)
def test_an_account_tells_its_shop_and_its_user(shop: str, user: str) -> None:
    """So both can be read from any record."""
    account = account_of(shop, user)
    assert (shop_of(account), user_of(account)) == (shop, user)


@given(st.tuples(NAMES, USERS), st.tuples(NAMES, USERS))
def test_two_users_never_share_an_account(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Nor do users of one name in two shops."""
    assert (account_of(*one) == account_of(*other)) == (one == other)


def test_the_account_of_a_user_of_the_default_shop_is_the_name() -> None:
    """As on records that are older than shops."""
    assert account_of(DEFAULT_SHOP, "Обмен") == "Обмен"


@pytest.mark.parametrize("name", ["a", "shop-2", "0", "north_east", "x" * 32])
def test_a_shop_has_a_plain_name(name: str) -> None:
    """It stands in paths, labels and accounts."""
    assert is_shop_name(name)


@pytest.mark.parametrize("name", ["", DEFAULT_SHOP, "A", "a:b", "-a", "a b", "x" * 33, "магазин", "a\n"])
def test_other_names_are_no_names_of_shops(name: str) -> None:
    """The default shop's is taken."""
    assert not is_shop_name(name)


@given(st.tuples(NAMES, USERS), NAMES)
def test_accounts_of_a_shop_are_next_to_each_other(one: tuple[str, str], shop: str) -> None:
    """In an index, between two texts; no other shop's are there, nor any of the default shop."""
    first, after = accounts_of(shop)
    assert (first <= account_of(*one) < after) == (one[0] == shop)
    assert not first <= one[1] < after


def test_who_shares() -> None:
    """A shop, and in it its users; the default shop is one, too, whatever its users are named."""
    assert shares_of("north:anna") == ("north", "north:anna")
    assert shares_of("north") == (DEFAULT_SHOP, "north")
    assert shares_of("anna") == (DEFAULT_SHOP, "anna")
