"""The importer ``keep``: leaves files in place, and writes a manifest of what was handed off beside them.

The site lists ``1c_temp/<sessid>``. ``manifest.json`` is replaced atomically, by renaming, and grows with each
hand-off of its session.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import frozen
from zope.interface import implementer

from onec_twisted.delivery.interfaces import IImporter
from onec_twisted.model.description import JSON_VERSION, iso_time
from onec_twisted.model.errors import ImportInterrupted
from onec_twisted.storage.folders import modified, read_manifest, write_manifest

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.model.description import Description
    from onec_twisted.runtime.workers import Workers

__all__ = ["Keep"]


def _grown(before: bytes, description: Description, times: dict[str, str]) -> bytes:
    """Return the manifest with one more hand-off; adding the same one again changes nothing."""
    try:
        handoffs, files = _parsed(before)
    except (ValueError, KeyError, TypeError):
        handoffs, files = [], {}
    handoffs = [one for one in handoffs if one["id"] != description.id]
    shown = ("id", "event", "type", "time", "filename", "archive", "unpacked", "timestamp", "metadata")
    folder = _below(description)
    handoffs.append({key: getattr(description, key) for key in shown} | {"folder": folder or "."})
    for file in description.files:
        name = f"{folder}/{file.name}" if folder else file.name
        files[name] = {"name": name, "size": file.size, "time": times[file.name], "type": description.type}
    about: dict[str, Any] = {
        "version": JSON_VERSION,
        "sessid": description.sessid,
        "shop": description.shop,
        "user": description.user,
        "type": description.type,
    }
    lines = [f" {_json(key)}: {_json(value)}" for key, value in about.items()]
    for key, entries in (("handoffs", handoffs), ("files", [files[name] for name in sorted(files)])):
        inner = ",\n".join(f"  {_json(entry)}" for entry in entries)
        lines.append(f" {_json(key)}: [\n{inner}\n ]" if entries else f" {_json(key)}: []")
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode("utf-8")


def _below(description: Description) -> str:
    """Return the folder of the files relative to the session's, empty if it is that."""
    session_folder = description.session_folder or description.folder
    return description.folder[len(session_folder) :].lstrip("/")


def _parsed(manifest: bytes) -> tuple[list[Any], dict[str, Any]]:
    """Return the hand-offs, and the files by name. Raises ``ValueError``, ``KeyError`` or ``TypeError``.

    A manifest that ends as ours do is parsed line by line: parsing it in one call would block the interpreter.
    """
    if not manifest.endswith(b"\n}\n"):
        known = json.loads(manifest)
        return known["handoffs"], {file["name"]: file for file in known["files"]}
    entries = [json.loads(line.rstrip(b",")) for line in manifest.split(b"\n") if line.startswith(b"  ")]
    handoffs = [entry for entry in entries if "id" in entry]
    return handoffs, {entry["name"]: entry for entry in entries if "id" not in entry}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _write(description: Description) -> None:
    """Update a session's manifest; runs in a worker."""
    times = {file.name: iso_time(modified(description.folder, file.name)) for file in description.files}
    folder = description.session_folder or description.folder
    write_manifest(folder, _grown(read_manifest(folder), description, times))


def _named(error: OSError) -> str:
    """Return the name of the file that the error is about, without its path."""
    path = error.filename2 or error.filename
    return f" ({str(path).rpartition('/')[2]})" if path else ""


@implementer(IImporter)
@frozen(eq=False)
class Keep:
    """Writes manifests, in ``workers``."""

    workers: Workers
    called = "the manifest, for the site to read: nothing imports it"
    """What the log says of where a hand-off went."""

    async def deliver(self, description: Description, progress: Callable[[str], None]) -> None:
        """Write the manifest; errors are retried, because a full disk may have room later."""
        try:
            await self.workers(_write, description)
        except OSError as error:
            raise ImportInterrupted(f"The manifest cannot be written: {error.strerror}{_named(error)}") from error
