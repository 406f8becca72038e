"""What people write."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onec_twisted.model.written import NotPlain, parse_duration, parse_size, plain_bytes, plain_text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1", 1),
        ("204800", 204800),
        ("1k", 1024),
        ("100M", 100 * 2**20),
        ("100 MB", 100 * 2**20),
        ("100MiB", 100 * 2**20),
        ("1.5G", 3 * 2**29),
        ("20GB", 20 * 2**30),
        ("1T", 2**40),
    ],
)
def test_sizes(text: str, size: int) -> None:
    """Suffixes are powers of 1024."""
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "K", "-1", "1.5", "1,5G", "10X", "1MM", "10 000", "9" * 19, "9999999T", "\u0661M", "1e3", "nan"]
)
def test_no_sizes(text: str) -> None:
    """Nothing is guessed at."""
    with pytest.raises(ValueError, match=r".*"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("10m", 600),
        ("1h", 3600),
        ("1d", 86400),
        ("0.5", 0.5),
        ("1.5 h", 5400),
        (" 5m ", 300),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    """Seconds, or with a unit."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "soon", "10M", "1D", "1h30m", "10 minutes", "1,5h"])
def test_no_durations(text: str) -> None:
    """Nothing is guessed at: an M might be a month."""
    with pytest.raises(ValueError, match=r".*"):
        parse_duration(text)


@given(st.text())
def test_any_text_is_something_or_an_error(text: str) -> None:
    """Nothing else is raised, and no size is negative."""
    with contextlib.suppress(ValueError):
        assert parse_size(text) >= 0
    with contextlib.suppress(ValueError):
        assert parse_duration(text) is not None


def test_files_from_windows() -> None:
    """The mark goes, line ends stay, names may be in cp1251; a secret may be of any bytes."""
    assert plain_text("\ufeffИван:x\r\n".encode()) == "Иван:x\r\n"
    assert plain_text("Иван:x".encode("cp1251")) == "Иван:x"
    assert plain_bytes(b"\xef\xbb\xbfsecret") == b"secret"
    assert plain_bytes(b"\0\x01\xfe") == b"\0\x01\xfe"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_what_is_no_plain_text(encoding: str) -> None:
    """It is told, with the cure."""
    with pytest.raises(NotPlain, match="save it as UTF-8"):
        plain_text("shop:x".encode(encoding))
