"""What a reload tells."""

from __future__ import annotations

from attrs import asdict

from onec_twisted.model.reloaded import NotReloaded, Reloaded


def test_it_is_plain() -> None:
    """The API passes it on as it is; a failure is one line."""
    assert asdict(Reloaded(("zip",), ("shard",))) == {"changed": ("zip",), "need_restart": ("shard",)}
    assert str(NotReloaded("line 2: zip: write true or false")) == "line 2: zip: write true or false"
