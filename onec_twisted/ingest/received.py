"""Logs each file once, when its node goes on to another one: not each of its pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field
from twisted.logger import Logger

if TYPE_CHECKING:
    from onec_twisted.model.records import Session

__all__ = ["QUIET_INTERVAL", "ReceivedFiles"]

QUIET_INTERVAL = 60.0
"""Seconds after which a node that sends nothing more has sent its last file."""

MOST_LOGGED = 100
"""Files that are logged by name until a session does something else; of others there is one line."""

MOST_SESSIONS = 10_000
"""Sessions whose last file is remembered."""


@define
class _Progress:
    """The file that a session's node is sending, and what is not logged of those before."""

    session: Session
    name: str
    size: int = 0
    pieces: int = 0
    is_fresh: bool = True
    logged: int = 0
    others: int = 0
    size_of_others: int = 0


@define(eq=False)
class ReceivedFiles:
    """The files that nodes are sending. A piece costs a look in a dict."""

    _sending: dict[str, _Progress] = field(factory=dict, init=False)
    _log = Logger()

    def stored(self, session: Session, name: str, committed: int) -> None:
        """Note that a piece was stored, and its file has ``committed`` bytes now."""
        progress = self._sending.get(session.sessid)
        if progress is None or progress.name != name:
            progress = self._next(session, name, progress)
        progress.size = committed
        progress.pieces += 1
        progress.is_fresh = True

    def _next(self, session: Session, name: str, before: _Progress | None) -> _Progress:
        """Log the file before, and remember the next one."""
        if before is None:
            if len(self._sending) >= MOST_SESSIONS:
                self._end(self._sending.pop(next(iter(self._sending))))
            progress = self._sending[session.sessid] = _Progress(session, name)
            return progress
        self._log_file(before)
        before.name, before.size, before.pieces = name, 0, 0
        return before

    def over(self, sessid: str) -> None:
        """Log what is left of a session, whose node does something else now."""
        progress = self._sending.pop(sessid, None)
        if progress is not None:
            self._end(progress)

    def end_quiet(self) -> None:
        """Log what is left of sessions that have sent nothing since the last call."""
        quiet = [sessid for sessid, progress in self._sending.items() if not progress.is_fresh]
        for progress in self._sending.values():
            progress.is_fresh = False
        for sessid in quiet:
            self.over(sessid)

    def _log_file(self, progress: _Progress) -> None:
        if progress.logged >= MOST_LOGGED:
            progress.others += 1
            progress.size_of_others += progress.size
            return
        progress.logged += 1
        self._log.info(
            "{sessid}: {name} received from {user}: {size} bytes in {pieces} pieces",
            sessid=progress.session.sessid,
            user=progress.session.username,
            name=progress.name,
            size=progress.size,
            pieces=progress.pieces,
        )

    def _end(self, progress: _Progress) -> None:
        self._log_file(progress)
        if progress.others:
            self._log.info(
                "{sessid}: {count} more files received from {user}: {size} bytes",
                sessid=progress.session.sessid,
                user=progress.session.username,
                count=progress.others,
                size=progress.size_of_others,
            )
