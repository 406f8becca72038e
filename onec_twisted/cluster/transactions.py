"""What a step of ``catalog.sql`` needs in PostgreSQL besides, before and after it, in its transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onec_twisted.catalog.sql import handoffs, outcomes, resumable
from onec_twisted.catalog.sql import sessions as local
from onec_twisted.model.errors import SessionRestarted, UploadTakenOver, WrongOffset

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.cluster.cursor import SharedCursor
    from onec_twisted.model.records import Session, Written
    from onec_twisted.model.uploads import UploadRecord

__all__ = ["AFTERWARDS", "BEFORE", "SESSION_OF"]

ORDER_LOCK = 0x1C
"""The first key of the locks by which a user's hand-offs are numbered in the order in which they are committed."""


def _keep_order(cursor: SharedCursor, session: Session, *_: Any) -> None:
    """Let no younger hand-off of a user be committed before this transaction: it would be delivered first."""
    cursor.execute("SELECT pg_advisory_xact_lock(?, hashtext(?))", (ORDER_LOCK, session.username))


def _lock_user(cursor: SharedCursor, username: str) -> None:
    """Let nobody else open sessions of a user meanwhile: their number is limited."""
    cursor.execute("SELECT pg_advisory_xact_lock(hashtext(?))", (username,))


def _check_upload(
    cursor: SharedCursor, session: Session, upload: UploadRecord, before: int | None, *rest: Any
) -> None:
    """Raise ``UploadTakenOver`` if a newer request counts, ``WrongOffset`` if a node has continued the file."""
    claim = rest[4] if len(rest) > 4 else 0
    if rest[3] is not None:  # the upload is complete, and handed off
        _keep_order(cursor, session)
    cursor.execute("SELECT claim FROM uploads WHERE id = ? FOR UPDATE", (upload.id,))
    row = cursor.fetchone()
    if claim and row is not None and row[0] != claim:
        raise UploadTakenOver
    known = local.file(cursor, session.sessid, upload.name)  # type: ignore[arg-type]
    there = known.committed if known is not None else None
    if there != before and not (known is not None and known.sealed):
        raise WrongOffset(there or 0)


def _check_epoch(cursor: SharedCursor, sessid: str, _now: float, _room: int = 0, expected: int = 0) -> None:
    """Raise ``SessionRestarted`` if a node has begun again elsewhere: what it has sent since must stay."""
    if expected:
        cursor.execute("SELECT epoch FROM sessions WHERE sessid = ?", (sessid,))
        if cursor.fetchone() not in ((expected,), None):
            raise SessionRestarted


BEFORE: dict[Callable[..., Any], Callable[..., None]] = {
    local.open_session: lambda cursor, _sessid, _token, username, *_: _lock_user(cursor, username),
    resumable.grow: _check_upload,
    local.start_epoch: _check_epoch,
    handoffs.import_requested: _keep_order,
    handoffs.event_came: _keep_order,
    handoffs.settle: _keep_order,
    resumable.create_with_session: lambda cursor, upload, *_: _lock_user(cursor, upload.username),
}
"""What is done before a step, in its transaction."""


def _add_segments(
    cursor: SharedCursor, _done: Any, session: Session, upload: Any, _before: Any, written: Written, *_: Any
) -> None:
    """Record the segments of an upload."""
    cursor.executemany(
        "INSERT INTO segments (sessid, name, epoch, start, length, object, digest) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (session.sessid, upload.name, session.epoch, one.start, one.length, one.object, one.digest)
            for one in written.segments
        ],
    )


def _forget_segments(cursor: SharedCursor, done: Any, sessid: str, *_: Any) -> None:
    """Forget the segments of a session, all but those of its present epoch, if ``done`` is not false."""
    if done is not False:
        cursor.execute(
            "DELETE FROM segments WHERE sessid = ? AND epoch <> COALESCE("
            "(SELECT epoch FROM sessions WHERE sessid = ?), 0)",
            (sessid, sessid),
        )


def _begin_epoch(cursor: SharedCursor, done: Any, sessid: str, *args: Any) -> None:
    """Forget the segments of the epochs before, and that something of them may be missing."""
    _forget_segments(cursor, done, sessid, *args)
    cursor.execute("UPDATE sessions SET doubtful = 0 WHERE sessid = ? AND doubtful <> 0", (sessid,))


def _forget_file(cursor: SharedCursor, removed: bool, upload: Any, *_: Any) -> None:
    """Forget the segments of a file that was removed."""
    if removed:
        cursor.execute("DELETE FROM segments WHERE sessid = ? AND name = ?", (upload.sessid, upload.name))


AFTERWARDS: dict[Callable[..., Any], Callable[..., None]] = {
    resumable.grow: _add_segments,
    resumable.remove: _forget_file,
    local.start_epoch: _begin_epoch,
    local.end_session: _forget_segments,
    local.remove_session: _forget_segments,
}
"""What is done after a step, in its transaction, with what it has returned."""


def _of_handoff(cursor: SharedCursor, handoff: str) -> str:
    """Return the sessid of a hand-off, by its id."""
    cursor.execute("SELECT sessid FROM handoffs WHERE id = ?", (handoff,))
    row = cursor.fetchone()
    return str(row[0]) if row else ""


SESSION_OF: dict[Callable[..., Any], Callable[[SharedCursor, str], str]] = {
    outcomes.retry: _of_handoff,
    outcomes.redeliver: _of_handoff,
    outcomes.drop: _of_handoff,
    outcomes.note_checked: _of_handoff,
}
"""How the session of a step is found whose first argument does not tell it."""
