"""What a daemon alone holds: a media root that nobody else uses, records, and threads."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from in_memory import config_of
from twisted.internet.task import Clock

from onec_twisted.daemon.config import CannotStart
from onec_twisted.daemon.holdings import make_holdings
from onec_twisted.model.errors import StorageRemoved

if TYPE_CHECKING:
    from pathlib import Path


class Reactor(Clock):
    """A reactor without threads."""

    def addSystemEventTrigger(self, *args: Any) -> None:
        """Do nothing."""


def test_making_them_touches_nothing(tmp_path: Path) -> None:
    """Only ``prepare`` makes folders, when privileges have been dropped."""
    holdings = make_holdings(config_of(f"--media-root={tmp_path / 'media'}"), Reactor())
    assert not (tmp_path / "media").exists()
    holdings.prepare("media")
    assert holdings.place == str(tmp_path / "media" / "1c_temp")
    holdings.check()
    holdings.release()


def test_a_media_root_has_one_daemon(tmp_path: Path) -> None:
    """A second one is told so, as the administrator wrote it."""
    config = config_of(f"--media-root={tmp_path / 'media'}")
    first, second = make_holdings(config, Reactor()), make_holdings(config, Reactor())
    first.prepare("media")
    with pytest.raises(CannotStart, match="--media-root=media: another onec-exchange is using it"):
        second.prepare("media")
    first.release()


def test_a_media_root_that_goes_is_noticed(tmp_path: Path) -> None:
    """The check fails once the folder is gone."""
    holdings = make_holdings(config_of(f"--media-root={tmp_path / 'media'}"), Reactor())
    holdings.prepare("media")
    shutil.rmtree(tmp_path / "media")
    with pytest.raises(StorageRemoved):
        holdings.check()
    holdings.release()
