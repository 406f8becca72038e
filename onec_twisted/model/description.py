"""What an importer receives about a hand-off: a frozen description, and its JSON. No Twisted.

Third-party programs and sites read the JSON: ``docs/importers.md`` and ``docs/description.schema.json`` are the
contract with them. The same id always comes with the same bytes.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from onec_twisted.model.records import SETTLED
from onec_twisted.model.segments import from_disk
from onec_twisted.model.shops import DEFAULT_SHOP, shop_of, user_of

if TYPE_CHECKING:
    from onec_twisted.model.document import Document
    from onec_twisted.model.records import Handoff

__all__ = ["JSON_VERSION", "Description", "UploadedFile", "describe", "documents_of", "iso_time"]

JSON_VERSION = 1
"""The version of the JSON: it changes when readers have to change."""

JSON_STEP = 1000
"""Files that are encoded as JSON in one step: the interpreter does nothing else meanwhile."""


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
    was handed off, in UTC. ``filename`` is the name asked for, or uploaded, ``archive`` the uploaded archive that it
    lies in, and ``unpacked`` the one that it was unpacked from; ``timestamp`` is what came with ``deactivate``,
    ``metadata`` what a tus client said of its file; they are None where there is none. ``folder`` is the absolute
    path of the folder with the files, as Python opens it: the session's, or one in that, ``session_folder``, with
    what was unpacked. Names are UTF-8 on the disk, whatever the locale.
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
    unpacked: str | None = None
    session_folder: str = ""
    shop: str | None = None
    """The user's shop; None for the default one."""
    documents: tuple[Document, ...] | None = None
    """What is in the documents among the files; None if they were not checked."""
    attempt: int = 0
    """The number of the claim to the hand-off, among several daemons: a higher one has replaced a lower one.

    It is 0 if there is only one daemon. It is not in the JSON, which is the same each time.
    """
    _json: list[bytes] = field(factory=list, init=False, eq=False, repr=False)
    """The JSON, once it was made."""

    def _about(self) -> dict[str, Any]:
        """Return the fields that come before the files."""
        return {
            "version": JSON_VERSION,
            "id": self.id,
            "event": self.event,
            "type": self.type,
            "shop": self.shop,
            "user": self.user,
            "sessid": self.sessid,
            "time": self.time,
            "filename": self.filename,
            "archive": self.archive,
            "unpacked": self.unpacked,
            "timestamp": self.timestamp,
            "folder": from_disk(self.folder),
        }

    def _documents(self) -> list[dict[str, Any]] | None:
        return None if self.documents is None else [one.as_dict() for one in self.documents]

    def as_dict(self) -> dict[str, Any]:
        """Return it as a dictionary for JSON, with the version first."""
        files = [{"name": file.name, "size": file.size} for file in self.files]
        return {**self._about(), "files": files, "metadata": self.metadata, "documents": self._documents()}

    def as_json(self) -> bytes:
        """Return it as one line of JSON in UTF-8, made once: many files in steps, so that others can run."""
        if not self._json:
            steps = []
            for start in range(0, len(self.files), JSON_STEP):
                files = [{"name": file.name, "size": file.size} for file in self.files[start : start + JSON_STEP]]
                steps.append(_json(files)[1:-1])
            about = _json(self._about())[:-1]
            rest = _json({"metadata": self.metadata, "documents": self._documents()})[1:]
            text = f'{about}, "files": [{", ".join(steps)}], {rest}'
            self._json.append(text.encode("utf-8", "surrogateescape"))
        return self._json[0]


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def iso_time(seconds: float) -> str:
    """Return a moment, in seconds since 1970, in the format of RFC 3339, in UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def describe(handoff: Handoff, folder: str) -> Description:
    """Return the description of a hand-off whose files are in ``folder``."""
    shop = shop_of(handoff.username)
    return Description(
        id=handoff.id,
        event=handoff.event,
        type=handoff.type,
        user=user_of(handoff.username),
        shop=shop if shop != DEFAULT_SHOP else None,
        sessid=handoff.sessid,
        time=iso_time(handoff.created),
        filename=handoff.filename or None,
        archive=handoff.archive or None,
        timestamp=handoff.timestamp or None,
        folder=folder,
        files=tuple(UploadedFile(name, size) for name, size in handoff.files),
        metadata=json.loads(handoff.metadata) if handoff.metadata else None,
    )


def documents_of(description: Description) -> tuple[str, ...]:
    """Return the names of the documents that a hand-off brings to the site: none for an upload by tus.

    A newer document replaces an older one of its name; a tus upload is something of its own, whatever its name.
    """
    if description.event == "import":
        return (description.filename or "",)
    if description.event != SETTLED:
        return ()
    return tuple(file.name for file in description.files if file.name.lower().endswith((".xml", ".zip")))
