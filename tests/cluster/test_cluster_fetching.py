"""Scratch folders with the files of sessions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from onec_twisted.cluster.fetching import Fetched

if TYPE_CHECKING:
    from collections.abc import Iterator

SESSID = "5" * 32
FILES = {"a.xml": 5, "import_files/ab/x.jpg": 3}


@pytest.fixture
def fetched(tmp_path: Path) -> Fetched:
    """Folders whose files come in two blocks."""

    def blocks(sessid: str, name: str, size: int) -> Iterator[bytes]:
        yield name[:1].encode()
        yield b"x" * (size - 1)

    fetched = Fetched(str(tmp_path / "imports"), blocks)
    fetched.prepare()
    return fetched


def test_what_a_site_reads_itself(fetched: Fetched) -> None:
    """Is empty here, until a program needs it: then all is fetched, also what a link of an empty file is."""
    missing = fetched.missing(SESSID, 1, FILES, {"a.xml"})
    assert missing == {"a.xml": 5}
    fetched.fetch(SESSID, "a.xml", 5, lambda _: None)
    picture = Path(fetched.folder(SESSID), "import_files/ab/x.jpg")
    assert picture.read_bytes() == b""
    before = picture.stat().st_ino
    linked = picture.with_name("linked")
    linked.hardlink_to(picture)
    assert fetched.missing(SESSID, 1, FILES, {"a.xml"}) == {}
    assert picture.stat().st_ino == before
    assert fetch(fetched) == ["a.xml", "import_files/ab/x.jpg"]
    assert not linked.exists()
    assert fetched.missing(SESSID, 1, FILES, {"a.xml"}) == {}
    assert picture.read_bytes() == b"ixx"


def fetch(fetched: Fetched, epoch: int = 1, **files: int) -> list[str]:
    """Fetch what is missing; return its names."""
    missing = fetched.missing(SESSID, epoch, files or FILES)
    for name, size in missing.items():
        fetched.fetch(SESSID, name, size, lambda _: None)
    return list(missing)


def test_files_are_fetched_once(fetched: Fetched) -> None:
    """As they are named; one that has grown is fetched again."""
    sizes: list[int] = []
    for name, size in fetched.missing(SESSID, 1, FILES).items():
        fetched.fetch(SESSID, name, size, sizes.append)
    folder = Path(fetched.folder(SESSID))
    assert (folder / "a.xml").read_bytes() == b"axxxx"
    assert (folder / "import_files" / "ab" / "x.jpg").read_bytes() == b"ixx"
    assert sizes == [1, 4, 1, 2]
    assert fetch(fetched) == []
    assert fetched.missing(SESSID, 1, {**FILES, "a.xml": 6}) == {"a.xml": 6}


def test_another_epoch(fetched: Fetched) -> None:
    """Has none of the files before."""
    fetch(fetched)
    assert fetch(fetched, epoch=2) == list(FILES)
    (Path(fetched.folder(SESSID)) / "a.xml").unlink()
    assert fetch(fetched, epoch=2) == ["a.xml"]


def test_a_file_that_breaks_off(tmp_path: Path) -> None:
    """Is not there: it is fetched again."""

    def blocks(*_: object) -> Iterator[bytes]:
        yield b"ab"
        raise OSError(5, "the connection broke")

    fetched = Fetched(str(tmp_path / "imports"), blocks)
    fetched.prepare()
    assert fetched.missing(SESSID, 1, {"a": 5}) == {"a": 5}
    with pytest.raises(OSError, match="broke"):
        fetched.fetch(SESSID, "a", 5, lambda _: None)
    assert fetched.missing(SESSID, 1, {"a": 5}) == {"a": 5}


def test_what_an_earlier_process_has_left(fetched: Fetched) -> None:
    """Goes at the start; and a session's folder with the session."""
    fetch(fetched)
    fetched.remove([])
    assert fetched.sessids() == [SESSID]
    assert Path(fetched.folder(SESSID)).is_dir()
    fetched.remove([SESSID, "unknown"])
    assert fetched.sessids() == []
    assert not Path(fetched.folder(SESSID)).exists()
    fetch(fetched)
    again = Fetched(fetched.top, fetched.blocks_of)
    again.prepare()
    assert not Path(fetched.folder(SESSID)).exists()
