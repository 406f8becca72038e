"""Copies of exactly so many bytes."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from onec_twisted.model.errors import FileDamaged
from onec_twisted.storage.copies import copy_bytes

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["kernel", "process"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the kernel copy, or not."""

    def cannot(*_: Any) -> int:
        raise OSError(errno.EXDEV, "another file system")

    if request.param == "process":
        monkeypatch.setattr(os, "copy_file_range", cannot, raising=False)


@pytest.mark.usefixtures("way")
def test_as_many_bytes_as_are_wanted(tmp_path: Path) -> None:
    """Not more, although the file has grown; folders are made."""
    (tmp_path / "a").write_bytes(b"0123456789" * 300_000)
    copy_bytes(f"{tmp_path}/a", f"{tmp_path}/b/c/d", 2_000_005)
    copy_bytes(f"{tmp_path}/a", f"{tmp_path}/e", 0)

    assert (tmp_path / "b/c/d").read_bytes() == (b"0123456789" * 300_000)[:2_000_005]
    assert (tmp_path / "e").read_bytes() == b""


@pytest.mark.usefixtures("way")
def test_a_file_that_is_too_short(tmp_path: Path) -> None:
    """It is damaged."""
    (tmp_path / "a").write_bytes(b"0123")
    with pytest.raises(FileDamaged):
        copy_bytes(f"{tmp_path}/a", f"{tmp_path}/b", 5)


def test_links_are_not_followed(tmp_path: Path) -> None:
    """Neither from nor to."""
    (tmp_path / "a").write_bytes(b"0123")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for source, target in (("link", "b"), ("a", "link")):
        with pytest.raises(OSError, match="symbolic links"):
            copy_bytes(f"{tmp_path}/{source}", f"{tmp_path}/{target}", 4)
