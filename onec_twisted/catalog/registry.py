"""Upload records, without blocking; they use the catalog's recorder, and so share its syncs."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, cast

from attrs import evolve, field, frozen

from onec_twisted.catalog.sql import resumable as statements
from onec_twisted.model.errors import UploadNotFound
from onec_twisted.model.journal import UNKNOWN_SENDER, Sender

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.catalog.cache import KnownSessions
    from onec_twisted.catalog.interfaces import Step
    from onec_twisted.catalog.recorder import Recorder
    from onec_twisted.model.records import Handoff, Session, Written
    from onec_twisted.model.uploads import Found, UploadRecord

__all__ = ["Registry"]


@frozen(eq=False)
class Registry:
    """The upload records. ``quota`` is in bytes per session; times are in seconds since 1970.

    A user may have ``most`` sessions; 0 means no limit.
    """

    recorder: Recorder
    quota: int
    most: int
    _known: KnownSessions = field(init=False)

    @_known.default
    def _of_recorder(self) -> KnownSessions:
        return self.recorder.known

    async def find(self, upload_id: str) -> Found:
        """Return the current state of an upload. Raises ``UploadNotFound``."""
        found = await self.recorder.read(statements.find, upload_id)
        if found is None:
            raise UploadNotFound
        return found

    async def create(
        self, upload: UploadRecord, session: Session | None, now: float, sender: Sender = UNKNOWN_SENDER
    ) -> Found:
        """Record an upload, in ``session`` or with a session of its own, to which nobody has the token.

        ``sender`` is who asked for it. Raises what ``sql.resumable.create`` and
        ``sql.resumable.create_with_session`` raise.
        """
        if session is None:
            no_token = secrets.token_hex(32)
            step: Step = statements.create_with_session, (upload, no_token, self.quota, now, self.most, sender)
        else:
            step = statements.create, (upload, session.epoch, self.quota, now)
        found = cast("Found", await self.recorder.record(upload.sessid, lambda: step))
        known = self._known.of_sessid(upload.sessid)
        if known is not None:
            known.touch(now)
        return found

    async def grow(
        self,
        session: Session,
        upload: UploadRecord,
        before: int | None,
        write: Callable[[], Written],
        now: float,
        completes: Callable[[int], dict[str, str] | None],
        claim: int = 0,
    ) -> tuple[int, Handoff | None]:
        """Record the growth of an upload's file from ``before`` bytes (None: it was not there).

        ``write`` is called in a worker, and writes the file to the disk; ``completes`` returns the metadata of the
        hand-off if the file is then complete, at so many bytes. ``claim`` is the number of the request among those of
        several daemons, see ``IDaemons.claim``. Returns the length and the hand-off. Raises
        what ``sql.resumable.grow`` raises; nothing is recorded then.
        """
        after = 0

        def make() -> Step:
            nonlocal after
            written = write()
            after = written.length
            metadata = completes(after)
            grown = upload if metadata is None else evolve(upload, length=after)
            return statements.grow, (session, grown, before, written, self.quota, now, metadata, claim)

        handoff = cast("Handoff | None", await self.recorder.record(upload.sessid, make, at_once=False))
        known = self._known.of_sessid(upload.sessid)
        if known is not None:
            if after == before and handoff is None:
                known.touch(now)
            else:
                known.commit(session.epoch, upload.name, before, after, now, proven=True)
                if before is None:
                    self._known.note_file()
            if handoff is not None:
                known.seal(session.epoch, [upload.name])
        return after, handoff

    async def remove(self, upload: UploadRecord, now: float) -> bool:
        """Record that an upload is gone while its session stays; return whether its file is gone, too.

        See ``sql.resumable.remove``.
        """
        removed = cast("bool", await self.recorder.record(upload.sessid, lambda: (statements.remove, (upload, now))))
        known = self._known.of_sessid(upload.sessid)
        if removed and known is not None:
            if known.knows(upload.name):
                known.remove(known.session.epoch, upload.name)
            else:
                self._known.forget(upload.sessid)  # only the database knows how much it held
        return removed
