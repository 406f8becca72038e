"""Changes files of users and bcrypt hashes, as ``htpasswd -B`` does. Pure functions of the file's text."""

from __future__ import annotations

from onec_twisted.auth.htpasswd import LONGEST_PASSWORD, parse_htpasswd

__all__ = ["UserFileError", "check_password", "check_user", "users_in", "with_user", "without_user"]


class UserFileError(Exception):
    """The change cannot be made; the message says why."""


def users_in(text: bytes, path: str) -> list[str]:
    """Return the users of a file in its order. Raises ``HtpasswdUnreadable``, which names ``path``."""
    return [user.decode("utf-8", "replace") for user in parse_htpasswd(text, path)]


def check_user(user: str) -> None:
    """Check the name of a new user. Raises ``UserFileError``."""
    if not user.strip() or user != user.strip():
        raise UserFileError("a user name must not be empty, or begin or end with a space")
    if ":" in user or user.startswith("#") or not user.isprintable():
        raise UserFileError("a user name must not have colons or control characters, or begin with #")


def check_password(password: str) -> None:
    """Check a new password. Raises ``UserFileError``."""
    if not password:
        raise UserFileError("the password is empty")
    if "\0" in password:
        raise UserFileError("the password has a character that bcrypt does not take")
    if len(password.encode("utf-8")) > LONGEST_PASSWORD:
        raise UserFileError(f"the password is longer than {LONGEST_PASSWORD} bytes, of which bcrypt uses no more")


def with_user(text: bytes, user: str, hashed: bytes) -> bytes:
    """Return a file's text with a user, who replaces one of the same name; everything else stays."""
    line = user.encode("utf-8") + b":" + hashed + b"\n"
    lines = [line if _is_of(one, user) else one for one in text.splitlines(keepends=True)]
    if line in lines:
        return b"".join(lines)
    if lines and not lines[-1].endswith(b"\n"):
        lines[-1] += b"\n"
    return b"".join([*lines, line])


def without_user(text: bytes, user: str) -> bytes:
    """Return a file's text without a user. Raises ``UserFileError`` if there is no such user."""
    lines = text.splitlines(keepends=True)
    left = [one for one in lines if not _is_of(one, user)]
    if len(left) == len(lines):
        raise UserFileError(f"there is no user {user}")
    return b"".join(left)


def _is_of(line: bytes, user: str) -> bool:
    """Return whether a line is a user's."""
    return line.strip().partition(b":")[0] == user.encode("utf-8")
