"""Where the hand-offs of each shop go, and what is done to them before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, frozen

from onec_twisted.model.shops import shop_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onec_twisted.delivery.interfaces import IImporter

__all__ = ["Destination", "Destinations"]


@frozen(eq=False, kw_only=True)
class Destination:
    """Where the hand-offs of a shop go.

    ``unpack_limits`` are those of an archive: the bytes that it may become, its files, how many times its own size it
    may become, and the segments of a name; with None, archives are handed off as they are. ``check_documents`` is
    whether documents are read before. ``session_quota`` is in bytes; ``settle`` is how many seconds after its last
    use a session's files are handed off without being asked for.
    """

    importer: IImporter
    unpack_limits: tuple[int, int, int, int] | None
    check_documents: bool
    session_quota: int
    settle: float


@define(eq=False)
class Destinations:
    """The destination of each shop, by its name; a reload replaces them."""

    shops: Mapping[str, Destination]

    def of(self, account: str) -> Destination | None:
        """Return where the hand-offs of an account go; None if its shop is not configured."""
        return self.shops.get(shop_of(account))

    def settle_of(self, account: str) -> float:
        """Return after how many seconds a session of an account is quiet; at once, if its shop is gone."""
        destination = self.of(account)
        return destination.settle if destination is not None else 0.0

    def shortest_settle(self) -> float:
        """Return the fewest seconds of ``settle`` of all shops."""
        return min(one.settle for one in self.shops.values())
