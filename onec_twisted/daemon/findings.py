"""What ``--check`` finds out, and how it tells that."""

from __future__ import annotations

from attrs import frozen

__all__ = ["FAIL", "OK", "WARN", "Finding", "table"]

OK, WARN, FAIL = "ok", "WARN", "FAIL"


@frozen
class Finding:
    """What was found out about one thing: ``state`` is ``OK``, ``WARN`` or ``FAIL``."""

    state: str
    about: str
    words: str


def table(found: list[Finding]) -> str:
    """Return findings as lines for people."""
    width = max(len(one.about) for one in found)
    return "".join(f"{one.state:4}  {one.about:{width}}  {one.words}\n" for one in found)
