"""Finds the session of a request, by its cookie and its sessid, for every front door."""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING

from attrs import frozen

from onec_twisted.model.errors import InvalidSession, MissingSessid
from onec_twisted.model.shops import DEFAULT_SHOP, shop_of
from onec_twisted.model.text import decoded

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.auth.shard import Shard
    from onec_twisted.catalog.sessions import SessionRecords
    from onec_twisted.model.journal import Sender
    from onec_twisted.model.records import Session

__all__ = ["COOKIE", "Opened", "Sessions"]

COOKIE = "onec_session"
"""The name of the cookie that carries the token."""


@frozen
class Opened:
    """A newly opened session: its sessid, its secret token, and the time in seconds since 1970."""

    sessid: str
    token: str
    now: float


@frozen(eq=False, kw_only=True)
class Sessions:
    """Opens sessions of a shop, and finds the sessions of requests; those of other shops are none here.

    A session expires ``ttl`` seconds after its last use, unless it is being written to, as ``is_busy`` reports for a
    sessid. A user may have ``most`` sessions; 0 means no limit. With ``sessid_required`` a node's request must name
    its session, which a page of another site cannot do, although the browser would send the cookie for it. ``now``
    returns seconds since 1970.
    """

    records: SessionRecords
    shard: Shard
    now: Callable[[], float]
    is_busy: Callable[[str], bool]
    ttl: float
    sessid_required: bool
    most: int
    shop: str = DEFAULT_SHOP

    async def open(self, user: str, sender: Sender) -> Opened:
        """Open a session for a user who logged in as ``sender``. Raises ``TooManySessions``."""
        opened = Opened(self.shard.new_id(16), self.shard.new_id(32), self.now())
        await self.records.open(opened.sessid, opened.token, user, opened.now, self.most, sender)
        return opened

    async def find(self, token: bytes | None) -> Session | None:
        """Return the session that a cookie's value belongs to; None if there is none or it has expired."""
        session = await self.records.find(decoded(token)) if token else None
        return session if session is not None and self._is_live(session) else None

    def _is_live(self, session: Session) -> bool:
        """Return whether a session is of this shop, and was used recently or is in use."""
        is_over = session.is_over(self.now() - self.ttl, busy=self.is_busy(session.sessid))
        return not is_over and shop_of(session.username) == self.shop

    async def touch(self, session: Session) -> None:
        """Record that a session is in use."""
        await self.records.touch(session.sessid, self.now())

    async def of_node(self, token: bytes | None, sessid: bytes | None, filename: bytes | None = None) -> Session:
        """Return the session of a node's request, by its cookie and by what it sends as ``sessid``.

        Some nodes send the token as ``sessid``. ``filename`` is the file that the request brings a piece of. Raises
        ``MissingSessid`` and ``InvalidSession``.
        """
        if not sessid and self.sessid_required:
            raise MissingSessid
        session = await self.records.find(decoded(token), filename) if token else None
        if session is None:
            self.shard.note_unknown(token or sessid or b"")
        if token is None or session is None or not self._is_live(session):
            raise InvalidSession
        if sessid:
            is_sessid = compare_digest(sessid, session.sessid.encode("ascii"))
            is_token = compare_digest(sessid, token)
            if not is_sessid and not is_token:
                raise InvalidSession
        return session
