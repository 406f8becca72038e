"""What a scrape tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from administrator import Administrator
from in_memory import flush_failures
from line import Line, post
from prometheus_client.parser import text_string_to_metric_families
from shops import traded
from twisted.internet.task import Clock

from onec_twisted.admin.gauges import LagMeter
from onec_twisted.model.records import FAILED
from onec_twisted.runtime.metrics import Metrics

if TYPE_CHECKING:
    from in_memory import InMemory


@pytest.fixture
def administrator(exchange: InMemory) -> Administrator:
    """Who scrapes."""
    return Administrator(exchange)


def scraped(administrator: Administrator) -> dict[str, float]:
    """Return what a scrape tells, by names with their labels."""
    reply = administrator.ask("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=")
    samples = (one for family in text_string_to_metric_families(reply.body.decode()) for one in family.samples)
    return {one.name + "".join(f" {value}" for value in one.labels.values()): one.value for one in samples}


def test_the_state_of_the_daemon(administrator: Administrator) -> None:
    """It is asked at the scrape."""
    exchange = administrator.exchange
    session = exchange.checkauth()
    lines = [Line(exchange.site) for _ in range(3)]
    lines[0].send(post(session, "a", b"x" * 100)[:-50])
    lines[1].send(post(session, "a", b"y" * 100))
    told = scraped(administrator)

    assert told["onec_connections"] == 3
    assert told["onec_uploads_in_progress"] == 2
    assert told["onec_uploads_waiting"] == 1
    assert told["onec_sessions"] == 1
    assert told["onec_sessions_owing"] == 0
    assert told["onec_disk_free_bytes"] == 1_000_000
    assert told["onec_disk_reserved_bytes"] == 1000
    assert told["onec_handoffs waiting"] == 0
    assert told["process_open_fds"] > 3
    for line in lines:
        line.lose()
    assert scraped(administrator)["onec_uploads_in_progress"] == 0


def test_what_changes_is_told_anew(administrator: Administrator) -> None:
    """Hand-offs by their state, sessions that owe something, certificates that come and go on."""
    exchange = administrator.exchange
    cookie, sessid = exchange.checkauth()
    query = f"type=catalog&filename=a.xml&sessid={sessid}&mode="
    exchange.request("POST", query + "file", b"<?xml", Cookie=cookie)
    administrator.expiries["ssl:443"] = 5.0
    told = scraped(administrator)
    assert (told["onec_sessions_owing"], told["onec_handoffs succeeded"]) == (1, 0)
    assert told["onec_certificate_expiry_timestamp_seconds ssl:443"] == 5
    exchange.request("GET", query + "import", Cookie=cookie)
    administrator.expiries["ssl:443"] = 6.0
    told = scraped(administrator)

    assert (told["onec_sessions_owing"], told["onec_handoffs succeeded"]) == (0, 1)
    assert told["onec_handoff_tries_total succeeded"] == 1
    assert told["onec_certificate_expiry_timestamp_seconds ssl:443"] == 6


def test_a_disk_that_does_not_tell(
    administrator: Administrator, monkeypatch: pytest.MonkeyPatch, nothing_left_behind: list[dict[str, Any]]
) -> None:
    """What is known without it is told all the same."""

    def fail() -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(type(administrator.exchange.store), "free", lambda _: fail())
    told = scraped(administrator)

    assert told["onec_connections"] == 0
    assert told["onec_disk_free_bytes"] != told["onec_disk_free_bytes"]
    assert "onec_handoffs waiting" not in told
    assert len(flush_failures(nothing_left_behind)) == 1


def test_what_is_on_record_of_shops(
    administrator: Administrator, monkeypatch: pytest.MonkeyPatch, nothing_left_behind: list[dict[str, Any]]
) -> None:
    """It is asked at the scrape, if there are any; and is not told when nobody knows it."""
    exchange = administrator.exchange
    traded(exchange, "north:alice", "1" * 32, state=FAILED)
    assert not [name for name in scraped(administrator) if name.startswith("onec_shop")]
    exchange.means.metrics.name_shops(["north"])
    told = scraped(administrator)
    assert told["onec_shop_held_bytes north"] == 5
    assert told["onec_shop_handoffs north failed"] == 1
    assert told["onec_shop_handoffs default failed"] == 0
    monkeypatch.setattr(type(exchange.store), "free", failing)

    assert not [name for name in scraped(administrator) if name.startswith("onec_shop_h") and "tries" not in name]
    assert len(flush_failures(nothing_left_behind)) == 1


def failing(_: object) -> int:
    """Do as a disk that fails."""
    raise OSError(5, "Input/output error")


def test_the_reactors_lateness() -> None:
    """Each second it is asked how late it is."""
    clock = Clock()
    metrics = Metrics()
    meter = LagMeter(metrics.reactor_lag, clock)
    meter.startService()
    clock.advance(1)
    clock.advance(1.5)
    meter.stopService()

    assert metrics.registry.get_sample_value("onec_reactor_lag_seconds_count") == 2
    assert metrics.registry.get_sample_value("onec_reactor_lag_seconds_sum") == 0.5
    assert clock.getDelayedCalls() == []
