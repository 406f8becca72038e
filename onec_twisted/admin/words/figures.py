"""Numbers and moments as people read them."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from onec_twisted.admin.words.text import Words
    from onec_twisted.model.records import Handoff

__all__ = ["clock", "duration", "found", "found_in", "size"]

SHORTEST_WHOLE = 10
"""Seconds below which a duration is told to a tenth."""


def size(count: float, words: Words) -> str:
    """Return a number of bytes in a suitable unit, in powers of 1024 like all our options."""
    unit = 0
    while count >= 1000 and unit < len(words.units) - 1:
        count, unit = count / 1024, unit + 1
    text = f"{count:.0f}" if unit == 0 or count >= 100 else f"{count:.1f}"
    return f"{text.replace('.', words.decimal)} {words.units[unit]}"


def duration(seconds: float, words: Words) -> str:
    """Return a duration in the largest unit that it fills; a short one to a tenth of a second."""
    rest = max(0.0, seconds)
    if 0 < rest < SHORTEST_WHOLE - 0.05 and rest % 1:
        return f"{rest:.1f} {words.times[0]}".replace(".", words.decimal)
    rest = rest if rest >= SHORTEST_WHOLE else round(rest)
    for unit, length in enumerate((60, 60, 24)):
        if rest < length:
            return f"{int(rest)} {words.times[unit]}"
        rest //= length
    return f"{int(rest)} {words.times[3]}"


def clock(then: float) -> str:
    """Return the time of day of a moment, in seconds since 1970, in the machine's time zone."""
    return f"{datetime.fromtimestamp(then).astimezone():%H:%M}"


def found_in(documents: Iterable[Mapping[str, Any]], words: Words) -> str:
    """Return what was found in documents, of ``Document.as_dict``: ``products: 120, pictures missing: 2``."""
    total: Counter[str] = Counter()
    for document in documents:
        total.update({name: document.get(name) or 0 for name in words.found})
    return ", ".join(f"{words.found[name]}: {total[name]}" for name in words.found if total[name])


def found(handoff: Handoff, words: Words) -> str:
    """Return what was found in the documents of a hand-off."""
    return found_in(json.loads(handoff.checked or "[]"), words)
