"""Who the users of each shop are, made from the settings."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import frozen

from onec_twisted.auth.access import Access
from onec_twisted.auth.members import Members, Roster
from onec_twisted.daemon.checkers import known_users, users_of
from onec_twisted.model.shops import DEFAULT_SHOP, shop_of, user_of
from onec_twisted.model.text import decoded
from onec_twisted.model.written import NotPlain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from twisted.internet.interfaces import IReactorTime

    from onec_twisted.daemon.config import Config

__all__ = ["Membership", "membership_of"]


@frozen(eq=False)
class Membership:
    """The users of each shop, by its name; ``roster`` says whose a user is among those that share the paths."""

    shops: Mapping[str, Members]
    roster: Roster

    @property
    def common(self) -> Access:
        """Return how users log in whom the common checkers know."""
        return self.shops[DEFAULT_SHOP].access

    def look(self, accounts: Iterable[str] = ()) -> frozenset[str]:
        """Read again who is known to the checkers; return those of some accounts that may no longer log in.

        If a checker cannot list its users, nobody counts as gone of those who may be known to it. Blocks.
        """
        known: dict[int, Callable[[bytes], bool] | None] = {}
        for members in self.shops.values():
            for checker in members.checkers:
                if id(checker) not in known:  # shops share checkers, and a file that is gone counts at each look
                    known[id(checker)] = users_of(checker)
        self.roster.look()
        return frozenset(account for account in accounts if self._is_gone(account, known))

    def _is_gone(self, account: str, known: Mapping[int, Callable[[bytes], bool] | None]) -> bool:
        members, user = self.shops.get(shop_of(account)), user_of(account)
        if members is None or not members.has(user):
            return True
        checks = [known[id(checker)] for checker in members.checkers]
        return all(has is not None and not has(user.encode("utf-8")) for has in checks)


def membership_of(config: Config, clock: IReactorTime, beside: Access | None = None) -> Membership:
    """Return the users of each shop; what addresses have guessed is remembered from ``beside``."""
    common = Access.by(config.auth, clock, beside=beside)
    named = {user: shop.name for shop in config.shops for user in shop.users}
    shops = {
        DEFAULT_SHOP: Members(shop=DEFAULT_SHOP, access=common, checkers=config.auth, others=frozenset(named)),
    }
    for shop in config.shops:
        own = shop.has_own_auth
        shops[shop.name] = Members(
            shop=shop.name,
            access=Access.by(shop.config.auth, clock, beside=common) if own else common,
            checkers=shop.config.auth,
            names=None if own else shop.users,
        )
    on_shared_paths = [shop for shop in config.shops if not shop.has_own_path]
    with_own_auth = [(shop.name, shop.config.auth) for shop in on_shared_paths if shop.has_own_auth]

    def known() -> dict[str, str]:
        """Return who is known to the checkers of a shop; the first that knows a user, has it."""
        found: dict[str, str] = {}
        if not with_own_auth:
            return found
        for name, checkers in ((DEFAULT_SHOP, config.auth), *with_own_auth):
            for checker in checkers:
                with suppress(OSError, NotPlain):
                    for user in known_users(checker) or ():
                        found.setdefault(decoded(user), name)
        return found

    roster = Roster({user: shop.name for shop in on_shared_paths for user in shop.users}, known)
    roster.look()
    return Membership(shops, roster)
