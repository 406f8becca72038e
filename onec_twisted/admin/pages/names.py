"""Foreign text on a page: names, and words of others, shown so that nothing in them can deceive.

Marks that change the direction of text, and characters that nobody can see, are written out, as ``U+202E``; the rest
stands in ``<bdi>``, so that a name of right-to-left letters leaves what is beside it alone (Unicode TR36, 2.6).
"""

from __future__ import annotations

import unicodedata
from itertools import groupby

from twisted.web.template import Tag, tags

__all__ = ["LONGEST_SHOWN", "is_unseen", "shown", "spelled"]

LONGEST_SHOWN = 400
"""Characters of a name or a message that are shown."""

MOST_MARKS = 4
"""Marks on one letter that are shown as they are; more than these would cover the lines around it."""

_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
"""Characters without a shape, although their category promises one (Default_Ignorable_Code_Point, Braille blank)."""


def is_unseen(mark: str) -> bool:
    """Return whether a character has no shape of its own, or changes the direction of others."""
    kind = unicodedata.category(mark)
    is_selector = "\ufe00" <= mark <= "\ufe0f" or "\U000e0100" <= mark <= "\U000e01ef"
    return kind[0] == "C" or (kind[0] == "Z" and mark != " ") or mark in _UNSEEN or is_selector


def _parts(text: str) -> list[tuple[str, bool]]:
    """Return a text in parts, each with whether it has to be written out."""
    told, marks = [], 0
    for mark in text[:LONGEST_SHOWN]:
        marks = marks + 1 if unicodedata.category(mark) in {"Mn", "Me"} else 0
        told.append((mark, is_unseen(mark) or marks > MOST_MARKS))
    return [("".join(mark for mark, _ in group), odd) for odd, group in groupby(told, key=lambda one: one[1])]


def _codes(marks: str) -> str:
    return " ".join(f"U+{ord(mark):04X}" for mark in marks)


def spelled(text: str) -> str:
    """Return a text for an attribute, with what cannot be seen written out in brackets."""
    made = "".join(f"[{_codes(part)}]" if odd else part for part, odd in _parts(text))
    return f"{made}…" if len(text) > LONGEST_SHOWN else made


def shown(text: str) -> Tag | str:
    """Return a text for the page, with what cannot be seen written out; an empty one stays empty."""
    if not text:
        return ""
    made = [tags.span(_codes(part), class_="mark") if odd else part for part, odd in _parts(text)]
    return tags.bdi(made, "…" if len(text) > LONGEST_SHOWN else "")
