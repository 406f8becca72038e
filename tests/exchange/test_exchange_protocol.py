"""Query bytes to values, values to answer bytes."""

from __future__ import annotations

from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onec_twisted.exchange import protocol
from onec_twisted.exchange.protocol import Query, failure, parse_offset, parse_query
from onec_twisted.model import errors
from onec_twisted.model.errors import Refused, UnknownMode

REQUEST_LINES = [
    # UT 11.5, UNF and the Bitrix module, as they put them together (docs/protocol.md, N2)
    (b"type=catalog&mode=checkauth", Query("catalog", "checkauth")),
    (b"type=catalog&mode=init&sessid=S", Query("catalog", "init", sessid=b"S")),
    (b"type=catalog&sessid=S&mode=init", Query("catalog", "init", sessid=b"S")),
    (
        b"type=catalog&mode=file&filename=v8_1A76_155ae.zip&sessid=S",
        Query("catalog", "file", filename=b"v8_1A76_155ae.zip", sessid=b"S"),
    ),
    (
        b"type=sale&sessid=S&version=2.09&cmlVersion=2.10&mode=file&filename=x",
        Query("sale", "file", filename=b"x", sessid=b"S", version=b"2.09"),
    ),
    (b"type=catalog&mode=init&&version=2.08", Query("catalog", "init", version=b"2.08")),
    (b"type=reference&mode=init&", Query("catalog", "init")),
    (b"wc1c=exchange?type=catalog&mode=checkauth", Query("catalog", "checkauth")),
    (b"TYPE=Catalog&MODE=INIT&SessId=S", Query("catalog", "init", sessid=b"S")),
    (b"type=catalog&mode=init&sessid=", Query("catalog", "init", sessid=b"")),
    (b"type=catalog&mode=file&filename=a;b+c=d", Query("catalog", "file", filename=b"a;b+c=d")),
    (b"type=catalog&mode=file&filename=%D0%B0", Query("catalog", "file", filename="а".encode())),
    (b"type=catalog&mode=file&filename=a&filename=b", Query("catalog", "file", filename=b"a")),
    (b"type=listen&version=2.1", Query("listen", "", version=b"2.1")),
]


@pytest.mark.parametrize(("query", "expected"), REQUEST_LINES)
def test_what_real_clients_send(query: bytes, expected: Query) -> None:
    """The request lines of real clients mean what their authors meant."""
    assert parse_query(query) == expected


@given(st.binary())
def test_any_bytes_are_understood_or_refused(query: bytes) -> None:
    """Nothing that a client sends raises anything else."""
    try:
        parsed = parse_query(query)
    except UnknownMode:
        return
    assert parsed.type in {"catalog", "sale", "listen"}


@given(
    st.permutations(["type=sale", "mode=file", "filename=a%2Fb", "sessid=1", "x=y", "", "lone"]),
    st.sampled_from(["&", "&&", "?"]),
)
def test_order_and_separators_do_not_matter(fields: list[str], separator: str) -> None:
    """Fields come in any order, with doubled separators and unknown ones among them."""
    query = separator.join(fields).encode()

    assert parse_query(query) == Query("sale", "file", filename=b"a/b", sessid=b"1")


@given(st.binary(min_size=1))
def test_a_filename_survives_percent_encoding(name: bytes) -> None:
    """Every byte can be sent."""
    query = f"type=catalog&mode=file&filename={quote_from_bytes(name, safe='')}"

    assert parse_query(query.encode()).filename == name


def every_refusal() -> list[Refused]:
    """Return one of each refusal."""
    arguments = {
        errors.ContradictoryHeaders: ("Upload-Offset",),
        errors.FileInTheWay: ("<a>\nb",),
        errors.FileNotFound: ("<a>\nb",),
        errors.ImportFailed: ("<p>\nbroken",),
        errors.MethodNotAllowed: (b"POST",),
        errors.WrongOffset: (1,),
    }
    kinds = [getattr(errors, name) for name in errors.__all__]
    return [kind(*arguments.get(kind, ())) for kind in kinds if issubclass(kind, Refused)]


@pytest.mark.parametrize("refused", every_refusal(), ids=lambda refused: type(refused).__name__)
def test_every_refusal_can_be_read_on_a_1c_screen(refused: Refused) -> None:
    """``failure`` alone in its line, then one short line without HTML; no LF at the end."""
    answer = failure(refused)
    first, second = answer.body.decode("utf-8").split("\n")

    assert first == "failure"
    assert 0 < len(second) < 256
    assert not set(second) & set("<>\r")
    assert answer.content_type.endswith(b"charset=utf-8")


def test_each_reason_has_its_own_words() -> None:
    """Two reasons that read the same help nobody."""
    words = [refused.words for refused in every_refusal()]

    assert len(words) == len(set(words))


@given(st.text())
def test_any_words_stay_one_line(words: str) -> None:
    """A file's name cannot add lines or markup to an answer."""
    assert failure(errors.FileNotFound(words)).body.count(b"\n") == 1


@pytest.mark.parametrize(
    ("upload_offset", "content_range", "length", "place"),
    [
        (None, None, 5, None),
        (b"0", None, 5, 0),
        (b"7", None, None, 7),
        (None, b"bytes 5-9/*", 5, 5),
        (None, b"bytes 5-9/10", None, 5),
        (b"5", b"bytes 5-9/10", 5, 5),
    ],
)
def test_offsets(
    upload_offset: bytes | None, content_range: bytes | None, length: int | None, place: int | None
) -> None:
    """Either header, or both when they agree."""
    assert parse_offset(upload_offset, content_range, length) == place


@given(st.none() | st.binary(max_size=20), st.none() | st.binary(max_size=30), st.none() | st.integers(0, 10))
def test_any_offset_is_understood_or_refused(
    upload_offset: bytes | None, content_range: bytes | None, size: int | None
) -> None:
    """Nothing else is raised, and no place is negative."""
    try:
        place = parse_offset(upload_offset, content_range, size)
    except errors.InvalidOffset:
        return
    assert place is None or place >= 0


def test_answers_end_without_a_line_feed() -> None:
    """Real nodes count the lines, and a trailing LF may count as one more (docs/protocol.md, N5)."""
    query = Query("sale", "init", version=b"3.1")
    answers = [
        protocol.init_answer(query, "s", zipped=False, file_limit=1),
        protocol.init_answer(Query("catalog", "init", version=b"3.1"), "s", zipped=True, file_limit=204800),
        protocol.checkauth_answer("c", "t", "s", 1, secure=True),
    ]

    assert [answer.body for answer in answers] == [
        b"zip=no\nfile_limit=1\nsessid=s\nversion=2.10",
        b"zip=yes\nfile_limit=204800",
        b"success\nc\nt\nsessid=s\ntimestamp=1",
    ]
    assert (b"Set-Cookie", b"c=t; HttpOnly; SameSite=Strict; Secure") in answers[2].headers
