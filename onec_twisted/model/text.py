"""Bytes that a client sent, as text: UTF-8, else Windows-1251; and one printable line of them."""

from __future__ import annotations

__all__ = ["decoded"]


def decoded(raw: bytes) -> str:
    """Decode bytes that a node sent: UTF-8, else the Russian Windows code page (cp1251)."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1251", "replace")


def _one_line(text: str) -> str:
    """Reduce a text to one printable line without angle brackets, at most 255 characters (A.2 row 3)."""
    kept = "".join(" " if mark in "<>" or not mark.isprintable() else mark for mark in text)
    return kept[:255]
