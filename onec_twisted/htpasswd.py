"""``--auth htpasswd:PATH``: users and bcrypt hashes, as ``htpasswd -B`` writes them.

bcrypt is meant to be slow, so it runs off the reactor thread; an unknown user costs as much as the costliest known
one (give all the same cost, or the cheaper ones stand out). A client of tus sends its password with each request, so
the one that was right is known again, by a keyed digest that never leaves the process, as long as the user's hash in
the file is the same. The file is read again when it has changed. bcrypt itself is imported when the first checker is
made: this module is loaded by every ``twistd`` command that takes ``--auth``.
"""

from __future__ import annotations

import hmac
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import ICheckerFactory, InvalidAuthArgumentString
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.plugin import IPlugin
from zope.interface import implementer

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HtpasswdChecker", "HtpasswdCheckerFactory", "HtpasswdUnreadable", "parse_htpasswd"]

LONGEST_PASSWORD = 72
"""Bytes of a password that bcrypt looks at; ``htpasswd`` cuts there too."""

BCRYPT = re.compile(rb"\$2[aby]\$(?:0[4-9]|1\d|2\d|3[01])\$[./A-Za-z0-9]{53}")


class HtpasswdUnreadable(Exception):
    """The file cannot be used; the words say what to do."""


def parse_htpasswd(text: bytes, path: str) -> dict[bytes, bytes]:
    """Return the bcrypt hash of each user; empty lines and ``#`` comments are passed over.

    Raises ``HtpasswdUnreadable`` for a line with another kind of hash.
    """
    users = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith(b"#"):
            continue
        user, colon, hashed = line.strip().partition(b":")
        if not colon or not user or BCRYPT.fullmatch(hashed) is None:
            raise HtpasswdUnreadable(
                f"line {number} of {path} is not USER:BCRYPT-HASH; write it with: htpasswd -B {path} USER"
            )
        users[user] = hashed
    return users


@implementer(ICredentialsChecker)
class HtpasswdChecker:
    """Checks passwords against a file.

    ``in_thread`` runs a function off the reactor thread. Raises ``HtpasswdUnreadable`` when the file cannot be
    used; a file that becomes so later is logged, and the users known before stay.
    """

    credentialInterfaces: ClassVar[tuple[Any, ...]] = (IUsernamePassword,)
    _log = Logger()

    def __init__(self, path: str, in_thread: Callable[..., Deferred[Any]] = deferToThread) -> None:
        """Read the file."""
        import bcrypt

        self._bcrypt = bcrypt
        self._path = path
        self._in_thread = in_thread
        self._changed: tuple[int, int, int] | None = None
        self._users: dict[bytes, bytes] = {}
        self._decoy = b""
        self._key = os.urandom(32)
        self._right: dict[bytes, tuple[bytes, bytes]] = {}
        """Of each user, the hash in the file and the keyed digest of the password that it is of."""
        self._read()

    def _read(self) -> None:
        """Read the file if it has changed."""
        try:
            with Path(self._path).open("rb") as file:
                status = os.fstat(file.fileno())
                changed = (status.st_mtime_ns, status.st_ino, status.st_size)
                if changed == self._changed:
                    return
                users = parse_htpasswd(file.read(), self._path)
        except OSError as error:
            raise HtpasswdUnreadable(f"cannot read {self._path}: {error.strerror}") from error
        if not users:
            raise HtpasswdUnreadable(f"{self._path} has no users; write one with: htpasswd -B {self._path} USER")
        cost = max(int(hashed[4:6]) for hashed in users.values())
        self._decoy = self._bcrypt.hashpw(os.urandom(8).hex().encode(), self._bcrypt.gensalt(cost))
        self._users = users
        self._right = {user: known for user, known in self._right.items() if users.get(user) == known[0]}
        self._changed = changed

    def _check(self, user: bytes, password: bytes) -> bool:
        """In a thread: return whether it is the user's password, in the same time if there is no such user."""
        try:
            self._read()
        except HtpasswdUnreadable as unreadable:
            self._log.error("{reason}; going on with the users read before", reason=str(unreadable))
        hashed = self._users.get(user)
        if b"\0" in password:  # bcrypt would raise
            password, hashed = b"", None
        digest = hmac.digest(self._key, password[:LONGEST_PASSWORD], "sha256")
        known_hash, known_digest = self._right.get(user, (b"", b""))
        if hashed is not None and known_hash == hashed and hmac.compare_digest(known_digest, digest):
            return True
        right = self._bcrypt.checkpw(password[:LONGEST_PASSWORD], hashed or self._decoy)
        if not right or hashed is None:
            return False
        self._right[user] = hashed, digest
        return True

    async def _avatar_id(self, user: bytes, password: bytes) -> bytes | tuple[()]:
        if not await self._in_thread(self._check, user, password):
            raise UnauthorizedLogin
        return user

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        """Fire with the user's name, or fail with ``UnauthorizedLogin``."""
        return Deferred.fromCoroutine(self._avatar_id(credentials.username, credentials.password))


@implementer(ICheckerFactory, IPlugin)
class HtpasswdCheckerFactory:
    """Makes a checker from what follows ``--auth htpasswd:``."""

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
