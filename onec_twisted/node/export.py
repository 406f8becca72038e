"""What an export consists of: which files are sent under which names, in which order, and what is imported then.

As 1C does it (docs/protocol.md, N6 and N7): with ``zip=yes`` a folder becomes one archive, with ``zip=no`` the
documents at its top go first. Blocking functions.
"""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from onec_twisted.storage.archive import ArchiveDamaged, entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Export", "exported"]

PACK_BLOCK = 1024 * 1024
"""Bytes that are packed at a time."""

ZIP64 = 2**31 - 1
"""Bytes of a file from which on an archive needs its larger form."""

PACKED = frozenset({".jpg", ".jpeg", ".png", ".gif", ".webp", ".mp4", ".zip", ".gz", ".pdf"})
"""Files that do not become smaller by packing."""


@frozen
class Export:
    """Names and paths of what is sent, in that order, and the names of documents to import then."""

    files: tuple[tuple[str, Path], ...]
    documents: tuple[str, ...]


def _is_document(name: str) -> bool:
    return name.lower().endswith(".xml")


def _text(name: str) -> str:
    """Return a name as it stands on the disk in UTF-8, whatever the locale makes of it."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")


def _below(folder: Path) -> list[tuple[str, Path]]:
    """Return names and paths of all files of a folder: documents at its top first.

    Raises ``OSError`` for what cannot be read, ``ValueError`` for what is neither a file nor a folder.
    """

    def fail(error: OSError) -> None:
        raise error

    named = []
    for place, folders, names in os.walk(folder, onerror=fail):
        for name in names + [one for one in folders if Path(place, one).is_symlink()]:
            path = Path(place, name)
            named.append((_text(path.relative_to(folder).as_posix()), _regular(path)))
    return sorted(named, key=lambda one: ("/" in one[0] or not _is_document(one[0]), "/" in one[0], one[0]))


def _regular(path: Path) -> Path:
    """Return the path of a file. Raises ``ValueError`` for anything else, ``OSError`` when it is not there."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(f"{path} is neither a file nor a folder of the export; leave it out")
    return path


def _documents_in(path: Path) -> list[str]:
    """Return the documents at the top of an archive, under their likeliest names; none when it is no archive."""
    with path.open("rb") as file:
        try:
            found = [entry.names[0] for entry in entries(file.fileno(), path.stat().st_size) if entry.names]
        except ArchiveDamaged:
            return []
    return sorted({name for name in found if _is_document(name) and "/" not in name})


@contextmanager
def exported(paths: list[Path], *, zipped: bool, stopped: Callable[[], bool] = lambda: False) -> Iterator[Export]:
    """Yield what is to be sent of files and folders; archives that are made for it are removed at the end.

    ``stopped`` is asked while an archive is made. Raises ``OSError`` when something cannot be read or was stopped,
    ``ValueError`` when there is nothing in a folder, or a name cannot be sent, or would be sent twice.
    """
    files: list[tuple[str, Path]] = []
    documents: list[str] = []
    with tempfile.TemporaryDirectory(prefix="onec-node-") as made:
        for path in paths:
            if path.is_dir():
                named = _below(path)
                if not named:
                    raise ValueError(f"{path} has no files")
                documents += [name for name, _ in named if _is_document(name) and "/" not in name]
                _check([name for name, _ in named])
                files += [_packed(named, Path(made), stopped)] if zipped else named
            else:
                with _regular(path).open("rb"):
                    files.append((_text(path.name), path))
                documents += [_text(path.name)] if _is_document(path.name) else []
                documents += _documents_in(path) if path.suffix.lower() == ".zip" else []
        _check([name for name, _ in files])
        _check(documents)
        yield Export(tuple(files), tuple(sorted(dict.fromkeys(documents), key=lambda name: "import" not in name)))


def _check(names: list[str]) -> None:
    """Raise ``ValueError`` for a name that comes twice, or cannot be sent: a site appends what has the same name."""
    seen: set[str] = set()
    for name in names:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            shown = name.encode("utf-8", "backslashreplace").decode()
            raise ValueError(f"{shown}: the name is not UTF-8; rename the file") from None
        if name in seen:
            raise ValueError(f"{name} would be sent twice, and become one file; send them in two exchanges")
        seen.add(name)


def _packed(named: list[tuple[str, Path]], folder: Path, stopped: Callable[[], bool]) -> tuple[str, Path]:
    """Pack files as 1C does: into one archive, whose name is that of a temporary file of the platform."""
    name = f"v8_{secrets.token_hex(2).upper()}_{secrets.token_hex(1)}.zip"
    with zipfile.ZipFile(folder / name, "w", compresslevel=3, strict_timestamps=False) as archive:
        for inside, path in named:
            entry = zipfile.ZipInfo.from_file(path, inside, strict_timestamps=False)
            entry.compress_type = zipfile.ZIP_STORED if path.suffix.lower() in PACKED else zipfile.ZIP_DEFLATED
            with path.open("rb") as source, archive.open(entry, "w", force_zip64=entry.file_size > ZIP64) as target:
                while block := source.read(PACK_BLOCK):
                    if stopped():
                        raise OSError("stopped while packing")
                    target.write(block)
    return name, folder / name
