"""Figures of speed: large pieces, durability, small pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.goals import OURS
from bench.loads import SMALL, Uploads
from bench.peers.aiohttp_server import Aiohttp
from bench.peers.django_gunicorn import DjangoGunicorn
from bench.peers.loops import CopyLoop, SpliceLoop
from bench.peers.nginx_dav import NginxDav
from bench.peers.onec import OnecExchange
from bench.peers.stock_twisted import StockTwisted
from bench.peers.tus_server import TusServer

if TYPE_CHECKING:
    from pathlib import Path

    from bench.contest import Contest
    from bench.peer import Peer, Server

__all__ = ["durability", "large", "resumable", "small_in_memory", "small_many", "small_on_disk"]

LARGE = 64_000_000
"""Bytes of a large piece."""

PEERS: tuple[Peer, ...] = (
    OnecExchange(),
    NginxDav(),
    Aiohttp(),
    StockTwisted(),
    DjangoGunicorn(),
    TusServer(),
    CopyLoop(),
    SpliceLoop(),
)


def large(contest: Contest) -> None:
    """Measure processor time per GB and throughput of all peers, for 64 MB pieces, with 1 and 4 connections."""
    with contest.servers("large", PEERS) as servers:
        for number, server in contest.rounds("large", servers):
            _large(contest, "large", server, number)


def resumable(contest: Contest) -> None:
    """Measure processor time per GB and throughput of 64 MB uploads by tus, with 1 and 4 connections."""
    peers = (OnecExchange(f"{OURS} by tus", tus=True), TusServer())
    with contest.servers("tus", peers) as servers:
        for number, server in contest.rounds("tus", servers):
            _large(contest, "tus", server, number)


def _large(contest: Contest, figure: str, server: Server, number: int) -> None:
    """Let a server take 64 MB pieces on one connection, and on four."""
    scale = contest.scale
    for connections, pieces in ((1, scale.large), (4, scale.large_each)):
        with contest.failing(figure, server.peer.name):
            uploads = Uploads(contest.content, server.target, connections, pieces, LARGE)
            timed = contest.upload(server, uploads)
            peer, size = server.peer.name, connections * pieces * LARGE
            contest.record(f"{figure}-{connections}", peer, "cpu s/GB", number, timed.cpu / size * 1e9)
            contest.record(f"{figure}-{connections}", peer, "throughput MB/s", number, size / timed.seconds / 1e6)


def durability(contest: Contest) -> None:
    """Measure the throughput of 64 MB pieces with and without syncs, on one connection."""
    peers = (OnecExchange.syncing(), OnecExchange.not_syncing())
    with contest.servers("durability", peers) as servers:
        for number, server in contest.rounds("durability", servers):
            with contest.failing("durability", server.peer.name):
                pieces = contest.scale.synced
                timed = contest.upload(server, Uploads(contest.content, server.target, 1, pieces, LARGE))
                rate = pieces * LARGE / timed.seconds / 1e6
                contest.record("durability", server.peer.name, "throughput MB/s", number, rate)


def small_on_disk(contest: Contest) -> None:
    """Measure 50 KB pieces per second on one connection, without syncs, against aiohttp."""
    _small(contest, "small-disk", (OnecExchange(), Aiohttp()), 1, contest.scale.small, contest.folder)


def small_in_memory(contest: Contest) -> None:
    """Measure the same with all files on tmpfs."""
    if contest.memory is None:
        contest.missing["tmpfs"] = "there is no tmpfs at /dev/shm"
        return
    _small(contest, "small-memory", (OnecExchange(), Aiohttp()), 1, contest.scale.small, contest.memory)


def small_many(contest: Contest) -> None:
    """Measure 50 KB pieces per second on 8 connections, with and without syncs."""
    peers = (OnecExchange.syncing(), OnecExchange.not_syncing())
    _small(contest, "small-many", peers, 8, contest.scale.small_each, contest.folder)


def _small(
    contest: Contest, figure: str, peers: tuple[Peer, ...], connections: int, pieces: int, folder: Path
) -> None:
    with contest.servers(figure, peers, folder) as servers:
        for number, server in contest.rounds(figure, servers):
            with contest.failing(figure, server.peer.name):
                uploads = Uploads(contest.content, server.target, connections, pieces, SMALL)
                timed = contest.upload(server, uploads)
                count = connections * pieces
                contest.record(figure, server.peer.name, "rate pieces/s", number, count / timed.seconds)
                contest.record(figure, server.peer.name, "cpu ms/piece", number, timed.cpu / count * 1e3)
