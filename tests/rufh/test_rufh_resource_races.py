"""What happens at the same time: milestones, nodes of the same session, clients without patience."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from line import post
from rufh_in_memory import PARTIAL, RufhInMemory, all_heard

from onec_twisted.ingest import checkpoints
from onec_twisted.resumable import appending
from onec_twisted.testing import LateWorkers

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from line import Line
    from tus_in_memory import Heard

NAMED = {"Content_Disposition": "attachment; filename=a.xml"}


def chunk(data: bytes) -> bytes:
    """Return a chunk of a body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def begin(rufh: RufhInMemory, path: str, length: int | str, offset: int = 0, body: bytes = b"") -> Line:
    """Begin the last append of an upload."""
    line = rufh.open()
    told = {"Upload_Offset": str(offset), "Upload_Complete": "?1", "Content_Type": PARTIAL}
    line.send(rufh.head("PATCH", path, length, **told) + body)
    return line


def last_state(line: Line) -> tuple[int, str | None, int | None]:
    """Return status, ``Upload-Complete`` and ``Upload-Offset`` of the last answer."""
    answer: Heard = all_heard(line.answered)[-1]
    return answer.status, answer.headers.get("upload-complete"), answer.offset


def make_digests_wait(monkeypatch: pytest.MonkeyPatch) -> LateWorkers:
    """Let digests of whole files wait for the test."""
    late, real = LateWorkers(), appending.Chunk._digest_on_record

    async def slow(chunk: appending.Chunk, algorithm: str) -> bytes:
        object.__setattr__(chunk.chunks, "errands", late)
        return await real(chunk, algorithm)

    monkeypatch.setattr(appending.Chunk, "_digest_on_record", slow)
    return late


def test_the_end_comes_while_a_milestone_is_recorded(
    make_rufh: Callable[..., RufhInMemory], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of the body waits for the milestone, which completes nothing: one hand-off, and the final answer."""
    rufh = make_rufh(session_quota=900_000)
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SIZE", 100_000)
    path = rufh.careful(**NAMED)
    line = begin(rufh, path, "chunked")
    recorder, late = rufh.exchange.catalog.recorder, LateWorkers()
    real, recorder._workers = recorder._workers, late
    line.send(chunk(b"x" * 100_000))
    assert late.waiting
    line.send(b"0\r\n\r\n")
    while late.waiting:
        late.run()
    recorder._workers = real
    assert last_state(line) == (200, "?1", 100_000)
    assert len(rufh.handoffs()) == 1


def test_the_end_of_one_that_was_taken_over(rufh: RufhInMemory) -> None:
    """It comes while what it has brought is recorded: the newer request goes on, and completes the upload."""
    path = rufh.careful(**NAMED)
    older = begin(rufh, path, "chunked", body=chunk(b"hello"))
    recorder, late = rufh.exchange.catalog.recorder, LateWorkers()
    real = recorder._workers

    class LateRecords(LateWorkers):
        """Records wait for the test, questions do not."""

        def __call__(self, function: Any, *args: Any) -> Any:
            return (late if function.__name__ == "_make_and_record" else real)(function, *args)

    recorder._workers = LateRecords()
    newer = begin(rufh, path, 6, 5, b" world")
    assert late.waiting
    older.send(b"0\r\n\r\n")
    while late.waiting:
        late.run()
    recorder._workers = real
    assert last_state(newer) == (200, "?1", 11)
    assert rufh.stored() == {"a.xml": b"hello world"}
    assert len(rufh.handoffs()) == 1


def test_asking_does_not_stop_a_verification(rufh: RufhInMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """All bytes are here: a client that gives up and asks again and again still gets there."""
    late = make_digests_wait(monkeypatch)
    digest = f"sha-256=:{b64encode(hashlib.sha256(b'hello').digest()).decode()}:"
    path = rufh.careful(Repr_Digest=digest, **NAMED)
    for offset, body in ((0, b"hello"), (5, b""), (5, b"")):
        line = begin(rufh, path, len(body), offset, body)
        line.lose()
        rufh.lines.remove(line)
        rufh.open().send(rufh.head("HEAD", path))
        late.run()
        late.run()
    assert rufh.handoffs() == [("upload", "a.xml", "succeeded")]


def test_who_was_taken_over_by_a_cancellation(rufh: RufhInMemory) -> None:
    """Hears how far it was, and then that there is nothing to go on with."""
    path = rufh.careful(**NAMED)
    line = begin(rufh, path, 5, body=b"he")
    assert rufh.request("DELETE", path).status == 204
    assert last_state(line) == (409, "?0", 2)
    assert last_state(begin(rufh, path, 3, 2, b"llo")) == (410, "?0", None)


def test_the_end_again_in_chunks(rufh: RufhInMemory) -> None:
    """A client that streams sends no length: the final answer comes again all the same, but for no further byte."""
    path = rufh.careful(**NAMED)
    rufh.add(path, 0, b"hello", "?1")
    assert last_state(begin(rufh, path, "chunked", 5, b"0\r\n\r\n")) == (200, "?1", 5)
    assert last_state(begin(rufh, path, "chunked", 5, chunk(b"x") + b"0\r\n\r\n"))[:2] == (400, "?0")
    assert rufh.stored() == {"a.xml": b"hello"}


def test_an_import_meanwhile(rufh: RufhInMemory) -> None:
    """A node of the same session is told to come again: nothing is imported before its client says that it is all."""
    cookie, sessid = rufh.exchange.checkauth()
    rufh.cookie = cookie
    path = rufh.careful(Upload_Length="5", **NAMED)
    rufh.add(path, 0, b"<a/>\n", "?0")
    query = f"type=catalog&mode=import&filename=a.xml&sessid={sessid}"
    assert rufh.exchange.request("GET", query, Cookie=cookie).status == 503
    assert rufh.handoffs() == []
    assert last_state(begin(rufh, path, 0, 5)) == (200, "?1", 5)
    assert rufh.exchange.request("GET", query, Cookie=cookie).body == b"success"


def test_a_node_that_writes_the_same_file(rufh: RufhInMemory) -> None:
    """Ends the upload: what would come of both is nobody's file."""
    session = rufh.exchange.checkauth()
    rufh.cookie = session[0]
    path = rufh.careful(**NAMED)
    rufh.add(path, 0, b"he", "?0")
    rufh.open().send(post(session, "a.xml", b"node"))
    assert rufh.look(path).status == 410
    assert rufh.add(path, 6, b"llo", "?1")[-1].status == 410
    assert [event for event, _, _ in rufh.handoffs()] == []
