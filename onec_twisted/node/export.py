"""What an export consists of: which files are sent under which names, in which order, and what is imported then.

As 1C does it (protocol.md, A.5 and A.6): with ``zip=yes`` a folder becomes one archive, with ``zip=no`` the documents
at its top go first. Blocking functions.
"""

from __future__ import annotations

import secrets
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Export", "exported"]


PACKED = frozenset({".jpg", ".jpeg", ".png", ".gif", ".webp", ".mp4", ".zip", ".gz", ".pdf"})
"""Files that do not become smaller by packing."""


@frozen
class Export:
    """Names and paths of what is sent, in that order, and the names of documents to import then."""

    files: tuple[tuple[str, Path], ...]
    documents: tuple[str, ...]


def _is_document(name: str) -> bool:
    return name.lower().endswith(".xml")


def _below(folder: Path) -> list[tuple[str, Path]]:
    """Return names and paths of all files of a folder: documents at its top first. Raises ``OSError``."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    named = [(path.relative_to(folder).as_posix(), path) for path in paths]
    return sorted(named, key=lambda one: ("/" in one[0] or not _is_document(one[0]), "/" in one[0]))


def _documents_in(path: Path) -> list[str]:
    """Return the documents at the top of an archive; none when it is no archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sorted(name for name in archive.namelist() if _is_document(name) and "/" not in name)
    except zipfile.BadZipFile:
        return []


@contextmanager
def exported(paths: list[Path], *, zipped: bool) -> Iterator[Export]:
    """Yield what is to be sent of files and folders; archives that are made for it are removed at the end.

    Raises ``OSError`` when something cannot be read, ``ValueError`` when there is nothing in a folder.
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
                files += [_packed(named, Path(made))] if zipped else named
            else:
                with path.open("rb"):
                    files.append((path.name, path))
                documents += [path.name] if _is_document(path.name) else []
                documents += _documents_in(path) if path.suffix.lower() == ".zip" else []
        yield Export(tuple(files), tuple(sorted(dict.fromkeys(documents), key=lambda name: "import" not in name)))


def _packed(named: list[tuple[str, Path]], folder: Path) -> tuple[str, Path]:
    """Pack files as 1C does: into one archive, whose name is that of a temporary file of the platform."""
    name = f"v8_{secrets.token_hex(2).upper()}_{secrets.token_hex(1)}.zip"
    with zipfile.ZipFile(folder / name, "w", compresslevel=3) as archive:
        for inside, path in named:
            archive.write(path, inside, zipfile.ZIP_STORED if path.suffix.lower() in PACKED else zipfile.ZIP_DEFLATED)
    return name, folder / name
