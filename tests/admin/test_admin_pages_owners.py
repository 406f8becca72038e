"""Whose something is."""

from __future__ import annotations

import pytest

from onec_twisted.admin.pages.owners import account_asked


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
