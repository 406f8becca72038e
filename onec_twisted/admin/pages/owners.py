"""Whose something is: the user of a filter, and how a user is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onec_twisted.model.shops import SEPARATOR, account_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["account_asked"]


def account_asked(query: Mapping[str, str]) -> str:
    """Return the account that a query asks for, empty for any.

    Its ``user`` is an account, or the name of a user of its ``shop``.
    """
    user, shop = query.get("user", ""), query.get("shop", "")
    return account_of(shop, user) if user and shop and SEPARATOR not in user else user
