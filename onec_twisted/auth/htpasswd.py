"""``--auth htpasswd:PATH``: users and bcrypt hashes, as ``htpasswd -B`` writes them.

bcrypt is slow by design, so it runs off the reactor thread; an unknown user costs as much as the costliest known one
(give all the same cost, or the cheaper ones stand out). A verified password is recognised by a keyed digest, which
never leaves the process, as long as the user's hash in the file is unchanged. The file is read again when it changes.
bcrypt itself is imported when the first checker is made: every ``twistd`` command with ``--auth`` loads this module.
"""

from __future__ import annotations

import hmac
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import field, frozen
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import ICheckerFactory, InvalidAuthArgumentString
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.plugin import IPlugin
from zope.interface import implementer

from onec_twisted.auth.interfaces import IKnowingChecker
from onec_twisted.model.written import NotPlain, plain_text

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HtpasswdChecker", "HtpasswdCheckerFactory", "HtpasswdUnreadable", "parse_htpasswd"]

LONGEST_PASSWORD = 72
"""Bytes of a password that bcrypt uses; ``htpasswd`` truncates to them, too."""

BCRYPT = re.compile(rb"\$2[aby]\$(?:0[4-9]|1\d|2\d|3[01])\$[./A-Za-z0-9]{53}")


class HtpasswdUnreadable(Exception):
    """The file cannot be used; the message says what to do."""


class _NoUsers(HtpasswdUnreadable):
    """The file is gone, or has no users."""


def parse_htpasswd(text: bytes, path: str) -> dict[bytes, bytes]:
    """Return the bcrypt hash of each user; empty lines and ``#`` comments are skipped.

    Names are UTF-8, like those from nodes, or cp1251 if the file is not UTF-8. Raises ``HtpasswdUnreadable`` for a
    line with another kind of hash, and for UTF-16.
    """
    users = {}
    try:
        lines = plain_text(text).encode("utf-8").splitlines()
    except NotPlain as error:
        raise HtpasswdUnreadable(f"{path} {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith(b"#"):
            continue
        user, colon, hashed = line.strip().partition(b":")
        if not colon or not user or BCRYPT.fullmatch(hashed) is None:
            raise HtpasswdUnreadable(
                f"line {number} of {path} is not USER:BCRYPT-HASH; write it with: htpasswd -B {path} USER"
            )
        users[user] = hashed
    return users


@frozen
class _File:
    """The file's content when it was read: its state, each user's hash, and the highest cost of a hash."""

    state: tuple[int, int, int, int] | None = None
    users: dict[bytes, bytes] = field(factory=dict)
    cost: int = 4


@lru_cache
def _decoy(cost: int) -> bytes:
    """Return a hash of a password that nobody knows, the same for all files of a cost."""
    import bcrypt

    return bcrypt.hashpw(os.urandom(8).hex().encode(), bcrypt.gensalt(cost))


@implementer(ICredentialsChecker, IKnowingChecker)
class HtpasswdChecker:
    """Checks passwords against a file.

    ``in_thread`` runs a function off the reactor thread. Raises ``HtpasswdUnreadable`` when the file cannot be
    used. If it becomes unusable later, that is logged, and the users known before stay: an editor that saves in two
    steps locks nobody out. But a file that is gone or empty at two consecutive looks has no users.
    """

    credentialInterfaces: ClassVar[tuple[Any, ...]] = (IUsernamePassword,)
    _log = Logger()

    def __init__(self, path: str, in_thread: Callable[..., Deferred[Any]] = deferToThread) -> None:
        """Read the file."""
        import bcrypt

        self._bcrypt = bcrypt
        self.path = path
        self._in_thread = in_thread
        self._key = os.urandom(32)
        self._file = _File()
        self._reported = ""
        self._looks_without = 0
        """Consecutive looks at which there were no users."""
        self._right: dict[bytes, tuple[bytes, bytes]] = {}
        """For each user, the hash in the file and the keyed digest of the password that matches it."""
        self._file = self._read()
        _decoy(self._file.cost)  # now, not while a node waits

    def _read(self) -> _File:
        """Return the file's content, reading it if it has changed. Raises ``HtpasswdUnreadable``."""
        try:
            with Path(self.path).open("rb") as file:
                status = os.fstat(file.fileno())
                state = (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)
                if state == self._file.state:
                    return self._file
                users = parse_htpasswd(file.read(), self.path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise _NoUsers(f"cannot read {self.path}: {error.strerror}") from error
        except OSError as error:
            raise HtpasswdUnreadable(f"cannot read {self.path}: {error.strerror}") from error
        if not users:
            raise _NoUsers(f"{self.path} has no users; write one with: htpasswd -B {self.path} USER")
        return _File(state, users, max(int(hashed[4:6]) for hashed in users.values()))

    def _current(self) -> dict[bytes, bytes]:
        """Return each user's hash; an error in reading the file is logged once."""
        try:
            self._file = self._read()
        except HtpasswdUnreadable as unreadable:
            if self._reported != str(unreadable):
                self._reported = str(unreadable)
                self._log.error("{reason}; the users that were read before stay valid", reason=self._reported)
        else:
            self._reported = ""
            self._looks_without = 0
        return self._file.users

    def look(self) -> None:
        """See ``IKnowingChecker``: drop all users when the file is gone or empty, and was so at the look before."""
        try:
            self._read()
        except _NoUsers as no_users:
            self._looks_without += 1
            if self._looks_without > 1 and self._file.users:
                self._log.error("{reason}; nobody can log in until the file lists users again", reason=str(no_users))
                self._file = _File()
        except HtpasswdUnreadable:
            self._looks_without = 0
        users = self._current()
        self._right = {user: known for user, known in self._right.items() if user in users}

    def has(self, user: bytes) -> bool:
        return user in self._file.users

    def users(self) -> frozenset[bytes]:
        """Return the users at the last look."""
        return frozenset(self._file.users)

    def _digest(self, password: bytes) -> bytes:
        return hmac.digest(self._key, password[:LONGEST_PASSWORD], "sha256")

    def _knows(self, user: bytes, password: bytes) -> bool:
        """In a thread: return whether the password was verified before, and the user's hash is still the same."""
        hashed = self._current().get(user)
        known_hash, known_digest = self._right.get(user, (b"", b""))
        is_same = hmac.compare_digest(known_digest, self._digest(password))
        return is_same and known_hash == hashed and b"\0" not in password

    def _check(self, user: bytes, password: bytes) -> bool:
        """In a thread: return whether it is the user's password; takes as long if there is no such user."""
        if self._knows(user, password):
            return True
        file = self._file
        hashed = file.users.get(user)
        if b"\0" in password:  # bcrypt would raise
            password, hashed = b"", None
        right = self._bcrypt.checkpw(password[:LONGEST_PASSWORD], hashed or _decoy(file.cost))
        if not right or hashed is None:
            return False
        self._right[user] = hashed, self._digest(password)
        return True

    async def _avatar_id(self, user: bytes, password: bytes) -> bytes | tuple[()]:
        if not await self._in_thread(self._check, user, password):
            raise UnauthorizedLogin
        return user

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        """Fire with the user's name, or fail with ``UnauthorizedLogin``."""
        return Deferred.fromCoroutine(self._avatar_id(credentials.username, credentials.password))

    def knows(self, credentials: Any) -> Deferred[bool]:
        """See ``IKnowingChecker``; runs off the reactor thread, as the file may have to be read."""
        return self._in_thread(self._knows, credentials.username, credentials.password)


@implementer(ICheckerFactory, IPlugin)
class HtpasswdCheckerFactory:
    """Makes a checker from the argument of ``--auth htpasswd:``."""

    authType = "htpasswd"
    authHelp = """
A file of users and bcrypt hashes, one USER:HASH a line, as 'htpasswd -B' writes it.
It is read again when it changes. Passwords may hold colons and any letters.
"""
    argStringFormat = "A filename"
    credentialInterfaces = (IUsernamePassword,)

    def generateChecker(self, argstring: str) -> HtpasswdChecker:
        """Return the checker for a file; raises ``InvalidAuthArgumentString`` when it cannot be used."""
        if not argstring.strip():
            raise InvalidAuthArgumentString("htpasswd needs a filename: --auth htpasswd:PATH")
        try:
            return HtpasswdChecker(str(Path(argstring).absolute()))  # --rundir changes the folder later
        except HtpasswdUnreadable as unreadable:
            raise InvalidAuthArgumentString(str(unreadable)) from unreadable
