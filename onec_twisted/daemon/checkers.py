"""Makes the checkers of ``--auth`` and ``--admin-auth`` by their descriptions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.cred.checkers import FilePasswordDB, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import InvalidAuthType, StrcredException, makeChecker

from onec_twisted.auth.access import PasswordFile
from onec_twisted.auth.htpasswd import HtpasswdChecker
from onec_twisted.daemon.values import wrong
from onec_twisted.model.text import decoded
from onec_twisted.model.written import NotPlain

__all__ = ["known_users", "make_checker", "shown"]


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


def make_checker(option: str, description: str) -> Any:
    """Return the checker for a strcred description. Raises ``Wrong`` for one that is known to be unusable."""
    kind, _, words = description.partition(":")
    if kind == "memory" and (words.count(":") != 1 or not all(words.split(":"))):
        wrong(option, kind, "write memory:USER:PASSWORD, without a colon in either")
    try:
        checker = makeChecker(description)
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
