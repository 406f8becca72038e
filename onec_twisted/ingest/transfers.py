"""The pieces on their way: who sends them, how far they are, and how many there may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from onec_twisted.model.errors import TooManyUploads
from onec_twisted.runtime.fairness import Places

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
    """All pieces on their way, at most ``most`` at once, shared fairly by users and their sessions; 0 means no limit.

    ``seconds`` is a monotonic clock.
    """

    seconds: Callable[[], float]
    most: int = 0
    _running: dict[int, Transfer] = field(factory=dict, init=False)
    _last: int = field(default=0, init=False)
    _places: Places = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Start with all places free."""
        self._places = Places(self.most)

    def begin(self, session: Session, name: str, body: IBody) -> Transfer:
        """Register a piece until ``end``. Raises ``TooManyUploads``."""
        if not self._places.has_room(session.username, session.sessid):
            raise TooManyUploads
        self._places.take(session.username, session.sessid)
        self._last += 1
        upload = Transfer(self._last, session, name, body, self.seconds())
        self._running[upload.key] = upload
        return upload

    def end(self, upload: Transfer) -> None:
        """Remove a piece."""
        del self._running[upload.key]
        self._places.leave(upload.session.username, upload.session.sessid)

    def all(self) -> list[Transfer]:
        """Return the pieces on their way, oldest first."""
        return list(self._running.values())

    def waiting(self) -> int:
        """Return how many wait for their file's lock."""
        return sum(upload.begun is None for upload in self._running.values())

    def __len__(self) -> int:
        """Return how many pieces are on their way."""
        return len(self._running)
