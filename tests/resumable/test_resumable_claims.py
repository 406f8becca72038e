"""The newest request has the upload."""

from __future__ import annotations

import pytest

from onec_twisted.model.errors import UploadTakenOver
from onec_twisted.resumable import claims as module
from onec_twisted.resumable.claims import Claims
from onec_twisted.testing import FakeBody


def test_the_older_one_gives_way() -> None:
    """Its body is dropped, and what it still wants to do is refused."""
    claims, old = Claims(), FakeBody()
    with claims.hold("a", claims.arrive(), old) as first:
        first.check()
        with claims.hold("a", claims.arrive(), FakeBody()) as second:
            second.check()
            assert isinstance(old.dropped, UploadTakenOver)
            with pytest.raises(UploadTakenOver):
                first.check()


def test_a_body_that_is_complete_is_refused_at_its_turn() -> None:
    """It cannot be dropped any more."""
    claims, old = Claims(), FakeBody()
    old.end()
    with claims.hold("a", claims.arrive(), old) as first, claims.hold("a", claims.arrive(), FakeBody()):
        assert old.dropped is None
        with pytest.raises(UploadTakenOver):
            first.check()


def test_who_came_first_and_is_late_is_refused() -> None:
    """Passwords take their time; also when the newer request is over."""
    claims = Claims()
    early, late = claims.arrive(), claims.arrive()
    with claims.hold("a", late, FakeBody()) as newest:
        with pytest.raises(UploadTakenOver), claims.hold("a", early, FakeBody()):
            pass
        newest.check()
    with pytest.raises(UploadTakenOver), claims.hold("a", early, FakeBody()):
        pass


def test_others_are_left_alone() -> None:
    """Each upload has its own."""
    claims, body = Claims(), FakeBody()
    with claims.hold("a", claims.arrive(), body) as first, claims.hold("b", claims.arrive(), FakeBody()):
        first.check()
        assert body.dropped is None


def test_memory_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The uploads that were asked for longest ago are forgotten."""
    monkeypatch.setattr(module, "REMEMBERED_CLAIMS", 2)
    claims = Claims()
    early = claims.arrive()
    for name in "abc":
        with claims.hold(name, claims.arrive(), FakeBody()):
            pass
    with claims.hold("a", early, FakeBody()) as claim:
        claim.check()
    with pytest.raises(UploadTakenOver), claims.hold("c", early, FakeBody()):
        pass
