"""Where hand-offs go, by their shop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayed import Site, destinations_to

from onec_twisted.delivery.tries import SHOP_PAUSE
from onec_twisted.testing import FakeImporter

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_shop_that_is_gone_settles_at_once() -> None:
    """Its files are handed off, and wait for it."""
    destinations = destinations_to(FakeImporter())
    assert (destinations.settle_of("anna"), destinations.settle_of("north:anna")) == (300.0, 0.0)
    assert destinations.shortest_settle() == 300.0


def test_a_handoff_waits_for_its_shop(tmp_path: Path, nothing_left_behind: list[dict[str, object]]) -> None:
    """However long that takes, no try is counted, and others go on; once it is back, it is delivered."""
    site = Site(tmp_path)
    site.start()
    homeless = site.hand_off("a.xml", "s", "north:anna")
    site.hand_off("b.xml", "t", "boris")
    assert site.delivered == ["b.xml"]
    for _ in range(20):
        site.clock.advance(SHOP_PAUSE)
    waiting = site.on_record("a.xml")
    assert (waiting.state, waiting.tries, waiting.words) == ("waiting", 0, "The shop north is not configured")
    said = [event for event in nothing_left_behind if "is not configured" in str(event["log_format"])]
    assert [event["shop"] for event in said] == ["north"]

    destinations = site.relay.tries.destinations
    destinations.shops = {**destinations.shops, "north": destinations.shops["default"]}
    site.relay.resume_shops({"north"})
    assert site.delivered == ["b.xml", "a.xml"]
    site.importer.end()
    site.importer.end()
    assert site.on_record("a.xml").state == "succeeded"
    assert site.wait(homeless)
    site.relay.stopService()
    site.catalog.recorder.close()


def test_a_handoff_of_a_shop_that_is_gone_may_be_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the administrator, as any that waits for its next try."""
    site = Site(tmp_path)
    site.start()
    homeless = site.hand_off("a.xml", "s", "north:anna")
    assert site.now(site.relay.give_up(homeless.id))
    assert site.on_record("a.xml").state == "failed"
    site.relay.stopService()
    site.catalog.recorder.close()
