"""Files and folders become what 1C sends, in its order."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest
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


def test_nothing_to_send(tmp_path: Path) -> None:
    """Is told before the site is asked for more."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="has no files"), exported([tmp_path / "empty"], zipped=False):
        pass
    with pytest.raises(FileNotFoundError), exported([tmp_path / "none"], zipped=False):
        pass
