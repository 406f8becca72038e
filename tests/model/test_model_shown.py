"""Texts of others, as people may see them."""

from __future__ import annotations

import pytest

from onec_twisted.model.shown import harmless, harmless_writer, hidden


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Нет цены – 5 €", "Нет цены – 5 €"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\x9b2J", "\\x9b2J"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2028\x7f\x00", "\\u2028\\x7f\\x00"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text: str, shown: str) -> None:
    """And all else stays as it is."""
    assert harmless(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://shop.example/a", "http://shop.example/a"),
        ("http://shop:secret@shop.example/a", "http://***@shop.example/a"),
        ("http://shop:se/c@r et\n@shop.example/a: is wrong", "http://***@shop.example/a: is wrong"),
        ("//shop:secret@h and //u:p@i", "//***@i"),
        ("http:shop:secret@h/x", "http:***@h/x"),
        ("HTTPS:/shop:secret@h/x", "HTTPS:***@h/x"),
        ("--orders=shop:secret@h/x: is wrong", "--orders=***@h/x: is wrong"),
        ("--media-root=a@b: cannot be made", "--media-root=a@b: cannot be made"),
    ],
)
def test_no_address_tells_a_password(text: str, shown: str) -> None:
    """However wrong it is written."""
    assert hidden(text) == shown


def test_a_document_on_a_terminal_keeps_its_lines() -> None:
    """And nothing else that a terminal would obey, however it is cut."""
    written: list[str] = []
    take = harmless_writer(written.append)
    for byte in "<?xml?>\t\r\n\x1b[2J\x9b<Ид>\n".encode():
        take(bytes([byte]))
    take(b"a\r\nb\rc")

    assert "".join(written) == "<?xml?>\t\\r\n\\x1b[2J\\x9b<Ид>\na\r\nb\\rc"
