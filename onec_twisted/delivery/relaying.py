"""What the parts ask of that which delivers hand-offs, by one daemon or by several together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.application.service import IService
from zope.interface import Attribute

if TYPE_CHECKING:
    from collections.abc import Collection

    from onec_twisted.delivery.lines import Prospect
    from onec_twisted.delivery.tries import Tries
    from onec_twisted.model.records import Handoff

__all__ = ["IRelay"]


class IRelay(IService):
    """What delivers hand-offs, for those who record them, wait for them, or look after them."""

    tries: Tries = Attribute("How hand-offs are tried.")

    def add(handoff: Handoff) -> object:
        """Deliver a hand-off that is on record, after the earlier ones of its user, if it waits and is new."""

    def check_room(user: str) -> None:
        """Raise ``TooManyImports`` if the maximum number of a user's hand-offs wait."""

    def prospects() -> dict[str, Prospect]:
        """Return what is to come of each hand-off still to be delivered, by its id."""

    async def outcome(handoff: Handoff, patience: float) -> Handoff:
        """Deliver a waiting hand-off, and return the outcome.

        After ``patience`` seconds it is returned in its current state, with its progress in ``words``.
        """

    async def idle(sessid: str, patience: float) -> None:
        """Wait until a session has nothing left to deliver. Raises ``HandoffRunning`` after ``patience`` seconds."""

    async def hurry(handoff: str) -> bool:
        """End the pause of a hand-off, by its id; return whether it waited for its next try."""

    def resume_shops(shops: Collection[str]) -> None:
        """Try at once what has waited for shops to be configured."""

    async def give_up(handoff: str) -> bool:
        """Let a hand-off fail that waits for its next try, by its id; return whether there was one."""
