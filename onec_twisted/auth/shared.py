"""The door that shops share: it passes each request to the door of its shop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.web.resource import Resource
from zope.interface import implementer

from onec_twisted.auth.access import basic_credentials
from onec_twisted.auth.sessions import COOKIE
from onec_twisted.http.interfaces import IStreamingResource
from onec_twisted.model.errors import MissingCredentials
from onec_twisted.model.shops import DEFAULT_SHOP, shop_of
from onec_twisted.model.text import decoded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onec_twisted.auth.members import Roster
    from onec_twisted.catalog.sessions import SessionRecords
    from onec_twisted.http.answer import Answer
    from onec_twisted.http.interfaces import IRequest
    from onec_twisted.model.errors import Refused

__all__ = ["SharedDoor"]


@implementer(IStreamingResource)
class SharedDoor(Resource):
    """Passes requests to ``doors``, by the name of the shop; the default shop's takes all that are nobody's.

    A session belongs to its user's shop; who logs in belongs to the shop that ``roster`` says. What a request claims
    gives no access: the door that it comes to decides.
    """

    isLeaf = True

    def __init__(self, doors: Mapping[str, IStreamingResource], roster: Roster, sessions: SessionRecords) -> None:
        """Pass requests on."""
        super().__init__()
        self._doors = doors
        self._roster = roster
        self._sessions = sessions

    async def respond(self, request: IRequest, refused: Refused | None = None) -> Answer:
        shop = await self._shop(request)
        door = self._doors.get(shop) or self._doors[DEFAULT_SHOP]
        answer: Answer = await door.respond(request, refused)
        return answer

    async def _shop(self, request: IRequest) -> str:
        """Return the shop that a request is for."""
        token = request.getCookie(COOKIE.encode("ascii"))
        if token and b"mode=checkauth" not in request.uri:
            session = await self._sessions.find(decoded(token))
            if session is not None:
                return shop_of(session.username)
        try:
            credentials = basic_credentials(request.getHeader(b"authorization"))
        except MissingCredentials:
            return DEFAULT_SHOP
        return self._roster.shop_of(decoded(credentials.username))
