"""Sessions, files and hand-offs, as values."""

from __future__ import annotations

from onec_twisted.model.records import Session


def test_a_session_is_over_when_nobody_touches_it() -> None:
    """Unless something is on its way in it."""
    session = Session("s", "shop", epoch=1, held=0, touched=5.0)

    assert session.is_over(5.1, busy=False)
    assert not session.is_over(5.0, busy=False)
    assert not session.is_over(5.1, busy=True)
