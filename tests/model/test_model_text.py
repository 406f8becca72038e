"""Bytes that a client sent, as text."""

from __future__ import annotations

import pytest

from onec_twisted.model.text import decoded


@pytest.mark.parametrize("encoding", ["utf-8", "cp1251"])
def test_a_name_is_read_in_both_encodings_of_1c(encoding: str) -> None:
    """Newer nodes write UTF-8, older ones the Russian code page of Windows."""
    assert decoded("Товар".encode(encoding)) == "Товар"


def test_nothing_is_refused_for_its_bytes() -> None:
    """What neither encoding has a character for is marked."""
    assert decoded(b"\x98\xff") == "\ufffdя"
