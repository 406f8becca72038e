"""What the records say of the objects of a session: questions of one statement each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onec_twisted.model.records import Segment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg import Cursor

__all__ = ["QUESTIONS", "all_segments_of", "epochs_of", "files_of", "on_record", "segments_of"]


def segments_of(cursor: Cursor[Any], sessid: str, name: str) -> list[Segment]:
    """Return the segments of a file in its session's present epoch, in order."""
    rows = cursor.execute(
        "SELECT start, length, object, segments.digest FROM segments JOIN sessions"
        " ON sessions.sessid = segments.sessid AND sessions.epoch = segments.epoch"
        " WHERE segments.sessid = %s AND name = %s ORDER BY start",
        (sessid, name),
    ).fetchall()
    return [Segment(start, length, key, bytes(digest)) for start, length, key, digest in rows]


def all_segments_of(cursor: Cursor[Any], sessid: str) -> dict[str, list[Segment]]:
    """Return the segments of all files of a session in its present epoch, by name, in order."""
    rows = cursor.execute(
        "SELECT name, start, length, object, segments.digest FROM segments JOIN sessions"
        " ON sessions.sessid = segments.sessid AND sessions.epoch = segments.epoch"
        " WHERE segments.sessid = %s ORDER BY name, start",
        (sessid,),
    )
    found: dict[str, list[Segment]] = {}
    for name, start, length, key, digest in rows:
        found.setdefault(name, []).append(Segment(start, length, key, bytes(digest)))
    return found


def files_of(cursor: Cursor[Any], sessid: str) -> dict[str, int]:
    """Return the committed length of each file of a session, in bytes, by name."""
    return dict(cursor.execute("SELECT name, committed FROM files WHERE sessid = %s", (sessid,)).fetchall())


def on_record(cursor: Cursor[Any], sessids: Sequence[str]) -> list[str]:
    """Return those sessions that are on record, or of which something is kept."""
    rows = cursor.execute(
        "SELECT sessid FROM sessions WHERE sessid = ANY(%(asked)s)"
        " UNION SELECT sessid FROM kept WHERE sessid = ANY(%(asked)s)",
        {"asked": list(sessids)},
    )
    return [sessid for (sessid,) in rows]


def epochs_of(cursor: Cursor[Any], sessid: str) -> frozenset[int] | None:
    """Return the epochs of a session whose objects must stay: its present one, and those in folders that are kept.

    None when neither is on record. A folder is that of several epochs: it begins with the one in its name.
    """
    session = cursor.execute("SELECT epoch, folder FROM sessions WHERE sessid = %s", (sessid,)).fetchone()
    kept = [_begun(row[0]) for row in cursor.execute("SELECT folder FROM kept WHERE sessid = %s", (sessid,))]
    if session is None and not kept:
        return None
    stays = set() if session is None else {session[0]}
    begins = sorted({*kept, *(() if session is None else (_begun(session[1]),))})
    for begun, following in zip(begins, [*begins[1:], begins[-1] + 1], strict=True):
        if begun in kept:
            stays.update(range(begun, following))
    return frozenset(stays)


def _begun(folder: str) -> int:
    """Return the first epoch of a folder, which is in its name, except for the first folder of a session."""
    return int(folder.partition(".")[2] or 1)


QUESTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    question: question for question in (segments_of, all_segments_of, files_of, epochs_of, on_record)
}
"""All of these, for ``statements``."""
