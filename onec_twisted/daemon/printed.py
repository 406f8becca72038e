"""What ``--print-config`` prints: the options in force as TOML, each with where it is from, and no secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onec_twisted.daemon.checkers import shown
from onec_twisted.daemon.in_force import OPTIONS, text_of
from onec_twisted.daemon.parameters import REPEATABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from onec_twisted.daemon.config import Config, Shop
    from onec_twisted.daemon.given import Given

__all__ = ["printed"]


def printed(config: Config, given: Mapping[str, Given], foreign: tuple[str, ...]) -> str:
    """Return all settings as a file that ``--config`` reads, but for its secrets.

    ``given`` is where options are from that do not have their default; ``foreign`` are variables that name none.
    """
    lines = list(_options(config, given))
    for shop in config.shops:
        lines += ["", f"[shops.{shop.name}]", *_of_shop(shop)]
    lines += [f"# {variable} in the environment names no option" for variable in foreign]
    return "".join(f"{line}\n" for line in lines)


def _options(config: Config, given: Mapping[str, Given]) -> Iterator[str]:
    for name in OPTIONS:
        value = getattr(config, name.replace("-", "_"))
        if value is None or value == ():
            yield f"# {name} is not set"
        else:
            origin = given[name].origin() if name in given else "default"
            yield f"{name} = {_toml(name, value)}  # {origin}"


def _of_shop(shop: Shop) -> Iterator[str]:
    """Yield what the table of a shop sets; all else is as above."""
    if shop.users:
        yield f"users = {_list(sorted(shop.users))}"
    for name in OPTIONS:
        if name in shop.own:
            value = getattr(shop.config, name.replace("-", "_"))
            yield f"{name} = {_quoted('off') if value is None else _toml(name, value)}"


def _toml(name: str, value: Any) -> str:
    """Return a value in TOML; of a checker of passwords without them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if name in REPEATABLE:
        return _list([shown(one) if name in ("auth", "admin-auth") else text_of(name, one) for one in value])
    text = text_of(name, value)
    return text if isinstance(value, int | float) and text.isdecimal() else _quoted(text)


def _list(texts: list[str]) -> str:
    return f"[{', '.join(_quoted(text) for text in texts)}]"


def _quoted(text: str) -> str:
    """Return a text in quotes (TOML 1.0, basic strings)."""
    escaped = "".join(
        f"\\{character}"
        if character in '"\\'
        else character
        if character.isprintable()
        else f"\\U{ord(character):08X}"
        for character in text
    )
    return f'"{escaped}"'
