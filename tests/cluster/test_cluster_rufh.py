"""Uploads by RUFH that go on at another daemon than they began at: real daemons, which are killed."""

from __future__ import annotations

import hashlib
import random
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define
from cluster_nodes import Cluster, Daemon, Shared, running, uploaded
from daemon import PATIENCE
from front import wait_until
from rufh_wire import FILES, Client, Heard, Talk, append, chunked, named, sha256_field

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.process

MB = 2**20
LARGE = random.Random(1).randbytes(80 * MB)
"""More than comes between two records of a body that is on its way."""

BODY = LARGE[: 3 * MB]
FOR_NOW = frozenset({500, 502, 503, 504})
"""Statuses after which a client asks again: a daemon on a busy machine may think that it was away."""


@define(eq=False)
class Pair:
    """Two daemons, and what they share."""

    daemons: list[Daemon]
    cluster: Cluster

    def client(self, number: int, version: int = 9) -> Client:
        """Return a client of one of them."""
        return Client(self.daemons[number].port, version)

    def look(self, number: int, path: str) -> Heard:
        """Ask one of them how far an upload is, until it says so."""
        found: list[Heard] = []

        def asks() -> bool:
            found.append(self.client(number).look(path))
            return found[-1].status not in FOR_NOW

        wait_until(asks, lambda: str(found))
        assert found[-1].status == 204, found
        return found[-1]

    def finish(self, number: int, path: str, body: bytes, whole: int, is_chunked: bool = False) -> Heard:
        """Append the end, at one of them; ask how far that came while it is not done. Return the final answer."""
        for _ in range(10):
            offset = self.look(number, path).offset
            assert offset is not None
            rest = body[len(body) - (whole - offset) :] if offset < whole else b""
            with suppress(OSError):
                answer = self._append(number, path, offset, rest, is_chunked)
                if answer.status not in FOR_NOW:
                    return answer
        raise AssertionError(f"{path} does not end")

    def _append(self, number: int, path: str, offset: int, rest: bytes, is_chunked: bool) -> Heard:
        client = self.client(number)
        if not is_chunked:
            return client.add(path, offset, rest, "?1").hear()
        talk = client.open()
        with closing(talk.line):
            talk.send(client.head("PATCH", path, "chunked", **append(offset, "?1")) + chunked(rest))
            return talk.hear()

    def handoffs(self) -> list[tuple[str, str]]:
        """Return event and file of each hand-off, once all are delivered."""
        self.cluster.wait(0)

        def read(connection: Any) -> list[tuple[str, str]]:
            rows = connection.execute("SELECT event, filename FROM handoffs ORDER BY number").fetchall()
            return [tuple(row) for row in rows]

        found: list[tuple[str, str]] = self.cluster.database.using(read)
        return found

    def claim(self, path: str) -> int:
        """Return how many requests for an upload have counted as the newest."""

        def read(connection: Any) -> int:
            (row,) = connection.execute("SELECT claim FROM uploads WHERE id = %s", (path.rpartition("/")[2],))
            return int(row[0])

        claim: int = self.cluster.database.using(read)
        return claim

    def check(self, path: str, body: bytes, name: str) -> None:
        """See that an upload is what was sent, and was handed off once."""
        assert uploaded(self.cluster, path.rpartition("/")[2]) == hashlib.sha256(body).digest()
        assert self.handoffs() == [("upload", name)]


@pytest.fixture
def pair(tmp_path: Path, shared: Shared, cluster: Cluster) -> Iterator[Pair]:
    """Two daemons that run."""
    with running([Daemon(tmp_path / f"daemon{number}", shared) for number in range(2)]) as daemons:
        yield Pair(daemons, cluster)


def begun(client: Client, path: str, offset: int, size: int, body: bytes, complete: str = "?1") -> Talk:
    """Begin to append; the connection stays open."""
    talk = client.open()
    talk.line.sendall(client.head("PATCH", path, size, **append(offset, complete)) + body)
    return talk


@pytest.mark.parametrize("is_chunked", [False, True])
def test_it_begins_at_one_and_ends_at_the_other(pair: Pair, is_chunked: bool) -> None:
    """The digest is verified there, over the parts that either took; each gives the final answer again."""
    first = pair.client(0, 6).post(BODY[:MB], "?0", Repr_Digest=sha256_field(BODY), **named("a.bin")).hear()
    assert (first.status, first.offset) == (201, MB)
    second = pair.client(1, 8).add(first.path, MB, BODY[MB : 2 * MB], "?0").hear()
    assert (second.status, second.offset) == (204, 2 * MB)
    final = pair.finish(1, first.path, BODY, len(BODY), is_chunked)

    assert (final.status, final.complete, final.offset) == (200, "?1", len(BODY))
    for number in range(2):
        again = pair.client(number).add(first.path, len(BODY), b"", "?1").hear()
        assert (again.status, again.complete, again.body) == (200, "?1", final.body)
    pair.check(first.path, BODY, "a.bin")


def test_the_digest_is_that_of_another_file(pair: Pair) -> None:
    """Whoever verifies it: the answer is final, nothing is handed off, and the upload is gone at both."""
    first = pair.client(0).post(BODY[:MB], "?0", Repr_Digest=sha256_field(BODY + b"x"), **named("a.bin")).hear()
    final = pair.finish(1, first.path, BODY, len(BODY))

    assert (final.status, final.complete) == (400, "?1")
    for number in range(2):
        assert pair.client(number).look(first.path).status in (404, 410)
    assert pair.handoffs() == []


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_the_first_is_killed(pair: Pair, method: str) -> None:
    """In the middle of a long body: the other has all that was told, and ends it; the first knows when it is back."""
    client, headers = pair.client(0), {"Repr_Digest": sha256_field(LARGE), **named("large.bin")}
    if method == "POST":
        talk = client.open()
        talk.line.sendall(client.head("POST", FILES, len(LARGE), Upload_Complete="?1", **headers))
        path = talk.hear_interim().path
    else:
        path = client.post(b"", "?0", **headers).hear().path
        talk = begun(client, path, 0, len(LARGE), b"")
    with closing(talk.line):
        place = 0
        while not (told := max((one.offset or 0 for one in talk.interim), default=0)):
            talk.send(LARGE[place : place + MB])
            place += MB
            assert place < len(LARGE), "nothing was told"
        pair.daemons[0].kill()
    now = pair.look(1, path)
    assert now.offset is not None
    assert told <= now.offset <= place
    assert now.complete == "?0"
    final = pair.finish(1, path, LARGE, len(LARGE))
    assert (final.status, final.complete) == (200, "?1")
    pair.daemons[0].start()
    again = pair.client(0).add(path, len(LARGE), b"", "?1").hear()

    assert (again.status, again.body) == (200, final.body)
    pair.check(path, LARGE, "large.bin")


@pytest.mark.parametrize(("old", "newer"), [(0, "HEAD"), (1, "PATCH")])
def test_the_newest_request_wins(pair: Pair, old: int, newer: str) -> None:
    """At either daemon: what the older one still sends is not kept, and its sender gets no success."""
    new = 1 - old
    path = pair.client(old).post(BODY[:MB], "?0", **named("a.bin")).hear().path
    before = pair.claim(path)
    talk = begun(pair.client(old), path, MB, len(BODY) - MB, BODY[MB : 2 * MB])
    wait_until(lambda: pair.claim(path) > before)
    with closing(talk.line):
        if newer == "HEAD":
            offset = pair.look(new, path).offset
            assert offset == MB
        else:
            added = pair.client(new).add(path, MB, b"y" * 10, "?0").hear()
            assert (added.status, added.offset) == (204, MB + 10)
            offset = MB + 10
        answer: Heard | None = None
        with suppress(OSError):
            talk.line.sendall(BODY[2 * MB :])
            talk.line.settimeout(PATIENCE)
            answer = talk.hear()
        assert answer is None or (answer.status >= 400 and answer.complete != "?1"), answer
        assert answer is None or answer.offset in (None, offset)
    assert pair.look(old, path).offset == offset
    assert pair.handoffs() == []
    expected = BODY[:MB] + b"y" * (offset - MB) + BODY[offset:]
    final = pair.finish(old, path, expected, len(expected))
    assert (final.status, final.complete) == (200, "?1")
    pair.check(path, expected, "a.bin")
