"""The limits of uploads, as a field. No Twisted, no disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from http_sf import ser

if TYPE_CHECKING:
    from http_sf import DictionaryType

__all__ = ["limits_field"]

GREATEST_INTEGER = 999_999_999_999_999
"""The greatest Integer of structured fields, RFC 9651 section 3.3.1, here in bytes or in seconds."""


def limits_field(quota: int | None, age: float | None) -> tuple[bytes, bytes]:
    """Return ``Upload-Limit``.

    ``quota`` is how many bytes an upload may have, ``age`` for how many seconds from now it is kept; None for either
    means that there is no such limit. Without any, the field says so, as the draft demands: ``min-size=0``.
    """
    limits: DictionaryType = {}
    if quota is not None:
        limits["max-size"] = _integer(quota)
    if age is not None:
        limits["max-age"] = _integer(age)
    return b"Upload-Limit", ser(limits or {"min-size": 0}).encode("ascii")


def _integer(limit: float) -> int:
    """Return a limit as an Integer that promises no more: rounded down, not below 0."""
    return int(min(max(0, limit), GREATEST_INTEGER))
