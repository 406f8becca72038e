"""What is typed on the command line of ``onec-node``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest

from onec_twisted.node.typed import Duration, Size, password_from

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
