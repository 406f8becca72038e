"""What an importer is told: a frozen description, and its JSON. No Twisted.

Programs and sites of others read the JSON: ``docs/importers.md`` and ``docs/description.schema.json`` are their
contract. The same id always comes with the same bytes.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from attrs import asdict, frozen

if TYPE_CHECKING:
    from onec_twisted.records import Handoff

__all__ = ["VERSION", "Description", "UploadedFile", "describe", "iso_time"]

VERSION = 1
"""The version of the JSON: it changes when a reader has to."""


@frozen
class UploadedFile:
    """A file that is handed off: its name relative to the folder, and its size in bytes."""

    name: str
    size: int


@frozen
class Description:
    """What is handed off.

    ``event`` is ``import`` (the node asks for one name), ``upload`` (a tus upload is complete), ``settled`` (files
    that no node asked for), ``complete`` or ``deactivate``; ``type`` is ``catalog`` or ``sale``; ``time`` is when it
    was handed off, in UTC. ``filename`` is the name asked for, or uploaded, and ``archive`` the uploaded archive that
    it lies in; ``timestamp`` is what came with ``deactivate``, ``metadata`` what a tus client told of its file; they
    are None where there is none. ``folder`` is the absolute path of the session's folder.
    """

    id: str
    event: str
    type: str
    user: str
    sessid: str
    time: str
    filename: str | None
    archive: str | None
    timestamp: str | None
    folder: str
    files: tuple[UploadedFile, ...]
    metadata: dict[str, str] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it, with the version first."""
        return {"version": VERSION, **asdict(self)}

    def as_json(self) -> bytes:
        """Return it as one line of JSON in UTF-8."""
        return json.dumps(self.as_dict(), ensure_ascii=False).encode("utf-8")


def iso_time(seconds: float) -> str:
    """Return a moment, in seconds since 1970, as RFC 3339 writes it in UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def describe(handoff: Handoff, folder: str) -> Description:
    """Return the description of a hand-off whose files lie in a folder."""
    return Description(
        id=handoff.id,
        event=handoff.event,
        type=handoff.type,
        user=handoff.username,
        sessid=handoff.sessid,
        time=iso_time(handoff.created),
        filename=handoff.filename or None,
        archive=handoff.archive or None,
        timestamp=handoff.timestamp or None,
        folder=folder,
        files=tuple(UploadedFile(name, size) for name, size in handoff.files),
        metadata=json.loads(handoff.metadata) if handoff.metadata else None,
    )
