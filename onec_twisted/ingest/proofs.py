"""The answers on their way, and the proofs that they arrived, put on record.

``http.acknowledgement`` finds out; here is for which file's last piece it is known, and until when that has to be
remembered.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from attrs import define, field
from twisted.internet.task import deferLater
from twisted.logger import Logger

from onec_twisted.http.acknowledgement import Acknowledgement
from onec_twisted.model.errors import StorageRemoved

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from onec_twisted.catalog.files import FileRecords
    from onec_twisted.model.records import Session

__all__ = ["PROOF_DELAY", "Proofs"]

PROOF_DELAY = 0.05
"""Seconds that a proof waits for another record to go on the disk with."""


@define(eq=False)
class Proofs:
    """The answer to the last piece of each file, until its fate is on record."""

    files: FileRecords
    clock: IReactorTime
    _open: dict[str, dict[str, Acknowledgement]] = field(factory=lambda: defaultdict(dict), init=False)
    _call: IDelayedCall | None = field(default=None, init=False)
    _log = Logger()

    def __len__(self) -> int:
        """Return how many answers are on their way, in all sessions."""
        return sum(len(of_session) for of_session in self._open.values())

    def of(self, sessid: str, name: str) -> Acknowledgement | None:
        """Return the answer to a file's last piece; None when its fate is on record, or nobody was answered."""
        return self._open.get(sessid, {}).get(name)

    def watch(self, session: Session, name: str, committed: int) -> Acknowledgement:
        """Watch the answer to a piece that is on record now."""
        acknowledgement = Acknowledgement(
            self.clock, lambda arrived: self._decided(session, name, committed, acknowledgement, arrived)
        )
        of_session = self._open[session.sessid]
        if name in of_session:
            of_session[name].forget()
        of_session[name] = acknowledgement
        return acknowledgement

    def forget(self, sessid: str) -> None:
        """Forget the answers on their way in a session that is emptied."""
        for acknowledgement in self._open.pop(sessid, {}).values():
            acknowledgement.forget()

    async def settle(self, patience: float) -> None:
        """Ask for the answers on their way, again after ``patience`` seconds if need be, and record the proofs."""
        if self._look():
            await deferLater(self.clock, patience)
            self._look()
        if self._call is not None:
            self._call.cancel()
            self._call = None
        await self.files.flush()

    def _look(self) -> bool:
        """Ask for all answers on their way; return whether any is still open."""
        acknowledgements = [one for of_session in self._open.values() for one in of_session.values()]
        for acknowledgement in acknowledgements:
            acknowledgement.look()
        return any(acknowledgement.arrived is None for acknowledgement in acknowledgements)

    def _decided(
        self, session: Session, name: str, committed: int, acknowledgement: Acknowledgement, arrived: bool
    ) -> None:
        """Put a proof on record, and forget the answer when it is there; one that was lost needs no record."""

        def forget(_: object) -> None:
            of_session = self._open.get(session.sessid, {})
            if of_session.get(name) is acknowledgement:
                del of_session[name]
                if not of_session:
                    del self._open[session.sessid]

        if not arrived:
            forget(None)
            return
        recorded = self.files.prove(session, name, committed)
        recorded.addCallback(forget)
        recorded.addErrback(lambda failure: failure.trap(StorageRemoved))  # presence tells
        recorded.addErrback(
            lambda failure: self._log.failure(
                "{sessid}: a proof of delivery was not recorded", failure, sessid=session.sessid
            )
        )
        if self._call is None:
            self._call = self.clock.callLater(PROOF_DELAY, self._record)

    def _record(self) -> None:
        """Put proofs on record that have waited for company long enough."""
        self._call = None
        self.files.record_proofs()
