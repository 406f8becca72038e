"""What a person sees in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from in_memory import InMemory

HTML = "text/html,application/xhtml+xml,*/*;q=0.8"


@pytest.mark.parametrize(
    ("language", "words"),
    [("en-US,en;q=0.9", "enter this address"), ("ru-RU,ru;q=0.9,en;q=0.8", "введите этот адрес"), ("", "enter this")],
)
def test_a_person_is_told_what_this_is(exchange: InMemory, language: str, words: str) -> None:
    """In their language, as a page that can load nothing."""
    reply = exchange.request("GET", "", Accept=HTML, Accept_Language=language)

    assert reply.status == 200
    assert words in reply.body.decode()
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.headers["content-security-policy"] == "default-src 'none'"


@pytest.mark.parametrize(
    ("query", "accept"), [("", "*/*"), ("", ""), ("type=catalog&mode=nonsense", HTML), ("type=catalog", HTML)]
)
def test_nodes_hear_a_failure(exchange: InMemory, query: str, accept: str) -> None:
    """Whatever they ask for, and whatever else a browser asks for."""
    reply = exchange.request("GET", query, b"", Accept=accept)

    assert reply.status >= 400
    assert reply.body.startswith(b"failure")
