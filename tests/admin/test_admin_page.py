"""The page as a document: what it says, and that it says it safely."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from administrator import Administrator
from line import Line, post

from onec_twisted.admin.status import MOST_SHOWN
from onec_twisted.admin.words import ENGLISH, RUSSIAN
from onec_twisted.model.errors import ImportFailed
from onec_twisted.testing import FakeImporter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from in_memory import InMemory

HOSTILE = "<script>alert(1)</script>\"'&.xml"


class Document(HTMLParser):
    """A document's tags with their attributes, and its text."""

    def __init__(self, source: str) -> None:
        """Read it."""
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep text."""
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of all tags of a name."""
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def importer() -> FakeImporter:
    """Who takes what is handed off."""
    return FakeImporter(patient=True)


@pytest.fixture
def busy(make_exchange: Callable[..., InMemory], importer: FakeImporter) -> Iterator[InMemory]:
    """An exchange with a failed hand-off, one that runs, and a piece on its way."""
    exchange = make_exchange(importer=importer)
    cookie, sessid = exchange.checkauth()
    for name in ("a.xml", "b.xml"):
        query = f"type=catalog&filename={name}&sessid={sessid}&mode="
        exchange.request("POST", query + "file", b"<?xml", Cookie=cookie)
        exchange.send("GET", query + "import", Cookie=cookie).addErrback(lambda _: None)
    importer.end(ImportFailed(f"no price in {HOSTILE}"))
    session = exchange.checkauth()
    line = Line(exchange.site)
    line.send(post(session, "c.zip", b"x" * 2000)[:-1000])
    yield exchange
    line.lose()


def test_what_is_there(busy: InMemory) -> None:
    """Sessions, the piece and how far it is, hand-offs with their last words, the buttons that they have."""
    document = Document(Administrator(busy).page())

    assert [attributes.get("id") for attributes in document.all("section")] == ["uploads", "handoffs", "sessions"]
    (progress,) = document.all("progress")
    assert (progress["value"], progress["max"]) == ("1000", "2000")
    for words in ("c.zip", "shop", "a.xml", "b.xml", "no price in", "Import is running", "failed", "waiting"):
        assert words in document.text
    actions = [str(form["action"]) for form in document.all("form")]
    assert [action.partition("/")[0] + action[action.rindex("/") :] for action in actions] == [
        "handoffs/retry",
        "handoffs/drop",
        "sessions/end",
    ]


def test_a_hostile_name_is_text(exchange: InMemory) -> None:
    """Wherever it stands: in a cell, in an attribute, in the words of an importer."""
    session = exchange.checkauth()
    line = Line(exchange.site)
    line.send(post(session, "%3Cscript%3Ealert(1)%3C%2Fscript%3E%22%27%26.xml", b"x" * 20)[:-10])
    source = Administrator(exchange).page()
    document = Document(source)
    line.lose()

    assert "<script>alert" not in source
    assert "<script>alert(1)</script>\"'&.xml" in document.text
    assert document.all("progress")[0]["aria-label"] == f"Piece {HOSTILE}"
    assert [attributes.get("src") for attributes in document.all("script")] == ["status.js"]


def test_nothing_runs_or_is_styled_in_line(busy: InMemory) -> None:
    """The policy forbids it, and nothing comes from elsewhere."""
    document = Document(Administrator(busy).page())

    assert not document.all("style")
    for tag, attributes in document.tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes), tag
        for name in ("src", "href", "action"):
            assert ":" not in (attributes.get(name) or "")


def test_it_can_be_read_aloud(busy: InMemory) -> None:
    """A language, one heading, tables with names and column heads, buttons that say what they are about."""
    document = Document(Administrator(busy).page())

    assert document.all("html") == [{"lang": "en"}]
    assert len(document.all("h1")) == 1
    ids = [attributes["id"] for _, attributes in document.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert {str(table["aria-labelledby"]) for table in document.all("table")} <= set(ids)
    assert all(head["scope"] == "col" for head in document.all("th"))
    labels = [str(button["aria-label"]) for button in document.all("button")]
    assert labels == ["Retry: a.xml", "Drop: a.xml", "End: shop"]
    assert {"status", "alert"} == {attributes.get("role") for attributes in document.all("p") if "role" in attributes}


def test_in_russian(busy: InMemory) -> None:
    """The same page in the other language."""
    document = Document(Administrator(busy).page(Accept_Language="ru-RU,ru;q=0.9,en;q=0.8"))

    assert document.all("html") == [{"lang": "ru"}]
    for words in (RUSSIAN.sessions, RUSSIAN.transfers, RUSSIAN.handoffs, RUSSIAN.retry, "КБ"):
        assert words in document.text
    assert ENGLISH.sessions not in document.text


def test_a_session_that_owes_something_is_ended_with_a_warning(exchange: InMemory) -> None:
    """The question before it says what is lost."""
    session = exchange.checkauth()
    administrator = Administrator(exchange)
    assert Document(administrator.page()).all("form")[0]["data-confirm"] == ENGLISH.end_question
    line = Line(exchange.site)
    line.send(post(session, "a.xml", b"<?xml"))
    document = Document(administrator.page())
    line.lose()

    assert document.all("form")[0]["data-confirm"] == ENGLISH.end_loses
    assert ENGLISH.owed in document.text


def test_what_is_lost_is_said_before(busy: InMemory, importer: FakeImporter) -> None:
    """A session whose import failed is not at the site; a hand-off that no node asks for is not asked for again."""
    administrator = Administrator(busy)
    (drop,) = [form for form in Document(administrator.page()).all("form") if "/drop" in str(form["action"])]
    assert drop["data-confirm"] == ENGLISH.drop_question
    importer.end()
    ends = [form for form in Document(administrator.page()).all("form") if "/end" in str(form["action"])]
    assert sorted(str(form["data-confirm"]) for form in ends) == sorted([ENGLISH.end_question, ENGLISH.end_loses])


def test_a_failed_hand_off_of_a_quiet_session(make_exchange: Callable[..., InMemory], importer: FakeImporter) -> None:
    """Its buttons say what they are about, and what is lost by them."""
    exchange = make_exchange(importer=importer)
    line = Line(exchange.site)
    line.send(post(exchange.checkauth(), "a.xml", b"<?xml"))
    exchange.clock.advance(400)
    exchange.parts.handoffs.settle_quiet()
    importer.end(ImportFailed("no"))
    document = Document(Administrator(exchange).page())

    assert [button["aria-label"] for button in document.all("button")] == ["Retry: a.xml", "Drop: a.xml", "End: shop"]
    assert [form.get("data-confirm") for form in document.all("form")] == [
        None,
        ENGLISH.drop_loses,
        ENGLISH.end_loses,
    ]


def test_what_is_not_shown_is_counted(exchange: InMemory) -> None:
    """A page holds so much, and says how much more there is."""
    for _ in range(MOST_SHOWN + 5):
        exchange.checkauth()

    assert "Not shown: 5" in Document(Administrator(exchange).page()).text


def test_a_piece_without_a_length_and_one_that_waits(exchange: InMemory) -> None:
    """What has come is told; who waits is told to wait."""
    session = exchange.checkauth()
    lines = [Line(exchange.site), Line(exchange.site)]
    lines[0].send(post(session, "a", b"x" * 30, chunks=10)[:-10])
    lines[1].send(post(session, "a", b"y" * 30))
    document = Document(Administrator(exchange).page())
    for line in lines:
        line.lose()

    assert not document.all("progress")
    assert ENGLISH.waits in document.text


def test_many_files(make_exchange: Callable[..., InMemory]) -> None:
    """A hand-off of a quiet session names the first ones."""
    exchange = make_exchange()
    session = exchange.checkauth()
    for name in "abcde":
        Line(exchange.site).send(post(session, name, b"x"))
    exchange.clock.advance(400)
    exchange.parts.handoffs.settle_quiet()

    assert "a, b, c, …" in Document(Administrator(exchange).page()).text


def test_sessions_of_a_shard_are_told_apart(make_exchange: Callable[..., InMemory]) -> None:
    """Its name, with which all of them begin, leaves room for what distinguishes them."""
    exchange = make_exchange(shard="shop2")
    sessids = [exchange.checkauth()[1] for _ in range(2)]

    text = Document(Administrator(exchange).page()).text
    assert sessids[0][:14] != sessids[1][:14]
    assert all(sessid[:14] in text and sessid not in text for sessid in sessids)
