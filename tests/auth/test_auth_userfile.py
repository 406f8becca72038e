"""Files of users are changed as ``htpasswd -B`` does."""

from __future__ import annotations

import pytest

from onec_twisted.auth.htpasswd import HtpasswdUnreadable
from onec_twisted.auth.userfile import (
    UserFileError,
    check_password,
    check_user,
    users_in,
    with_user,
    without_user,
)

HASH = b"$2b$10$" + b"a" * 53
OTHER = b"$2b$10$" + b"b" * 53
TEXT = b"# ours\nshop:" + HASH + b"\n\n" + "Иван".encode() + b":" + HASH


def test_a_new_user() -> None:
    """It is added at the end, on a line of its own; everything else stays, comments too."""
    changed = with_user(TEXT, "new", OTHER)

    assert changed == TEXT + b"\nnew:" + OTHER + b"\n"
    assert users_in(changed, "f") == ["shop", "Иван", "new"]
    assert with_user(b"", "new", OTHER) == b"new:" + OTHER + b"\n"


def test_another_password() -> None:
    """The user stays in its place."""
    assert with_user(TEXT, "shop", OTHER) == TEXT.replace(b"shop:" + HASH, b"shop:" + OTHER)
    assert users_in(with_user(TEXT, "Иван", OTHER), "f") == ["shop", "Иван"]


def test_a_user_goes() -> None:
    """Others stay; one that is not there is an error."""
    assert users_in(without_user(TEXT, "shop"), "f") == ["Иван"]
    assert without_user(TEXT, "shop").startswith(b"# ours\n")
    with pytest.raises(UserFileError, match="no user sho"):
        without_user(TEXT, "sho")


def test_a_file_of_another_kind() -> None:
    """It is named, with the line."""
    with pytest.raises(HtpasswdUnreadable, match="line 1 of f"):
        users_in(b"shop:plain\n", "f")


@pytest.mark.parametrize("user", ["", " ", "a:b", "#a", "a\nb", " a", "a\x1b"])
def test_names_that_cannot_be(user: str) -> None:
    """The file could not hold them."""
    with pytest.raises(UserFileError, match="user name"):
        check_user(user)


@pytest.mark.parametrize("password", ["", "a\0b", "я" * 37])
def test_passwords_that_cannot_be(password: str) -> None:
    """bcrypt would cut them off, or refuse them."""
    with pytest.raises(UserFileError, match="password"):
        check_password(password)


def test_what_can_be() -> None:
    """Names and passwords of all letters."""
    check_user("Иван Петров")
    check_password("я" * 36)
