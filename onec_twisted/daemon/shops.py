"""Reads the tables ``[shops.NAME]`` of the file of options: whose users are whose, and what is different for them.

What a table does not set is as outside of it. But a table that names an importer describes another site: that gets no
secret, and serves no orders, of the common one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field

from onec_twisted.daemon.checkers import known_users, make_checker
from onec_twisted.daemon.config import Shop
from onec_twisted.daemon.parameters import CHOICES, REPEATABLE, YES_OR_NO
from onec_twisted.daemon.values import (
    InFile,
    Wrong,
    check_fit,
    one_of_several,
    secret_in,
    site_auth_in,
    tus_path_of,
    value_of,
)
from onec_twisted.model.shops import DEFAULT_SHOP, SEPARATOR, is_shop_name
from onec_twisted.model.text import decoded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from onec_twisted.daemon.config import Config
    from onec_twisted.daemon.configfile import ConfigFile

__all__ = ["IN_SHOPS", "OPTIONS_OF_SHOPS", "shops_in"]

OPTIONS_OF_SHOPS = frozenset(
    {
        *("auth", "path", "tus-path", "sessid", "status-codes", "language", "zip"),
        *("file-limit", "body-limit", "session-quota", "shop-quota", "sessions-per-user"),
        *("importer", "import-secret", "import-auth", "orders", "unpack", "check-documents"),
        *("settle", "keep", "history", "notify"),
    }
)
"""The options that a shop may have of its own."""

IN_SHOPS = OPTIONS_OF_SHOPS | {"users"}
"""What the table of a shop may set."""

OF_ITS_SITE = ("orders", "import-secret", "import-auth")
"""What a shop with a site of its own does not share with others."""


def shops_in(file: ConfigFile, common: Config) -> tuple[Shop, ...]:
    """Return the shops of a file; ``common`` is what is set outside of their tables. Blocks. Raises ``InFile``."""
    tables = file.table.get("shops", {})
    if not isinstance(tables, dict):
        file.reject("write a table for each shop, as in [shops.north]", "shops")
    shops = []
    for name, table in tables.items():
        if not isinstance(table, dict):
            file.reject("write a table, as in [shops.north]", "shops", name)
        if not is_shop_name(name):
            words = f"is the name of what is in no shop: choose another, not {DEFAULT_SHOP}"
            plain = "is no name of a shop: write up to 32 of a to z, 0 to 9, - and _, as in [shops.north]"
            file.reject(words if name == DEFAULT_SHOP else plain, "shops", name)
        shops.append(_shop(file, name, table, common))
    if shops:
        _check_paths(file, shops, common)
        _check_users(file, shops, common)
    return tuple(shops)


def _shop(file: ConfigFile, name: str, table: dict[str, Any], common: Config) -> Shop:
    """Return one shop."""
    values = {}
    for option, given in file.given_in(table, IN_SHOPS, "shops", name).items():
        try:
            values[option] = _value(option, given.texts)
        except Wrong as error:
            raise InFile(given.explain(error)) from None
    own = frozenset(values)
    users = _users(file, name, values.pop("users", None))
    if users and "auth" in own:
        file.reject("has users and auth: name either some of the common users, or its own checkers", "shops", name)
    if not users and "auth" not in own:
        file.reject('name its users, as in users = ["anna"], or its own auth', "shops", name)
    if "orders" in own and "importer" not in own:
        file.reject("name the importer of the same site, too", "shops", name, "orders")
    if "tus-path" in own and "path" not in own:
        file.reject("name a path for its nodes, too", "shops", name, "tus-path")
    return Shop(name, _settings(file, name, values, common), users, own)


def _value(option: str, texts: tuple[str, ...]) -> Any:
    """Return the value of an option of a shop, as in ``Config``. Raises ``Wrong``."""
    if option == "users":
        return texts
    if option in REPEATABLE:
        return tuple(
            make_checker(option, text) if option == "auth" else one_of_several(option, text) for text in texts
        )
    (text,) = texts
    if option in _READ:
        return _READ[option](text)
    value = value_of(option, text)
    return value == "yes" if CHOICES.get(option) == YES_OR_NO else value


_READ: dict[str, Callable[[str], Any]] = {
    "import-secret": secret_in,
    "import-auth": site_auth_in,
    "tus-path": tus_path_of,
}


def _users(file: ConfigFile, name: str, users: tuple[str, ...] | None) -> frozenset[str]:
    for user in users or ():
        if not user or SEPARATOR in user:
            file.reject(f"{user!r} is no name of a user", "shops", name, "users")
    return frozenset(users or ())


def _settings(file: ConfigFile, name: str, values: dict[str, Any], common: Config) -> Config:
    """Return the settings in force for a shop."""
    if "importer" in values:
        values = dict.fromkeys(OF_ITS_SITE) | values
    if "path" in values:
        values = {"tus-path": None} | values
    if "file-limit" in values:
        values = {"body-limit": values["file-limit"]} | values
    limits = {"file-limit": common.file_limit, "body-limit": common.body_limit} | values
    try:
        check_fit(limits)
    except Wrong as error:
        file.reject(error.words, "shops", name, error.name)
    chosen = {option.replace("-", "_"): value for option, value in values.items()}
    return evolve(common, **{"notify": (), "shops": (), **chosen})


def _check_paths(file: ConfigFile, shops: list[Shop], common: Config) -> None:
    """Check that each path leads to one shop, and none is above another."""
    taken: dict[str, str] = {}
    above: dict[str, str] = {}
    for name, config in ((DEFAULT_SHOP, common), *((shop.name, shop.config) for shop in shops if shop.has_own_path)):
        paths = [*config.path, *([config.tus_path.rstrip("/")] if config.tus_path is not None else [])]
        for path in paths:
            parents = [path[:place] for place in range(1, len(path)) if path[place] == "/"]
            for other in (path, *parents):
                if other in taken:
                    file.reject(f"{path} is at, or below, {other} of {_called(taken[other])}", "shops", name, "path")
            if path in above:
                file.reject(f"{path} is above a path of {_called(above[path])}", "shops", name, "path")
            taken[path] = name
            above |= dict.fromkeys(parents, name)


def _called(name: str) -> str:
    return "the default shop" if name == DEFAULT_SHOP else f"the shop {name}"


@define
class _Known:
    """Whose each known user is, as far as that has been read."""

    file: ConfigFile
    of: dict[str, str] = field(factory=dict)

    def add(self, shop: str, users: Iterable[str], cure: str) -> None:
        """Note users of a shop. Raises ``InFile`` if another shop has one of them."""
        for user in users:
            other = self.of.setdefault(user, shop)
            if other != shop:
                words = f"{user} is a user of {_called(other)}, too, but a user belongs to one shop"
                self.file.reject(f"{words}: {cure}", "shops", shop)


def _check_users(file: ConfigFile, shops: list[Shop], common: Config) -> None:
    """Check that each user belongs to one shop, wherever a name alone has to tell."""
    known = _Known(file)
    for shop in shops:
        known.add(shop.name, sorted(shop.users), "name it in one of them")
    for checker in common.auth:
        for user in known_users(checker) or ():
            known.of.setdefault(decoded(user), DEFAULT_SHOP)
    for shop in shops:
        if not shop.has_own_auth or shop.has_own_path:
            continue
        for checker in shop.config.auth:
            users = known_users(checker)
            if users is None:
                words = "cannot list its users, so that nobody knows which logins are for this shop"
                file.reject(f"{words}: give the shop a path of its own", "shops", shop.name, "auth")
            known.add(shop.name, sorted(map(decoded, users)), "rename it, or give one of them a path of its own")
