"""Credentials through ``twisted.cred``, checked as soon as the headers are complete.

``HTTPAuthSessionWrapper`` does not work with streamed bodies: it knows the user only after the last byte. So the
portal is called directly. A wrong password slows down further attempts from that address a little; nobody else waits
for it.
"""

from __future__ import annotations

import hmac
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from attrs import define, field, frozen
from cachetools import TTLCache
from twisted.cred.checkers import FilePasswordDB, ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword, UsernamePassword
from twisted.cred.error import LoginFailed, UnauthorizedLogin, UnhandledCredentials
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import deferLater
from twisted.web.guard import BasicCredentialFactory
from zope.interface import implementer

from onec_twisted.auth.guesses import Failures, Lane, TokenBuckets, delay_after
from onec_twisted.auth.interfaces import IKnowingChecker, INode
from onec_twisted.http.connections import counted_as
from onec_twisted.model.errors import MissingCredentials, TooManyTries, WrongCredentials
from onec_twisted.model.text import decoded
from onec_twisted.model.written import NotPlain, plain_text
from onec_twisted.runtime.singleflight import SingleFlight

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IReactorTime

__all__ = ["Access", "AnyOf", "Node", "NodeRealm", "PasswordFile", "basic_credentials"]

AT_ONCE, AT_ONCE_ELSEWHERE = 2, 16
"""Passwords checked concurrently: here each takes a processor, elsewhere, as in a directory, a connection."""

GOOD_FOR = 10.0
"""Seconds for which a verified password stays valid for an address that sends it with each request."""

REMEMBERED_PASSWORDS = 1000
"""Verified passwords that are remembered at most."""


@implementer(INode)
@frozen
class Node:
    """A node that has logged in."""

    user: str


@implementer(IRealm)
class NodeRealm:
    """Returns a node for every user."""

    def requestAvatar(self, avatar_id: Any, mind: Any, *interfaces: Any) -> Any:
        """Return the interface, the node, and a logout function that does nothing."""
        if INode not in interfaces:
            raise NotImplementedError("only INode is on offer")
        name = avatar_id if isinstance(avatar_id, str) else decoded(avatar_id)
        return INode, Node(name), lambda: None


def basic_credentials(header: bytes | None) -> UsernamePassword:
    """Return the user name and password of an ``Authorization`` header, both UTF-8.

    A password may contain colons. Bytes that are not UTF-8 are decoded as cp1251 (docs/protocol.md, N4): the checkers
    compare bytes, and administrators type UTF-8.

    Raises ``MissingCredentials`` when there is no valid Basic header.
    """
    scheme, _, response = (header or b"").strip().partition(b" ")
    if scheme.lower() != b"basic" or not response.strip():
        raise MissingCredentials
    try:
        found = BasicCredentialFactory("").decode(response.strip(), None)
    except LoginFailed:
        raise MissingCredentials from None
    return UsernamePassword(decoded(found.username).encode("utf-8"), decoded(found.password).encode("utf-8"))


class PasswordFile(FilePasswordDB):
    """Twisted's checker for a file of ``USER:PASSWORD`` lines, which may have been written on Windows."""

    def read(self) -> dict[bytes, bytes]:
        """Return each user's password; a colon ends either one. Raises ``OSError`` and ``NotPlain``."""
        lines = plain_text(Path(self.filename).read_bytes()).encode("utf-8").splitlines()
        words = [line.rstrip().split(self.delim) for line in lines]
        return {user: password for user, password, *_ in (word for word in reversed(words) if len(word) > 1)}

    def getUser(self, username: bytes) -> tuple[bytes, bytes]:
        """Return a user and its password. Raises ``KeyError``, and ``UnauthorizedLogin`` for an unusable file."""
        try:
            return username, self.read()[username]
        except (OSError, NotPlain) as error:
            self._log.error("{path} cannot be read: {reason}", path=self.filename, reason=str(error))
            raise UnauthorizedLogin from error


@implementer(ICredentialsChecker)
@frozen(eq=False)
class AnyOf:
    """Tries several checkers in turn, as a portal keeps only one for each kind of credentials."""

    checkers: Sequence[Any]
    credentialInterfaces: tuple[Any, ...] = (IUsernamePassword,)

    async def _avatar_id(self, credentials: Any) -> Any:
        for checker in self.checkers:
            try:
                return await maybeDeferred(checker.requestAvatarId, credentials)
            except LoginFailed:
                continue
        raise UnauthorizedLogin

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        """Fire with the result of the first checker that accepts the credentials."""
        return Deferred.fromCoroutine(self._avatar_id(credentials))


def _never() -> bool:
    """Report that the client is still connected."""
    return False


@define(eq=False)
class Access:
    """Authenticates nodes by the portal; ``clock`` slows down those with wrong passwords.

    ``knowing`` are the checkers that recognise verified passwords, ``knows_all`` means that there are no others;
    ``at_once`` passwords are checked concurrently, and ``most`` attempts may wait for that, or for their answer,
    before those of a crowd are refused; 0 means no limit.
    """

    portal: Portal
    clock: IReactorTime
    knowing: Sequence[Any] = ()
    knows_all: bool = False
    at_once: int = AT_ONCE
    most: int = 0
    _waiting: int = field(default=0, init=False)
    _key: bytes = field(factory=lambda: os.urandom(32), init=False)
    _good: TTLCache[bytes, str] = field(init=False)
    _asking: SingleFlight[str] = field(factory=SingleFlight, init=False)
    addresses: Failures = field(factory=Failures)
    """The addresses whose passwords were wrong."""
    _users: Failures = field(factory=Failures, init=False)
    buckets: TokenBuckets = field(factory=TokenBuckets)
    """How many passwords of each address may be compared with verified ones."""
    lane: Lane = field()
    """Where passwords wait to be checked."""

    @lane.default
    def _own_lane(self) -> Lane:
        return Lane(self.clock, self.addresses, self.at_once)

    def __attrs_post_init__(self) -> None:
        """Start with no password remembered."""
        self._good = TTLCache(REMEMBERED_PASSWORDS, GOOD_FOR, self.clock.seconds)

    @classmethod
    def by(
        cls,
        checkers: Sequence[Any],
        clock: IReactorTime,
        at_once: int = 0,
        most: int = 0,
        beside: Access | None = None,
    ) -> Access:
        """Return an ``Access`` for everyone whom one of the checkers accepts.

        What an address guesses counts wherever it is ``beside`` another ``Access``; so do the passwords that are
        checked here at once, but not those elsewhere: a directory that hangs must not keep others out.
        """
        portal = Portal(NodeRealm(), [AnyOf(checkers)])
        knowing = [one for one in checkers if IKnowingChecker.providedBy(one)]
        at_once = at_once or (AT_ONCE if knowing else AT_ONCE_ELSEWHERE)
        knows_all = len(knowing) == len(checkers)
        shared: dict[str, Any] = {}
        if beside is not None:
            shared = {"addresses": beside.addresses, "buckets": beside.buckets}
            if knows_all and beside.knows_all:
                shared["lane"] = beside.lane
        return cls(portal, clock, knowing, knows_all, at_once, most, **shared)

    async def login_again(self, header: bytes | None, address: str) -> str:
        """Return the user's name as ``login`` does, for a client that sends its password with each request.

        Concurrent requests with the same credentials share one check. If no checker that recognises passwords has the
        user, a verified password stays valid for a while, remembered as a keyed digest. So a client with many
        concurrent requests waits neither for itself nor for others.
        """
        digest = hmac.digest(self._key, b"%s\0%s" % (address.encode(), header or b""), "sha256")
        user = self._good.get(digest)
        if user is not None:
            return user
        return await self._asking.call(digest, lambda: self._login_and_remember(digest, header, address))

    async def _login_and_remember(self, digest: bytes, header: bytes | None, address: str) -> str:
        user = await self.login(header, address)
        name = basic_credentials(header).username
        if not any(checker.has(name) for checker in self.knowing):
            self._good[digest] = user
        return user

    async def login(self, header: bytes | None, address: str, gone: Callable[[], bool] = _never) -> str:
        """Return the user's name for an ``Authorization`` header received from an address.

        ``gone`` returns whether nobody is left to receive the answer. Raises ``MissingCredentials``,
        ``WrongCredentials`` or ``TooManyTries``, and ``ConnectionDropped`` when nobody is left.
        """
        credentials = basic_credentials(header)
        counted = counted_as(address)
        if await self._is_known(credentials, counted):
            return decoded(credentials.username)
        if self.most and self._waiting >= self.most and self._is_a_crowd(counted):
            raise TooManyTries
        self._waiting += 1
        try:
            return await self._checked(credentials, counted, gone)
        finally:
            self._waiting -= 1

    async def _checked(self, credentials: UsernamePassword, address: str, gone: Callable[[], bool]) -> str:
        """Wait for a turn, and return the user's name; wrong credentials are answered with a delay."""
        async with self.lane.turn(address, credentials.username, self._may_be(credentials.username), gone):
            user, failures = await self._ask(credentials, address)
        if user is not None:
            return user
        delay = delay_after(failures, self.lane.waiting(address))
        if delay:
            await deferLater(self.clock, delay)
        raise WrongCredentials

    def _is_a_crowd(self, address: str) -> bool:
        """Return whether an address had wrong passwords, or has several login attempts at a time."""
        return self.lane.waiting(address) > 0 or self.addresses.of(address, self.clock.seconds()) > 0

    def _may_be(self, user: bytes) -> bool:
        """Return whether there may be such a user."""
        return not self.knows_all or any(checker.has(user) for checker in self.knowing)

    async def _is_known(self, credentials: UsernamePassword, address: str) -> bool:
        """Return whether a checker recognises a password as valid without a slow check."""
        if not self.knowing or not self.buckets.is_left(address, self.clock.seconds()):
            return False
        for checker in self.knowing:
            if await checker.knows(credentials):
                return True
        self.buckets.take(address, self.clock.seconds())
        return False

    async def _ask(self, credentials: UsernamePassword, address: str) -> tuple[str | None, int]:
        """Return the user's name, None for wrong credentials, and how often address or user were wrong before.

        A correct password proves nothing about an address's other attempts, and resets no count.
        """
        try:
            _, avatar, _ = await self.portal.login(IUsernamePassword(credentials), None, INode)
        except (LoginFailed, UnhandledCredentials):
            now, user = self.clock.seconds(), hmac.digest(self._key, credentials.username, "sha256")
            failures = max(self.addresses.of(address, now), self._users.of(user, now))
            self.addresses.add(address, now)
            self._users.add(user, now)
            return None, failures
        return cast("Node", avatar).user, 0
