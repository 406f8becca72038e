"""A real daemon's means: its clocks, threads and database; ``test_daemon_tap`` puts all together."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING

import pytest
from in_memory import config_of
from twisted.internet.testing import MemoryReactorClock

from onec_twisted.daemon.assembly import GC_ALLOCATIONS, collect_seldom, make_means, run_evenly
from onec_twisted.daemon.config import CannotStart
from onec_twisted.daemon.holdings import make_holdings

if TYPE_CHECKING:
    from pathlib import Path


def test_time_goes_on_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From what the system's clock says at the start, whoever sets it later."""
    config, reactor = config_of(f"--media-root={tmp_path}"), MemoryReactorClock()
    run_evenly(reactor)
    means = make_means(reactor, make_holdings(config, reactor))
    assert means.now() == pytest.approx(time.time(), abs=60)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr(time, "monotonic", lambda: 1e9)
    before = means.now()
    monkeypatch.setattr(time, "monotonic", lambda: 1e9 + 5)

    assert means.now() - before == pytest.approx(5)
    assert means.seconds() == pytest.approx(1e9, rel=1)


def test_it_touches_nothing_before_it_starts(tmp_path: Path) -> None:
    """Privileges are given up later."""
    config, reactor = config_of(f"--media-root={tmp_path / 'media'}"), MemoryReactorClock()
    holdings = make_holdings(config, reactor)
    make_means(reactor, holdings)

    assert list(tmp_path.iterdir()) == []
    holdings.release()


@pytest.mark.parametrize("argument", ["--importer=keep:x", "--orders=http:no address"])
def test_what_cannot_be_made(tmp_path: Path, argument: str) -> None:
    """One line with the option."""
    config, reactor = config_of(f"--media-root={tmp_path}", argument), MemoryReactorClock()
    means = make_means(reactor, make_holdings(config, reactor))
    make = means.importer_of if argument.startswith("--importer") else means.orders_of
    with pytest.raises(CannotStart, match=argument.partition("=")[0]):
        make(config)


def test_garbage_is_collected_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the start has made is left out; older objects are collected as often as Python does."""
    frozen: list[bool] = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(True))
    before = gc.get_threshold()
    try:
        collect_seldom()
        assert gc.get_threshold() == (GC_ALLOCATIONS, *before[1:])
    finally:
        gc.set_threshold(*before)

    assert frozen == [True]
