"""Which language a browser prefers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onec_twisted.admin.words.english import ENGLISH
from onec_twisted.admin.words.russian import RUSSIAN

if TYPE_CHECKING:
    from onec_twisted.admin.words.text import Words

__all__ = ["LANGUAGES", "words_for"]

LANGUAGES = {words.language: words for words in (ENGLISH, RUSSIAN)}


def words_for(accept_language: str | None) -> Words:
    """Return the texts in the browser's preferred language (RFC 9110 section 12.5.4), or in English."""
    best, found = 0.0, ENGLISH
    for choice in (accept_language or "").split(","):
        name, _, quality = choice.lower().replace(" ", "").partition(";q=")
        words = ENGLISH if name == "*" else LANGUAGES.get(name.partition("-")[0])
        try:
            weight = float(quality or 1)
        except ValueError:
            continue
        if words is not None and weight > best:
            best, found = weight, words
    return found
