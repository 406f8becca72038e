"""Makes the checkers of ``--auth`` and ``--admin-auth`` by their descriptions."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from twisted.cred.checkers import FilePasswordDB, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import InvalidAuthType, StrcredException, findCheckerFactory

from onec_twisted.auth.access import PasswordFile
from onec_twisted.auth.htpasswd import HtpasswdChecker
from onec_twisted.auth.interfaces import IKnowingChecker
from onec_twisted.daemon.values import wrong
from onec_twisted.model.text import decoded
from onec_twisted.model.written import NotPlain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["described", "indexed", "kept_checkers", "known_users", "make_checker", "shown", "users_of"]


def shown(checker: Any) -> str:
    """Return what a checker goes by, without passwords."""
    if isinstance(checker, InMemoryUsernamePasswordDatabaseDontUse):
        return ", ".join(f"memory:{decoded(user)}" for user in checker.users)
    if isinstance(checker, HtpasswdChecker):
        return f"htpasswd:{checker.path}"
    return f"file:{checker.filename}" if isinstance(checker, PasswordFile) else type(checker).__name__


def known_users(checker: Any) -> frozenset[bytes] | None:
    """Return the users of a checker; None if it cannot list them. Blocks."""
    if isinstance(checker, InMemoryUsernamePasswordDatabaseDontUse):
        return frozenset(checker.users)
    if isinstance(checker, HtpasswdChecker):
        return checker.users()
    return frozenset(checker.read()) if isinstance(checker, PasswordFile) else None


_factory = lru_cache(findCheckerFactory)
"""Looking through the plugins takes long, and a thousand shops may have checkers of their own."""


def make_checker(option: str, description: str) -> Any:
    """Return the checker for a strcred description. Raises ``Wrong`` for one that is known to be unusable."""
    kind, _, words = description.partition(":")
    if kind == "memory" and (words.count(":") != 1 or not all(words.split(":"))):
        wrong(option, kind, "write memory:USER:PASSWORD, without a colon in either")
    try:
        checker = _factory(kind).generateChecker(words)
    except InvalidAuthType:
        wrong(option, kind, "no such method; --help-auth lists them")
    except (StrcredException, ValueError) as error:
        wrong(option, kind, str(error) or "is malformed; see --help-auth")
    if isinstance(checker, InMemoryUsernamePasswordDatabaseDontUse):
        # strcred returns text from the command line, HTTP delivers bytes
        checker.users = {_as_bytes(user): _as_bytes(word) for user, word in checker.users.items()}
    if isinstance(checker, FilePasswordDB):
        checker = PasswordFile(str(Path(checker.filename).absolute()))  # --rundir changes the folder later
        try:
            checker.read()
        except OSError as error:
            wrong(option, kind, f"cannot read {checker.filename}: {error.strerror}")
        except NotPlain as error:
            wrong(option, kind, f"{checker.filename} {error}")
    if IUsernamePassword not in checker.credentialInterfaces:
        wrong(option, "", "this method checks no passwords; --help-auth lists those that do")
    return checker


def _as_bytes(text: str | bytes) -> bytes:
    """Return a text from the command line as the bytes that were typed."""
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")


def indexed(checkers: Sequence[Any]) -> dict[tuple[type, Any], Any]:
    """Return checkers by what they go by, for ``kept_checkers``; those of which that is not known are left out."""
    return {what: one for what, one in zip(described(checkers), checkers, strict=True) if what[1] is not None}


def kept_checkers(known: Mapping[tuple[type, Any], Any], new: Sequence[Any]) -> tuple[Any, ...]:
    """Return new checkers; instead of those that go by the same as a known one, that one."""
    return tuple(known.get(what, checker) for what, checker in zip(described(new), new, strict=True))


def described(checkers: Sequence[Any]) -> list[tuple[type, Any]]:
    """Return for each checker what makes two of its kind the same; None stands for what is not known."""
    found: list[tuple[type, Any]] = []
    for checker in checkers:
        goes_by: Any = None
        if isinstance(checker, InMemoryUsernamePasswordDatabaseDontUse):
            goes_by = tuple(sorted(checker.users.items()))
        elif isinstance(checker, HtpasswdChecker):
            goes_by = checker.path
        elif isinstance(checker, PasswordFile):
            goes_by = checker.filename
        found.append((type(checker), goes_by))
    return found


def users_of(checker: Any) -> Callable[[bytes], bool] | None:
    """Return a function that says whether a checker has a user; None if that cannot be determined. Blocks."""
    if IKnowingChecker.providedBy(checker):
        checker.look()
        return cast("Callable[[bytes], bool]", checker.has)
    if isinstance(checker, InMemoryUsernamePasswordDatabaseDontUse):
        return checker.users.__contains__
    if isinstance(checker, PasswordFile):
        try:
            return checker.read().__contains__
        except (FileNotFoundError, NotADirectoryError):
            return {}.__contains__
        except (OSError, NotPlain):
            return None
    return None
