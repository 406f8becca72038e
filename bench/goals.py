"""What is to be reached, and whether it was. Pure values.

A goal about a ratio is met when the median of the ratios of all rounds meets it; any other when the median of
the values does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from bench.samples import Series, Spread, ratios, spread, values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.samples import Sample

__all__ = ["GOALS", "OURS", "Goal", "Verdict", "judge"]

OURS = "onec-exchange"
"""The name of the daemon that all goals are about."""


@frozen
class Goal:
    """A series, or its ratio to ``against``, is to be at most (or at least) ``limit``."""

    words: str
    of: Series
    against: Series | None
    limit: float
    at_most: bool

    @property
    def target(self) -> str:
        """Return the goal as one reads it, with the peer that it is about."""
        sign = "≤" if self.at_most else "≥"
        if self.against is None:
            return f"{sign} {self.limit:g} {self.of.measure.rsplit(' ', 1)[-1]}"
        return f"{sign} {self.limit:.2f} × {self.against.peer}"


@frozen
class Verdict:
    """What was measured for a goal (None: nothing), and whether it was met."""

    goal: Goal
    measured: Spread | None

    @property
    def met(self) -> bool | None:
        """Tell whether the median meets the goal; None when nothing was measured."""
        if self.measured is None:
            return None
        if self.goal.at_most:
            return self.measured.median <= self.goal.limit
        return self.measured.median >= self.goal.limit


def judge(samples: Sequence[Sample], goals: Sequence[Goal]) -> list[Verdict]:
    """Return a verdict on every goal."""
    verdicts = []
    for goal in goals:
        if goal.against is None:
            measured = list(values(samples, goal.of).values())
        else:
            measured = ratios(samples, goal.of, goal.against)
        verdicts.append(Verdict(goal, spread(measured)))
    return verdicts


def _against_peers(words: str, measure: str, limits: dict[str, float], *, at_most: bool) -> list[Goal]:
    return [
        Goal(
            f"{words}, {figure[1]}",
            Series(figure[0], OURS, measure),
            Series(figure[0], peer, measure),
            limit,
            at_most,
        )
        for figure in (("large-1", "1 connection"), ("large-4", "4 connections"))
        for peer, limit in limits.items()
    ]


def _ratio(
    words: str, figure: str, peers: tuple[str, str], measure: str, limit: float, *, at_most: bool = False
) -> Goal:
    return Goal(words, Series(figure, peers[0], measure), Series(figure, peers[1], measure), limit, at_most)


def _at_most(words: str, figure: str, measure: str, limit: float, peer: str = OURS) -> Goal:
    return Goal(words, Series(figure, peer, measure), None, limit, at_most=True)


OVER_TLS = f"{OURS} over TLS"
"""The daemon with TLS of its own."""

BEHIND_NGINX = f"{OURS} behind nginx"
"""The daemon on a unix socket, behind an nginx that has TLS."""

SHARDS = f"{OURS}, two shards"
"""Two daemons with ``--shard``."""

NGINX_TLS, TWISTED_TLS = "nginx DAV over TLS", "twisted.web over TLS"
"""Peers with TLS of their own."""

PIECE = f"{OURS}, each piece synced"
"""The daemon as it is by default, ``--durability=piece``."""

NONE = f"{OURS}, no syncs"
"""The daemon with ``--durability=none``, where the two are compared."""


def _over_tls() -> list[Goal]:
    words = "64 MB pieces over TLS"
    cpu, rate = "cpu s/GB", "throughput MB/s"
    behind = f"server CPU per GB, {words}, nginx in front of us, both together"
    return [
        _ratio(f"server CPU per GB, {words}", "tls", (OVER_TLS, NGINX_TLS), cpu, 1.1, at_most=True),
        _ratio(f"server CPU per GB, {words}", "tls", (OVER_TLS, TWISTED_TLS), cpu, 0.5, at_most=True),
        _ratio(f"throughput, {words}", "tls", (OVER_TLS, NGINX_TLS), rate, 1.0),
        _ratio(behind, "tls", (BEHIND_NGINX, NGINX_TLS), cpu, 1.4, at_most=True),
    ]


def _latencies() -> list[Goal]:
    goals = []
    for peer, durability in ((PIECE, "each piece synced"), (NONE, "no syncs")):
        for request in ("checkauth", "50 KB piece"):
            words = f"{request} while 4 uploads run at full speed, {durability}"
            goals.append(_at_most(f"{words}: p50", "latency", f"{request} p50 ms", 15, peer))
            goals.append(_at_most(f"{words}: p99", "latency", f"{request} p99 ms", 100, peer))
    for request in ("checkauth", "50 KB piece"):
        words = f"{request} while one of 2 uploads goes to a disk of 20 MB/s: p99"
        goals.append(_at_most(words, "slow-disk", f"{request} p99 ms", 200))
    return goals


GOALS = (
    *_against_peers(
        "server CPU per GB, 64 MB pieces",
        "cpu s/GB",
        {"nginx DAV": 0.5, "aiohttp": 0.6, "twisted.web": 0.25, "recv/write loop": 1.0},
        at_most=True,
    ),
    *_against_peers(
        "throughput, 64 MB pieces",
        "throughput MB/s",
        {
            "nginx DAV": 1.5,
            "twisted.web": 1.0,
            "aiohttp": 1.0,
            "Django, gunicorn": 1.0,
            "@tus/server": 1.0,
            "recv/write loop": 1.0,
            "splice loop": 1.0,
        },
        at_most=False,
    ),
    *_over_tls(),
    _ratio("throughput with default durability, 64 MB pieces", "durability", (PIECE, NONE), "throughput MB/s", 0.7),
    _ratio("50 KB pieces, 1 connection, on disk", "small-disk", (OURS, "aiohttp"), "rate pieces/s", 0.8),
    _ratio("50 KB pieces, 1 connection, in memory", "small-memory", (OURS, "aiohttp"), "rate pieces/s", 0.5),
    _ratio("50 KB pieces, 1 connection, in memory", "small-memory", (OURS, "twisted.web"), "rate pieces/s", 0.8),
    _ratio("50 KB pieces, 8 connections, default durability", "small-many", (PIECE, NONE), "rate pieces/s", 0.5),
    _ratio(
        "50 KB pieces, 16 connections, in memory, two shards", "shards-memory", (SHARDS, OURS), "rate pieces/s", 1.6
    ),
    _at_most("peak memory: what one 2 GB body takes above one 64 MB body", "peak-memory", "difference MB", 8),
    _at_most("memory per slow upload, 400 at once", "slow-uploads", "per upload KB", 100),
    *_latencies(),
)
"""All goals, in the order of the result."""
