"""When an upload is complete."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onec_twisted.resumable.endings import Ending

SIZES = st.integers(0, 5)
LENGTHS = st.none() | SIZES


@given(LENGTHS, SIZES, st.booleans())
def test_by_length(length: int | None, committed: int, all_came: bool) -> None:
    """Whatever the request says: the announced length counts, and an unknown one is never reached."""
    assert Ending.BY_LENGTH.is_reached(length, committed, all_came=all_came) == (length == committed)


@given(LENGTHS, SIZES, st.booleans())
def test_later(length: int | None, committed: int, all_came: bool) -> None:
    """Never with this request."""
    assert not Ending.LATER.is_reached(length, committed, all_came=all_came)


@pytest.mark.parametrize(
    ("length", "all_came", "is_reached"),
    [(None, True, True), (3, True, True), (4, True, False), (None, False, False), (3, False, False)],
)
def test_here(length: int | None, all_came: bool, is_reached: bool) -> None:
    """With the end of the body, unless another length was announced; every expected byte alone is not the end."""
    assert Ending.HERE.is_reached(length, 3, all_came=all_came) == is_reached
