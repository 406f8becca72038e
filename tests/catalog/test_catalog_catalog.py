"""The records together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from in_memory import flush_failures
from pytest_twisted import ensureDeferred
from records import QUOTA, make_catalog

from onec_twisted.model.errors import InsufficientStorage
from onec_twisted.model.records import FileRecord, Session, Written
from onec_twisted.runtime.workers import DiskWorkers

if TYPE_CHECKING:
    from pathlib import Path


@ensureDeferred
async def test_a_restart_knows_what_was_recorded(path: Path, nothing_left_behind: list[dict[str, Any]]) -> None:
    """Through real threads, in a database that is opened again."""
    from twisted.internet import reactor

    workers = DiskWorkers(reactor, 4)
    first = make_catalog(path, workers)
    await first.sessions.open("s", "token", "shop", 1.0)
    session = await first.sessions.find("token")
    assert session is not None
    await first.files.commit(session, "a", None, lambda: Written(10), QUOTA, 2.0)
    with pytest.raises(InsufficientStorage):
        await first.files.commit(session, "a", 10, lambda: Written(QUOTA + 1), QUOTA, 2.0)
    first.recorder.close()
    second = make_catalog(path, workers)

    assert await second.files.find("s", "a") == FileRecord(10, 0)
    assert await second.sessions.find("token") == Session("s", "shop", epoch=1, held=10, touched=2.0)
    workers.stop()
    second.recorder.close()
    assert flush_failures(nothing_left_behind) == []
