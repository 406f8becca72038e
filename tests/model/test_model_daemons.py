"""A daemon, as the others see it."""

from __future__ import annotations

import pytest

from onec_twisted.model.daemons import SILENT_AFTER, DaemonLine


@pytest.mark.parametrize(("silent", "is_lost"), [(0.5, False), (SILENT_AFTER, False), (SILENT_AFTER + 0.1, True)])
def test_one_is_lost_that_is_not_seen(silent: float, is_lost: bool) -> None:
    """As long as others wait before they take its hand-offs over."""
    line = DaemonLine(name="a", version="1", running=60.0, silent=silent, is_this=False, state={})
    assert line.is_lost == is_lost
