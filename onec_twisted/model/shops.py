"""Shops: whose each user is. One daemon may serve several, and what is in none is the default shop's.

An account is what is on record as the user of a session, a hand-off or an upload: ``SHOP:USER``, but the user alone
in the default shop. A name that came over HTTP has no colon (RFC 7617 section 2), so no two shops share an account.
"""

from __future__ import annotations

import re

from attrs import frozen

__all__ = [
    "DEFAULT_SHOP",
    "SEPARATOR",
    "ShopView",
    "account_of",
    "accounts_of",
    "is_shop_name",
    "shares_of",
    "shop_of",
    "user_of",
]

DEFAULT_SHOP = "default"
"""The name of the shop of all users that are in no other."""

SEPARATOR = ":"
"""What stands between the shop and the user."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


@frozen
class ShopView:
    """What administrators see of a shop: ``quota`` in bytes, None if there is none.

    ``own`` are the options that its table sets, each with its value as it would be written, without secrets.
    """

    name: str
    quota: int | None
    own: tuple[tuple[str, str], ...]


def is_shop_name(text: str) -> bool:
    """Return whether a text may name a shop: it stands in paths, labels and accounts."""
    return _NAME.fullmatch(text) is not None and text != DEFAULT_SHOP


def account_of(shop: str, user: str) -> str:
    """Return the account of a user of a shop."""
    return user if shop == DEFAULT_SHOP else f"{shop}{SEPARATOR}{user}"


def shop_of(account: str) -> str:
    """Return the shop that an account belongs to."""
    shop, separator, _ = account.partition(SEPARATOR)
    return shop if separator else DEFAULT_SHOP


def accounts_of(shop: str) -> tuple[str, str]:
    """Return the first text of those that are accounts of a shop, other than the default one, and the first after."""
    return f"{shop}{SEPARATOR}", f"{shop}{chr(ord(SEPARATOR) + 1)}"


def user_of(account: str) -> str:
    """Return the name that an account's user logs in with."""
    _, separator, user = account.partition(SEPARATOR)
    return user if separator else account


def shares_of(account: str) -> tuple[str, str]:
    """Return who shares a resource with others, and among themselves: a shop, and in it its user."""
    return (shop_of(account), account)
