"""Files and folders become what 1C sends, in its order."""

from __future__ import annotations

import os
import zipfile
from typing import TYPE_CHECKING

import pytest
from odd_archives import IMPORT, ODD_PICTURES, Odd, archive_of
from trade import packed

from onec_twisted.node.export import exported

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An export directory."""
    folder = tmp_path / "webdata"
    (folder / "import_files" / "ab").mkdir(parents=True)
    for name in ("offers0_1.xml", "import0_1.xml", "readme.txt", "import_files/ab/x.jpg", "import_files/y.xml"):
        (folder / name).write_text(name)
    return folder


def test_a_folder_goes_file_by_file(folder: Path) -> None:
    """Documents first, then what lies beside them, then below."""
    with exported([folder], zipped=False) as export:
        assert [name for name, _ in export.files] == [
            "import0_1.xml",
            "offers0_1.xml",
            "readme.txt",
            "import_files/ab/x.jpg",
            "import_files/y.xml",
        ]
        assert export.documents == ("import0_1.xml", "offers0_1.xml")
        assert all(path.read_text() == name for name, path in export.files)


def test_a_folder_goes_as_one_archive(folder: Path) -> None:
    """Which is gone at the end; the names imported lie inside."""
    with exported([folder], zipped=True) as export:
        ((name, path),) = export.files
        assert name.startswith("v8_")
        assert name.endswith(".zip")
        with zipfile.ZipFile(path) as archive:
            assert sorted(archive.namelist()) == sorted(
                one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file()
            )
            assert archive.testzip() is None
        assert export.documents == ("import0_1.xml", "offers0_1.xml")

    assert not path.exists()


def test_single_files(folder: Path, tmp_path: Path) -> None:
    """By their names; of an archive the documents at its top are imported."""
    archive = tmp_path / "v8_1.zip"
    archive.write_bytes(packed({"prices0_1.xml": b"x", "import0_2.xml": b"x", "import_files/z.xml": b"x"}))
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK")
    paths = [folder / "offers0_1.xml", archive, broken, folder / "readme.txt"]
    with exported(paths, zipped=True) as export:
        assert [name for name, _ in export.files] == ["offers0_1.xml", "v8_1.zip", "broken.zip", "readme.txt"]
        assert export.documents == ("import0_2.xml", "offers0_1.xml", "prices0_1.xml")


def test_names_that_come_twice(folder: Path, tmp_path: Path) -> None:
    """Would become one file, or one import of two: nothing is sent."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "import0_1.xml").write_text("x")
    archives = [tmp_path / "1.zip", tmp_path / "2.zip"]
    for archive in archives:
        archive.write_bytes(packed({"import0_1.xml": b"x"}))
    for paths, zipped in (
        ([folder / "import0_1.xml", other / "import0_1.xml"], True),
        ([folder, other], False),
        ([folder, other], True),
        (archives, True),
    ):
        with pytest.raises(ValueError, match="would be sent twice"), exported(paths, zipped=zipped):
            pass


@pytest.mark.parametrize("zipped", [True, False])
def test_what_cannot_be_sent_is_not_left_out(folder: Path, zipped: bool) -> None:
    """A pipe, a link that leads nowhere, a link to a folder: each by its name."""
    odd = folder / "import_files" / "odd"
    os.mkfifo(odd)
    for make in (None, folder / "nowhere", folder / "import_files"):
        if make is not None:
            odd.unlink()
            odd.symlink_to(make)
        with pytest.raises((ValueError, OSError), match="odd"), exported([folder], zipped=zipped):
            pass
    odd.unlink()
    os.mkfifo(odd)
    with pytest.raises(ValueError, match="odd"), exported([odd], zipped=zipped):
        pass


def test_names_that_are_not_utf_8(folder: Path) -> None:
    """Are told before anything is sent."""
    (folder / os.fsdecode("Товары.jpg".encode("cp1251"))).write_text("x")
    with pytest.raises(ValueError, match="the name is not UTF-8"), exported([folder], zipped=True):
        pass


def test_files_older_than_archives(folder: Path) -> None:
    """Whose times an archive cannot hold are packed all the same."""
    os.utime(folder / "import0_1.xml", (0, 0))
    with exported([folder], zipped=True) as export, zipfile.ZipFile(export.files[0][1]) as archive:
        assert archive.read("import0_1.xml") == b"import0_1.xml"


def test_packing_can_be_stopped(folder: Path) -> None:
    """In the middle of it; nothing is left."""
    asked = []

    def stopped() -> bool:
        asked.append(True)
        return len(asked) > 2

    with pytest.raises(OSError, match="stopped"), exported([folder], zipped=True, stopped=stopped):
        pass


def test_nothing_to_send(tmp_path: Path) -> None:
    """Is told before the site is asked for more."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="has no files"), exported([tmp_path / "empty"], zipped=False):
        pass
    with pytest.raises(FileNotFoundError), exported([tmp_path / "none"], zipped=False):
        pass


@pytest.mark.parametrize("odd", ODD_PICTURES.values(), ids=ODD_PICTURES)
def test_documents_beside_an_odd_picture_are_imported(tmp_path: Path, odd: Odd) -> None:
    """What the site can read is asked for; the name of a document is the likeliest of its spellings."""
    archive = tmp_path / "v8_1.zip"
    archive.write_bytes(archive_of(odd, IMPORT, Odd("цены.xml".encode("cp866"), b"<?xml?>")))
    with exported([archive], zipped=True) as export:
        assert export.documents == ("import0_1.xml", "цены.xml")
