"""The interfaces of password checkers, and of a logged-in node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


__all__ = ["IKnowingChecker", "INode"]


class INode(Interface):
    """A logged-in node: what the portal returns for valid credentials."""

    user: str = Attribute("The name that the node logs in with.")


class IKnowingChecker(Interface):
    """A password checker that recognises passwords it has verified before, and knows which users exist.

    In addition to ``twisted.cred``'s ``ICredentialsChecker``.
    """

    def knows(credentials: Any) -> Deferred[bool]:
        """Fire with whether a user name and a password are already known to be valid, without a slow check."""

    def has(user: bytes) -> bool:
        """Return whether there was such a user at the last look; returns at once, in any thread."""

    def look() -> None:
        """Refresh the list of users; called periodically. Blocks, and may be called in any thread."""
