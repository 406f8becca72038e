"""Whose answer to a piece counts, when any of several daemons may have given it.

The record of a file names the answer to its last piece. A daemon proves its own; for another's it waits, and takes
the piece over if no proof comes: then its own answer counts, and a late proof of the other changes nothing.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from attrs import frozen
from twisted.internet.task import deferLater
from zope.interface import implementer

from onec_twisted.catalog.sql.sessions import session_of
from onec_twisted.cluster.statements import confirm, take_answer, take_upload
from onec_twisted.ingest.daemons import REPEAT_PATIENCE, IDaemons
from onec_twisted.model.errors import ConnectionDropped, FileBusy

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

    from onec_twisted.catalog.files import FileRecords
    from onec_twisted.cluster.presence import Presence
    from onec_twisted.http.acknowledgement import Acknowledgement
    from onec_twisted.http.interfaces import IBody
    from onec_twisted.model.records import FileRecord, Session, Written

__all__ = ["Together"]

T = TypeVar("T")

LOOK_INTERVAL = 0.05
"""Seconds between two looks at the record of another daemon's answer."""

CLOCK_SPARE = 1.0
"""Seconds that the clocks of two daemons may differ by."""


@implementer(IDaemons)
@frozen(eq=False)
class Together:
    """One of several daemons on the same records."""

    files: FileRecords
    presence: Presence
    clock: IReactorTime

    is_alone = False

    def name_answer(self) -> str:
        return secrets.token_hex(8)

    async def check_in_time(self, session: Session, body: IBody) -> None:
        """Raise ``ConnectionDropped`` as well, if the sender does not wait any more.

        After an absence nothing is refused of a session that nobody has used since it began.
        """
        if self.has_left(body):
            raise ConnectionDropped
        if self.presence.was_away_since(body.begun):
            recorder = self.files.recorder
            known = await recorder.read(session_of, session.sessid)
            if known is None or known.touched > self.presence.left - CLOCK_SPARE:
                raise FileBusy

    def guarded(self, body: IBody, write: Callable[[], T]) -> Callable[[], T]:
        peer = body.peer()

        def write_for_peer() -> T:
            try:
                written = write()
                if not peer.waits():
                    raise ConnectionDropped
            finally:
                peer.close()
            return written

        return write_for_peer

    def has_left(self, body: IBody) -> bool:
        with suppress(OSError):  # without a descriptor nobody can be asked; ``guarded`` needs one, too
            peer = body.peer()
            try:
                return not peer.waits()
            finally:
                peer.close()
        return False

    async def was_lost(
        self, session: Session, name: str, record: FileRecord, acknowledgement: Acknowledgement | None, answer: str
    ) -> bool:
        patience = REPEAT_PATIENCE
        if acknowledgement is not None:
            if await acknowledgement.known(REPEAT_PATIENCE):
                return False
            patience = 0.0
        until = self.clock.seconds() + patience
        while True:
            known = await self.files.find(session.sessid, name)
            if known is None or (known.answer, known.committed) != (record.answer, record.committed):
                raise FileBusy
            if known.proven:
                return False
            if self.clock.seconds() >= until:
                if await self._take(session, name, record.answer, answer):
                    return True
                continue  # it was proven, or taken, in this moment
            await deferLater(self.clock, LOOK_INTERVAL)

    async def _take(self, session: Session, name: str, theirs: str, mine: str) -> bool:
        """Let our answer count; return whether it does."""
        step, recorder = (take_answer, (session, name, theirs, mine)), self.files.recorder
        return bool(await recorder.record(session.sessid, lambda: step))

    async def has_same(self, session: Session, name: str, before: int | None, written: Written, answer: str) -> bool:
        known = await self.files.find(session.sessid, name)
        if known is None or known.damaged or known.sealed or known.proven:
            return False
        same = known.last_start, known.committed, known.digest
        if same != (before or 0, written.length, written.digest):
            return False
        return await self.was_lost(session, name, known, None, answer)

    async def claim(self, sessid: str, upload_id: str) -> int:
        step, recorder = (take_upload, (upload_id,)), self.files.recorder
        return int(await recorder.record(sessid, lambda: step))

    async def confirm(self, session: Session) -> None:
        step, recorder = (confirm, (session.sessid, self.presence.now())), self.files.recorder
        await recorder.record(session.sessid, lambda: step)
