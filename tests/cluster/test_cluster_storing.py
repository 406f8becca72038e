"""What was unpacked, in the store: once, and with names as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from onec_twisted.cluster import storing
from onec_twisted.cluster.storing import StoredFolders

if TYPE_CHECKING:
    from pathlib import Path

    from fake_s3 import FakeS3

    from onec_twisted.cluster.s3 import S3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with small and large files, and something that is none."""
    folder = tmp_path / "files"
    (folder / "import_files" / "ab").mkdir(parents=True)
    (folder / "import.xml").write_bytes(b"<a/>")
    (folder / "import_files" / "ab" / "болт.jpg").write_bytes(b"jpg" * 1000)
    (folder / "link").symlink_to("/etc/passwd")
    return folder


def test_all_files_are_stored_once(folder: Path, fake: FakeS3, s3: S3) -> None:
    """With their sizes; the second hand-off of the same archives asks the store for nothing."""
    folders = StoredFolders(s3)
    found = folders.put(str(folder), "", "files/s/1/unpacked/k")
    assert found == {
        "import.xml": ("files/s/1/unpacked/k/import.xml", 4),
        "import_files/ab/болт.jpg": ("files/s/1/unpacked/k/import_files/ab/болт.jpg", 3000),
    }
    for name, (key, size) in found.items():
        assert s3.read(key, 0, size)[0] == (folder / name).read_bytes()
    before = fake.count("PUT")
    assert folders.put(str(folder), "", "files/s/1/unpacked/k") == found
    assert fake.count("PUT") == before
    folders.put(str(folder), "", "files/s/2/unpacked/k")
    assert fake.count("PUT") == before + 2


def test_links_to_uploads(folder: Path, fake: FakeS3, s3: S3, tmp_path: Path) -> None:
    """Are left out: uploads are in the store already; what is linked later from another archive is stored as well."""
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    (uploads / "offers.xml").write_bytes(b"<b/>")
    (uploads / "import.xml").write_bytes(b"another one of the name")
    (folder / "offers.xml").hardlink_to(uploads / "offers.xml")
    folders = StoredFolders(s3)
    assert sorted(folders.put(str(folder), str(uploads), "p")) == ["import.xml", "import_files/ab/болт.jpg"]
    assert fake.count("PUT", "p/offers.xml") == 0
    (folder / "late.jpg").write_bytes(b"jpg")
    key, size = folders.put(str(folder), str(uploads), "p")["late.jpg"]
    assert s3.read(key, 0, size)[0] == b"jpg"


def test_a_large_file(folder: Path, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read a little at a time."""
    monkeypatch.setattr(storing, "SMALL_FILE", 1000)
    key, size = StoredFolders(s3).put(str(folder), "", "p")["import_files/ab/болт.jpg"]
    assert s3.read(key, 0, size)[0] == b"jpg" * 1000


def test_a_store_that_fails(folder: Path, fake: FakeS3, s3: S3) -> None:
    """The next try stores everything."""
    folders = StoredFolders(s3)
    fake.fault("PUT", part="import.xml", times=100, status=403)
    with pytest.raises(OSError, match="did not take"):
        folders.put(str(folder), "", "p")
    fake.faults.clear()
    key, size = folders.put(str(folder), "", "p")["import.xml"]
    assert s3.read(key, 0, size)[0] == b"<a/>"


def test_folders_are_forgotten(folder: Path, fake: FakeS3, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no end to sessions."""
    monkeypatch.setattr(storing, "REMEMBERED_FOLDERS", 1)
    folders = StoredFolders(s3)
    for prefix in ("a", "b", "a"):
        folders.put(str(folder), "", prefix)
    assert fake.count("PUT", "a/import.xml") == 2
