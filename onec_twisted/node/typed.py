"""Values typed on the command line of ``onec-node``: times, sizes, an address, and a password."""

from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

import click

from onec_twisted.http.client import url_of
from onec_twisted.model.written import DURATION, SIZE, NotPlain, parse_duration, parse_size, plain_text

__all__ = ["Duration", "Size", "password_from", "url_from"]

USUAL_PATH = "/bitrix/admin/1c_exchange.php"
"""The path that 1C requests if its user has typed none."""


class Duration(click.ParamType):  # type: ignore[type-arg]  # not generic in older versions of click
    """Seconds, or a number with a unit."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        try:
            seconds = parse_duration(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a time; {DURATION}", param, ctx)
        if not 0.1 <= seconds <= 1e6:
            self.fail(f"{value!r} is not between 0.1 s and 1,000,000 s", param, ctx)
        return seconds


class Size(click.ParamType):  # type: ignore[type-arg]
    """Bytes, or a number with a unit; at least one byte."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return bytes."""
        try:
            return parse_size(str(value)) or self.fail(f"{value!r} is nothing", param, ctx)
        except ValueError:
            self.fail(f"{value!r} is not a size; {SIZE}", param, ctx)


def url_from(typed: str) -> str:
    """Return the request URL for an exchange address as a 1C user types it (docs/protocol.md, N2).

    Surrounding blanks are removed, backslashes become slashes, the scheme may be in capitals, the host may be
    Cyrillic, and a missing path becomes 1C's default. Raises ``click.UsageError``.
    """
    scheme, slashes, rest = typed.strip().replace("\\", "/").partition("://")
    try:
        if not slashes or scheme.lower() not in ("http", "https"):
            raise ValueError("write the address as in http://shop.example/1c_exchange.php")
        authority, path, query = re.fullmatch(r"([^/?#]*)([^?]*)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
        if "@" in authority:
            raise ValueError("it holds a user")
        if {key.lower() for key, _ in parse_qsl(query[1:], keep_blank_values=True)} & {"type", "mode", "sessid"}:
            raise ValueError("leave out type=, mode= and sessid=: they are added to each request")
        if path in ("", "/") and not query:
            path = USUAL_PATH
        host, colon, port = authority.partition(":")
        if not host.isascii():
            authority = host.encode("idna").decode("ascii") + colon + port
        return url_of(scheme.lower(), f"{scheme.lower()}://{authority}{_quoted(path)}{_quoted(query)}")
    except ValueError as error:
        words = "the host name is invalid" if isinstance(error, UnicodeError) else error
        raise click.UsageError(f"--url: {words}") from None


def _quoted(text: str) -> str:
    """Return a path or a query with non-ASCII letters percent-encoded."""
    return "".join(mark if mark.isascii() else quote(mark) for mark in text)


def _prompted() -> str:
    """Prompt for a password and return it. Raises ``click.UsageError`` if there is no one to prompt."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that input is echoed without a terminal: expected in a pipe
            word: str = click.prompt("Password", hide_input=True, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise SystemExit(130) from None  # Ctrl-C
        words = "there is no password, and no terminal to ask for one: set ONEC_PASSWORD, or use --password-file"
        raise click.UsageError(words) from None
    return word


def password_from(path: str | None) -> str:
    """Return the first line of a file, or prompt for a password. Raises ``click.UsageError``."""
    if path is None:
        return _prompted()
    try:
        return plain_text(Path(path).read_bytes()).split("\n", 1)[0].rstrip("\r")
    except OSError as error:
        raise click.UsageError(f"--password-file={path}: cannot be read: {error.strerror}") from None
    except NotPlain as error:
        raise click.UsageError(f"--password-file={path}: {error}") from None
