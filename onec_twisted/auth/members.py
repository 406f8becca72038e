"""The users of one shop, and whose a user is where the path does not tell. A user belongs to one shop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from onec_twisted.model.errors import WrongShop
from onec_twisted.model.shops import DEFAULT_SHOP, account_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from onec_twisted.auth.access import Access

__all__ = ["Members", "Roster"]


def _never() -> bool:
    """Report that the client is still connected."""
    return False


@frozen(eq=False, kw_only=True)
class Members:
    """The users of a shop, who log in by ``access``, where ``checkers`` know them.

    They are those that ``names`` has; or, if that is None, all but those that ``others`` has.
    """

    shop: str
    access: Access
    checkers: Sequence[Any]
    names: frozenset[str] | None = None
    others: frozenset[str] = frozenset()

    def has(self, user: str) -> bool:
        """Return whether somebody whom the checkers know is a user of this shop."""
        return user in self.names if self.names is not None else user not in self.others

    def _account(self, user: str) -> str:
        """Return the account of a user who has logged in. Raises ``WrongShop``."""
        if not self.has(user):
            raise WrongShop
        return account_of(self.shop, user)

    async def login(self, header: bytes | None, address: str, gone: Callable[[], bool] = _never) -> str:
        """Return the account of who logs in; see ``Access.login``. Raises ``WrongShop`` besides."""
        return self._account(await self.access.login(header, address, gone))

    async def login_again(self, header: bytes | None, address: str) -> str:
        """Return the account of who sends a password with each request; see ``Access.login_again``."""
        return self._account(await self.access.login_again(header, address))


@define(eq=False)
class Roster:
    """Whose each user is among the shops that share a path.

    ``named`` are the users that tables name, each with its shop. ``known`` returns, for the shops with checkers of
    their own in order, who was known to them at their last look; it may block.
    """

    named: Mapping[str, str]
    known: Callable[[], Mapping[str, str]]
    _known: Mapping[str, str] = field(factory=dict, init=False)

    def look(self) -> None:
        """Refresh what the checkers know; called now and then, in any thread. Blocks."""
        self._known = self.known()

    def shop_of(self, user: str) -> str:
        """Return the shop of a user, the default shop for a name that no other has."""
        return self.named.get(user) or self._known.get(user, DEFAULT_SHOP)
