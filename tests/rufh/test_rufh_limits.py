"""The limits of uploads are a dictionary of integers."""

from __future__ import annotations

from math import inf

import pytest
from http_sf import parse
from hypothesis import given
from hypothesis import strategies as st

from onec_twisted.rufh.limits import limits_field


@pytest.mark.parametrize(
    ("quota", "age", "field"),
    [
        (20_000, 3600.0, b"max-size=20000, max-age=3600"),
        (20_000, None, b"max-size=20000"),
        (None, 5.0, b"max-age=5"),
        (None, None, b"min-size=0"),
        (0, 0.0, b"max-size=0, max-age=0"),
        (1, 9.99, b"max-size=1, max-age=9"),
        (1, -0.5, b"max-size=1, max-age=0"),
        (-1, -inf, b"max-size=0, max-age=0"),
        (10**15, inf, b"max-size=999999999999999, max-age=999999999999999"),
    ],
)
def test_limits(quota: int | None, age: float | None, field: bytes) -> None:
    """Rounded down, never negative, never longer than an Integer can be; that there is none is said, too."""
    assert limits_field(quota, age) == (b"Upload-Limit", field)


@given(st.integers(), st.floats())
def test_limits_can_be_read(quota: int, age: float) -> None:
    """Each is an Integer that promises no more than there is."""
    members = parse(limits_field(quota, age)[1], tltype="dictionary")

    assert isinstance(members, dict)
    assert list(members) == ["max-size", "max-age"]
    for member, limit in zip(members.values(), (quota, age), strict=True):
        assert isinstance(member, tuple)
        assert type(member[0]) is int
        assert member[0] == 0 or 0 < member[0] <= limit
