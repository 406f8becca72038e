"""What is typed on the command line of ``onec-node``: times, sizes, and a password."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from onec_twisted.written import DURATION, SIZE, NotPlain, parse_duration, parse_size, plain_text

__all__ = ["Duration", "Size", "password_from"]


class Duration(click.ParamType):  # type: ignore[type-arg]  # older versions of click have none
    """Seconds, or a number with a unit."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        try:
            seconds = parse_duration(str(value))
        except ValueError:
            self.fail(f"{value!r} is no time; {DURATION}", param, ctx)
        if not 0.1 <= seconds <= 1e6:
            self.fail(f"{value!r} is not between 0.1 s and 1,000,000 s", param, ctx)
        return seconds


class Size(click.ParamType):  # type: ignore[type-arg]
    """Bytes, or a number with a unit; one at least."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return bytes."""
        try:
            return parse_size(str(value)) or self.fail(f"{value!r} is nothing", param, ctx)
        except ValueError:
            self.fail(f"{value!r} is no size; {SIZE}", param, ctx)


def password_from(path: str | None) -> str:
    """Return the first line of a file, what the environment says, or what is typed."""
    if path is None:
        word: str = click.prompt("Password", hide_input=True, err=True)
        return word
    try:
        return plain_text(Path(path).read_bytes()).split("\n", 1)[0].rstrip("\r")
    except OSError as error:
        raise click.UsageError(f"--password-file={path}: cannot be read: {error.strerror}") from None
    except NotPlain as error:
        raise click.UsageError(f"--password-file={path}: {error}") from None
