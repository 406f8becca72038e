"""What the number of a descriptor tells."""

from __future__ import annotations

import resource

import pytest

from onec_twisted.runtime.descriptors import NEWCOMERS, PIECES, is_scarce


@pytest.mark.parametrize(
    ("limit", "kept", "first"),
    [
        (1024, NEWCOMERS, 768),
        (1024, PIECES, 896),
        (65536, NEWCOMERS, 61440),
        (65536, PIECES, 63488),
        (256, PIECES, 224),
    ],
)
def test_what_is_kept(monkeypatch: pytest.MonkeyPatch, limit: int, kept: int, first: int) -> None:
    """A part of all, and of very many no more than anybody needs."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))

    assert [is_scarce(number, kept) for number in (3, first - 1, first, limit)] == [False, False, True, True]


def test_without_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is scarce."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    assert not is_scarce(10**9, PIECES)
