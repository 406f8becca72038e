"""What a daemon alone holds: a media root that nobody else uses, records, and threads."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from in_memory import config_of
from twisted.internet.task import Clock
from twisted.logger import formatEvent

from onec_twisted.daemon import service
from onec_twisted.daemon.config import CannotStart
from onec_twisted.daemon.holdings import make_holdings
from onec_twisted.model.errors import StorageRemoved

if TYPE_CHECKING:
    from pathlib import Path

SESSID = "0123456789abcdef" * 2


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


BROKEN_OFF = "the last run did not end by itself"


def said(events: list[dict[str, Any]]) -> list[str]:
    """Return what was said about the last run, and forget it."""
    found = [formatEvent(event) for event in events]
    del events[:]
    return [words for words in found if words.startswith(BROKEN_OFF)]


def ended(folder: Path, *options: str, killed: bool) -> None:
    """Run a daemon; it ends as kill -9 ends it, or by itself."""
    holdings = make_holdings(config_of(f"--media-root={folder}", *options), Reactor())
    holdings.prepare("media")
    if not killed:
        holdings.release()
    holdings.store.unlock()


@pytest.mark.parametrize(
    ("options", "content", "words"),
    [
        ((), b"12345torn", ": nothing that was acknowledged is lost; 2 files had bytes"),
        ((), b"12345", ": nothing that was acknowledged is lost; 1 files had bytes"),
        ((), b"123", ": 1 files have lost bytes that were acknowledged; 1 files had bytes"),
        (("--durability=none",), b"12345", ": nothing that was acknowledged is lost, unless the power failed (see"),
    ],
)
def test_a_daemon_that_was_killed(
    tmp_path: Path,
    nothing_left_behind: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    content: bytes,
    words: str,
) -> None:
    """The next one says so once, and what is true then."""
    ended(tmp_path, *options, killed=True)
    assert said(nothing_left_behind) == []
    folder = tmp_path / "1c_temp" / SESSID
    folder.mkdir()
    (folder / "a").write_bytes(content)
    (folder / "never-recorded").write_bytes(b"torn")
    monkeypatch.setattr(service, "recorded_lengths", lambda _: {SESSID: {"a": 5}})
    ended(tmp_path, *options, killed=False)
    (line,) = said(nothing_left_behind)
    assert words in line
    ended(tmp_path, *options, killed=False)
    assert said(nothing_left_behind) == []


def test_a_daemon_that_cannot_start_hides_nothing(tmp_path: Path, nothing_left_behind: list[dict[str, Any]]) -> None:
    """The one that it finds running is killed later, and the next one says so."""
    config = config_of(f"--media-root={tmp_path}")
    running, refused = make_holdings(config, Reactor()), make_holdings(config, Reactor())
    running.prepare("media")
    with pytest.raises(CannotStart):
        refused.prepare("media")
    refused.release()
    running.store.unlock()
    ended(tmp_path, killed=False)
    assert len(said(nothing_left_behind)) == 1
