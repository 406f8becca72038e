"""Whose something is: the fields of a filter that choose a user or a shop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onec_twisted.admin.pages.names import spelled
from onec_twisted.admin.pages.tables import choices, entry
from onec_twisted.model.shops import SEPARATOR, account_of, shop_of, user_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from twisted.web.template import Tag

    from onec_twisted.admin.pages.frame import Frame

__all__ = ["account_asked", "owner_fields"]

MOST_OFFERED = 100
"""Shops to choose from; with more of them, one writes the name."""


def account_asked(query: Mapping[str, str]) -> str:
    """Return the account that a query asks for, empty for any.

    Its ``user`` is an account, or the name of a user of its ``shop``.
    """
    user, shop = query.get("user", ""), query.get("shop", "")
    return account_of(shop, user) if user and shop and SEPARATOR not in user else user


def owner_fields(frame: Frame, query: Mapping[str, str], users: Sequence[str]) -> list[Tag]:
    """Return the fields for a user, and for a shop if there are any; ``users`` are accounts to choose from."""
    words, shop, account = frame.words, query.get("shop", ""), account_asked(query)
    if not frame.shops:
        return [choices("user", words.user, account, [("", words.any), *((user, user) for user in users)])]
    if len(frame.shops) > MOST_OFFERED:
        field = entry("shop", words.shop, shop)
    else:
        field = choices("shop", words.shop, shop, [("", words.any), *((name, name) for name in frame.shops)])
    offered = [(user, _called(user, shop)) for user in users if shop in {"", shop_of(user)}]
    return [field, choices("user", words.user, account, [("", words.any), *offered])]


def _called(account: str, shop: str) -> str:
    """Return what a user is called, where those of a shop are offered, or of all."""
    return spelled(user_of(account)) if shop else f"{spelled(user_of(account))} ({shop_of(account)})"
