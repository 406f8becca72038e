"""The pieces on their way: who sends them, how far they are, and how many there may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field

from onec_twisted.model.errors import TooManyUploads
from onec_twisted.model.shops import shares_of
from onec_twisted.runtime.fairness import Places, Sharing

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.http.interfaces import IBody
    from onec_twisted.model.records import Session

__all__ = ["Transfer", "Transfers"]


@define(eq=False)
class Transfer:
    """A piece on its way; ``key`` numbers it since the start. Times are in seconds of the clock of ``Transfers``.

    ``begun`` is None while the piece waits for its file's lock.
    """

    key: int
    session: Session
    name: str
    body: IBody
    requested: float
    begun: float | None = None

    def rate(self, now: float) -> float:
        """Return the bytes per second received since it began."""
        if self.begun is None or now <= self.begun:
            return 0.0
        return self.body.received / (now - self.begun)


@define(eq=False)
class Transfers:
    """All pieces on their way, at most ``most`` at once; 0 means no limit.

    Shops, their users and those users' sessions share them fairly. ``seconds`` is a monotonic clock.
    """

    seconds: Callable[[], float]
    most: int = 0
    sharing: Sharing = field(factory=Sharing)
    _running: dict[int, Transfer] = field(factory=dict, init=False)
    _last: int = field(default=0, init=False)
    _places: Places = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Start with all places free."""
        self._places = Places(self.most, self.sharing)

    def allow(self, most: int) -> None:
        """Set how many may be on their way from now on; 0 means no limit."""
        self.most = self._places.most = most

    def begin(self, session: Session, name: str, body: IBody) -> Transfer:
        """Register a piece until ``end``. Raises ``TooManyUploads``."""
        path = (*shares_of(session.username), session.sessid)
        if not self._places.has_room(path):
            raise TooManyUploads
        self._places.take(path)
        self._last += 1
        upload = Transfer(self._last, session, name, body, self.seconds())
        self._running[upload.key] = upload
        return upload

    def end(self, upload: Transfer) -> None:
        """Remove a piece."""
        del self._running[upload.key]
        self._places.leave((*shares_of(upload.session.username), upload.session.sessid))

    def all(self) -> list[Transfer]:
        """Return the pieces on their way, oldest first."""
        return list(self._running.values())

    def plain(self, most: int) -> list[dict[str, Any]]:
        """Return the oldest pieces on their way as plain values, which other daemons show."""
        now = self.seconds()
        return [
            {
                "key": transfer.key,
                "user": transfer.session.username,
                "sessid": transfer.session.sessid,
                "name": transfer.name,
                "received": transfer.body.received,
                "length": transfer.body.length,
                "rate": transfer.rate(now),
                "age": now - transfer.requested,
                "waits": transfer.begun is None,
            }
            for transfer in self.all()[:most]
        ]

    def waiting(self) -> int:
        """Return how many wait for their file's lock."""
        return sum(upload.begun is None for upload in self._running.values())

    def __len__(self) -> int:
        """Return how many pieces are on their way."""
        return len(self._running)
