"""Clients of RUFH upload while everything breaks; what they were told stays true, and the files are what they sent.

``ONEC_CHAOS=200`` makes it more faults each way, as ``tox -e chaos`` does; ``ONEC_CHAOS_SEED`` repeats the draw.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sqlite3
import sys
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest
from attrs import define, field, frozen
from certificates import make_certificate
from daemon import PATIENCE, Daemon, start
from faulty_node import reset
from processes import free_port
from rufh_wire import FILES, Client, Heard, Talk, append, chunked, named, sha256_field

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

FAULTS = int(os.environ.get("ONEC_CHAOS", "40"))
CLIENTS = 4
VERSIONS = (6, 8, 9)
SIZE = 2_000_000
"""Bytes of most uploads at most."""

LARGE = 80_000_000
"""Bytes of the others at most: more than are on record between two interim answers."""

LONGEST = 1_200_000
"""Bytes of most appends at most."""

PAUSES = (0.02, 0.3)
"""Seconds between two kills."""

LATER = frozenset({409, 423, 429, 500, 502, 503, 504})
"""Statuses after which a client asks for the offset, and goes on."""


@frozen
class Wire:
    """A request as it is sent; the body is that of the message, and never empty."""

    head: bytes
    body: bytes


class Unknown(Exception):
    """A creation broke off before its client knew where the upload is."""


@define(eq=False)
class World:
    """The daemon, which is killed and started again on the same port, and what has happened."""

    folder: Path
    seed: int
    arguments: tuple[str, ...] = ()
    endpoint: str = "tcp:{port}:interface=127.0.0.1"
    context: ssl.SSLContext | None = None
    daemon: Daemon = field(init=False)
    port: int = field(factory=free_port)
    met: Counter[str] = field(factory=Counter)
    told: Counter[str] = field(factory=Counter)
    log: list[str] = field(factory=list)
    is_over: bool = False

    def start(self) -> None:
        """Start the daemon, where the files of the one before are."""
        listen = (self.endpoint.format(port=self.port),)
        self.daemon = start(self.folder, "--min-free=1M", *self.arguments, listen=listen)

    def kill(self) -> None:
        """End it as a power cut does."""
        self.daemon.kill()
        self.log.append(self.daemon.log)

    def go_on(self, chance: random.Random, goes_on: Callable[[], bool]) -> None:
        """Kill it at random until there were enough faults."""
        while self.met.total() < FAULTS and goes_on():
            time.sleep(chance.uniform(*PAUSES))
            self.kill()
            self.start()
            self.met["kill"] += 1


@define(eq=False)
class Uploader(threading.Thread):
    """A client that uploads one file after another; ``told`` is the largest offset that it ever heard of the upload.

    ``kept`` is the SHA-256 of each upload that is complete, by its name; ``lost`` is that of each whose address it
    never heard.
    """

    world: World
    number: int
    chance: random.Random
    failure: BaseException | None = None
    kept: dict[str, bytes] = field(factory=dict)
    lost: dict[str, bytes] = field(factory=dict)
    uploads: int = 0
    name: str = ""
    path: str = ""
    content: bytes = b""
    told: int = 0
    final: Heard | None = None

    def __attrs_pre_init__(self) -> None:
        """Be a thread."""
        super().__init__(daemon=True)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        """Upload until it is over."""
        try:
            while not self.world.is_over:
                self.upload()
        except BaseException as error:
            self.failure = error

    def client(self) -> Client:
        """Return a client of any of the versions: what resumes an upload need not be what has begun it."""
        return Client(self.world.port, self.chance.choice(VERSIONS), self.world.context)

    def note(self, heard: list[Heard]) -> None:
        """Take note of what was told of the upload. An offset is a promise, so the largest counts."""
        for one in heard:
            if one.status < 200:
                assert one.status == 104
            if "location" in one.headers:
                assert self.path in ("", one.path)
                self.path = one.path
            if one.offset is not None:
                assert one.offset <= len(self.content)
                self.told = max(self.told, one.offset)
            if one.complete == "?1" and one.status < 300 and one.body:
                self.check_final(one)

    def check_final(self, answer: Heard) -> None:
        """See that the answer is about the whole file, and the same as each before it."""
        assert (answer.status, answer.offset) == (200, len(self.content))
        assert json.loads(answer.body)["size"] == len(self.content)
        assert json.loads(answer.body)["name"] == self.name
        assert self.final is None or self.final.body == answer.body
        self.final = answer

    def look(self) -> Heard:
        """Ask how far the upload is, until somebody answers: never less than was told."""
        deadline = time.monotonic() + PATIENCE
        while True:
            assert time.monotonic() < deadline, f"{self.name} does not answer"
            with suppress(OSError):
                answer = self.client().look(self.path)
                if answer.status == 204:
                    break
                assert answer.status in LATER, f"{self.name}: HEAD {answer}"
            time.sleep(0.02)
        assert answer.offset is not None
        assert self.told <= answer.offset <= len(self.content), (self.name, self.told, answer.offset)
        self.told = answer.offset
        assert answer.complete == "?1" or self.final is None
        return answer

    def connect(self) -> Talk:
        """Connect, as soon as there is a daemon."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self.client().open()
            except OSError:
                assert time.monotonic() < deadline, "the daemon does not listen"
            time.sleep(0.02)

    def send(self, fault: str, wire: Wire) -> Talk:
        """Send a request as the fault has it; return what was heard."""
        talk = self.connect()
        cut = self.chance.randrange(len(wire.body))
        with closing(talk.line), suppress(OSError):
            if fault in ("cut", "close") and self.chance.random() < 0.1:
                talk.send(wire.head[: self.chance.randrange(len(wire.head))])
            else:
                talk.send(wire.head)
                if not self.path and self.chance.random() < 0.7:
                    self.note([talk.hear_interim()])
                getattr(self, f"_{fault}")(talk, wire.body, cut)
            if fault in ("cut", "swallow"):
                reset(talk.line)
        self.note(talk.heard)
        self.world.told.update("address" if "location" in one.headers else "progress" for one in talk.interim)
        # what goes on with something else may be no HTTP
        allowed = {200, 201, 204, *LATER, *([400] if fault in ("corrupt", "leave") else [])}
        assert talk.final is None or talk.final.status in allowed, (fault, wire.head, talk.final)
        return talk

    def _nothing(self, talk: Talk, body: bytes, cut: int) -> None:
        """Let it through."""
        talk.send(body)
        talk.hear()

    _corrupt = _nothing

    def _swallow(self, talk: Talk, body: bytes, cut: int) -> None:
        """Send all of it, and never hear of it."""
        talk.send(body)

    def _cut(self, talk: Talk, body: bytes, cut: int) -> None:
        """End in the middle."""
        talk.send(body[:cut])

    _close = _cut

    def _dawdle(self, talk: Talk, body: bytes, cut: int) -> None:
        """Send it in two, with pauses."""
        for part in (body[:cut], body[cut:]):
            time.sleep(self.chance.random() * 0.2)
            talk.send(part)
        talk.hear()

    def _leave(self, talk: Talk, body: bytes, cut: int) -> None:
        """Send a part, and come back on another connection; the first one goes on with something else."""
        talk.send(body[:cut])
        if self.path:
            before = self.look()
            with suppress(OSError):
                talk.line.sendall(bytes(min(len(body) - cut, 50_000)))
            assert self.look().offset == before.offset, "bytes of a request that was replaced have landed"
            talk.listen()

    def fault(self) -> str:
        """Draw what happens to a request."""
        kinds = ["nothing", "cut", "close", "swallow", "leave", "dawdle"]
        return self.chance.choices(kinds, [25, 20, 10, 15, 15, 15])[0]

    def wire(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Wire:
        """Return a request, in chunks or not; one without a body is in chunks."""
        if not body or self.chance.random() < 0.4:
            sent = chunked(body, self.chance.randrange(1000, 200_000))
            return Wire(self.client().head(method, path, "chunked", **headers), sent)
        return Wire(self.client().head(method, path, len(body), **headers), body)

    def request(self, method: str, path: str, offset: int, is_last: bool, **headers: str) -> None:
        """Send a part of the content, or the rest of it."""
        left = len(self.content) - offset
        most = left if self.chance.random() < 0.2 else min(left, LONGEST)
        size = left if is_last else self.chance.randint(0 if method == "POST" else min(1, most), most)
        body = self.content[offset : offset + size]
        complete = "?1" if is_last else "?0"
        told = {"Upload_Complete": complete, **headers} if method == "POST" else append(offset, complete)
        if self.chance.random() < 0.2:
            told["Upload_Length"] = str(len(self.content))
        if size < SIZE and self.chance.random() < 0.2:
            told["Content_Digest"] = sha256_field(body)
        if method == "PATCH" and size and self.chance.random() < 0.05:
            self.corrupt(path, offset, body, told)
            return
        wire = self.wire(method, path, body, told)
        fault = self.fault()
        self.send(fault, wire)
        if fault not in ("nothing", "dawdle"):
            self.world.met[fault] += 1

    def corrupt(self, path: str, offset: int, body: bytes, told: dict[str, str]) -> None:
        """Send something else than the digest is of: nothing of it is kept."""
        self.world.met["corrupt"] += 1
        wrong = {**told, "Content_Digest": sha256_field(body + b"x")}
        talk = self.send("corrupt", self.wire("PATCH", path, body, wrong))
        if talk.final is not None and talk.final.status not in LATER:
            assert (talk.final.status, talk.final.complete, talk.final.offset) == (400, "?0", offset)
            assert self.look().offset == offset

    def create(self) -> None:
        """Make an upload, with some of its bytes or all of them. Raises ``Unknown``."""
        is_last = self.chance.random() < 0.4
        headers = named(self.name)
        if self.chance.random() < 0.3:
            headers["Repr_Digest"] = sha256_field(self.content)
        self.request("POST", FILES, 0, is_last, **headers)
        if not self.path:
            raise Unknown

    def upload(self) -> None:
        """Bring a file in, whatever happens."""
        self.uploads += 1
        self.name = f"client{self.number}-{self.uploads}.bin"
        size = LARGE if self.chance.random() < 0.04 else SIZE
        self.content = self.chance.randbytes(self.chance.randrange(size))
        self.told, self.final, self.path = 0, None, ""
        try:
            self.create()
        except Unknown:
            self.lost[self.name] = hashlib.sha256(self.content).digest()
            return
        while (now := self.look()).complete == "?0":
            assert now.offset is not None
            is_last = len(self.content) - now.offset < LONGEST and self.chance.random() < 0.6
            self.request("PATCH", self.path, now.offset, is_last)
        self.replay()
        if len(self.content) > SIZE:
            self.end()
        else:
            self.kept[self.name] = hashlib.sha256(self.content).digest()

    def end(self) -> None:
        """End the upload, whose file is what was sent: there is no room for many of these."""
        check(self.world, {self.name: hashlib.sha256(self.content).digest()}, {})
        self.world.met["end"] += 1
        deadline = time.monotonic() + PATIENCE
        while True:
            assert time.monotonic() < deadline, f"{self.name} does not end"
            with suppress(OSError):
                answer = self.client().ask("DELETE", self.path).hear()
                assert answer.status in {204, 404, 410, *LATER}, answer
                if answer.status not in LATER:
                    break
            time.sleep(0.02)
        assert list(self.world.daemon.temp.glob(f"*/{self.name}")) == []

    def replay(self) -> None:
        """Ask for the final answer again, which is the one that was heard, if one was."""
        answers: list[Heard] = []
        deadline = time.monotonic() + PATIENCE
        while len(answers) < 2:
            assert time.monotonic() < deadline, f"{self.name} has no final answer"
            with suppress(OSError):
                talk = self.client().ask("PATCH", self.path, b"", **append(len(self.content), "?1"))
                answer = talk.hear()
                assert answer.status == 200 or answer.status in LATER, answer
                if answer.status == 200:
                    assert answer.complete == "?1"
                    answers.append(answer)
                    self.check_final(answer)


def handed_off(world: World, names: set[str]) -> Counter[str]:
    """Return how often each file is on record as handed off, once these have been delivered."""
    deadline = time.monotonic() + PATIENCE
    with closing(sqlite3.connect(world.daemon.temp / "exchange.sqlite3")) as catalog:
        while True:
            rows = catalog.execute("SELECT filename, event, state FROM handoffs").fetchall()
            if names <= {name for name, _, state in rows if state == "succeeded"}:
                break
            assert time.monotonic() < deadline, rows
            time.sleep(0.05)
    assert {event for _, event, _ in rows} == {"upload"}
    return Counter(name for name, *_ in rows)


def check(world: World, kept: dict[str, bytes], lost: dict[str, bytes]) -> None:
    """See that each file is what was sent, and was handed off once, on record and in what the site reads.

    Of those that are ``lost`` some may have been handed off.
    """
    counted = handed_off(world, set(kept))
    for name in {*kept, *lost} & set(counted):
        assert counted[name] == 1, name
        (path,) = world.daemon.temp.glob(f"*/{name}")
        assert hashlib.sha256(path.read_bytes()).digest() == {**kept, **lost}[name], name
        told = json.loads((path.parent / "manifest.json").read_bytes())["handoffs"]
        assert [(one["event"], one["filename"]) for one in told] == [("upload", name)]


WAYS = ["plain", "tls", "buffered"]


@pytest.fixture(params=WAYS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """A daemon that does not run yet."""
    seed = int(os.environ.get("ONEC_CHAOS_SEED", random.randrange(10**6)))
    world = World(tmp_path / "run", seed)
    if request.param == "tls":
        made = make_certificate(tmp_path)
        world.endpoint = f"ssl:{{port}}:interface=127.0.0.1:privateKey={made.key}:certKey={made.chain}"
        world.context = made.trusted()
    elif request.param == "buffered":
        world.arguments = ("--intake=buffered",)
    return world


def test_chaos(world: World, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> None:
    """Kill -9 at any moment, resets at any byte, answers that are never heard: no offset is ever taken back."""
    chance = random.Random(world.seed)
    world.start()
    uploaders = [Uploader(world, number, random.Random(chance.random())) for number in range(CLIENTS)]
    try:
        for one in uploaders:
            one.start()
        world.go_on(chance, lambda: all(one.is_alive() for one in uploaders))
        world.is_over = True
        for one in uploaders:
            one.join(2 * PATIENCE)
        for failure in [one.failure for one in uploaders if one.failure is not None]:
            raise failure
        assert not any(one.is_alive() for one in uploaders)
        kept = {name: digest for one in uploaders for name, digest in one.kept.items()}
        lost = {name: digest for one in uploaders for name, digest in one.lost.items()}
        check(world, kept, lost)
        for log in (*world.log, world.daemon.log):
            before, _, after = log.partition("Traceback")
            assert not after, f"{before[-2000:]}Traceback{after[:5000]}"
    except BaseException:
        sys.stderr.write(f"seed {world.seed}\n{''.join(world.log[-3:])}{world.daemon.log}")
        raise
    finally:
        world.is_over = True
        world.daemon.kill()
    files = {"kept": len(kept), "lost": len(lost)}
    all_of_it = {"files": files, "told": world.told, "met": world.met}
    what = ", ".join(f"{name} {dict(found)}" for name, found in all_of_it.items())
    with capsys.disabled():
        sys.stdout.write(f"\nRUFH chaos, {request.node.callspec.id}, seed {world.seed}: {what}\n")
