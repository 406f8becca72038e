"""``onec-node load``: runs many nodes at once, and measures the latency of their pieces."""

from __future__ import annotations

import io
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError, Deferred, DeferredList

from onec_twisted.node.answers import NodeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.node.dialogue import Node

__all__ = ["Report", "load", "percentile"]


@frozen
class Report:
    """The result of a load: ``seconds`` from first piece to last, sorted ``latencies`` of all, and ``failures``."""

    seconds: float
    bytes_sent: int
    latencies: tuple[float, ...]
    failures: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the figures by name, in milliseconds and megabytes."""
        return {
            "pieces": len(self.latencies),
            "pieces_per_s": round(len(self.latencies) / self.seconds, 1),
            "mb_per_s": round(self.bytes_sent / self.seconds / 1e6, 1),
            **{f"p{one}_ms": round(percentile(self.latencies, one) * 1000, 1) for one in (50, 90, 99)},
            "max_ms": round(max(self.latencies, default=0.0) * 1000, 1),
            "failures": len(self.failures),
        }


def percentile(values: tuple[float, ...], percent: int) -> float:
    """Return the value that ``percent`` % of the sorted values do not exceed; 0 if there are none."""
    return values[max(0, -(-len(values) * percent // 100) - 1)] if values else 0.0


@define
class _Count:
    """Totals of all nodes."""

    bytes_sent: int = 0
    begun: float = float("inf")
    ended: float = 0.0
    latencies: list[float] = field(factory=list)
    failures: list[str] = field(factory=list)


STAYS = "what was sent could not be removed from the site, which may import it"
"""The failure of a load that leaves something behind."""


async def load(
    make: Callable[[], Node],
    reactor: Any,
    nodes: int,
    size: int,
    pieces: int,
    report: Callable[[str], object] = lambda _: None,
) -> Report:
    """Let ``nodes`` log in and send ``pieces`` of ``size`` bytes each, one after another; return the report.

    Each node finally removes what it sent by ``init``, so that nothing is imported; ``report`` is called with a
    message if a stopped load cannot do that.
    """
    count = _Count()
    content = io.BytesIO(os.urandom(min(size, 1024 * 1024)) * (size // (1024 * 1024) + 1))
    running = [Deferred.fromCoroutine(_one(make(), reactor, content, size, pieces, count)) for _ in range(nodes)]
    outcomes: Any = await DeferredList(running, consumeErrors=True)
    for is_done, outcome in outcomes:
        if not is_done:
            if STAYS in count.failures:
                report(STAYS)
            outcome.raiseException()  # after all have cleaned up
    seconds = max(count.ended - count.begun, 1e-6)
    return Report(seconds, count.bytes_sent, tuple(sorted(count.latencies)), tuple(count.failures))


async def _one(node: Node, reactor: Any, content: io.BytesIO, size: int, pieces: int, count: _Count) -> None:
    """Run one node; it stops at its first failure."""
    try:
        await node.checkauth()
        await node.init()
        try:
            for _ in range(pieces):
                begun = reactor.seconds()
                count.begun = min(count.begun, begun)
                await node.send_piece("onec-node-load.bin", content, 0, size)
                count.ended = reactor.seconds()
                count.latencies.append(count.ended - begun)
                count.bytes_sent += size
        finally:
            count.failures.append(STAYS)
            with suppress(CancelledError):  # a second Ctrl-C stops waiting for the site
                if await node.abandon():
                    count.failures.remove(STAYS)
    except NodeError as error:
        count.failures.append(error.words)
