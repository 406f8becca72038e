"""Real daemons that share a database and a bucket, nodes that go on at any of them, and faults of the daemons."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import threading
import time
from base64 import b64encode
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from attrs import define, field, frozen
from daemon import LISTENING, PATIENCE, command
from front import Client
from trade import ExchangeFailed

from onec_twisted.catalog.sql import resumable
from onec_twisted.cluster.claims import waiting
from onec_twisted.cluster.contents import files_of, segments_of

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from seaweed import Seaweed

    from onec_twisted.cluster.location import Credentials, Location
    from onec_twisted.cluster.postgresql import PostgreSQL
    from onec_twisted.cluster.s3 import S3

T = TypeVar("T")

NODE_PATIENCE = 8.0
"""Seconds after which a node gives up on an answer; 1C waits longer."""

NOT_DONE = (OSError, HTTPException, ExchangeFailed)
"""What a node gets instead of success."""

LARGE = 20_000_000
"""Bytes of a piece that takes several segments."""


@frozen
class Shared:
    """What daemons share: libpq's address of the records, and where the files are."""

    catalog: str
    store: Location
    keys: Credentials

    @classmethod
    def at(cls, url: str, seaweedfs: Seaweed) -> Shared:
        """Share this database, and a prefix of its own in a store."""
        return cls(url, seaweedfs.location(), seaweedfs.keys)

    def options(self) -> tuple[str, str]:
        """Return the options that name them."""
        place = f"{self.store.bucket}/{self.store.prefix}".rstrip("/")
        return f"--catalog={self.catalog}", f"--store=s3://{place}?endpoint={self.store.endpoint}"

    def environment(self) -> dict[str, str]:
        """Return the keys."""
        return {"AWS_ACCESS_KEY_ID": self.keys.key_id, "AWS_SECRET_ACCESS_KEY": self.keys.secret}


@define(eq=False)
class Daemon:
    """One of the daemons: a real twistd on a port of its own, which it listens on as ``endpoint`` says."""

    folder: Path
    shared: Shared
    options: Sequence[str] = ()
    endpoint: str = "tcp"
    port: int = 0
    path: str = ""
    """Where Python finds another version of the program first."""
    process: Any = None

    @property
    def log(self) -> str:
        """Return what it has printed so far."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start, on the same port as before; wait until it is ready."""
        ready = self.log.count(" is ready at ")
        self._run()
        deadline = time.monotonic() + PATIENCE
        while self.log.count(" is ready at ") <= ready:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)
        self.port = int(LISTENING.findall(self.log)[-1])

    def refusal(self) -> str:
        """Start it, wait until it has ended, and return what it has said."""
        before = len(self.log)
        self._run()
        self.process.wait(PATIENCE)
        return self.log[before:]

    def _run(self) -> None:
        options = [
            *self.shared.options(),
            *("--auth=memory:shop:secret", "--min-free=0", "--import-hold=0.2", "--check-documents=no"),
            *("--media-root=media", f"--listen={self.endpoint}:{self.port}:interface=127.0.0.1", *self.options),
        ]
        self.folder.mkdir(exist_ok=True)
        with (self.folder / "log").open("ab") as file:
            self.process = subprocess.Popen(
                command(*options),
                cwd=self.folder,
                env={**os.environ, **self.shared.environment(), **({"PYTHONPATH": self.path} if self.path else {})},
                stdout=file,
                stderr=file,
            )

    def stop(self) -> None:
        """End as a service manager has it end."""
        self.process.terminate()
        self.process.wait(PATIENCE)

    def kill(self) -> None:
        """End as a power cut does."""
        self.process.kill()
        self.process.wait(PATIENCE)


@contextmanager
def running(daemons: list[Daemon]) -> Iterator[list[Daemon]]:
    """Run daemons; at the end what is in the list is killed, and none may have logged a traceback."""
    try:
        for daemon in daemons:
            daemon.start()
        yield daemons
    finally:
        for daemon in daemons:
            if daemon.process is not None:
                daemon.kill()
    for daemon in daemons:
        assert "Traceback" not in daemon.log, daemon.log[-5000:]


@frozen
class Piece:
    """A piece as it was sent."""

    length: int
    digest: bytes


def piece_of(data: bytes) -> Piece:
    """Return what is known of a piece by its bytes."""
    return Piece(len(data), hashlib.sha256(data).digest())


def is_told_to_wait(error: Exception) -> bool:
    """Return whether an answer was 503: a daemon on a busy machine may think that it was away."""
    return isinstance(error, ExchangeFailed) and "HTTP 503" in str(error)


def insist(
    ask: Callable[[], T],
    is_for_now: Callable[[Exception], bool] = is_told_to_wait,
    note: Callable[[], None] = lambda: None,
    patience: float = PATIENCE,
) -> T:
    """Ask again while an error is one for now, as nodes do, for ``patience`` seconds.

    ``note`` is called before each repeat.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            return ask()
        except NOT_DONE as error:
            if not is_for_now(error) or time.monotonic() > deadline:
                raise
        note()
        time.sleep(0.05)


@define(eq=False)
class Sender(threading.Thread):
    """Sends to any of the ports until it is over, and repeats what was not answered."""

    ports: Callable[[], list[int]]
    chance: random.Random
    over: threading.Event
    failure: BaseException | None = field(default=None, init=False)
    repeats: int = field(default=0, init=False)

    def __attrs_pre_init__(self) -> None:
        """Be a thread."""
        super().__init__(daemon=True)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        """Send until it is over."""
        try:
            self.send()
        except BaseException as error:
            self.failure = error

    def send(self) -> None:
        """Send until it is over, or raise what went wrong."""
        raise NotImplementedError

    def insist(self, ask: Callable[[], T]) -> T:
        """Ask until it is answered, each time at any of the ports."""
        return insist(partial(self.ask_somewhere, ask), lambda _: True, self.note_repeat, 2 * PATIENCE)

    def ask_somewhere(self, ask: Callable[[], T]) -> T:
        """Ask at any of the ports."""
        return ask()

    def note_repeat(self) -> None:
        """Count what was not answered."""
        self.repeats += 1


@define(eq=False)
class Node(Sender):
    """A node that sends files in pieces."""

    address: str = "127.0.0.1"
    user: str = "shop"
    patience: float = NODE_PATIENCE
    """Seconds after which it gives up on an answer, and closes the connection; a hasty one sends nothing large."""
    files_of_session: int = 10**6
    """Files after which it begins another session, as a node does for each exchange."""
    sent: dict[str, list[Piece]] = field(factory=dict)
    """What was acknowledged of each file of its session, in order."""
    earlier: list[tuple[str, dict[str, list[Piece]]]] = field(factory=list, init=False)
    """The sessions before, and what was acknowledged in them."""
    tries: list[str] = field(factory=list, init=False)
    """When and where it asked, and what became of it, for people who look for a fault."""
    node: Client = field(init=False)

    __hash__ = threading.Thread.__hash__

    def send(self) -> None:
        """Send files."""
        self.node = Client("127.0.0.1", self.ports()[0], self.user, address=self.address)
        try:
            self.insist(self.node.checkauth)
            while not self.over.is_set():
                if len(self.sent) == self.files_of_session:
                    self.earlier.append((self.node.sessid, self.sent))
                    self.sent = {}
                    self.insist(self.node.checkauth)
                self.send_one(f"file{len(self.sent)}.xml")
        finally:
            self.node.close()

    def ask_somewhere(self, ask: Callable[[], T]) -> T:
        """Connect anew, and ask."""
        self.node.go_on_at(self.chance.choice(self.ports()))
        self.node.connection.timeout = self.patience
        begun, outcome = time.time(), "done"
        try:
            return ask()
        except Exception as error:
            outcome = repr(error)
            self.node.connection.close()  # at once: an answer that comes after that is not acknowledged
            raise
        finally:
            of = sum(map(len, self.sent.values()))
            self.tries.append(f"{of}: {self.node.connection.port} {begun:.3f} {time.time() - begun:.3f} s: {outcome}")

    def sessions(self) -> list[tuple[str, dict[str, list[Piece]]]]:
        """Return all sessions, and what was acknowledged of each of their files."""
        return [*self.earlier, (self.node.sessid, self.sent)]

    def send_one(self, name: str) -> None:
        """Send a file, and have it imported."""
        pieces = self.sent[name] = []
        for _ in range(self.chance.randrange(1, 6)):
            is_large = self.patience >= NODE_PATIENCE and self.chance.random() < 0.03
            size = LARGE if is_large else self.chance.randrange(1, 200_000)
            data = self.chance.randbytes(size)
            self.insist(lambda data=data: self.node.send_file(name, data))  # type: ignore[misc]
            pieces.append(piece_of(data))
        self.insist(lambda: self.ask_import(name))

    def ask_import(self, name: str) -> None:
        """Ask for an import, without waiting for its end."""
        text = self.node._ask(f"type=catalog&mode=import&filename={name}&sessid={self.node.sessid}")
        assert text.split("\n")[0] in ("success", "progress"), text


@define(eq=False)
class TusNode(Sender):
    """A client of tus that uploads files, each request to any of the ports, and resumes where it is told to."""

    sent: dict[str, bytes] = field(factory=dict)
    """SHA-256 of each upload that is complete, by its id."""

    __hash__ = threading.Thread.__hash__

    def send(self) -> None:
        """Upload files."""
        while not self.over.is_set():
            self.upload(self.chance.randbytes(self.chance.randrange(1, 2_000_000)))

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> dict[str, str]:
        """Send a request; return the headers of a 2xx, raise one of ``NOT_DONE`` for what is to be tried again."""
        told = {"Tus-Resumable": "1.0.0", "Authorization": f"Basic {b64encode(b'shop:secret').decode()}", **headers}
        connection = HTTPConnection("127.0.0.1", self.chance.choice(self.ports()), timeout=NODE_PATIENCE)
        try:
            connection.request(method, path, body, told)
            answer = connection.getresponse()
            answer.read()
        finally:
            connection.close()
        assert answer.status not in (404, 410), f"{method} {path}: {answer.status}"
        if answer.status >= 300:
            raise ExchangeFailed(f"HTTP {answer.status}: {method} {path}")
        return {name.lower(): value for name, value in answer.headers.items()}

    def upload(self, data: bytes) -> None:
        """Upload a file in a few requests."""
        metadata = {"Upload-Metadata": f"filename {b64encode(b'tus.bin').decode()}"}
        made = self.insist(lambda: self.ask("POST", "/files/", {"Upload-Length": str(len(data)), **metadata}))
        path, offset, deadline = urlsplit(made["location"]).path, 0, time.monotonic() + 2 * PATIENCE
        while offset < len(data):
            assert time.monotonic() < deadline, f"{path} stays at {offset}"
            chunk = data[offset : offset + self.chance.randrange(1, 800_000)]
            headers = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
            try:
                answer = self.ask("PATCH", path, headers, chunk)
            except NOT_DONE:
                self.note_repeat()
                answer = self.insist(lambda: self.ask("HEAD", path, {}))
            offset = int(answer["upload-offset"])
        self.sent[path.rpartition("/")[2]] = hashlib.sha256(data).digest()


@define(eq=False)
class Cluster:
    """What the daemons share."""

    database: PostgreSQL
    s3: S3

    def wait(self, seed: int, patience: float = PATIENCE) -> None:
        """Wait until everything is delivered, at most so many seconds."""
        deadline = time.monotonic() + patience
        while left := self.database.using(waiting):
            assert time.monotonic() < deadline, (seed, left)
            time.sleep(0.2)

    def files(self, sessid: str) -> dict[str, bytes]:
        """Return the files of a session."""
        return {name: self._content(sessid, name) for name in self.database.read(files_of, sessid)}

    def _content(self, sessid: str, name: str) -> bytes:
        """Return the content of a file, whose segments may be joined meanwhile."""
        deadline = time.monotonic() + PATIENCE
        while True:
            segments = self.database.read(segments_of, sessid, name)
            try:
                return b"".join(self.s3.read(one.object, 0, one.length)[0] for one in segments)
            except FileNotFoundError:
                if time.monotonic() > deadline or self.database.read(segments_of, sessid, name) == segments:
                    raise


def uploaded(cluster: Cluster, upload_id: str) -> bytes:
    """Return the SHA-256 of what an upload has become."""
    found = cluster.database.read(resumable.find, upload_id)
    return hashlib.sha256(cluster.files(found.upload.sessid)[found.upload.name]).digest()


def count_doubled(data: bytes, pieces: Sequence[Piece]) -> int:
    """Return how many pieces a file has twice, one behind the other; otherwise it must have each once, in order."""
    doubled = place = 0
    for piece in pieces:
        assert _stands_at(data, place, piece), f"byte {place} of {len(data)} does not begin the next piece"
        place += piece.length
        if _stands_at(data, place, piece):
            place += piece.length
            doubled += 1
    assert place == len(data), f"{len(data) - place} bytes were never acknowledged"
    return doubled


def _stands_at(data: bytes, place: int, piece: Piece) -> bool:
    return piece_of(data[place : place + piece.length]) == piece


def disturb(daemons: Sequence[Daemon], chance: random.Random, seconds: float) -> dict[str, int]:
    """Kill and freeze daemons, one at a time; return how often."""
    faults = {"killed": 0, "frozen": 0}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(chance.uniform(0.2, 1.0))
        daemon = chance.choice(daemons)
        if chance.random() < 0.5:
            daemon.kill()
            daemon.start()
            faults["killed"] += 1
        else:
            daemon.process.send_signal(signal.SIGSTOP)
            time.sleep(chance.uniform(0.5, 4.0))
            daemon.process.send_signal(signal.SIGCONT)
            faults["frozen"] += 1
    return faults


def send_through(
    nodes: Sequence[Node], daemons: Sequence[Daemon], chance: random.Random, seconds: float
) -> dict[str, int]:
    """Let nodes send while daemons are disturbed; return the faults. The nodes share one event, by which they end."""
    for node in nodes:
        node.start()
    faults = disturb(daemons, chance, seconds)
    for node in nodes:
        node.over.set()
    for node in nodes:
        node.join(2 * PATIENCE)
    return faults
