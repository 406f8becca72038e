"""Makes the checkers of ``--auth`` and ``--admin-auth`` by their descriptions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.cred.checkers import FilePasswordDB, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import InvalidAuthType, StrcredException, makeChecker
from twisted.python import usage

from onec_twisted.auth.access import PasswordFile
from onec_twisted.auth.htpasswd import HtpasswdChecker
from onec_twisted.model.text import decoded
from onec_twisted.model.written import NotPlain

__all__ = ["make_checker", "shown"]


def shown(checker: Any) -> str:
    """Return what a checker goes by, without passwords."""
    if isinstance(checker, InMemoryUsernamePasswordDatabaseDontUse):
        return ", ".join(f"memory:{decoded(user)}" for user in checker.users)
    if isinstance(checker, HtpasswdChecker):
        return f"htpasswd:{checker.path}"
    return f"file:{checker.filename}" if isinstance(checker, PasswordFile) else type(checker).__name__


def make_checker(option: str, description: str) -> Any:
    """Return the checker for a strcred description. Raises ``UsageError`` for one that is known to be unusable."""
    kind, _, words = description.partition(":")
    if kind == "memory" and (words.count(":") != 1 or not all(words.split(":"))):
        raise usage.UsageError(f"--{option}=memory: write memory:USER:PASSWORD, without a colon in either")
    try:
        checker = makeChecker(description)
    except InvalidAuthType:
        raise usage.UsageError(f"--{option}={kind}: no such method; --help-auth lists them") from None
    except (StrcredException, ValueError) as error:
        raise usage.UsageError(f"--{option}={kind}: {error or 'is malformed; see --help-auth'}") from None
    if isinstance(checker, InMemoryUsernamePasswordDatabaseDontUse):
        # strcred returns text from the command line, HTTP delivers bytes
        checker.users = {_as_bytes(user): _as_bytes(word) for user, word in checker.users.items()}
    if isinstance(checker, FilePasswordDB):
        checker = PasswordFile(str(Path(checker.filename).absolute()))  # --rundir changes the folder later
        try:
            checker.read()
        except OSError as error:
            raise usage.UsageError(f"--{option}=file: cannot read {checker.filename}: {error.strerror}") from error
        except NotPlain as error:
            raise usage.UsageError(f"--{option}=file: {checker.filename} {error}") from error
    if IUsernamePassword not in checker.credentialInterfaces:
        raise usage.UsageError(f"--{option}: this method checks no passwords; --help-auth lists those that do")
    return checker


def _as_bytes(text: str | bytes) -> bytes:
    """Return a text from the command line as the bytes that were typed."""
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
