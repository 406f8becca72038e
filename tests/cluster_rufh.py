"""Clients of RUFH that upload at any of several daemons, and go on where they are told to."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from attrs import define, field
from cluster_nodes import NODE_PATIENCE, NOT_DONE, Sender
from daemon import PATIENCE
from rufh_wire import FILES, Client, Heard, append, named, sha256_field
from trade import ExchangeFailed

if TYPE_CHECKING:
    from onec_twisted.cluster.postgresql import PostgreSQL

LARGE = 45_000_000
"""Bytes of some appends: more than comes between two records of a body that is on its way."""


def handed_off(database: PostgreSQL) -> Counter[str]:
    """Return how often each of the files of these clients is on record as handed off."""

    def read(connection: Any) -> list[str]:
        rows = connection.execute("SELECT filename FROM handoffs WHERE filename LIKE 'rufh%'").fetchall()
        return [name for (name,) in rows]

    return Counter(database.using(read))


@define(eq=False)
class RufhNode(Sender):
    """A client of RUFH that uploads files, each request to any of the ports; no offset is ever taken back."""

    sent: dict[str, bytes] = field(factory=dict)
    """SHA-256 of each upload that is complete, by its id."""
    names: list[str] = field(factory=list)
    """Their names, each of which is one upload's."""
    name: str = ""
    path: str = ""
    told: int = 0
    """The largest offset that it was told of its upload."""

    __hash__ = threading.Thread.__hash__

    def send(self) -> None:
        """Upload files."""
        while not self.over.is_set():
            self.name = f"rufh{len(self.sent)}.bin"
            size = LARGE if self.chance.random() < 0.02 else self.chance.randrange(1, 2_000_000)
            self.upload(self.chance.randbytes(size))

    def ask(self, method: str, path: str, body: bytes | None, **headers: str) -> Heard:
        """Send a request; return a 2xx, raise one of ``NOT_DONE`` for what is to be tried again."""
        client = Client(self.chance.choice(self.ports()), self.chance.choice((6, 8, 9)), patience=NODE_PATIENCE)
        talk = client.ask(method, path, body, **headers)
        answer = talk.hear()
        assert answer.status not in (404, 410), f"{method} {path}: {answer.status}"
        if path == self.path:
            self.told = max([self.told, *(one.offset or 0 for one in talk.heard)])
        if answer.status >= 300:
            raise ExchangeFailed(f"HTTP {answer.status}: {method} {path}")
        return answer

    def look(self) -> Heard:
        """Ask how far the upload is: never less than was told."""
        told = self.told
        answer = self.insist(lambda: self.ask("HEAD", self.path, None))
        assert answer.offset is not None
        assert answer.offset >= told, f"{self.path}: {answer.offset} instead of {told}"
        return answer

    def upload(self, data: bytes) -> None:
        """Upload a file in a few requests, and ask for the final answer again."""
        self.path, self.told = "", 0
        headers = {**named(self.name), "Upload_Complete": "?0"}
        if len(data) < LARGE:
            headers["Repr_Digest"] = sha256_field(data)
        made = self.insist(lambda: self.ask("POST", FILES, b"", **headers))
        self.path, now, deadline = made.path, made, time.monotonic() + 2 * PATIENCE
        while now.complete == "?0":
            assert time.monotonic() < deadline, f"{self.path} stays at {now}"
            offset = now.offset or 0
            most = LARGE if len(data) == LARGE else 800_000
            end = min(len(data), offset + self.chance.randrange(1, most))
            told = append(offset, "?1" if end == len(data) else "?0")
            try:
                now = self.ask("PATCH", self.path, data[offset:end], **told)
            except NOT_DONE:
                self.note_repeat()
                now = self.look()
        again = [self.insist(lambda: self.ask("PATCH", self.path, b"", **append(len(data), "?1"))) for _ in range(2)]
        assert {(one.status, one.complete, one.offset) for one in again} == {(200, "?1", len(data))}
        assert len({one.body for one in (*again, *([now] if now.body else []))}) == 1
        self.sent[self.path.rpartition("/")[2]] = hashlib.sha256(data).digest()
        self.names.append(self.name)
