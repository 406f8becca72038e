"""What administrators look at, and what tells them, is added to a daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from twisted.application.internet import TimerService
from twisted.internet.testing import MemoryReactorClock

from onec_twisted.daemon.config import CannotStart
from onec_twisted.daemon.options import Options
from onec_twisted.tap import makeService

if TYPE_CHECKING:
    from pathlib import Path

    from onec_twisted.daemon.service import ExchangeService


def made(tmp_path: Path, *arguments: str) -> ExchangeService:
    """Return a daemon that does not run."""
    options = Options()
    options.parseOptions(["--auth=memory:shop:secret", f"--media-root={tmp_path}", *arguments])
    return makeService(options, MemoryReactorClock())


def timers(daemon: ExchangeService) -> int:
    """Return how many timers a daemon has."""
    return sum(isinstance(service, TimerService) for service in daemon.services)


def test_notices_have_a_timer_if_somebody_wants_them(tmp_path: Path) -> None:
    """One for all receivers; without them there is none."""
    program = tmp_path / "notify"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o700)
    notified = made(tmp_path, f"--notify=exec:{program}", "--notify=http://127.0.0.1:1/", "--expect-every=2d")

    assert timers(notified) == timers(made(tmp_path)) + 1


def test_a_receiver_that_cannot_be(tmp_path: Path) -> None:
    """The daemon does not start, and says what to write; never the password of a URL."""
    with pytest.raises(CannotStart, match=r"--notify=exec:notify: write the whole path"):
        made(tmp_path, "--notify=exec:notify")
    with pytest.raises(CannotStart) as raised:
        made(tmp_path, "--notify=https://user:secret@/")
    assert "secret" not in str(raised.value)


def test_the_administrators_site(tmp_path: Path) -> None:
    """It is one more service that listens."""
    assert len(made(tmp_path, "--admin=tcp:0").services) > len(made(tmp_path).services)
