"""What the number of a descriptor tells."""

from __future__ import annotations

import resource

import pytest

from onec_twisted.runtime.descriptors import NEWCOMER_SHARE, PIECE_SHARE, is_scarce


@pytest.mark.parametrize(
    ("limit", "kept", "first"),
    [
        (1024, NEWCOMER_SHARE, 768),
        (1024, PIECE_SHARE, 896),
        (65536, NEWCOMER_SHARE, 61440),
        (65536, PIECE_SHARE, 63488),
        (256, PIECE_SHARE, 224),
    ],
)
def test_what_is_kept(monkeypatch: pytest.MonkeyPatch, limit: int, kept: int, first: int) -> None:
    """A part of all, and of very many no more than anybody needs."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))

    assert [is_scarce(number, kept) for number in (3, first - 1, first, limit)] == [False, False, True, True]


def test_without_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is scarce."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    assert not is_scarce(10**9, PIECE_SHARE)
