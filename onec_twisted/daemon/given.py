"""What was given for an option, and where: on the command line, in the environment, or in a file."""

from __future__ import annotations

import getopt
import json
from typing import TYPE_CHECKING

from attrs import field, frozen

from onec_twisted.daemon.parameters import PARAMETERS, REPEATABLE
from onec_twisted.daemon.values import wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from onec_twisted.daemon.values import Wrong

__all__ = ["PREFIX", "Given", "foreign_variables", "given_in_environment", "given_on_line", "variable_of"]

PREFIX = "ONEC_EXCHANGE_"
"""With which the variables of all options begin."""


@frozen(eq=False)
class Given:
    """The texts of one option, as on a command line; only a repeatable one has several.

    ``origin`` returns where they are from, and ``complaint`` what a wrong one is called there: the function gets the
    option's name and the wrong value, empty if that is not to be repeated.
    """

    texts: tuple[str, ...] = field(repr=False)
    origin: Callable[[], str]
    complaint: Callable[[str, str], str]

    def explain(self, error: Wrong) -> str:
        """Return in one line what is wrong, and where."""
        return f"{self.complaint(error.name, error.value)}: {error.words}"


def variable_of(name: str) -> str:
    """Return the environment variable of an option."""
    return PREFIX + name.upper().replace("-", "_")


def _on_line(name: str, value: str) -> str:
    return f"--{name}{f'={value}' if value else ''}"


def _line() -> str:
    return "command line"


def given_on_line(arguments: Sequence[str], short: str, long: Sequence[str]) -> dict[str, Given]:
    """Return what a command line gives, by option; what cannot be understood is left to its parser.

    ``short`` and ``long`` are the options in the terms of ``getopt``.
    """
    found: dict[str, list[str]] = {}
    try:
        pairs, _ = getopt.getopt(list(arguments), short, list(long))
    except getopt.error:
        return {}
    for name, text in pairs:
        found.setdefault(name.lstrip("-"), []).append(text)
    return {name: Given(tuple(texts), _line, _on_line) for name, texts in found.items()}


def given_in_environment(names: Iterable[str], environment: Mapping[str, str]) -> dict[str, Given]:
    """Return what the environment gives for these options; an empty variable gives nothing.

    A repeatable option takes one value, or a list in JSON: ``["/a", "/b"]``. Raises ``Wrong``.
    """
    found = {}
    for name in names:
        variable = variable_of(name)
        text = environment.get(variable, "")
        if text:
            texts = _listed(name, text) if name in REPEATABLE and text.startswith("[") else (text,)
            found[name] = _variable(variable, texts)
    return found


def foreign_variables(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the variables that begin like those of options, but name none.

    They are no mistake by themselves: Kubernetes sets such ones for a service of this name.
    """
    known = {variable_of(name) for name in (*REPEATABLE, *(name for name, *_ in PARAMETERS))}
    return tuple(sorted(name for name in environment if name.startswith(PREFIX) and name not in known))


def _variable(variable: str, texts: tuple[str, ...]) -> Given:
    return Given(texts, lambda: variable, lambda _, value: f"{variable}{f'={value}' if value else ''}")


def _listed(name: str, text: str) -> tuple[str, ...]:
    """Return the texts of a list. Raises ``Wrong``."""
    try:
        listed = json.loads(text)
    except ValueError:
        listed = None
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        wrong(name, "", f'{variable_of(name)} is no list of texts; write one as in ["a", "b"], or one text')
    return tuple(listed)
