"""A process of its own lists an archive for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_twisted
from administrator import peek_inline
from trade import packed

from onec_twisted.delivery.peeking import ENTRIES_SHOWN, Peeker
from onec_twisted.delivery.processes import TooMuchAsked

if TYPE_CHECKING:
    from pathlib import Path

    from onec_twisted.delivery.peeking import Peeked


async def peek(folder: Path, content: bytes, timeout: float = 30.0) -> Peeked:
    """Return what is in an archive, as the process says."""
    from twisted.internet import reactor

    path = folder / "a.zip"
    path.write_bytes(content)
    with path.open("rb") as file:
        waiting = Peeker(reactor, timeout)(file.fileno(), len(content))
    return await waiting


@pytest_twisted.ensureDeferred
async def test_names_and_sizes(tmp_path: Path) -> None:
    """In the order of the directory, in whatever letters; the fake says the same."""
    content = packed({"import0_1.xml": b"<?xml" * 100, "import_files/Фото ё.jpg": b"jpeg"})
    found = await peek(tmp_path, content)

    assert found.entries == (("import0_1.xml", 500), ("import_files/Фото ё.jpg", 4))
    assert (found.hidden, found.said) == (0, "")
    with (tmp_path / "a.zip").open("rb") as file:
        assert await peek_inline(file.fileno(), len(content)) == found


@pytest_twisted.ensureDeferred
async def test_many_entries(tmp_path: Path) -> None:
    """Some are listed, the others counted."""
    found = await peek(tmp_path, packed({f"{number}.png": b"" for number in range(ENTRIES_SHOWN + 7)}))

    assert (len(found.entries), found.hidden) == (ENTRIES_SHOWN, 7)


@pytest_twisted.ensureDeferred
async def test_an_archive_that_is_cut_off(tmp_path: Path) -> None:
    """It is said why it cannot be read."""
    found = await peek(tmp_path, packed({"a.xml": b"x" * 1000})[:-30])

    assert found.entries == ()
    assert found.said
    with (tmp_path / "a.zip").open("rb") as file:
        assert (await peek_inline(file.fileno(), (tmp_path / "a.zip").stat().st_size)).said == found.said


@pytest_twisted.ensureDeferred
async def test_nobody_waits_for_ever(tmp_path: Path) -> None:
    """A process that takes too long is killed."""
    with pytest.raises(TooMuchAsked):
        await peek(tmp_path, packed({"a.xml": b""}), timeout=0.0001)
