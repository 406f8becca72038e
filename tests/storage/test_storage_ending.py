"""Whether the last daemon ended by itself."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from onec_twisted.storage.ending import RUNNING, Ending

if TYPE_CHECKING:
    from pathlib import Path


def test_the_first_one_has_none_before_it(tmp_path: Path) -> None:
    """Nothing is to be said."""
    assert not Ending(tmp_path).begin()


def test_one_that_ended_by_itself(tmp_path: Path) -> None:
    """It leaves nothing behind."""
    first = Ending(tmp_path)
    first.begin()
    first.end()
    assert list(tmp_path.iterdir()) == []
    assert not Ending(tmp_path).begin()


def test_one_that_was_killed(tmp_path: Path) -> None:
    """The next one learns of it, and the one after that does not."""
    Ending(tmp_path).begin()
    following = Ending(tmp_path)
    assert following.begin()
    following.end()
    assert not Ending(tmp_path).begin()


def test_one_that_could_not_start_says_nothing_of_another(tmp_path: Path) -> None:
    """A daemon that runs is not one that has ended."""
    Ending(tmp_path).begin()
    Ending(tmp_path).end()
    assert (tmp_path / RUNNING).exists()


def test_a_folder_that_was_removed(tmp_path: Path) -> None:
    """It does not prevent the end."""
    folder = tmp_path / "media"
    folder.mkdir()
    ending = Ending(folder)
    ending.begin()
    shutil.rmtree(folder)
    ending.end()
