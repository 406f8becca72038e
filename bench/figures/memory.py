"""Figures of memory: one large body, and many slow uploads at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.generator import running
from bench.goals import OURS
from bench.loads import SlowUploads, Uploads
from bench.peers.onec import OnecExchange
from bench.processes import memory, peak_memory
from bench.targets import Exchange

if TYPE_CHECKING:
    from bench.contest import Contest

__all__ = ["one_body", "slow_uploads"]

BODY = 64_000_000
"""Bytes of the body that the large one is compared with."""

SLOW_SIZE = 1_000_000
SLOW_SENT = 200_000
SLOW_SECONDS = 3.0
"""How long all uploads have been slow when the memory is read."""


def one_body(contest: Contest) -> None:
    """Measure the peak memory of a fresh daemon that takes one 2 GB body, and of one that takes one of 64 MB."""
    for number in range(contest.scale.rounds):
        peaks = []
        for size in (BODY, contest.scale.body):
            with contest.failing("peak-memory", OURS), contest.servers("peak-memory", (OnecExchange(),)) as servers:
                for server in servers:
                    contest.upload(server, Uploads(contest.content, server.target, 1, 1, size))
                    peaks.append(peak_memory(server.running.pids) / 1e6)
                    contest.record("peak-memory", OURS, f"body of {size // 10**6} MB: peak MB", number, peaks[-1])
        if len(peaks) == 2:
            contest.record("peak-memory", OURS, "difference MB", number, peaks[1] - peaks[0])


def slow_uploads(contest: Contest) -> None:
    """Measure what each of 400 uploads takes that have sent 200 KB of 1 MB, and then send little."""
    for number in range(contest.scale.rounds):
        with contest.failing("slow-uploads", OURS), contest.servers("slow-uploads", (OnecExchange(),)) as servers:
            for server in servers:
                target = server.target
                assert isinstance(target, Exchange)
                count = contest.scale.slow
                uploads = SlowUploads(contest.content, target, count, SLOW_SIZE, SLOW_SENT, SLOW_SECONDS)
                with running(uploads) as load:
                    load.wait_for("ready")
                    time.sleep(0.2)
                    before = memory(server.running.pids)
                    load.go_on()
                    load.wait_for("slow")
                    each = (memory(server.running.pids) - before) / count / 1e3
                    load.go_on()
                    sent = load.result()
                contest.check(server, sent.stored)
                contest.record("slow-uploads", OURS, "per upload KB", number, each)
