"""Hand-off records, without blocking: the outbox of what the site is owed."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from attrs import evolve, field, frozen

from onec_twisted.catalog.sql import handoffs as outbox
from onec_twisted.catalog.sql import outcomes
from onec_twisted.model.description import describe
from onec_twisted.model.records import SETTLED

if TYPE_CHECKING:
    from onec_twisted.catalog.cache import KnownSessions
    from onec_twisted.catalog.recorder import Recorder
    from onec_twisted.model.description import Description
    from onec_twisted.model.records import Handoff, Session

__all__ = ["HandoffRecords"]


def _described(handoff: Handoff, folder: str) -> Description:
    """Return a description with its JSON already made, in a worker."""
    description = describe(handoff, folder)
    description.as_json()
    return description


@frozen(eq=False)
class HandoffRecords:
    """The hand-off records. Times are seconds since 1970, and come from the caller."""

    recorder: Recorder
    _known: KnownSessions = field(init=False)

    @_known.default
    def _of_recorder(self) -> KnownSessions:
        return self.recorder.known

    async def imported(self, sessid: str, filename: str) -> Handoff | None:
        """Return the last hand-off of a name whose import was requested, None if there is none."""
        return await self.recorder.read(outbox.imported, sessid, filename)

    async def unchanged(self, sessid: str, filename: str) -> Handoff | None:
        """Return the hand-off of a name, None if its session has begun a file since it was asked for."""
        return await self.recorder.read(outbox.unchanged, sessid, filename)

    async def import_requested(
        self,
        session: Session,
        exchange_type: str,
        filename: str,
        archive: str,
        size: int,
        now: float,
        begun: int | None = None,
    ) -> Handoff:
        """Hand off what a node requests to import, and seal its file; see ``sql.handoffs.import_requested``."""
        step = outbox.import_requested, (session, exchange_type, filename, archive, size, now, begun)
        handoff = cast("Handoff", await self.recorder.record(session.sessid, lambda: step))
        self._seal(session.epoch, [handoff])
        return handoff

    async def event_came(
        self, session: Session, event: str, exchange_type: str, timestamp: str, now: float
    ) -> list[Handoff]:
        """Hand off an event, and earlier files that nobody requested to import; see ``sql.handoffs.event_came``."""
        step = outbox.event_came, (session, event, exchange_type, timestamp, now)
        handoffs = cast("list[Handoff]", await self.recorder.record(session.sessid, lambda: step))
        self._seal(session.epoch, handoffs)
        return handoffs

    async def quiet_since(self, then: float) -> list[Session]:
        """Return the sessions that owe the site something, and have not been used since ``then``."""
        return await self.recorder.survey(outbox.quiet_since, then)

    async def settle(self, session: Session, now: float) -> list[Handoff]:
        """Hand off all files of a session whose node has become silent; see ``sql.handoffs.settle``."""
        step = outbox.settle, (session, now)
        handoffs = cast("list[Handoff]", await self.recorder.record(session.sessid, lambda: step))
        self._seal(session.epoch, handoffs)
        return handoffs

    def _seal(self, epoch: int, handoffs: list[Handoff]) -> None:
        """Note in memory that the files of hand-offs are sealed."""
        for handoff in handoffs:
            known = self._known.of_sessid(handoff.sessid)
            if known is not None and handoff.event == SETTLED:
                known.forget_files()  # only the database knows which ones were sealed
            elif known is not None:
                known.seal(epoch, [name for name, _ in handoff.files])

    async def described(self, handoff: Handoff, folder: str) -> Description:
        """Return the description of a hand-off whose files are in ``folder``.

        A description of many files, and its JSON, is made in a worker.
        """
        if handoff.count == len(handoff.files):
            return describe(handoff, folder)
        return await self.recorder.survey_and_then(
            lambda files: _described(evolve(handoff, files=tuple(files)), folder), outbox.files_of, handoff
        )

    async def checked(self, handoff: Handoff) -> str:
        """Return what was found in the documents of a hand-off, as JSON; empty if nothing was yet."""
        return handoff.checked or await self.recorder.read(outcomes.checked, handoff.id)

    async def note_checked(self, handoff: Handoff, found: str) -> None:
        """Record what was found in the documents of a hand-off."""
        await self.recorder.record(handoff.sessid, lambda: (outcomes.note_checked, (handoff.id, found)))

    async def note_outcome(
        self, handoff: Handoff, now: float, documents: tuple[str, ...] = (), begun: float | None = None
    ) -> list[Handoff]:
        """Record the outcome of an attempt to deliver a hand-off; see ``sql.outcomes.note_outcome``."""
        step = outcomes.note_outcome, (handoff, now, documents, begun)
        return cast("list[Handoff]", await self.recorder.record(handoff.sessid, lambda: step))

    async def note_reported(self, handoff: Handoff) -> None:
        """Record that a failure was reported to the node."""
        await self.recorder.record(handoff.sessid, lambda: (outcomes.note_reported, (handoff,)))

    async def retry(self, handoff: str, now: float) -> Handoff | None:
        """Retry a failed hand-off, by its id; see ``sql.handoffs.retry``."""
        return cast("Handoff | None", await self.recorder.record("", lambda: (outcomes.retry, (handoff, now))))

    async def redeliver(self, handoff: str, now: float) -> Handoff | None:
        """Deliver a hand-off again, by its id; see ``sql.outcomes.redeliver``."""
        return cast("Handoff | None", await self.recorder.record("", lambda: (outcomes.redeliver, (handoff, now))))

    async def drop(self, handoff: str) -> bool:
        """Drop a failed hand-off, by its id; return whether there was one."""
        return cast("bool", await self.recorder.record("", lambda: (outcomes.drop, (handoff,))))

    async def waiting(self) -> list[Handoff]:
        """Return all hand-offs that are still to be delivered, in order."""
        return await self.recorder.survey(outbox.waiting)

    async def waiting_before(self, handoff: Handoff) -> list[Handoff]:
        """Return the hand-offs of a user and type that are to be delivered before this one."""
        return await self.recorder.read(outbox.waiting_before, handoff)
