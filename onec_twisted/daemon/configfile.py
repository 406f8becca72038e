"""Reads the file of ``--config``: TOML, with every option by its long name."""

from __future__ import annotations

import re
import sys
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from attrs import field, frozen

from onec_twisted.daemon.given import Given
from onec_twisted.daemon.parameters import CHOICES, NUMBERS, PARAMETERS, PATHS, REPEATABLE, SIZES, TIMES, YES_OR_NO
from onec_twisted.daemon.values import InFile, Wrong, wrong
from onec_twisted.model.written import NotPlain, plain_bytes

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

__all__ = ["OPTIONS_IN_FILES", "ConfigFile", "absolute", "read_config"]

OPTIONS_IN_FILES = frozenset({name for name, *_ in PARAMETERS} | set(REPEATABLE)) - {"config"}
"""The options that a file may set."""

LISTS = (*REPEATABLE, "users")
"""What takes several texts; ``users`` are those of a shop."""

NUMERIC = {*SIZES, *TIMES, *NUMBERS, "min-rate"}

_POSITION = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


@frozen(eq=False, slots=False)
class ConfigFile:
    """A file of settings that was read: its path, its text, and what is in it."""

    path: Path
    text: str = field(repr=False)
    table: dict[str, Any] = field(repr=False)

    @cached_property
    def _lines(self) -> dict[tuple[str, ...], int]:
        """The line on which each key, with those above it, first stands; only messages need it."""
        lines: dict[tuple[str, ...], int] = {}
        for keys, line in _lines_of(self.text):
            lines.setdefault(keys, line)
        return lines

    def place(self, *keys: str) -> str:
        """Return where a key stands, after those above it, for people."""
        line = self._lines.get(keys)
        return f"{self.path}, line {line}" if line else str(self.path)

    def reject(self, words: str, *keys: str) -> NoReturn:
        """Raise ``InFile``: say where a key is, and what is wrong with it."""
        raise InFile(f"{self.place(*keys)}: {'.'.join(keys)}: {words}")

    def given(self) -> dict[str, Given]:
        """Return what it gives outside of the tables of shops, by option. Raises ``InFile``."""
        return self.given_in({name: value for name, value in self.table.items() if name != "shops"}, OPTIONS_IN_FILES)

    def given_in(self, table: Mapping[str, Any], names: Collection[str], *above: str) -> dict[str, Given]:
        """Return what a table gives, by option; ``names`` are those that it may set. Raises ``InFile``."""
        found = {}
        for name, value in table.items():
            if name not in names:
                self.reject(f"no such option{_meant(name, names)}", *above, name)
            try:
                texts = _texts(name, value)
            except Wrong as error:
                self.reject(error.words, *above, name)
            placed = tuple(absolute(name, text, self.path.parent) for text in texts)
            found[name] = self._given((*above, name), placed)
        return found

    def _given(self, keys: tuple[str, ...], texts: tuple[str, ...]) -> Given:
        def complaint(name: str, value: str) -> str:
            named = (*keys[:-1], name)
            return f"{self.place(*named)}: {'.'.join(named)}{f' = {value}' if value else ''}"

        return Given(texts, lambda: self.place(*keys), complaint)


def read_config(path: Path) -> ConfigFile:
    """Read a file. Blocks. Raises ``Wrong`` and ``InFile``."""
    try:
        text = plain_bytes(path.read_bytes()).decode("utf-8").replace("\r\n", "\n")
        return ConfigFile(path, text, tomllib.loads(text))
    except OSError as error:
        wrong("config", path, f"cannot be read: {error.strerror}")
    except NotPlain as error:
        wrong("config", path, str(error))
    except UnicodeDecodeError:
        wrong("config", path, "is not UTF-8: save it as UTF-8")
    except tomllib.TOMLDecodeError as error:
        found = _POSITION.search(str(error))
        words = str(error)[: found.start()] if found else str(error)
        line = (found[1] if found else None) or str(len(text.splitlines()))
        raise InFile(f'{path}, line {line}: {words}; write name = "text", name = 10 or name = true') from None


def _lines_of(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield each key and table with its line: the lines up to the first that is whole TOML are one statement."""
    part, begins = "", 1
    above: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        begins = number if not part else begins
        part += line
        try:
            statement = tomllib.loads(part)
        except tomllib.TOMLDecodeError:
            continue
        keys = list(_keys_of(statement))
        if part.lstrip().startswith("["):
            above = keys[-1]
            yield from ((found, begins) for found in keys)
        else:
            yield from (((*above, *found), begins) for found in keys)
        part = ""


def _keys_of(table: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield the keys of a table, and of those in it."""
    for key, value in table.items():
        yield (key,)
        if isinstance(value, dict):
            yield from ((key, *below) for below in _keys_of(value))


def _texts(name: str, value: object) -> tuple[str, ...]:
    """Return a value as texts, as they would stand on the command line. Raises ``Wrong``."""
    if name in LISTS:
        listed = value if isinstance(value, list) else [value]
        if not all(isinstance(one, str) for one in listed):
            wrong(name, "", 'write a list of texts, as in ["a", "b"]')
        return tuple(listed)
    if isinstance(value, bool):
        if CHOICES.get(name) != YES_OR_NO:
            wrong(name, "", f"write {_sample(name)}")
        return ("yes" if value else "no",)
    if not isinstance(value, str) and not (name in NUMERIC and isinstance(value, int | float)):
        wrong(name, "", f"write {_sample(name)}")
    return (str(value),)


def _sample(name: str) -> str:
    """Return what may be written for an option."""
    if CHOICES.get(name) == YES_OR_NO:
        return "true or false"
    if name in CHOICES:
        return " or ".join(f'"{choice}"' for choice in CHOICES[name])
    if name in TIMES:
        return 'a number of seconds, or a text with s, m, h or d, as in "10m"'
    if name in SIZES:
        return 'a number of bytes, or a text with K, M or G, as in "100M"'
    return "a number" if name in NUMERIC else "one text in quotes"


def _meant(key: str, names: Collection[str]) -> str:
    if key in OPTIONS_IN_FILES:
        return " of a shop; it is the same for all, and stands before the first [shops...]"
    near = get_close_matches(key.replace("_", "-").lower(), sorted(names), 1)
    return f"; write {near[0]}?" if near else "; twistd onec-exchange --help lists them"


def absolute(name: str, text: str, folder: Path) -> str:
    """Return the text of an option whose relative paths start from a folder, with absolute ones."""
    if name in PATHS or name == "config":
        return str(folder / text) if text else text
    kind, colon, path = text.partition(":")
    if name in ("auth", "admin-auth") and kind in ("htpasswd", "file") and path:
        return f"{kind}{colon}{folder / path}"
    if name in ("importer", "notify") and kind == "exec" and path:
        return f"{kind}{colon}{folder / path}"
    return text
