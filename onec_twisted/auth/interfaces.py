"""What is asked of checkers, and of whoever has logged in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


__all__ = ["IKnowingChecker", "INode"]


class INode(Interface):
    """Who has logged in: what the portal gives for good credentials."""

    user: str = Attribute("The name that the node logs in with.")


class IKnowingChecker(Interface):
    """A checker of passwords that knows those again that it has found right, and who may log in at all.

    Beside ``twisted.cred``'s ``ICredentialsChecker``.
    """

    def knows(credentials: Any) -> Deferred[bool]:
        """Fire with whether a user name and a password are known to be right now, without a check that takes long."""

    def has(user: bytes) -> bool:
        """Return whether there was such a user at the last look; at once, and in any thread."""

    def look() -> None:
        """Look again who may log in, as is done now and then. Blocks, and may be called in any thread."""
