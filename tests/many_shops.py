"""Shops beside the default one, for an exchange in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve
from in_memory import CONFIG, PASSWORD
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse

from onec_twisted.daemon.config import Config, Shop

if TYPE_CHECKING:
    from collections.abc import Sequence


def checker(*users: str) -> InMemoryUsernamePasswordDatabaseDontUse:
    """Return who knows these users."""
    known = InMemoryUsernamePasswordDatabaseDontUse()
    known.users = {user.encode(): PASSWORD.encode() for user in users}
    return known


def shop(name: str, users: Sequence[str], common: Config = CONFIG, **own: Any) -> Shop:
    """Return a shop: with ``auth``, the users are those of a checker of its own."""
    has_own_auth = own.pop("auth", False)
    options = {option.replace("_", "-") for option in own} | {"auth" if has_own_auth else "users"}
    if has_own_auth:
        own["auth"] = (checker(*users),)
    if "path" in own:
        own = {"tus_path": None, **own}
    return Shop(
        name,
        evolve(common, shops=(), **own),
        frozenset() if has_own_auth else frozenset(users),
        frozenset(options),
    )
