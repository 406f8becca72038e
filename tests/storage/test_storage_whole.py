"""Folders that are whole or not there, and the lock of who makes them."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from onec_twisted.storage.whole import drop, locked, made, open_below, remove_unfinished


def test_a_folder_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    """Until then it is beside it, and after a failure it is gone."""
    with made(str(tmp_path), "key") as new:
        Path(new, "a").write_bytes(b"a")
        assert not (tmp_path / "key").exists()

    def fail() -> None:
        with made(str(tmp_path), "other") as new:
            Path(new, "a").write_bytes(b"a")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["key", "key/a"]


def test_what_is_unfinished_is_removed(tmp_path: Path) -> None:
    """With all that is in it, and nothing that a link leads to."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/a").write_bytes(b"a")
    (tmp_path / ".new-x/b/c").mkdir(parents=True)
    (tmp_path / ".new-x/b/link").symlink_to(tmp_path / "kept")
    (tmp_path / ".new-y").write_bytes(b"")
    remove_unfinished(str(tmp_path))

    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept"]
    assert (tmp_path / "kept/a").exists()


def test_what_is_dropped(tmp_path: Path) -> None:
    """Is gone, and so it was before."""
    (tmp_path / "key/a").mkdir(parents=True)
    drop(str(tmp_path), "key")
    drop(str(tmp_path), "key")

    assert list(tmp_path.iterdir()) == []


def test_links_are_not_followed(tmp_path: Path) -> None:
    """Neither in the place of a file, nor of a folder above it."""
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/c.zip").write_bytes(b"PK")
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "c.zip").symlink_to("a/b/c.zip")
    fd = open_below(str(tmp_path), "a/b/c.zip")
    assert os.read(fd, 9) == b"PK"
    os.close(fd)

    for name in ("c.zip", "link/b/c.zip", "a/x.zip"):
        with pytest.raises(OSError, match=name.rpartition("/")[2].split("/")[0] if "link" not in name else "link"):
            open_below(str(tmp_path), name)


def test_only_one_works_there(tmp_path: Path) -> None:
    """A process that a killed daemon has left is waited for."""
    home = tmp_path / ".unpacked"
    with locked(str(home)):
        (home / ".new-x").mkdir()
        other = os.open(home / ".lock", os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)

    with locked(str(home)):
        assert not (home / ".new-x").exists()
    assert (home / ".lock").stat().st_mode & 0o777 == 0o600
