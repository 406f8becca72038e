"""Figures of speed: large pieces, durability, small pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.goals import NGINX_TLS, OURS, TWISTED_TLS
from bench.loads import SMALL, Uploads
from bench.peers.aiohttp_server import Aiohttp
from bench.peers.django_gunicorn import DjangoGunicorn
from bench.peers.loops import CopyLoop, SpliceLoop
from bench.peers.nginx_dav import NginxDav
from bench.peers.onec import OnecExchange, OnecShards
from bench.peers.stock_twisted import StockTwisted
from bench.peers.tus_server import TusServer

if TYPE_CHECKING:
    from pathlib import Path

    from bench.contest import Contest
    from bench.peer import Peer, Server

__all__ = [
    "durability",
    "large",
    "large_over_tls",
    "resumable",
    "shards",
    "small_in_memory",
    "small_many",
    "small_on_disk",
    "small_over_tls",
]

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


OVER_TLS: tuple[Peer, ...] = (
    OnecExchange.over_tls(),
    Aiohttp("aiohttp over TLS", tls=True),
    StockTwisted(TWISTED_TLS, tls=True),
    NginxDav(NGINX_TLS, tls=True),
    OnecExchange.behind_nginx(),
)
"""Peers that take pieces of any size over TLS."""


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


def large_over_tls(contest: Contest) -> None:
    """Measure the same for 64 MB pieces over TLS, with 1 connection: the sender encrypts as much as the server."""
    with contest.servers("tls", (*OVER_TLS, TusServer("@tus/server behind nginx", nginx=True))) as servers:
        for number, server in contest.rounds("tls", servers):
            with contest.failing("tls", server.peer.name):
                _upload_large(contest, "tls", server, number, connections=1, pieces=contest.scale.large)


def _large(contest: Contest, figure: str, server: Server, number: int) -> None:
    """Let a server take 64 MB pieces on one connection, and on four."""
    scale = contest.scale
    for connections, pieces in ((1, scale.large), (4, scale.large_each)):
        with contest.failing(figure, server.peer.name):
            name = f"{figure}-{connections}"
            _upload_large(contest, name, server, number, connections=connections, pieces=pieces)


def _upload_large(
    contest: Contest, figure: str, server: Server, number: int, *, connections: int, pieces: int
) -> None:
    """Let a server take 64 MB pieces, and record its processor time and throughput."""
    timed = contest.upload(server, Uploads(contest.content, server.target, connections, pieces, LARGE))
    peer, size = server.peer.name, connections * pieces * LARGE
    contest.record(figure, peer, "cpu s/GB", number, timed.cpu / size * 1e9)
    contest.record(figure, peer, "throughput MB/s", number, size / timed.seconds / 1e6)


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
    """Measure the same with all files on tmpfs, against twisted.web as well."""
    _small_in_memory(contest, "small-memory", (OnecExchange(), Aiohttp(), StockTwisted()), 1, contest.scale.small)


def small_over_tls(contest: Contest) -> None:
    """Measure the same over TLS, on one connection that is kept: handshakes are not measured."""
    _small_in_memory(contest, "small-tls", OVER_TLS, 1, contest.scale.small)


def shards(contest: Contest) -> None:
    """Measure 50 KB pieces per second on 16 connections, with two daemons and with one, in memory and on one disk."""
    peers, pieces = (OnecShards(), OnecExchange()), contest.scale.shared_each
    _small_in_memory(contest, "shards-memory", peers, 16, pieces)
    _small(contest, "shards-disk", peers, 16, pieces, contest.folder)


def _small_in_memory(contest: Contest, figure: str, peers: tuple[Peer, ...], connections: int, pieces: int) -> None:
    if contest.memory is None:
        contest.missing["tmpfs"] = "there is no tmpfs at /dev/shm"
        return
    _small(contest, figure, peers, connections, pieces, contest.memory)


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
