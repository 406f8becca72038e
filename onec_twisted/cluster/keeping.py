"""The importer ``keep`` among several daemons: it leaves files in the store, and writes a manifest beside them.

The manifest is made from the records, and never read: a daemon that was overtaken writes it again as they are.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import frozen
from zope.interface import implementer

from onec_twisted.catalog.sql.handoffs import files_of, where
from onec_twisted.delivery.interfaces import IImporter, ImportInterrupted
from onec_twisted.model.description import JSON_VERSION, iso_time
from onec_twisted.model.records import SUCCEEDED
from onec_twisted.model.shops import DEFAULT_SHOP, shop_of, user_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from sqlite3 import Cursor

    from onec_twisted.cluster.objects import ObjectStore
    from onec_twisted.cluster.postgresql import PostgreSQL
    from onec_twisted.model.description import Description
    from onec_twisted.model.records import Handoff
    from onec_twisted.runtime.workers import Workers

__all__ = ["KeepObjects", "handed_off", "manifest_of"]


def handed_off(cursor: Cursor, sessid: str, this: str) -> list[tuple[Handoff, list[tuple[str, int]]]]:
    """Return the hand-offs of a session that have succeeded, and one more by its id, with their files, in order."""
    found = where(cursor, "sessid = ? AND (state = ? OR id = ?)", sessid, SUCCEEDED, this)
    return [(handoff, files_of(cursor, handoff)) for handoff in found]


def manifest_of(handoffs: list[tuple[Handoff, list[tuple[str, int]]]]) -> bytes:
    """Return the manifest of a session, as JSON in UTF-8; there is at least one hand-off."""
    first, _ = handoffs[0]
    files: dict[str, dict[str, Any]] = {}
    for handoff, of_handoff in handoffs:
        for name, size in of_handoff:
            files[name] = {"name": name, "size": size, "time": iso_time(handoff.created), "type": handoff.type}
    shop = shop_of(first.username)
    content = {
        "version": JSON_VERSION,
        "sessid": first.sessid,
        "shop": None if shop == DEFAULT_SHOP else shop,
        "user": user_of(first.username),
        "type": handoffs[-1][0].type,
        "handoffs": [
            {
                "id": handoff.id,
                "event": handoff.event,
                "type": handoff.type,
                "time": iso_time(handoff.created),
                "filename": handoff.filename or None,
                "archive": handoff.archive or None,
                "timestamp": handoff.timestamp or None,
            }
            for handoff, _ in handoffs
        ],
        "files": [files[name] for name in sorted(files)],
    }
    return json.dumps(content, ensure_ascii=False, indent=1).encode("utf-8")


@implementer(IImporter)
@frozen(eq=False)
class KeepObjects:
    """Writes manifests into the store, in ``workers``."""

    database: PostgreSQL
    store: ObjectStore
    workers: Workers
    called = "the manifest, for the site to read: nothing imports it"
    """What the log says of where a hand-off went."""

    takes_urls = True
    """Its files are to be whole objects; it needs none of them on a disk."""

    async def deliver(self, description: Description, progress: Callable[[str], None]) -> None:
        """Write the manifest; errors are retried, because the store may be back later."""
        try:
            await self.workers(self._write, description.sessid, description.id)
        except OSError as error:
            raise ImportInterrupted(f"The manifest cannot be written: {error.strerror}") from error

    def _write(self, sessid: str, handoff: str) -> None:
        """Write the manifest until the records say nothing else."""
        s3, written = self.store.s3, b""
        while True:
            content = manifest_of(self.database.survey(handed_off, sessid, handoff))
            if content == written:
                return
            s3.put(f"{self.store.folder(sessid)}/manifest.json", content)
            written = content
