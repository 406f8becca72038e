"""The contents of an export: the files to send, their names and order, and the documents to import afterwards.

It follows 1C (docs/protocol.md, N6 and N7): with ``zip=yes`` a folder becomes one archive, with ``zip=no`` the
documents at its top go first. The functions block.
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
"""Bytes packed at a time."""

ZIP64 = 2**31 - 1
"""File size in bytes from which an archive needs the ZIP64 format."""

PACKED = frozenset({".jpg", ".jpeg", ".png", ".gif", ".webp", ".mp4", ".zip", ".gz", ".pdf"})
"""Suffixes of files that compression does not make smaller."""


@frozen
class Export:
    """Names and paths of the files to send, in order, and the names of documents to import afterwards."""

    files: tuple[tuple[str, Path], ...]
    documents: tuple[str, ...]


def _is_document(name: str) -> bool:
    return name.lower().endswith(".xml")


def _text(name: str) -> str:
    """Return a name decoded from its bytes on disk as UTF-8, regardless of the locale."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")


def _below(folder: Path) -> list[tuple[str, Path]]:
    """Return names and paths of all files in a folder, with the documents at its top first.

    Raises ``OSError`` if something cannot be read, ``ValueError`` for anything but files and folders.
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
    """Return the path if it is a file. Raises ``ValueError`` for anything else, ``OSError`` if it does not exist."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(f"{path} is neither a file nor a folder of the export; leave it out")
    return path


def _documents_in(path: Path) -> list[str]:
    """Return the documents at the top of an archive, by their likeliest names; none if it is not an archive."""
    with path.open("rb") as file:
        try:
            found = [entry.names[0] for entry in entries(file.fileno(), path.stat().st_size) if entry.names]
        except ArchiveDamaged:
            return []
    return sorted({name for name in found if _is_document(name) and "/" not in name})


@contextmanager
def exported(paths: list[Path], *, zipped: bool, stopped: Callable[[], bool] = lambda: False) -> Iterator[Export]:
    """Yield the export for files and folders; archives created for it are removed at the end.

    ``stopped`` is polled while an archive is created. Raises ``OSError`` if something cannot be read or the export is
    stopped, ``ValueError`` if a folder is empty, or a name cannot be sent or would be sent twice.
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
    """Raise ``ValueError`` for an invalid or duplicate name: a site appends files of the same name."""
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
    """Pack files as 1C does: into one archive, named like a temporary file of the platform."""
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
