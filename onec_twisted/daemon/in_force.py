"""The options in force, as the status page shows them: as they would be written, without secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import fields

from onec_twisted.daemon.config import Config
from onec_twisted.daemon.parameters import SIZES, TIMES
from onec_twisted.model.shown import hidden

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.daemon.config import Shop

__all__ = ["OPTIONS", "in_force", "of_shop", "text_of"]

OPTIONS = tuple(one.name.replace("_", "-") for one in fields(Config) if one.name != "shops")
"""The options, in the order of ``Config``."""

SECRETS = ("import-secret", "import-auth")
"""Options whose values nobody is shown."""


def in_force(config: Config) -> tuple[tuple[str, str], ...]:
    """Return the options that are set, with their values: no secrets, no passwords in addresses."""
    known = {name: getattr(config, name.replace("-", "_")) for name in OPTIONS}
    return tuple(
        (f"--{name}", text_of(name, value)) for name, value in known.items() if value is not None and value != ()
    )


def of_shop(shop: Shop) -> tuple[tuple[str, str], ...]:
    """Return what the table of a shop sets, as it would be written: no secrets."""
    users = [("users", ", ".join(sorted(shop.users)))] if shop.users else []
    values = ((name, getattr(shop.config, name.replace("-", "_"))) for name in OPTIONS if name in shop.own)
    return (*users, *((f"--{name}", "off" if value is None else text_of(name, value)) for name, value in values))


def text_of(name: str, value: Any) -> str:
    """Return the value of an option as it would be written, without secrets."""
    said: Callable[[Any], str] = _size if name in SIZES else _time if name in TIMES else _said
    return "***" if name in SECRETS else hidden(said(value))


def _size(count: int) -> str:
    """Return a number of bytes as it would be written: ``10G``."""
    units = ["", "K", "M", "G", "T"]
    while count and count % 1024 == 0 and len(units) > 1:
        count //= 1024
        units.pop(0)
    return f"{count}{units[0]}"


def _time(seconds: float) -> str:
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


def _said(value: Any) -> str:
    """Return a value of another kind; of a checker of passwords only its kind."""
    if isinstance(value, tuple):
        return ", ".join(_said(one) for one in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value) if isinstance(value, str | int) else type(value).__name__
