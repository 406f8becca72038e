"""What is typed on the command line of ``onec-node``."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import click
import pytest

from onec_twisted.node.typed import Duration, Size, password_from, url_from

if TYPE_CHECKING:
    from pathlib import Path


def test_times_and_sizes() -> None:
    """As people write them."""
    assert [Duration().convert(text, None, None) for text in ("90", "90s", "3m", "1h", "1d")] == [
        90,
        90,
        180,
        3600,
        86400,
    ]
    assert [Size().convert(text, None, None) for text in ("1", "100K", "2M")] == [1, 102400, 2 * 2**20]


@pytest.mark.parametrize("text", ["soon", "0", "0.01", "1000d", "3M", "nan", "inf"])
def test_what_is_no_time(text: str) -> None:
    """Is told in one line."""
    with pytest.raises(click.BadParameter) as caught:
        Duration().convert(text, None, None)
    assert text in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5"])
def test_what_is_no_size(text: str) -> None:
    """Is told in one line."""
    with pytest.raises(click.BadParameter) as caught:
        Size().convert(text, None, None)
    assert text in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1251"])
def test_a_password_in_a_file_from_windows(tmp_path: Path, encoding: str) -> None:
    """It is the first line, without what Windows puts around it."""
    path = tmp_path / "password"
    path.write_bytes("пароль: 1\r\nnot this\r\n".encode(encoding))
    assert password_from(str(path)) == "пароль: 1"


def test_a_password_in_utf_16(tmp_path: Path) -> None:
    """Is told, with what to do, and without the password."""
    path = tmp_path / "password"
    path.write_bytes("secret\r\n".encode("utf-16"))
    with pytest.raises(click.UsageError, match="password: is UTF-16: save it as UTF-8") as caught:
        password_from(str(path))
    assert "secret" not in caught.value.message
    with pytest.raises(click.UsageError, match="cannot be read: No such file"):
        password_from(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("typed", "means"),
    [
        ("http://shop.example/1c_exchange.php", "http://shop.example/1c_exchange.php"),
        (" HTTPS://shop.example:8443/a ", "https://shop.example:8443/a"),
        ("http:\\\\shop.example\\1c_exchange.php", "http://shop.example/1c_exchange.php"),
        ("http://shop.example", "http://shop.example/bitrix/admin/1c_exchange.php"),
        ("http://shop.example/", "http://shop.example/bitrix/admin/1c_exchange.php"),
        ("http://shop.example/?wc1c=exchange", "http://shop.example/?wc1c=exchange"),
        ("http://магазин.рф:8080/обмен", "http://xn--80aairftm.xn--p1ai:8080/%D0%BE%D0%B1%D0%BC%D0%B5%D0%BD"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x"),
        ("http://shop.example/a@b", "http://shop.example/a@b"),
    ],
)
def test_an_address(typed: str, means: str) -> None:
    """Is what a 1C user would type."""
    assert url_from(typed) == means


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("shop.example/1c_exchange.php", "write the address as in http://shop.example/1c_exchange.php"),
        ("ftp://shop.example/", "write the address as in"),
        ("http://user:word@shop.example/", "it holds a user"),
        ("http://shop.example/x?type=catalog&mode=checkauth", "leave out type=, mode= and sessid="),
        ("http://a b/", "not an address"),
        ("http://магазин..рф/", "the host name is invalid"),
        ("http:///x", "not an address"),
    ],
)
def test_what_is_no_address(typed: str, words: str) -> None:
    """Is told in one line, without a password."""
    with pytest.raises(click.UsageError) as caught:
        url_from(typed)
    assert words in caught.value.message
    assert "\n" not in caught.value.message
    assert "word" not in caught.value.message.replace("words", "")


def test_nobody_to_ask_for_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal, and with nothing in a pipe: what to do is told; Ctrl-C at a terminal is Ctrl-C."""

    def end(*_: object, **__: object) -> None:
        raise click.Abort

    monkeypatch.setattr(click, "prompt", end)
    with pytest.raises(click.UsageError, match="set ONEC_PASSWORD, or use --password-file"):
        password_from(None)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    with pytest.raises(SystemExit) as caught:
        password_from(None)
    assert caught.value.code == 130
