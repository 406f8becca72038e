"""One exchange: its files, what became of them, and its time line."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pages import HOSTILE, HOSTILE_TEXT, NOW, Document, exchange_line, frame, read, refusal, source_of

from onec_twisted.admin.pages.exchange import MOST_FILES, MOST_STEPS, exchange_page, missing_page
from onec_twisted.admin.words.english import ENGLISH
from onec_twisted.delivery.peeking import Peeked
from onec_twisted.model.journal import Exchange, ExchangeFile, ExchangeImport, ImportTry

SUMMARY = {"name": "import0_1.xml", "products": 120, "missing": 2}


def made(**changes: Any) -> Exchange:
    """Return an exchange whose import failed once and then succeeded."""
    tries = (
        ImportTry(NOW - 3000, NOW - 2990, "waiting", "no price"),
        ImportTry(NOW - 2000, NOW - 1960, "succeeded", ""),
    )
    one = ExchangeImport(
        "i1", "import", "catalog", "import0_1.xml", NOW - 3100, NOW - 1960, "succeeded", "", (SUMMARY,), tries
    )
    values: dict[str, Any] = {
        "line": exchange_line(files=2),
        "files": (
            ExchangeFile("import0_1.xml", 2**20, "catalog", SUMMARY),
            ExchangeFile("v8.zip", 2**21, "catalog"),
        ),
        "imports": (one,),
        "refusals": (refusal(last=NOW - 2500),),
        "live": True,
    }
    return Exchange(**(values | changes))


def steps(exchange: Exchange) -> str:
    """Return the time line as text."""
    source = source_of(exchange_page(frame(), exchange, can_read=False))
    return read_text(source[source.index('id="steps"') :])


def read_text(source: str) -> str:
    """Return the text of a source."""
    return Document(source[source.index(">") + 1 :]).text


def test_the_time_line() -> None:
    """Each step in order, with the words of each try."""
    told = steps(made())

    places = [
        told.index(said)
        for said in (
            "logged in",
            "hand-off requested: import0_1.xml",
            "no price",
            "refused with 507 × 12",
            "done, 40 s",
        )
    ]
    assert places == sorted(places)
    assert "failed, 10 s: no price" in told


@pytest.mark.parametrize(
    ("live", "can_read", "expected"),
    [
        (True, True, ["file?name=import0_1.xml", "file?name=v8.zip", "?inside=v8.zip#inside"]),
        (True, False, ["?inside=v8.zip#inside"]),
        (False, True, []),
    ],
)
def test_files(live: bool, can_read: bool, expected: list[str]) -> None:
    """With sizes, and what is in them; those that are still there can be looked into, and had by a password."""
    document = read(exchange_page(frame(root="../"), made(live=live), can_read=can_read))

    assert [re.sub(r"^../exchanges/7/?", "", str(link["href"])) for link in document.all("a")] == expected
    assert "products: 120, pictures missing: 2" in document.text
    assert "2.0 MB" in document.text


def test_what_can_be_done() -> None:
    """What was delivered can be delivered again, what failed is retried, while its files are there."""
    document = read(exchange_page(frame(), made(), can_read=False))
    assert [form["action"] for form in document.all("form")] == ["handoffs/i1/again"]
    failed = made(imports=(ExchangeImport("i2", "settled", "", "", NOW, NOW, "failed", "no", (), ()),))
    document = read(exchange_page(frame(), failed, can_read=False))
    assert [form["action"] for form in document.all("form")] == ["handoffs/i2/retry"]
    assert document.all("button")[0]["aria-label"] == "Retry: quiet session"
    assert read(exchange_page(frame(), made(live=False), can_read=True)).all("form") == []


def test_a_hostile_name_is_text_everywhere() -> None:
    """As a file, in an archive, in the words of an importer, as an agent, in a link."""
    one = ExchangeImport(
        "i", "import", "catalog", HOSTILE, NOW, None, "failed", HOSTILE, (), (ImportTry(NOW, NOW, "failed", HOSTILE),)
    )
    exchange = made(
        line=exchange_line(username=HOSTILE, agent=HOSTILE, words=HOSTILE),
        files=(ExchangeFile(HOSTILE, 1, "catalog"),),
        imports=(one,),
        refusals=(refusal(words=HOSTILE, asked=HOSTILE),),
    )
    inside = Peeked(((HOSTILE, 5),), 0, "")
    content = exchange_page(frame(), exchange, can_read=True, archive=HOSTILE, inside=inside)

    assert "<script" not in source_of(content)
    assert "\u202e" not in source_of(content)
    assert read(content).text.count(HOSTILE_TEXT) >= 10


def test_many_files_and_steps() -> None:
    """Some are shown, the others counted."""
    tries = tuple(ImportTry(NOW + place, NOW + place, "waiting", "x") for place in range(1000))
    one = ExchangeImport("i", "import", "catalog", "a", NOW, None, "waiting", "", (), tries)
    files = tuple(ExchangeFile(f"{place}.png", 5, "catalog") for place in range(1000))
    exchange = made(line=exchange_line(files=100_000), files=files, imports=(one,))
    source = source_of(exchange_page(frame(), exchange, can_read=False))

    assert f"Not shown: {100_000 - MOST_FILES}" in source
    assert f"Not shown: {1000 + 4 - MOST_STEPS}" in source
    assert len(source) < 200_000


def test_inside_an_archive() -> None:
    """Names and sizes, or why it cannot be read."""
    looked: dict[str, Any] = {"can_read": False, "archive": "v8.zip"}
    good = read(exchange_page(frame(), made(), **looked, inside=Peeked((("a.xml", 1024),), 5, "")))
    bad = read(exchange_page(frame(), made(), **looked, inside=Peeked((), 0, "it is cut off")))

    assert "a.xml1.0 KB" in good.text
    assert "Not shown: 5" in good.text
    assert "it is cut off" in bad.text


def test_an_exchange_that_is_not_on_record() -> None:
    """It says so."""
    assert read(missing_page(frame(), "gone")).text == ENGLISH.notices["gone"]
