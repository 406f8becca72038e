"""Credentials through ``twisted.cred``, judged at the headers.

``HTTPAuthSessionWrapper`` cannot stand in front of bodies that stream: it knows who sends only
after the last byte. The portal is asked directly. A wrong password slows the next tries of that address a little;
nobody else waits for it.
"""

from __future__ import annotations

import hmac
import os
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, cast

from attrs import define, field, frozen
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword, UsernamePassword
from twisted.cred.error import LoginFailed, UnauthorizedLogin, UnhandledCredentials
from twisted.cred.portal import IRealm
from twisted.internet.defer import Deferred, DeferredLock, maybeDeferred
from twisted.internet.task import deferLater
from twisted.web.guard import BasicCredentialFactory
from zope.interface import implementer

from onec_twisted.errors import MissingCredentials, TooManyTries, WrongCredentials
from onec_twisted.interfaces import INode
from onec_twisted.singleflight import SingleFlight
from onec_twisted.wire import decoded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.cred.portal import Portal
    from twisted.internet.interfaces import IReactorTime

__all__ = ["Access", "AnyOf", "Node", "NodeRealm", "basic_credentials"]

FIRST_DELAY = 0.1
"""Seconds that a try waits after one wrong password; doubled with each further one."""

LONGEST_DELAY = 2.0
"""Seconds that a try waits at most."""

MOST_AT_ONCE = 64
"""Logins of one address that are checked or wait; behind a proxy all nodes have one address."""

MOST_OF_A_USER = 8
"""The same for one user of an address."""

FORGET = 60.0
"""Seconds without a wrong password after which an address starts afresh."""

GOOD_FOR = 10.0
"""Seconds for which an address that sends its password with each request is believed again."""

REMEMBERED = 1000
"""Passwords that are believed again at most."""


@implementer(INode)
@frozen
class Node:
    """A node that has logged in."""

    user: str


@implementer(IRealm)
class NodeRealm:
    """Gives every user a node."""

    def requestAvatar(self, avatar_id: Any, mind: Any, *interfaces: Any) -> Any:
        """Return the interface, the node and what to do when it leaves: nothing."""
        if INode not in interfaces:
            raise NotImplementedError("only INode is on offer")
        name = avatar_id if isinstance(avatar_id, str) else decoded(avatar_id)
        return INode, Node(name), lambda: None


def basic_credentials(header: bytes | None) -> UsernamePassword:
    """Return the user name and password of an ``Authorization`` header, both UTF-8.

    A password may hold colons. What is not UTF-8 is taken for cp1251 (protocol.md, A.9): the checkers compare
    bytes, and an administrator types UTF-8.

    Raises ``MissingCredentials`` when there is no Basic header to read.
    """
    scheme, _, response = (header or b"").strip().partition(b" ")
    if scheme.lower() != b"basic" or not response.strip():
        raise MissingCredentials
    try:
        found = BasicCredentialFactory("").decode(response.strip(), None)
    except LoginFailed:
        raise MissingCredentials from None
    return UsernamePassword(decoded(found.username).encode("utf-8"), decoded(found.password).encode("utf-8"))


@implementer(ICredentialsChecker)
@frozen(eq=False)
class AnyOf:
    """Asks several checkers, one after another: a portal keeps only one for each kind of credentials."""

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
        """Fire with what the first checker says that accepts the credentials."""
        return Deferred.fromCoroutine(self._avatar_id(credentials))


@define(eq=False)
class _Lock:
    """One try of a user at a time; ``wanted`` counts who has it or waits for it."""

    lock: DeferredLock = field(factory=DeferredLock)
    wanted: int = 0


@define(eq=False)
class _Address:
    """What an address did wrong."""

    failures: int = 0
    last: float = 0.0
    wanted: int = 0
    locks: dict[bytes, _Lock] = field(factory=dict)


@frozen(eq=False)
class Access:
    """Asks the portal who a node is; ``clock`` paces the tries of addresses that got it wrong."""

    portal: Portal
    clock: IReactorTime
    _addresses: dict[str, _Address] = field(factory=dict, init=False)
    _key: bytes = field(factory=lambda: os.urandom(32), init=False)
    _good: OrderedDict[bytes, tuple[str, float]] = field(factory=OrderedDict, init=False)
    _asking: SingleFlight[str] = field(factory=SingleFlight, init=False)

    async def login_again(self, header: bytes | None, address: str) -> str:
        """Return the user's name as ``login`` does, for a client that sends its password with each request.

        One that was right is right for a while, and is known by a keyed digest; those who send the same at the same
        time have one answer. So a client with many requests at once neither waits for itself nor for others.
        """
        asked = hmac.digest(self._key, b"%s\0%s" % (address.encode(), header or b""), "sha256")
        user, until = self._good.get(asked, ("", 0.0))
        if self.clock.seconds() < until:
            return user
        return await self._asking.call(asked, lambda: self._login_and_remember(asked, header, address))

    async def _login_and_remember(self, asked: bytes, header: bytes | None, address: str) -> str:
        user = await self.login(header, address)
        self._good[asked] = user, self.clock.seconds() + GOOD_FOR
        self._good.move_to_end(asked)
        if len(self._good) > REMEMBERED:
            self._good.popitem(last=False)
        return user

    async def login(self, header: bytes | None, address: str) -> str:
        """Return the user's name for an ``Authorization`` header that came from an address.

        Tries of one user wait for each other, so that guesses in parallel are slowed as well; other users do not
        wait for them. Raises ``MissingCredentials``, ``WrongCredentials`` or ``TooManyTries``.
        """
        credentials = basic_credentials(header)
        known = self._known(address)
        own = known.locks.get(credentials.username, _Lock())
        if known.wanted >= MOST_AT_ONCE or own.wanted >= MOST_OF_A_USER:
            raise TooManyTries
        known.locks[credentials.username] = own
        known.wanted += 1
        own.wanted += 1
        try:
            async with own.lock:
                if known.failures:
                    delay = min(FIRST_DELAY * 2 ** (known.failures - 1), LONGEST_DELAY)
                    await deferLater(self.clock, delay)
                return await self._ask(credentials, known)
        finally:
            own.wanted -= 1
            if not own.wanted:
                del known.locks[credentials.username]
            known.wanted -= 1
            if not known.wanted and not known.failures:
                self._addresses.pop(address, None)

    async def _ask(self, credentials: UsernamePassword, known: _Address) -> str:
        try:
            _, avatar, _ = await self.portal.login(IUsernamePassword(credentials), None, INode)
        except (LoginFailed, UnhandledCredentials):
            known.failures = min(known.failures + 1, 16)
            known.last = self.clock.seconds()
            raise WrongCredentials from None
        known.failures = 0
        return cast("Node", avatar).user

    def _known(self, address: str) -> _Address:
        """Return what is known of an address, and forget those that have been quiet."""
        now = self.clock.seconds()
        for name, one in list(self._addresses.items()):
            if not one.wanted and now - one.last > FORGET:
                del self._addresses[name]
        return self._addresses.setdefault(address, _Address())
