"""Whose something is."""

from __future__ import annotations

import pytest
from pages import frame, read

from onec_twisted.admin.pages.owners import MOST_OFFERED, account_asked, owner_fields


@pytest.mark.parametrize(
    ("user", "shop", "account"),
    [
        ("", "", ""),
        ("", "north", ""),
        ("alice", "", "alice"),
        ("north:alice", "", "north:alice"),
        ("alice", "north", "north:alice"),
        ("south:alice", "north", "south:alice"),
        ("alice", "default", "alice"),
    ],
)
def test_the_account_of_a_query(user: str, shop: str, account: str) -> None:
    """A user is an account, or is one of the shop's."""
    assert account_asked({"user": user, "shop": shop}) == account


USERS = ["alice", "north:alice", "north:bob", "south:carol"]


@pytest.mark.parametrize(
    ("query", "offered"),
    [
        ({}, ["alice (default)", "alice (north)", "bob (north)", "carol (south)"]),
        ({"shop": "north"}, ["alice", "bob"]),
        ({"shop": "default"}, ["alice"]),
        ({"shop": "west"}, []),
    ],
)
def test_users_to_choose_from(query: dict[str, str], offered: list[str]) -> None:
    """Those of the shop that is chosen, or all with their shops."""
    document = read(owner_fields(frame(shops=("north", "south", "default")), query, USERS))

    assert [field["name"] for field in document.all("select")] == ["shop", "user"]
    assert all(name in document.text for name in offered)
    users = [option for option in document.all("option") if option["value"] in USERS]
    assert len(users) == len(offered)


def test_without_shops() -> None:
    """There is no field for them."""
    document = read(owner_fields(frame(), {}, ["alice"]))

    assert [field["name"] for field in document.all("select")] == ["user"]
    assert "default" not in document.text


def test_many_shops() -> None:
    """One writes the name; a page that updates itself should be small."""
    names = tuple(f"shop{number}" for number in range(MOST_OFFERED + 1))
    document = read(owner_fields(frame(shops=names), {"shop": "shop7", "user": "alice"}, USERS))

    (field,) = document.all("input")
    assert (field["name"], field["value"]) == ("shop", "shop7")
    (chosen,) = [option for option in document.all("option") if option.get("selected")]
    assert chosen["value"] == "shop7:alice"
