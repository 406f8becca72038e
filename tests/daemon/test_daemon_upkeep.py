"""Folders that can go, and a daemon that others have left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from onec_twisted.testing import inline

pytest.importorskip("psycopg", reason="tox -e cluster has it")

from onec_twisted.cluster.fetching import Fetched
from onec_twisted.daemon.upkeep import QUIET_LOOKS, Folders, Outdated

if TYPE_CHECKING:
    from pathlib import Path

ON_RECORD, WAITING, OVER = "a" * 32, "b" * 32, "c" * 32


class Sessions:
    """The records of sessions."""

    async def unknown(self, sessids: list[str]) -> list[str]:
        """Return those that are over."""
        return [sessid for sessid in sessids if sessid == OVER]


class Database:
    """What waits to be delivered."""

    def using(self, _: Any) -> list[str]:
        """Return the sessids."""
        return [WAITING]


def test_folders_go_that_nobody_needs(tmp_path: Path) -> None:
    """Of sessions that are over at once, of others when nothing of them has waited for a while."""
    fetched = Fetched(str(tmp_path), lambda *_: [])
    for sessid in (ON_RECORD, WAITING, OVER):
        fetched.missing(sessid, 1, {})
    folders = Folders(fetched, Database(), Sessions(), inline)  # type: ignore[arg-type]
    folders.tidy()
    assert sorted(path.name for path in tmp_path.iterdir()) == [ON_RECORD, WAITING]
    for _ in range(QUIET_LOOKS):
        folders.tidy()
    assert fetched.sessids() == [WAITING]
    assert [path.name for path in tmp_path.iterdir()] == [WAITING]


class DummyPresence:
    """A daemon that is as it is told to be."""

    is_outdated = False


class DummyReactor:
    """A reactor that is stopped."""

    stops = 0

    def stop(self) -> None:
        """Count it."""
        self.stops += 1


def test_a_version_that_was_left_behind() -> None:
    """The daemon stops by itself, once; what is on its way ends first, as with any stop."""
    presence, reactor = DummyPresence(), DummyReactor()
    outdated = Outdated(presence, reactor)  # type: ignore[arg-type]
    outdated.look()
    assert reactor.stops == 0
    presence.is_outdated = True
    outdated.look()
    outdated.look()
    assert reactor.stops == 1
