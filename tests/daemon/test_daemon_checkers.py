"""The checkers of passwords, by their descriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pytest_twisted import ensureDeferred
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.python.usage import UsageError

from onec_twisted.auth.htpasswd import HtpasswdChecker
from onec_twisted.daemon.checkers import make_checker, shown

if TYPE_CHECKING:
    from pathlib import Path

HASH = "$2b$04$KsTQmRsFl3Zh9KfF0VzZ0.d0pLqHcNqFzL6z6D0rB0o6R3T4bqk5G"
"""The form of a bcrypt hash; of what does not matter here."""


@ensureDeferred
async def test_one_in_memory() -> None:
    """What was typed is compared with the bytes of a request."""
    checker = make_checker("auth", "memory:Иван:пароль")
    right = UsernamePassword("Иван".encode(), "пароль".encode())
    assert await checker.requestAvatarId(right) == "Иван".encode()
    with pytest.raises(UnauthorizedLogin):
        await checker.requestAvatarId(UsernamePassword("Иван".encode(), b"wrong"))


@ensureDeferred
async def test_one_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its path is kept whole, because the daemon changes its folder."""
    (tmp_path / "users").write_text("shop:secret\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    checker = make_checker("auth", "file:users")
    monkeypatch.chdir("/")

    assert await checker.requestAvatarId(UsernamePassword(b"shop", b"secret")) == b"shop"


def test_what_is_shown_of_them(tmp_path: Path) -> None:
    """Never a password."""
    (tmp_path / "users").write_text("shop:secret\n", encoding="utf-8")
    (tmp_path / "hashes").write_text(f"shop:{HASH}\n", encoding="utf-8")
    described = ("memory:Иван:secret", f"file:{tmp_path}/users", f"htpasswd:{tmp_path}/hashes")

    shown_of = [shown(make_checker("auth", one)) for one in described[:2]]
    assert shown_of == ["memory:Иван", f"file:{tmp_path}/users"]
    assert shown(HtpasswdChecker(f"{tmp_path}/hashes")) == described[2]
    assert shown(object()) == "object"


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ("memory:shop", "write memory:USER:PASSWORD"),
        ("nothing:1", "no such method"),
        ("file:/nowhere/users", "cannot read /nowhere/users"),
    ],
)
def test_one_that_is_unusable(description: str, words: str) -> None:
    """It is refused in one line that names the option."""
    with pytest.raises(UsageError, match=words) as raised:
        make_checker("admin-auth", description)
    assert str(raised.value).startswith("--admin-auth")
    assert "\n" not in str(raised.value)
