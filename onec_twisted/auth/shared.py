"""The door that shops share: it passes each request to the door of its shop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cachetools import LRUCache
from twisted.web.resource import Resource
from zope.interface import implementer

from onec_twisted.auth.access import basic_credentials
from onec_twisted.auth.sessions import COOKIE
from onec_twisted.http.interfaces import IStreamingResource
from onec_twisted.model.errors import MissingCredentials
from onec_twisted.model.shops import DEFAULT_SHOP, shop_of
from onec_twisted.model.text import decoded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from onec_twisted.auth.members import Roster
    from onec_twisted.catalog.sessions import SessionRecords
    from onec_twisted.http.answer import Answer
    from onec_twisted.http.interfaces import IRequest
    from onec_twisted.model.errors import Refused

__all__ = ["SharedDoor"]

SESSION_COOKIE = COOKIE.encode("ascii")

REMEMBERED_TOKENS = 2000
"""Sessions whose door is found without looking into their record: a session never changes its user."""


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
        self._of_token: LRUCache[bytes, IStreamingResource] = LRUCache(REMEMBERED_TOKENS)

    def respond(self, request: IRequest, refused: Refused | None = None) -> Awaitable[Answer]:
        token = request.getCookie(SESSION_COOKIE)
        if not token or b"mode=checkauth" in request.uri:
            return self._door(self._claimed(request)).respond(request, refused)
        door = self._of_token.get(token)
        return self._find(token, request, refused) if door is None else door.respond(request, refused)

    async def _find(self, token: bytes, request: IRequest, refused: Refused | None) -> Answer:
        """Pass on a request with a cookie that has not been seen yet, or opens no session."""
        session = await self._sessions.find(decoded(token))
        if session is None:
            return await self._door(self._claimed(request)).respond(request, refused)
        door = self._of_token[token] = self._door(shop_of(session.username))
        return await door.respond(request, refused)

    def _door(self, shop: str) -> IStreamingResource:
        """Return the door of a shop."""
        return self._doors.get(shop) or self._doors[DEFAULT_SHOP]

    def _claimed(self, request: IRequest) -> str:
        """Return the shop of the user that a request without a session names."""
        try:
            credentials = basic_credentials(request.getHeader(b"authorization"))
        except MissingCredentials:
            return DEFAULT_SHOP
        return self._roster.shop_of(decoded(credentials.username))
