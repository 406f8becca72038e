"""What tests of documents share."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from onec_twisted.model import errors
from onec_twisted.model.errors import Refused
from onec_twisted.model.refusals import uploads
from onec_twisted.model.refusals.base import RetryLater

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

TOOLS = all(shutil.which(tool) for tool in ("curl", "unzip", "jq"))
"""Whether what the examples use is there."""


def russian(name: str) -> Path:
    """Return the Russian page of a name."""
    return DOCS / "ru" / name


def is_refusal(kind: object) -> bool:
    """Return whether something is a reason to refuse, and no base of such."""
    return isinstance(kind, type) and issubclass(kind, Refused) and kind not in {Refused, RetryLater}


def kinds() -> list[type[Refused]]:
    """Return every refusal that a node may receive."""
    return [kind for kind in vars(errors).values() if is_refusal(kind) and kind.__module__ != uploads.__name__]


def words_of(kind: type[Refused]) -> str:
    """Return a refusal's words; what differs each time is ``…``."""
    takes_words: type[Any] = kind
    return kind.words if "words" in vars(kind) else str(takes_words("…").words)


def text_of(path: Path) -> str:
    """Return a document without its examples."""
    return re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """Return what can be linked to in a document, as GitHub names it."""
    found: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", text_of(path), re.MULTILINE):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        name = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        found.append(f"{name}-{found.count(name)}" if name in found else name)
    return set(found)
