"""What a node understands, and what it says of answers that would make a real 1C stumble."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onec_twisted.node.answers import (
    BITRIX,
    TRADE,
    NodeError,
    RawAnswer,
    Refusal,
    Strange,
    login_of,
    parameters_of,
    state_of,
)

GOOD = {"content-type": "text/plain; charset=utf-8"}
LOGIN = "success\nonec\nabc\nsessid=123\ntimestamp=17"


def raw(text: str | bytes, status: int = 200, **headers: str) -> RawAnswer:
    """Return an answer."""
    body = text if isinstance(text, bytes) else text.encode()
    return RawAnswer(status, body, {**GOOD, **{name.replace("_", "-"): value for name, value in headers.items()}})


def test_a_login() -> None:
    """Line for line."""
    login = login_of(raw(LOGIN))

    assert (login.cookie, login.sessid, login.timestamp, login.remarks) == ("onec=abc", "123", "17", ())


@pytest.mark.parametrize(
    "text", [LOGIN + "\n", "SUCCESS\nonec\nabc\nsessid=123\ntimestamp=17", LOGIN.replace("\n", "\r\n")]
)
def test_logins_that_real_clients_take(text: str) -> None:
    """Whatever is at the ends of lines, in any case."""
    assert login_of(raw(text)).cookie == "onec=abc"


@pytest.mark.parametrize(
    ("answer", "clients", "words"),
    [
        (raw("success\nonec\nabc"), TRADE, "line 4 is missing"),
        (raw("success\nonec\nabc\ntimestamp=17"), TRADE, "line 4 is not sessid"),
        (raw("success\nonec\nabc\nsessid=1"), BITRIX, "line 5 is not timestamp"),
        (raw("success\nonec\na|c\nsessid=1\ntimestamp=1"), TRADE, "characters that some nodes alter"),
        (raw(LOGIN.replace("\n", "\r\n")), TRADE, "CR LF"),
        (raw(codecs.BOM_UTF8 + LOGIN.encode()), BITRIX, "byte order mark"),
        (raw(LOGIN, content_type="text/html"), BITRIX, "names no charset at its end"),
        (raw(LOGIN, content_type="text/plain; charset=utf-8; x=y"), BITRIX, "names no charset at its end"),
        (raw(LOGIN, x_content_encoding="gzip"), TRADE, "compressed"),
        (raw(LOGIN, status=201), BITRIX, "the status is 201"),
    ],
)
def test_what_is_remarked_of_a_login(answer: RawAnswer, clients: str, words: str) -> None:
    """Who stumbles over what; the login itself is good."""
    remarks = [remark for remark in login_of(answer).remarks if words in remark.words]

    assert len(remarks) == 1
    assert clients in remarks[0].clients
    assert remarks[0].cure


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (raw("failure\nНеверный пароль"), Refusal, "Неверный пароль"),
        (raw("failure\nНеверный пароль".encode("cp1251")), Refusal, "Неверный пароль"),
        (
            raw("failure\nНет", content_type="text/plain; charset=windows-1251").__class__(
                200, "failure\nНет".encode("cp1251"), {"content-type": "text/plain; charset=windows-1251"}
            ),
            Refusal,
            "Нет",
        ),
        (raw("failure"), Refusal, "failure, without a reason"),
        (raw("failure\nno", status=401), Refusal, "no"),
        (raw(""), Strange, "an empty answer"),
        (raw("<html><title>404 Not Found</title>", status=404), Strange, "404 with a page of HTML (404 Not Found)"),
        (raw("success"), Strange, "no cookie name and value"),
        (raw("success\n\nabc"), Strange, "no cookie name and value"),
        (raw("", status=301, location="https://shop.example/"), Strange, "redirects to https://shop.example/"),
        (raw(LOGIN, status=302, location="/x"), Strange, "redirects to /x"),
        (raw("PHP Warning: x\nsuccess"), Strange, "PHP Warning"),
    ],
)
def test_logins_that_are_none(answer: RawAnswer, kind: type[NodeError], words: str) -> None:
    """The error has the site's words, or says what is strange; and its status."""
    with pytest.raises(kind) as raised:
        login_of(answer)

    assert words in raised.value.words
    assert raised.value.status == answer.status


def test_the_answers_of_1c_bitrix() -> None:
    """Are golden (docs/protocol.md, N3): nothing is remarked of them."""
    catalog = raw("success\nPHPSESSID\nabc\nsessid=0123\ntimestamp=1700000000\n")
    sale = raw("success\nPHPSESSID\nabc\nsessid=0123\n")

    assert login_of(catalog).remarks == ()
    assert login_of(sale, "sale").remarks == ()
    assert parameters_of(raw("zip=no\nfile_limit=204800"), "catalog", version=False).remarks == ()
    four = raw("zip=no\nfile_limit=204800\nsessid=0123\nversion=2.09")
    assert parameters_of(four, "sale", version=True).remarks == ()
    assert state_of(raw("success\n"), "file a").remarks == ()
    assert state_of(raw("success"), "complete", may_last=True).remarks == ()


def test_parameters() -> None:
    """Of a catalog, and of orders."""
    two = parameters_of(raw("zip=yes\nfile_limit=1000"), "catalog", version=False)
    four = parameters_of(raw("zip=no\nfile_limit=1000\nsessid=1\nversion=2.10"), "sale", version=True)

    assert (two.zipped, two.file_limit, two.remarks) == (True, 1000, ())
    assert (four.zipped, four.file_limit, four.remarks) == (False, 1000, ())


@pytest.mark.parametrize(
    ("text", "exchange_type", "words", "limit"),
    [
        ("zip=no\nfile_limit=1000\n", "catalog", "a LF at the end", 1000),
        ("zip=no\nfile_limit=1000\nsessid=1\nversion=2.10", "catalog", "4 lines", 1000),
        ("zip=no", "catalog", "names no file_limit", None),
        ("zip=no\nfile_limit=0", "catalog", "names no file_limit", None),
        ("zip=no\nfile_limit=10M", "catalog", "names no file_limit", None),
        ("zip=no\nfile_limit=1000", "sale", "names no version", 1000),
        ("zip=no\nfile_limit=1000\nsessid=1\nversion=3.1", "sale", "names no version", 1000),
        ("zip=no\nfile_limit=1000\nsessid=1\nversion=2.07", "sale", "names no version", 1000),
    ],
)
def test_parameters_that_somebody_stumbles_over(text: str, exchange_type: str, words: str, limit: int | None) -> None:
    """They are used as the forgiving clients use them."""
    found = parameters_of(raw(text), exchange_type, version=exchange_type == "sale")

    assert found.file_limit == limit
    assert any(words in remark.words for remark in found.remarks)


@pytest.mark.parametrize(
    ("text", "done", "words"),
    [("success", True, ""), ("progress\n10 %", False, "10 %"), ("success\nImported 5", True, "Imported 5")],
)
def test_states(text: str, done: bool, words: str) -> None:
    """Of an import."""
    state = state_of(raw(text), "import a", may_last=True)

    assert (state.done, state.words) == (done, words)


def test_a_piece_has_one_line_and_no_progress() -> None:
    """Real clients log the second line each time, and take progress for an error."""
    assert state_of(raw("success\nok"), "file a").remarks[-1].words.startswith("success has more lines")
    assert state_of(raw("success\n"), "file a").remarks == (), "a LF at the end is taken"
    with pytest.raises(Strange):
        state_of(raw("progress"), "file a")


@given(st.binary(max_size=300), st.sampled_from([200, 301, 404, 500]))
def test_anything_is_an_answer_or_an_error(body: bytes, status: int) -> None:
    """Never something else; errors are short and in one line."""
    answer = RawAnswer(status, body)
    for understand in (
        login_of,
        lambda one: parameters_of(one, "catalog", version=False),
        lambda one: state_of(one, "import", may_last=True),
    ):
        try:
            understand(answer)
        except NodeError as error:
            assert 0 < len(error.words) < 1100  # noqa: PT017 - either is fine
            assert "\n" not in error.words  # noqa: PT017
