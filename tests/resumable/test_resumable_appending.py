"""What one request brings of an upload, through either intake, in whatever order things happen."""

from __future__ import annotations

import errno
import random
from typing import TYPE_CHECKING, Any

import pytest
from in_memory import SESSION_QUOTA, flush_failures
from line import post
from rufh_in_memory import PARTIAL, RufhInMemory, all_heard
from tus_in_memory import TusInMemory, heard, metadata

from onec_twisted.ingest import checkpoints, writers
from onec_twisted.model.errors import InsufficientStorage, ShuttingDown
from onec_twisted.resumable import appending
from onec_twisted.testing import LateWorkers

if TYPE_CHECKING:
    from collections.abc import Callable

    from in_memory import InMemory
    from twisted.internet.task import Clock


def committed(tus: TusInMemory) -> list[int]:
    """Return the lengths of all files on record: asked of the database, which disturbs nobody."""
    rows = tus.exchange.catalog.recorder.database.read(
        lambda cursor: cursor.execute("SELECT committed FROM files").fetchall()
    )
    return [length for (length,) in rows]


@pytest.mark.parametrize("intake", ["auto", "buffered"])
@pytest.mark.parametrize("seed", range(10))
def test_any_way_that_bytes_come(make_tus: Callable[..., TusInMemory], intake: str, seed: int) -> None:
    """Cut, taken over, repeated: what was told is never taken back, and the file is what was sent."""
    chance = random.Random(seed)
    tus = make_tus(intake=intake, session_quota=500_000)
    content = chance.randbytes(400_000)
    path = tus.made(len(content), Upload_Metadata=metadata(filename="a"))
    told = 0
    while told < len(content):
        size = min(chance.randrange(1, 200_000), len(content) - told)
        sent = content[told : told + chance.randrange(size + 1)]
        line = tus.begin(path, told, size)
        for start in range(0, len(sent), 30_000):
            line.send(sent[start : start + 30_000])
        if not line.answered and chance.random() < 0.5:
            line.lose()
            tus.lines.remove(line)
        before, told = told, tus.offset(path) or 0
        assert told == before + len(sent)
        if sent:
            assert tus.patch(path, before, content[before : before + 1]).status == 409
    assert tus.stored() == {"a": content}
    assert [event for event, _, _ in tus.handoffs()] == ["upload"]


@pytest.mark.parametrize("intake", ["auto", "buffered"])
@pytest.mark.parametrize("seed", range(10))
def test_any_way_that_bytes_come_by_rufh(make_rufh: Callable[..., RufhInMemory], intake: str, seed: int) -> None:
    """The same; and nothing is handed off before its client says that it is all."""
    chance = random.Random(seed)
    rufh = make_rufh(intake=intake, session_quota=500_000)
    content = chance.randbytes(400_000)
    is_known = chance.random() < 0.5
    path = rufh.careful(
        Content_Disposition="inline; filename=a", **({"Upload_Length": str(len(content))} if is_known else {})
    )
    told = 0
    while told < len(content):
        rufh.version = chance.choice([6, 8, 9, None])
        size = min(chance.randrange(1, 200_000), len(content) - told)
        sent = content[told : told + chance.randrange(size + 1)]
        complete = "?1" if told + size == len(content) else "?0"
        headers = {"Upload_Offset": str(told), "Upload_Complete": complete, "Content_Type": PARTIAL}
        line = rufh.open()
        if chance.random() < 0.5:
            line.send(rufh.head("PATCH", path, size, **headers), sent)
        else:
            chunk = b"%x\r\n%s\r\n" % (len(sent), sent) if sent else b""
            line.send(rufh.head("PATCH", path, "chunked", **headers) + chunk)
        if not all_heard(line.answered)[-1:] or all_heard(line.answered)[-1].status < 200:
            line.lose()
            rufh.lines.remove(line)
        before, told = told, rufh.look(path).offset or 0
        assert told == before + len(sent)
        is_complete = rufh.look(path).headers["upload-complete"] == "?1"
        assert is_complete == bool(rufh.handoffs())
        if is_complete:
            break
        assert rufh.add(path, before + len(sent) + 1, b"x", "?0")[-1].status == 409
    answer = rufh.add(path, len(content), b"", "?1")[-1]
    assert (answer.status, answer.offset) == (200, len(content))
    assert rufh.stored() == {"a": content}
    assert len(rufh.handoffs()) == 1


def test_milestones(make_tus: Callable[..., TusInMemory], clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long request is put on record now and then: a crash takes no more than what came since."""
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SIZE", 100_000)
    tus = make_tus(session_quota=1_000_000)
    path = tus.made(500_000)
    line = tus.begin(path, 0, 500_000)
    seen = []
    for _ in range(7):
        line.send(b"x" * 65_536)
        seen += committed(tus)
    assert seen == sorted(seen)
    assert seen[-1] >= 300_000
    assert not line.answered
    line.send(b"x" * (500_000 - 7 * 65_536))
    assert heard(line.answered).offset == 500_000
    assert tus.exchange.metric("onec_accepted_bytes_total") == 500_000


def test_too_much_in_chunks_leaves_a_milestone(
    make_tus: Callable[..., TusInMemory], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And never all of it: the upload goes on from there, and is complete when it should be."""
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SIZE", 65_536)
    tus = make_tus(session_quota=1_000_000)
    path = tus.made(3 * 65_536)
    line = tus.begin(path, 0, "chunked")
    for _ in range(3):
        line.send(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
    assert committed(tus) == [2 * 65_536]
    answer = heard(line.send(b"1\r\nx\r\n0\r\n\r\n"))
    assert (answer.status, answer.offset) == (413, 2 * 65_536)
    assert tus.stored() == {"upload": b"x" * 2 * 65_536}
    assert tus.patch(path, 2 * 65_536, b"y" * 65_536).status == 204
    assert tus.stored() == {"upload": b"x" * 2 * 65_536 + b"y" * 65_536}


def test_a_disk_that_fills_up_between(make_tus: Callable[..., TusInMemory], monkeypatch: pytest.MonkeyPatch) -> None:
    """What it took is kept, to the byte that was told; what it took in part is cut off."""
    monkeypatch.setattr(writers, "RECORD_SPARE", 36)
    tus = make_tus(session_quota=1_000_000)
    path = tus.made(200_000)
    line = tus.begin(path, 0, 200_000, b"x" * 65_536)
    tus.exchange.store.on_write = InsufficientStorage()
    line.send(b"y" * 65_536)
    answer = heard(line.answered)
    assert (answer.status, answer.offset) == (507, 65_500)
    tus.exchange.store.on_write = None
    assert tus.stored() == {"upload": b"x" * 65_500}


def test_one_that_is_only_being_recorded_is_waited_for(make_tus: Callable[..., TusInMemory]) -> None:
    """A newer request cannot drop it any more; it hears the offset after it."""
    workers = LateWorkers()
    tus = make_tus(workers=workers, session_quota=1_000_000)
    path = tus.made(100_000)
    old = tus.begin(path, 0, 70_000, b"x" * 70_000)
    new = tus.open()
    new.send(tus.head("HEAD", path))
    assert (old.answered, new.answered) == (b"", b"")
    while workers.waiting:
        workers.run()
    assert heard(old.answered).offset == 70_000
    assert heard(new.answered).offset == 70_000


def test_one_that_waits_for_its_turn_is_refused(make_tus: Callable[..., TusInMemory]) -> None:
    """When a newer one has come meanwhile; its body came whole, and is not appended."""
    workers = LateWorkers()
    tus = make_tus(workers=workers)
    path = tus.made(9)
    first = tus.begin(path, 0, 3, b"abc")
    second = tus.begin(path, 0, 3, b"abc")
    third = tus.begin(path, 3, 3, b"def")
    for _ in range(20):
        workers.run()
    assert heard(first.answered).offset == 3
    assert heard(second.answered).status == 409
    assert heard(third.answered).offset == 6
    assert tus.stored() == {"upload": b"abcdef"}


def test_a_node_that_does_not_let_go(make_tus: Callable[..., TusInMemory], clock: Clock) -> None:
    """Then the upload is locked, for now; the node's piece is not harmed."""
    tus = make_tus()
    session = tus.exchange.checkauth()
    tus.cookie = session[0]
    path = tus.made(9, Upload_Metadata=metadata(filename="a"))
    node = tus.open()
    node.send(post(session, "a", b"x" * 100)[:-50])
    line = tus.begin(path, 0, 3, b"abc")
    for _ in range(31):
        clock.advance(1)
        node.send(b"x")
    answer = heard(line.answered)
    assert (answer.status, answer.offset) == (423, 0)
    assert answer.headers["retry-after"] == "5"
    node.send(b"x" * 19)
    assert heard(node.answered).body == b"success"


def test_the_quota_has_the_last_word(make_tus: Callable[..., TusInMemory]) -> None:
    """What a node has brought meanwhile counts."""
    tus = make_tus()
    session = tus.exchange.checkauth()
    tus.cookie = session[0]
    path = tus.made(SESSION_QUOTA, Upload_Metadata=metadata(filename="a"))
    assert heard(tus.open().send(post(session, "b", b"x" * 5000))).body == b"success"
    answer = tus.patch(path, 0, b"x" * SESSION_QUOTA)
    assert (answer.status, answer.offset) == (507, 0)
    assert tus.patch(path, 0, b"x" * (SESSION_QUOTA - 5000)).status == 204


def test_what_the_log_says(tus: TusInMemory, nothing_left_behind: list[dict[str, Any]]) -> None:
    """Who, which file, how much, and why not more; never a password."""
    path = tus.made(6, Upload_Metadata=metadata(filename="a"))
    tus.patch(path, 0, b"abc")
    line = tus.begin(path, 3, 3, b"d")
    line.lose()
    tus.lines.remove(line)
    tus.patch(path, 4, b"ef")
    tus.request("DELETE", path)
    said = [event["log_format"] for event in nothing_left_behind if "log_format" in event]
    for words in ("created by", "bytes stored in", "broke off after", "completed with", "terminated"):
        assert any(words in one for one in said), words
    (broken,) = [event for event in nothing_left_behind if "broke off" in event.get("log_format", "")]
    assert (broken["received"], broken["kept"], broken["reason"]) == (1, 1, "ConnectionDropped")
    assert "secret" not in str(
        [{k: v for k, v in event.items() if k != "log_source"} for event in nothing_left_behind]
    )


def failing(exchange: InMemory, name: str, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a call of the store fail from now on."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(type(exchange.store), name, fail)


def test_a_disk_that_fails_leaves_nothing_behind_the_record(
    make_tus: Callable[..., TusInMemory], nothing_left_behind: list[dict[str, Any]]
) -> None:
    """Whatever it says: the site may read the file as it lies."""
    tus = make_tus(session_quota=1_000_000)
    path = tus.made(200_000)
    line = tus.begin(path, 0, 200_000, b"x" * 65_536)
    tus.exchange.store.on_write = OSError(errno.EIO, "Input/output error")
    line.send(b"y" * 65_536)
    assert heard(line.answered).status == 500
    tus.exchange.store.on_write = None
    assert tus.stored() == {"upload": b"x" * 65_536}
    assert tus.offset(path) == 65_536
    assert [type(failure) for failure in flush_failures(nothing_left_behind)] == [OSError]


def test_a_disk_that_is_full_at_the_last_bytes(
    make_tus: Callable[..., TusInMemory], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those before them are kept, though all of the body has come."""
    monkeypatch.setattr(writers, "RECORD_SPARE", 36)
    tus = make_tus(session_quota=1_000_000)
    path = tus.made(200_000)
    line = tus.begin(path, 0, 70_000, b"x" * 65_536)
    tus.exchange.store.on_write = InsufficientStorage()
    answer = heard(line.send(b"y" * (70_000 - 65_536)))
    assert (answer.status, answer.offset) == (507, 65_500)
    tus.exchange.store.on_write = None
    assert tus.stored() == {"upload": b"x" * 65_500}
    assert tus.patch(path, 65_500, b"z").offset == 65_501


def test_a_disk_that_is_full_while_the_last_bytes_wait(
    make_tus: Callable[..., TusInMemory], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it took is kept: a worker finds it full when all of the body has come."""
    monkeypatch.setattr(writers, "RECORD_SPARE", 36)
    workers = LateWorkers()
    tus = make_tus(workers=workers, session_quota=1_000_000, intake="buffered")
    path = tus.made(200_000)
    line = tus.begin(path, 0, 200_000, b"x" * 65_536)
    workers.run()
    line.send(b"y" * 65_536)
    line.send(b"z" * (200_000 - 2 * 65_536))
    tus.exchange.store.on_write = InsufficientStorage()
    workers.run()
    tus.exchange.store.on_write = None
    while workers.waiting:
        workers.run()
    answer = heard(line.answered)
    assert (answer.status, answer.offset) == (507, 65_500)
    assert tus.stored() == {"upload": b"x" * 65_500}


def test_a_body_in_chunks_that_meets_the_end_of_the_room(make_tus: Callable[..., TusInMemory]) -> None:
    """What came before that is kept: it is not too large for the upload."""
    tus = make_tus(session_quota=1_000_000)
    tus.exchange.store.free_bytes = 151_000
    path = tus.made(150_000)
    tus.exchange.store.free_bytes = 101_000
    tus.exchange.parts.ingest.space.seconds = lambda: 1e9
    line = tus.begin(path, 0, "chunked")
    for _ in range(3):
        line.send(b"ea60\r\n" + b"x" * 60_000 + b"\r\n")
    answer = heard(line.answered)
    assert (answer.status, answer.offset) == (507, 60_000)
    assert tus.stored() == {"upload": b"x" * 60_000}


def test_a_body_of_unknown_length_does_not_take_all_the_room(
    make_tus: Callable[..., TusInMemory], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others go on beside it."""
    monkeypatch.setattr(appending, "CHECKPOINT_SIZE", 10_000)
    tus = make_tus(session_quota=1_000_000)
    path = tus.made(None)
    line = tus.begin(path, 0, "chunked", b"1\r\nx\r\n")
    assert tus.patch(tus.made(10), 0, b"x" * 10).status == 204
    assert heard(line.send(b"0\r\n\r\n")).offset == 1


def test_a_slow_body_is_put_on_record_as_it_comes(make_tus: Callable[..., TusInMemory], clock: Clock) -> None:
    """Not only when enough has come to be worth a hop."""
    tus = make_tus()
    path = tus.made(1000)
    line = tus.begin(path, 0, 1000, b"x")
    for _ in range(6):
        clock.advance(1)
        line.send(b"x")
    assert committed(tus) == [6]


def test_each_upload_hears_its_own_offset_at_the_end(make_tus: Callable[..., TusInMemory]) -> None:
    """When the daemon drops them all."""
    tus = make_tus()
    lines = []
    for size in (1, 2, 3):
        path = tus.made(10)
        lines.append(tus.begin(path, 0, 10, b"x" * size))
    tus.exchange.parts.locks.close()
    tus.exchange.parts.locks.drop_all(ShuttingDown)
    assert [heard(line.answered).offset for line in lines] == [1, 2, 3]
    assert all(line.answered.count(b"Upload-Offset") == 1 for line in lines)
