"""Session records, without blocking; sessions in use are read from memory."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from attrs import define, field

from onec_twisted.catalog.cache import AT_ONCE, MOST_SESSIONS, KnownSession
from onec_twisted.catalog.sql import contents, kept, uploads
from onec_twisted.catalog.sql import sessions as statements
from onec_twisted.model.errors import Refused
from onec_twisted.model.journal import UNKNOWN_SENDER, Sender
from onec_twisted.model.names import safe_name
from onec_twisted.model.records import Session
from onec_twisted.runtime.singleflight import SingleFlight

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onec_twisted.catalog.cache import KnownSessions
    from onec_twisted.catalog.interfaces import Step
    from onec_twisted.catalog.recorder import Recorder
    from onec_twisted.model.records import Epoch, KeptFolder

__all__ = ["SessionRecords"]


@lru_cache(MOST_SESSIONS)
def _hash(token: str) -> str:
    """Return what is recorded of a token, the session's secret: its SHA-256. Each request needs it."""
    return hashlib.sha256(token.encode("utf-8")).hexdigest()


def _name_of(filename: bytes) -> str:
    """Return the name of a file as it is on record, empty for one that will be refused."""
    with suppress(Refused):
        return safe_name(filename).text
    return ""


@define(eq=False)
class SessionRecords:
    """The session records. Times are seconds since 1970, and come from the caller."""

    recorder: Recorder
    files_at_once: int = field(default=AT_ONCE, init=False)
    _reading: SingleFlight[Session | None] = field(factory=SingleFlight, init=False)
    _known: KnownSessions = field(init=False)

    @_known.default
    def _of_recorder(self) -> KnownSessions:
        return self.recorder.known

    async def open(
        self, sessid: str, token: str, username: str, now: float, most: int = 0, sender: Sender = UNKNOWN_SENDER
    ) -> None:
        """Record a new session. Raises ``TooManySessions`` when its user has ``most``; 0 means no limit."""
        token_hash = _hash(token)
        await self.recorder.record(
            sessid, lambda: (statements.open_session, (sessid, token_hash, username, now, most, sender))
        )
        self._known.add(token_hash, KnownSession(Session(sessid, username, 1, 0, now)))

    async def find(self, token: str, filename: bytes | None = None) -> Session | None:
        """Return the session that a token opens, None if it opens none.

        ``filename`` is the file that will be asked for next, as the request names it. Callers that wait for the same
        to be read resume in the order of their calls, as pieces must.
        """
        token_hash = _hash(token)
        known = self._known.of_token(token_hash)
        if known is not None:
            return known.session
        name = _name_of(filename) if filename and self._known.foresees else ""
        if name:
            return await self._reading.call((token_hash, name), lambda: self._read_both(token_hash, name))
        return await self._reading.call(token_hash, lambda: self._read(token_hash))

    async def _read(self, token_hash: str) -> Session | None:
        """Read a session, and keep it in memory."""
        with self.recorder.recorded_meanwhile() as meanwhile:
            found = await self.recorder.read(statements.session, token_hash, self.files_at_once)
        if found is None:
            return None
        session, files, count = found
        # Records made in the meantime may be missing in what was read: return it, but do not cache it
        if session.sessid not in meanwhile:
            self._known.add(token_hash, KnownSession(session, files, complete=len(files) == count, count=count))
        return session

    async def _read_both(self, token_hash: str, name: str) -> Session | None:
        """Read a session, and the record of a file for whoever asks for it next, in one question."""
        with self.recorder.recorded_meanwhile() as meanwhile:
            found = await self.recorder.read(contents.session_and_file, token_hash, name)
        if found is None:
            return None
        session, record = found
        if session.sessid not in meanwhile:
            self._known.foresee(session.sessid, name, record)
        return session

    async def touch(self, sessid: str, now: float) -> None:
        """Record that the session is in use."""
        await self.recorder.record(sessid, lambda: (statements.touch, (sessid, now)))
        known = self._known.of_sessid(sessid)
        if known is not None:
            known.touch(now)

    async def start_epoch(
        self,
        sessid: str,
        now: float,
        room: int,
        expected: int = 0,
        guard: Callable[[Callable[[], Step]], Callable[[], Step]] = lambda make: make,
    ) -> Epoch:
        """Forget the session's files; pieces on their way belong to an epoch that is over.

        ``room`` is how many bytes may be kept of what was imported; see ``sql.sessions.start_epoch``. ``expected`` is
        the epoch that ends, 0 for any: with several daemons it raises ``SessionRestarted`` for another one. ``guard``
        is that of ``IDaemons``.
        """
        step: Step = statements.start_epoch, (sessid, now, room, expected)
        epoch = cast("Epoch", await self.recorder.record(sessid, guard(lambda: step)))
        known = self._known.of_sessid(sessid)
        if known is not None:
            known.start_epoch(epoch.number, now)
        return epoch

    async def held_by(self, shop: str) -> int:
        """Return how many bytes the sessions of a shop hold together."""
        return await self.recorder.survey(statements.held_by, shop)

    async def users(self) -> list[str]:
        """Return the users that have sessions which are not revoked."""
        return await self.recorder.survey(statements.users)

    async def of_user(self, username: str) -> list[str]:
        """Return the sessids of all sessions of a user that are not revoked."""
        return await self.recorder.survey(statements.sessions_of, username)

    async def revoke(self, sessid: str) -> None:
        """Revoke a session's token; its files and hand-offs stay, and are delivered as usual."""
        await self.recorder.record(sessid, lambda: (statements.revoke, (sessid,)))
        self._known.forget(sessid)

    async def end(self, sessid: str) -> None:
        """Delete a session unless something of it is still to be delivered; see ``sql.sessions.end_session``."""
        await self.recorder.record(sessid, lambda: (statements.end_session, (sessid,)))
        self._known.forget(sessid)

    async def ended(self, ended: float, kept: float) -> list[tuple[str, str]]:
        """Return the sessids and users of all sessions that may be removed; see ``sql.sessions.ended``."""
        return await self.recorder.survey(statements.ended, ended, kept)

    async def unknown(self, folders: list[str]) -> list[str]:
        """Return those folders that are neither a session's on record nor kept."""
        return await self.recorder.survey(statements.unknown, folders)

    async def kept_since(self, before: float) -> list[KeptFolder]:
        """Return the folders of earlier epochs whose last import was before a time."""
        return await self.recorder.survey(kept.kept_since, before)

    async def forget_kept(self, folders: Sequence[str]) -> None:
        """Forget folders of earlier epochs."""
        if folders:
            await self.recorder.record("", lambda: (kept.forget, (folders,)))

    async def remove(self, sessid: str, ended: float, kept: float) -> bool:
        """Delete a session and all that belongs to it, if it may still be removed; return whether it was."""
        step = statements.remove_session, (sessid, ended, kept)
        removed = cast("bool", await self.recorder.record(sessid, lambda: step))
        if removed:
            self._known.forget(sessid)
        return removed

    async def expire_uploads(self, ended: float, before: float, busy: frozenset[str]) -> None:
        """Record which tus uploads have expired, and forget those gone before; see ``uploads.expire``."""
        await self.recorder.record("", lambda: (uploads.expire, (ended, before, busy)))
