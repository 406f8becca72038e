"""The answers on their way, and the recorded proofs that they arrived.

``http.acknowledgement`` finds out whether an answer arrived; this module maps answers to the last piece of each file,
and holds them as long as needed.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import define, field
from twisted.internet.task import deferLater
from twisted.logger import Logger

from onec_twisted.http.acknowledgement import Acknowledgement
from onec_twisted.model.errors import CatalogBusy, StorageRemoved

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from onec_twisted.catalog.files import FileRecords
    from onec_twisted.model.records import Session

__all__ = ["PROOF_DELAY", "Proofs"]

PROOF_DELAY = 0.05
"""Seconds that a proof waits for another record to share a commit with."""

PROOF_RETRY = 5.0
"""Seconds between attempts to record proofs while the database is locked or gone."""


@define(eq=False)
class Proofs:
    """The answer to the last piece of each file, until its proof is on record."""

    files: FileRecords
    clock: IReactorTime
    _open: dict[str, dict[str, Acknowledgement]] = field(factory=lambda: defaultdict(dict), init=False)
    _call: IDelayedCall | None = field(default=None, init=False)
    _put_off: list[Callable[[], None]] = field(factory=list, init=False)
    """Calls that retry the proofs that could not be recorded."""
    _retry_call: IDelayedCall | None = field(default=None, init=False)
    _log = Logger()

    def __len__(self) -> int:
        """Return how many answers are on their way, in all sessions."""
        return sum(len(of_session) for of_session in self._open.values())

    def of(self, sessid: str, name: str) -> Acknowledgement | None:
        """Return the answer to a file's last piece; None when its proof is on record, or no answer was sent."""
        return self._open.get(sessid, {}).get(name)

    def watch(self, session: Session, name: str, committed: int, answer: str = "") -> Acknowledgement:
        """Watch the answer to a piece that is now on record, under the name of that ``answer``."""
        acknowledgement = Acknowledgement(self.clock, partial(self._decided, session, name, committed), answer)
        of_session = self._open[session.sessid]
        if name in of_session:
            of_session[name].forget()
        of_session[name] = acknowledgement
        return acknowledgement

    def forget(self, sessid: str) -> None:
        """Forget the answers on their way in a session that is being emptied."""
        for acknowledgement in self._open.pop(sessid, {}).values():
            acknowledgement.forget()

    async def settle(self, patience: float) -> None:
        """Check the answers on their way, again after ``patience`` seconds if need be, and record the proofs."""
        if self._look():
            await deferLater(self.clock, patience)
            self._look()
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._retry_call is not None:
            self._retry_call.cancel()
            self._retry()
        await self.files.flush()

    def _look(self) -> bool:
        """Check all answers on their way; return whether any is still open."""
        acknowledgements = [one for of_session in self._open.values() for one in of_session.values()]
        for acknowledgement in acknowledgements:
            acknowledgement.look()
        return any(acknowledgement.arrived is None for acknowledgement in acknowledgements)

    def _decided(self, session: Session, name: str, committed: int, arrived: bool) -> None:
        """Record the proof and then forget the answer; an answer that was lost needs no record."""
        acknowledgement = self._open[session.sessid][name]  # any other was told to forget it
        if arrived:
            self._prove(session, name, committed, acknowledgement)
        else:
            self._forget(session.sessid, name, acknowledgement)

    def _forget(self, sessid: str, name: str, acknowledgement: Acknowledgement) -> None:
        """Forget an answer, unless that to a later piece has taken its place."""
        of_session = self._open.get(sessid, {})
        if of_session.get(name) is acknowledgement:
            del of_session[name]
            if not of_session:
                del self._open[sessid]

    def _prove(self, session: Session, name: str, committed: int, acknowledgement: Acknowledgement) -> None:
        """Record a proof; without it an equal piece would be taken for a repeat after the next start."""

        def recorded(outcome: Any) -> None:
            if outcome is None:
                self._forget(session.sessid, name, acknowledgement)
            elif outcome.check(CatalogBusy, StorageRemoved):  # already logged elsewhere
                self._put_off.append(again)
                if self._retry_call is None:
                    self._retry_call = self.clock.callLater(PROOF_RETRY, self._retry)
            else:
                self._log.failure(
                    "{sessid}: the acknowledgement of an answer could not be recorded", outcome, sessid=session.sessid
                )

        def again() -> None:
            if self.of(session.sessid, name) is acknowledgement:
                self._prove(session, name, committed, acknowledgement)

        self.files.prove(session, name, committed, recorded, acknowledgement.name)
        if self._call is None:
            self._call = self.clock.callLater(PROOF_DELAY, self._record)

    def _record(self) -> None:
        """Record the proofs that have waited for another record long enough."""
        self._call = None
        self.files.record_proofs()

    def _retry(self) -> None:
        """Retry the proofs that could not be recorded and still matter."""
        self._retry_call = None
        put_off, self._put_off = self._put_off, []
        for again in put_off:
            again()
