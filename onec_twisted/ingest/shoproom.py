"""What the sessions of a shop may still hold together: ``--shop-quota``.

The records are asked at most once a second, and again before a body is refused; what was admitted since then is
counted in memory. The estimate errs on the safe side: it counts some bodies twice for a moment, but none too little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from onec_twisted.model.errors import ShopFull
from onec_twisted.model.shops import shop_of
from onec_twisted.runtime.singleflight import SingleFlight

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["ShopRoom", "ShopRooms"]

READING_FRESH_FOR = 1.0
"""Seconds that a reading of the records stays valid."""

ASKED_AGAIN_AFTER = 0.2
"""Seconds after which the records are asked again before a body is refused."""


@define(eq=False)
class ShopRoom:
    """The room of one shop: ``quota`` in bytes, ``held`` asks the records; ``seconds`` is a monotonic clock."""

    quota: int
    held: Callable[[], Awaitable[int]]
    seconds: Callable[[], float]
    _taken: int = field(default=0, init=False)
    """Bytes on record or on their way, as far as is known."""
    _on_way: int = field(default=0, init=False)
    """Bytes of the bodies on their way, whatever of them has arrived."""
    _since: int = field(default=0, init=False)
    """Bytes of the bodies that were admitted since the last reading began."""
    _read_at: float = field(default=float("-inf"), init=False)
    _reading: SingleFlight[None] = field(factory=SingleFlight, init=False)

    @property
    def left(self) -> int:
        """Return how many bytes there is room for; less than nothing, if the quota was lowered."""
        return self.quota - self._taken

    async def look(self, size: int) -> None:
        """Ask the records, unless what they said is fresh, and there is room for ``size`` bytes."""
        age = self.seconds() - self._read_at
        if age >= READING_FRESH_FOR or (size > self.left and age >= ASKED_AGAIN_AFTER):
            await self._reading.call("held", self._read)

    async def _read(self) -> None:
        """Ask the records."""
        on_way, self._since = self._on_way, 0
        held = await self.held()
        self._taken = held + on_way + self._since
        self._read_at = self.seconds()

    def take(self, size: int) -> None:
        """Count a body of ``size`` bytes that was admitted."""
        self._taken += size
        self._on_way += size
        self._since += size

    def give(self, size: int, kept: int) -> None:
        """Count no longer a body that has ended; ``kept`` of its bytes are on record now."""
        self._on_way -= size
        self._taken -= size - kept


@define(eq=False)
class ShopRooms:
    """The rooms of the shops that have a quota, by the shop's name; ``held`` asks for the bytes that a shop holds."""

    held: Callable[[str], Awaitable[int]]
    seconds: Callable[[], float]
    _rooms: dict[str, ShopRoom] = field(factory=dict, init=False)

    @property
    def are_limited(self) -> bool:
        """Return whether any shop has a quota; a piece need not wait to learn that."""
        return bool(self._rooms)

    def set_quotas(self, quotas: Mapping[str, int]) -> None:
        """Give shops their quotas, in bytes; others have none from now on. Bodies on their way stay counted."""
        for shop in self._rooms.keys() - quotas.keys():
            del self._rooms[shop]
        for shop, quota in quotas.items():
            room = self._rooms.get(shop)
            if room is not None:
                room.quota = quota
            else:
                self._rooms[shop] = ShopRoom(quota, lambda shop=shop: self.held(shop), self.seconds)  # type: ignore[misc]

    def of(self, account: str) -> ShopRoom | None:
        """Return the room of an account's shop; None if that has no quota."""
        return self._rooms.get(shop_of(account))

    async def look(self, account: str, size: int) -> ShopRoom | None:
        """Return the room of an account's shop, as far as is known now, for a body of ``size`` bytes."""
        room = self.of(account)
        if room is not None:
            await room.look(size)
        return room

    async def check(self, account: str, size: int) -> None:
        """Raise ``ShopFull`` if an account's shop has no room for ``size`` bytes; nothing is reserved."""
        room = await self.look(account, size)
        if room is not None and size > room.left:
            raise ShopFull
