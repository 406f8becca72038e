"""Credentials through ``twisted.cred``, judged at the headers.

``HTTPAuthSessionWrapper`` cannot stand in front of bodies that stream (style.md, B4): it knows who sends only
after the last byte. The portal is asked directly. A wrong password slows the next tries of that address a little;
nobody else waits for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from attrs import define, field, frozen
from twisted.cred.credentials import IUsernamePassword, UsernamePassword
from twisted.cred.error import LoginFailed, UnhandledCredentials
from twisted.cred.portal import IRealm
from twisted.internet.defer import DeferredLock
from twisted.internet.task import deferLater
from twisted.web.guard import BasicCredentialFactory
from zope.interface import implementer

from onec_twisted.errors import MissingCredentials, WrongCredentials
from onec_twisted.interfaces import INode
from onec_twisted.wire import decoded

if TYPE_CHECKING:
    from twisted.cred.portal import Portal
    from twisted.internet.interfaces import IReactorTime

__all__ = ["Access", "Node", "NodeRealm", "basic_credentials"]

FIRST_DELAY = 0.1
"""Seconds that a try waits after one wrong password; doubled with each further one."""

LONGEST_DELAY = 2.0
"""Seconds that a try waits at most."""

FORGET = 60.0
"""Seconds without a wrong password after which an address starts afresh."""


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


def basic_credentials(header: str | None) -> UsernamePassword:
    """Return the user name and password of an ``Authorization`` header, both UTF-8.

    A password may hold colons. What is not UTF-8 is taken for cp1251 (protocol.md, A.9): the checkers compare
    bytes, and an administrator types UTF-8.

    Raises ``MissingCredentials`` when there is no Basic header to read.
    """
    scheme, _, response = (header or "").strip().partition(" ")
    if scheme.lower() != "basic" or not response.strip():
        raise MissingCredentials
    try:
        found = BasicCredentialFactory("").decode(response.strip().encode("latin-1", "replace"), None)
    except LoginFailed:
        raise MissingCredentials from None
    return UsernamePassword(decoded(found.username).encode("utf-8"), decoded(found.password).encode("utf-8"))


@define(eq=False)
class _Address:
    """What an address did wrong."""

    failures: int = 0
    last: float = 0.0
    wanted: int = 0
    lock: DeferredLock = field(factory=DeferredLock)


@frozen(eq=False)
class Access:
    """Asks the portal who a node is; ``clock`` paces the tries of addresses that got it wrong."""

    portal: Portal
    clock: IReactorTime
    _addresses: dict[str, _Address] = field(factory=dict, init=False)

    async def login(self, header: str | None, address: str) -> str:
        """Return the user's name for an ``Authorization`` header that came from an address.

        Raises ``MissingCredentials`` or ``WrongCredentials``.
        """
        credentials = basic_credentials(header)
        known = self._known(address)
        known.wanted += 1
        try:
            if known.failures:
                delay = min(FIRST_DELAY * 2 ** (known.failures - 1), LONGEST_DELAY)
                await deferLater(self.clock, delay)
            async with known.lock:  # one address occupies one worker at most
                return await self._ask(credentials, known)
        finally:
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
