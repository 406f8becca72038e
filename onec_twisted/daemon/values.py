"""Turns the text of one option into its value: a wrong one is named, with what to write instead."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from twisted.python import usage

from onec_twisted.auth.shard import is_shard_name
from onec_twisted.cluster.location import check_catalog, parse_location
from onec_twisted.cluster.refusals import CannotUseCluster
from onec_twisted.daemon.parameters import CHOICES, NUMBERS, SIZES, TIMES
from onec_twisted.delivery.importers import factory_of
from onec_twisted.http.connections import TrustedProxies
from onec_twisted.model.written import DURATION, LONGEST_TIME, SIZE, NotPlain, parse_duration, parse_size, plain_bytes
from onec_twisted.resumable.origins import parse_header, parse_origin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "InFile",
    "Wrong",
    "check_fit",
    "check_paths",
    "check_shared",
    "content_of",
    "one_of_several",
    "secret_in",
    "site_auth_in",
    "site_auth_of",
    "tus_path_of",
    "value_of",
    "wrong",
]

NAME = re.compile(r"[\w.:-]{1,64}")
"""What a daemon may be called."""

NEVER_ZERO = ("file-limit", "session-quota", "shop-quota", "unpack-limit")
"""Sizes that must be more than nothing."""


class Wrong(usage.UsageError):
    """The value of an option is wrong: ``words`` say why, and what to write."""

    def __init__(self, name: str, value: str, words: str) -> None:
        """Word it as on a command line; an empty ``value`` is not repeated: it may be secret."""
        super().__init__(f"--{name}{f'={value}' if value else ''}: {words}")
        self.name = name
        self.value = value
        self.words = words


class InFile(usage.UsageError):
    """Something in a file is wrong: the message says where, why, and what to write."""


def wrong(name: str, value: object, words: str) -> NoReturn:
    """Raise ``Wrong``."""
    raise Wrong(name, str(value), words)


def value_of(name: str, text: str) -> Any:
    """Return the value of an option that takes one: bytes, seconds, a number, or the text. Raises ``Wrong``."""
    if name in SIZES:
        return _size(name, text, "is not a size")
    if name == "min-rate":
        return _size(name, text, "is not a number of bytes per second")
    if name in TIMES:
        return _seconds(name, text)
    if name in NUMBERS:
        return _number(name, text)
    if name in CHOICES and text not in CHOICES[name]:
        wrong(name, text, f"must be {' or '.join(CHOICES[name])}")
    if name == "importer":
        _check_importer(text)
    if name == "orders" and not text.startswith(("http:", "https:")):
        wrong(name, text, "write an address, as in http://127.0.0.1:8000/1c-orders")
    if name == "media-root" and not text:
        wrong(name, "", "name a folder")
    if name in ("catalog", "store"):
        _check_place(name, text)
    if name == "name" and not NAME.fullmatch(text):
        wrong(name, text, "write 1 to 64 letters, digits, dots, colons and hyphens, as in north-1")
    if name == "shard" and not is_shard_name(text):
        wrong(name, text, "write 1 to 8 letters (A to Z) and digits, as in a or shop2")
    return text


def _check_place(name: str, text: str) -> None:
    """Check where records or files are; the message repeats nothing of it: a password may be in it."""
    try:
        if name == "catalog":
            check_catalog(text)
        else:
            parse_location(text)
    except CannotUseCluster as cannot:
        wrong(name, "", str(cannot))


def _size(name: str, text: str, words: str) -> int:
    try:
        size = parse_size(text)
    except ValueError:
        wrong(name, text, f"{words}; {SIZE}")
    if not size and name in NEVER_ZERO:
        wrong(name, text, "must be more than 0")
    return size


def _seconds(name: str, text: str) -> float:
    """Return a duration in seconds, more than 0 and at most a thousand years."""
    try:
        seconds = parse_duration(text)
    except ValueError:
        wrong(name, text, f"is not a number of seconds; {DURATION}")
    if not 0 < seconds < LONGEST_TIME:
        wrong(name, text, "must be more than 0 seconds, and finite")
    return seconds


def _number(name: str, text: str) -> int:
    least = NUMBERS[name]
    if re.fullmatch(r"\d{1,9}", text, re.ASCII) is None or int(text) < least:
        wrong(name, text, f"must be a number, {'1 or more' if least else 'or 0 for no limit'}")
    return int(text)


def _check_importer(text: str) -> None:
    try:
        factory_of(text)
    except LookupError:
        wrong("importer", text, "no such importer; --help-importers lists them")


def one_of_several(name: str, text: str) -> Any:
    """Return one value of a repeatable option. Raises ``Wrong``."""
    if name == "path" and (not text.startswith("/") or not text.isascii() or set(text) & set("?# ")):
        wrong(name, text, "write a path as in /1c_exchange.php")
    try:
        if name == "trusted-proxy":
            TrustedProxies.of([text])
        if name == "cors-origin":
            return parse_origin(text)
        if name == "cors-header":
            return parse_header(text)
    except ValueError:
        wrong(name, text, _SAMPLES[name])
    return text


_SAMPLES = {
    "trusted-proxy": "write an address, a network as in 10.0.0.0/8, or unix",
    "cors-origin": "write scheme, host and port as browsers do, as in https://shop.example",
    "cors-header": "write the name of one header, as in X-CSRF-Token",
}


def tus_path_of(text: str) -> str | None:
    """Return the path of tus, None if it is off. Raises ``Wrong``."""
    if text == "off":
        return None
    if re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text.rstrip("/")) is None:
        wrong("tus-path", text, "write a path as in /files/, or off")
    return text


def check_paths(paths: Sequence[str], tus_path: str | None) -> None:
    """Check that no path is at, above or below another one. Raises ``Wrong``."""
    for path in paths:
        if any(other.startswith(f"{path}/") for other in paths):
            wrong("path", path, "is above another --path")
    bare = (tus_path or "").rstrip("/")
    for other in paths if bare else ():
        if f"{other}/".startswith(f"{bare}/") or bare.startswith(f"{other}/"):
            wrong("tus-path", tus_path, f"must not be at, above or below --path={other}")


def check_fit(values: Mapping[str, Any]) -> None:
    """Check that values fit together. Raises ``Wrong``."""
    if values["body-limit"] < values["file-limit"]:
        wrong("body-limit", values["body-limit"], "is less than --file-limit: pieces of that size would be rejected")


def check_shared(values: Mapping[str, Any]) -> None:
    """Check that what daemons share fits together. Raises ``Wrong``."""
    if values["catalog"] is None and values["store"] is None:
        for name in ("store-credentials", "name"):
            if values[name] is not None:
                wrong(name, values[name], "has no effect without --catalog and --store")
        return
    for name, other in (("catalog", "store"), ("store", "catalog")):
        if values[name] is None:
            wrong(other, "", f"needs --{name} as well: daemons share both records and files, or neither")
    if values["durability"] != "piece":
        wrong("durability", values["durability"], "must be piece with --catalog: the store decides what is lost")
    if values["shard"] is not None:
        wrong("shard", values["shard"], "has no use with --catalog: any daemon serves any session")


def content_of(name: str, path: str, cure: str) -> bytes:
    """Return what is in the file that an option names, without blanks around it. Blocks. Raises ``Wrong``."""
    try:
        content = plain_bytes(Path(path).read_bytes()).strip()
    except OSError as error:
        # If the value is not a path but the secret itself, it must not get into a log
        shown = path if "/" in path and ":" not in path else ""
        wrong(name, shown, f"{'' if shown else 'the file '}cannot be read: {error.strerror}")
    except NotPlain as error:
        wrong(name, path, str(error))
    if not content:
        wrong(name, "", f"the file is empty; {cure}")
    return content


def secret_in(path: str) -> bytes:
    """Return the secret in the file of ``--import-secret``. Blocks. Raises ``Wrong``."""
    return content_of("import-secret", path, "write a secret with: openssl rand -hex 32")


def site_auth_in(path: str) -> bytes:
    """Return the site's user and password in the file of ``--import-auth``. Blocks. Raises ``Wrong``."""
    return site_auth_of(content_of("import-auth", path, "write USER:PASSWORD into it"), "the file")


def site_auth_of(content: bytes, origin: str) -> bytes:
    """Return the site's user and password from the first line of what ``origin`` has. Raises ``Wrong``."""
    first = content.split(b"\n", 1)[0].strip()
    if b":" not in first:
        wrong("import-auth", "", f"{origin} has no USER:PASSWORD in its first line")
    return first
