"""What lies in a session's folder; ``test_store`` and ``test_field_files`` have the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onec_twisted.storage.folders import modified, read_manifest, write_manifest

if TYPE_CHECKING:
    from pathlib import Path


def test_a_manifest(tmp_path: Path) -> None:
    """It is read as it was written; the folder is made when it is not there, and nothing is left beside."""
    folder = tmp_path / "session"
    assert read_manifest(str(folder)) == b""
    write_manifest(str(folder), b"{}")
    write_manifest(str(folder), b"[]")

    assert read_manifest(str(folder)) == b"[]"
    assert [path.name for path in folder.iterdir()] == ["manifest.json"]
    assert modified(str(folder), "manifest.json") == (folder / "manifest.json").stat().st_mtime
