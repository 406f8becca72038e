"""The texts of answers in Russian."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from in_memory import InMemory, basic

import onec_twisted
from onec_twisted.exchange.texts import RUSSIAN, in_english, in_russian

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOUSE = Path(onec_twisted.__file__).parent

CALLS = frozenset(
    {
        "ImportFailed",
        "ImportInterrupted",
        "Unfit",
        "ArchiveDamaged",
        "DocumentBroken",
        "StillReading",
        "progress",
    }
)
"""What is called with a text for the person at the node."""

ROOMS = ("model/refusals", "storage", "delivery", "catalog/sql", "exchange")

OTHERS = frozenset(
    {
        "it came to a stop",  # breaks a document off: nobody reads it
        "Invalid Upload-Length",  # tus or RUFH, as all that follow
        "The file does not match its Repr-Digest - upload it again",
        "The session has a part of this file already - init starts anew",
        "Tus-Resumable must be 1.0.0",
        "No such upload",
        "A newer request took over this upload",
        "A file of this name is being uploaded already",
        "The upload is gone",
        "Too many unfinished uploads - finish or end some",
        "The body came too slowly - go on from Upload-Offset",
        "The file is busy - retry later",
        "Checksum mismatch",
    }
)
"""Texts that no node of 1C hears."""


def templates(node: ast.expr) -> Iterator[str]:
    """Yield the texts of an expression, with ``{}`` for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from templates(value)
    elif isinstance(node, ast.IfExp):
        yield from templates(node.body)
        yield from templates(node.orelse)


def texts() -> set[str]:
    """Return all texts that the code has for the person at a node."""
    found = set()
    for room in ROOMS:
        for path in (HOUSE / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and node.args:
                    name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                    found |= set(templates(node.args[0])) if name in CALLS else set()
                if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    names = {getattr(target, "attr", getattr(target, "id", "")) for target in targets}
                    pairs = [(names, node.value)]
                    if isinstance(node.value, ast.Tuple) and isinstance(targets[0], ast.Tuple):
                        pairs = [
                            ({getattr(target, "attr", getattr(target, "id", ""))}, value)
                            for target, value in zip(targets[0].elts, node.value.elts, strict=True)
                        ]
                    for named, value in pairs:
                        if named & {"words", "progress"}:
                            found |= set(templates(value))
                if isinstance(node, ast.FunctionDef) and node.name in {"said_of", "beginning", "words"}:
                    for one in ast.walk(node):
                        if isinstance(one, ast.Return) and one.value is not None:
                            found |= set(templates(one.value))
    return {text for text in found if re.search("[a-z]{3}", text.replace("{}", ""))} - OTHERS


COMPOSED = {
    "Archive {} {}: {}": (
        "Archive v8.zip is damaged: it is missing",
        "Archive v8.zip cannot be unpacked: entries overlap",
    ),
    "Import waits for an earlier one{}: {}": (
        "Import waits for an earlier one, import.xml: Import is running",
        "Import waits for an earlier one: Import is running",
    ),
    "it would become more than {}": (
        "it would become more than 7 bytes (--unpack-limit)",
        "it would become more than 7 times its size (--unpack-ratio)",
    ),
    **{
        f"{{}} {rest}": (f"Archive v8.zip {rest}".format("boom"), f"An archive {rest}".format("boom"))
        for rest in (
            "cannot be unpacked yet: the disk is too full (--min-free)",
            "cannot be unpacked yet: {}",
            "takes too much time or memory to be unpacked",
        )
    },
}
"""Texts whose parts are words of ours: as they are composed."""

FILLINGS = (
    ("import.xml",) * 4,
    ("7",) * 4,
    ("boom",) * 4,
    ("v8.zip", "3", "9"),
    ("boom", "2", "16", "8"),
    ("a.xml", "12", "boom"),
)
"""What stands in the places of a text: documents, numbers, anything."""


def instances(text: str) -> Iterator[str]:
    """Yield a text as the code fills it in; what is said of a document follows its name."""
    if text in COMPOSED:
        yield from COMPOSED[text]
        return
    if re.match("(is|has|breaks|declares) ", text):
        text = f"import.xml {text}"
    for filling in FILLINGS:
        if text.count("{}") <= len(filling):
            yield text.format(*filling)


UNTRANSLATED = re.compile(
    r"import\.xml|a\.xml|v8\.zip|boom|--[a-z-]+|manifest\.json|https?:?|ssl|init|sessid|failure|deflate"
)
"""Names, and words of the protocol."""


@pytest.mark.parametrize("text", sorted(texts()))
def test_every_text_has_a_translation(text: str) -> None:
    """With whatever is filled in, at least as the code fills it in."""
    translated = [in_russian(one) for one in instances(text)]

    assert any(re.search("[а-яё]", one) for one in translated)
    for one in translated:
        if re.search("[а-яё]", one):
            assert not re.search("[a-z]{2}", UNTRANSLATED.sub("", one)), one
    if text in COMPOSED:
        assert all(re.search("[а-яё]", one) for one in translated)


@pytest.mark.parametrize("text", sorted(RUSSIAN))
def test_no_translation_is_left_over(text: str) -> None:
    """Each is of a text that there is, and has the same places."""
    plain = re.sub(r"\{[nf]?\}", "{}", text)
    places = [int(number) for number in re.findall(r"\{(\d)\}", RUSSIAN[text])]

    assert sorted(places) == list(range(plain.count("{}")))
    assert re.search("[а-яё]", RUSSIAN[text])


@pytest.mark.parametrize(
    ("english", "russian"),
    [
        (
            "Archive v8_1.zip is damaged: the checksum of import0_1.xml is wrong - try 2 of 16 in 3 s",
            "Архив v8_1.zip повреждён: контрольная сумма import0_1.xml неверна - попытка 2 из 16 через 3 с",
        ),
        ("import0_1.xml breaks off at line 12,345", "import0_1.xml обрывается в строке 12,345"),
        (
            "Given up after 16 tries: The site answered 503 Service Unavailable",
            "Попытки прекращены, их было 16: Сайт ответил 503 Service Unavailable",
        ),
        ("Нет такой группы", "Нет такой группы"),
        ("No such group - see the site's log", "No such group - see the site's log"),
    ],
)
def test_texts_inside_texts(english: str, russian: str) -> None:
    """What is ours is translated, what the importer says stays."""
    assert in_russian(english) == russian
    assert in_english(english) == english


@given(st.text(max_size=400))
def test_anything_else_stays(words: str) -> None:
    """Nothing is lost or raised, whatever an importer says."""
    assert in_russian(words)[:0] == ""
    if not re.search("[A-Za-z]", words):
        assert in_russian(words) == words


def test_a_node_hears_russian(make_exchange: Callable[..., InMemory]) -> None:
    """The first line and the status are those of the protocol; the second is for people, in UTF-8, which is named."""
    exchange = make_exchange(language="ru")
    wrong = exchange.request("GET", "type=catalog&mode=checkauth", b"", Authorization=basic("shop", "no"))
    elsewhere = exchange.request("GET", "type=catalog&mode=nonsense")

    assert wrong.status == 401
    assert wrong.body.decode() == "failure\nНеверное имя пользователя или пароль"
    assert wrong.headers["content-type"] == "text/plain; charset=utf-8"
    assert elsewhere.body.decode() == "failure\nНеизвестный режим обмена"
