"""Figures of latency: what others feel while uploads run at full speed, or to a slow disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.generator import LoadFailed, running
from bench.goals import OURS
from bench.loads import Probe, Uploads
from bench.peers.onec import OnecExchange
from bench.samples import percentile
from bench.slow_disk import MARK, SPEED
from bench.targets import Exchange

if TYPE_CHECKING:
    from bench.contest import Contest
    from bench.loads import Latencies, Sent
    from bench.peer import Server

__all__ = ["beside_a_slow_disk", "beside_uploads"]

LARGE = 64_000_000


def beside_uploads(contest: Contest) -> None:
    """Measure checkauth and 50 KB pieces while 4 uploads of 64 MB pieces run at full speed."""
    with contest.servers("latency", (OnecExchange.syncing(), OnecExchange.not_syncing())) as servers:
        for number, server in contest.rounds("latency", servers):
            with contest.failing("latency", server.peer.name):
                sent, latencies = _measure(contest, server, 4, ("piece",))
                _record(contest, "latency", server.peer.name, number, sent, latencies)


def beside_a_slow_disk(contest: Contest) -> None:
    """Measure the same while one upload goes to a disk of 20 MB/s, and another one runs at full speed."""
    with contest.servers("slow-disk", (OnecExchange(slow_disk=True),)) as servers:
        for number, server in contest.rounds("slow-disk", servers):
            with contest.failing("slow-disk", OURS):
                sent, latencies = _measure(contest, server, 2, (MARK, "fast"))
                slow = sum(file.size for file in sent.stored if f"/{MARK}-" in file.path)
                # the last pieces of the two end at different times, so that this is the least it can have been
                if slow / sent.seconds > 1.2 * SPEED:
                    raise LoadFailed(
                        f"the slow disk took {slow / sent.seconds / 1e6:.0f} MB/s: its brake did not hold"
                    )
                contest.record("slow-disk", OURS, "slow upload MB/s", number, slow / sent.seconds / 1e6)
                _record(contest, "slow-disk", OURS, number, sent, latencies)


def _measure(contest: Contest, server: Server, connections: int, names: tuple[str, ...]) -> tuple[Sent, Latencies]:
    target = server.target
    assert isinstance(target, Exchange)
    uploads = Uploads(contest.content, target, connections, 0, LARGE, names)
    with (
        running(uploads) as load,
        running(Probe(contest.content, target, contest.scale.probes, contest.scale.probe_seconds)) as probe,
    ):
        load.wait_for("ready")
        probe.wait_for("ready")
        load.go_on()
        probe.go_on()
        latencies = probe.result()
        load.go_on()
        sent = load.result()
    contest.check(server, (*sent.stored, *latencies.stored))
    return sent, latencies


def _record(contest: Contest, figure: str, peer: str, number: int, sent: Sent, latencies: Latencies) -> None:
    contest.record(figure, peer, "uploads MB/s", number, sent.size / sent.seconds / 1e6)
    for request, seconds in (("checkauth", latencies.checkauth), ("50 KB piece", latencies.piece)):
        for share in (50, 99):
            value = percentile(seconds, share / 100) * 1e3
            contest.record(figure, peer, f"{request} p{share} ms", number, value)
