"""What is on record of uploads is delivered; one that cannot be made leaves nothing behind."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest
from in_memory import TUS_PATH, flush_failures
from line import post
from tus_in_memory import CHUNK, TusInMemory, heard, metadata
from twisted.logger import LogLevel

from onec_twisted.catalog.database import Database
from onec_twisted.model.errors import ShuttingDown, SyncFailed
from onec_twisted.testing import FakeImporter, FaultyStore, LateWorkers

if TYPE_CHECKING:
    from collections.abc import Callable

    from in_memory import InMemory

    from onec_twisted.model.names import SafeName


def failing(exchange: InMemory, name: str, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a call of the store fail from now on."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(type(exchange.store), name, fail)


def test_bytes_that_are_synced_when_they_are_handed_off(
    make_tus: Callable[..., TusInMemory], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --durability=handoff the file, and no other, is brought to the disk before the hand-off is on record."""
    tus = make_tus(durability="handoff")
    path = tus.made(6, Upload_Metadata=metadata(filename="a"))
    synced: list[list[tuple[str, str, str]]] = []
    real = FaultyStore.sync

    def sync(store: FaultyStore, sessid: str, name: SafeName) -> None:
        synced.append(tus.handoffs())
        assert str(name) == "a"
        real(store, sessid, name)

    monkeypatch.setattr(FaultyStore, "sync", sync)
    tus.patch(path, 0, b"abc")
    assert synced == []
    tus.patch(path, 3, b"def")
    assert synced == [[]]
    assert tus.handoffs() == [("upload", "a", "succeeded")]


def test_a_sync_that_fails_at_the_end_is_damage(
    make_tus: Callable[..., TusInMemory],
    monkeypatch: pytest.MonkeyPatch,
    nothing_left_behind: list[dict[str, Any]],
) -> None:
    """With --durability=handoff: the system tells it once, so nobody may try again and believe it."""
    tus = make_tus(durability="handoff")
    path = tus.made(3)
    with monkeypatch.context() as patch:
        failing(tus.exchange, "sync", SyncFailed(errno.EIO, "Input/output error"), patch)
        assert tus.patch(path, 0, b"ab").status == 204
        assert tus.patch(path, 2, b"c").status == 500
    assert tus.patch(path, 2, b"c").status == 410
    assert tus.handoffs() == []
    assert len(flush_failures(nothing_left_behind)) == 1


@pytest.mark.parametrize("whole", [False, True])
def test_a_sync_that_fails_at_the_end_damages_all_of_the_session(
    make_tus: Callable[..., TusInMemory],
    monkeypatch: pytest.MonkeyPatch,
    nothing_left_behind: list[dict[str, Any]],
    whole: bool,
) -> None:
    """A node's file as well, of which the system may have dropped any; also when nothing was still to come."""
    tus = make_tus(durability="handoff")
    session = tus.exchange.checkauth()
    tus.cookie = session[0]
    tus.open().send(post(session, "node.xml", b"abc"))
    with monkeypatch.context() as patch:
        failing(tus.exchange, "sync", SyncFailed(errno.EIO, "Input/output error"), patch)
        if whole:
            assert tus.create(3, Upload_Metadata=metadata(filename="node.xml")).status == 500
        else:
            path = tus.made(3, Upload_Metadata=metadata(filename="a"))
            assert tus.patch(path, 0, b"abc").status == 500
    query = f"type=catalog&mode=import&filename=node.xml&sessid={session[1]}"
    assert tus.exchange.request("GET", query, Cookie=session[0]).body == b"failure\nFile damaged"
    assert tus.handoffs() == []
    assert len(flush_failures(nothing_left_behind)) == 1
    said = [event["log_format"] for event in nothing_left_behind if event["log_level"] is LogLevel.critical]
    assert len(said) == 1
    assert "could not be synced to the disk" in said[0]


def test_what_is_on_record_is_delivered_whatever_follows(
    make_tus: Callable[..., TusInMemory],
    monkeypatch: pytest.MonkeyPatch,
    nothing_left_behind: list[dict[str, Any]],
) -> None:
    """Nobody asks for it again."""
    tus = make_tus(durability="handoff")
    path = tus.made(1)

    def fail(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Database, "sync", fail)
    assert tus.patch(path, 0, b"a").status == 500
    assert tus.handoffs() == [("upload", "upload", "succeeded")]
    assert len(flush_failures(nothing_left_behind)) == 1


def test_a_creation_that_fails_takes_no_piece_with_it(make_tus: Callable[..., TusInMemory]) -> None:
    """A node's piece that waits for the file's turn finds it as it was before the upload."""
    workers = LateWorkers()
    tus = make_tus(workers=workers)
    session = tus.exchange.checkauth()
    tus.cookie = session[0]
    told = {"Upload_Length": "9", "Content_Type": CHUNK, "Upload_Metadata": metadata(filename="a")}
    line = tus.open()
    line.send(tus.head("POST", TUS_PATH, 6, **told) + b"abc")
    workers.run()
    node = tus.open()
    node.send(post(session, "a", b"piece"))
    line.lose()
    tus.lines.remove(line)
    while workers.waiting:
        workers.run()
    assert heard(node.answered).body == b"success"
    assert tus.stored() == {"a": b"piece"}


@pytest.mark.parametrize("busy", ["delivering", "closing"])
def test_a_creation_that_fails_does_not_block_the_name(make_tus: Callable[..., TusInMemory], busy: str) -> None:
    """Though something else of the session is being delivered, or the daemon is about to end."""
    importer = FakeImporter(patient=True)
    tus = make_tus(importer=importer)
    session = tus.exchange.checkauth()
    tus.cookie = session[0]
    if busy == "delivering":
        tus.patch(tus.made(1, Upload_Metadata=metadata(filename="other")), 0, b"x")
        assert len(importer.running) == 1
    told = {"Upload_Length": "9", "Content_Type": CHUNK, "Upload_Metadata": metadata(filename="a")}
    line = tus.open()
    line.send(tus.head("POST", TUS_PATH, 6, **told) + b"abc")
    if busy == "closing":
        tus.exchange.parts.locks.close()
        tus.exchange.parts.locks.drop_all(ShuttingDown)
        assert heard(line.answered).status == 503
        tus.exchange.parts.locks.closed = False
    else:
        line.lose()
        tus.lines.remove(line)
    assert "a" not in tus.stored()
    assert tus.create(9, Upload_Metadata=metadata(filename="a")).status == 201
