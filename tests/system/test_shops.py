"""Many shops in one real daemon: what disturbs one does not reach another, and settings change while it works."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import threading
import time
from contextlib import closing
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from attrs import define, field
from daemon import PATIENCE, SCRIPTS, Daemon, start
from forks import finish
from shop import ShopProcess
from trade import ExchangeFailed, Trade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

PROGRAM = """#!/bin/sh
set -eu
description=$(cat)
printf '%s\\n' "$description" >> "$0.told"
"""
"""An importer that keeps what it is told, a line each."""

ROUNDS = 12
IMPORTS_OF_A_ROUND = 3
NORTH_LIMIT, SOUTH_LIMIT, WEST_LIMIT = 20_000, 30_000, 40_000
CANNOT_RELOAD = "the settings were not reloaded"
RELOADED = "settings reloaded"


def until(holds: Callable[[], object], what: Callable[[], object]) -> None:
    """Wait until something holds; ``what`` says what was found instead."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)


@define(eq=False)
class Place:
    """The file of options, the daemon that reads it, and the sites of its shops: the west's is a program."""

    folder: Path
    north: ShopProcess
    south: ShopProcess
    daemon: Daemon = field(init=False)
    gone: list[Daemon] = field(factory=list)

    def write(self, south_limit: int, more: str = "") -> None:
        """Write the file: users of both shops share the address."""
        (self.folder / "onec.toml").write_text(
            f"""
            auth = ["memory:anna:secret", "memory:arthur:secret", "memory:boris:secret", "memory:wanda:secret"]
            import-hold = 0.2

            [shops.north]
            users = ["anna", "arthur"]
            importer = "{self.north.url}/import"
            language = "ru"
            file-limit = {NORTH_LIMIT}

            [shops.south]
            users = ["boris"]
            importer = "{self.south.url}/import"
            language = "en"
            file-limit = {south_limit}

            [shops.west]
            users = "wanda"
            importer = "exec:{self.folder / "import.sh"}"
            file-limit = {WEST_LIMIT}
            {more}
            """
        )

    def start(self, port: int = 0) -> None:
        """Start the daemon."""
        listen = (f"tcp:{port}:interface=127.0.0.1",)
        self.daemon = start(self.folder / "run", auth=f"--config={self.folder / 'onec.toml'}", listen=listen)

    def kill(self) -> None:
        """Kill the daemon, and start it again on its port."""
        self.daemon.kill()
        self.gone.append(self.daemon)
        self.start(self.daemon.port)

    def reload(self, words: str) -> None:
        """Let it read the file, and wait until it says so."""
        times = self.daemon.log.count(words)
        self.daemon.process.send_signal(signal.SIGHUP)
        self.daemon.wait_for(words, times + 1)

    def limit_of(self, user: str) -> int:
        """Return the size of a piece that a user is told, in a session of its own."""
        node = Trade("127.0.0.1", self.daemon.port, user)
        node.checkauth()
        node.init()
        node.close()
        return node.file_limit

    def states(self, shop: str) -> list[str]:
        """Return the state of each hand-off of a shop on record."""
        with closing(sqlite3.connect(self.daemon.temp / "exchange.sqlite3")) as catalog:
            found = catalog.execute("SELECT state FROM handoffs WHERE username LIKE ?", (f"{shop}:%",))
            return [state for (state,) in found]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Two sites, and a place for a daemon."""
    sites = []
    for name in ("north", "south"):
        (tmp_path / name).mkdir()
        sites.append(ShopProcess(tmp_path / name))
        sites[-1].start()
    program = tmp_path / "import.sh"
    program.write_text(PROGRAM)
    program.chmod(0o700)
    place = Place(tmp_path, sites[0], sites[1])
    place.write(SOUTH_LIMIT)
    yield place
    for site in sites:
        site.stop()
    if hasattr(place, "daemon"):
        place.daemon.kill()
        for daemon in [*place.gone, place.daemon]:
            assert "Traceback" not in daemon.log


@define(eq=False)
class Sender(threading.Thread):
    """A node that sends documents in pieces and asks for their imports, until it is told to end.

    It repeats whatever was not answered. With ``waits`` it asks for an import until that has succeeded.
    """

    place: Place
    user: str
    waits: bool
    chance: random.Random
    sent: dict[str, bytes] = field(factory=dict)
    """The files of which every piece was acknowledged."""
    imported: list[str] = field(factory=list)
    node: Trade = field(init=False)
    over: threading.Event = field(factory=threading.Event)
    failure: BaseException | None = None

    def __attrs_pre_init__(self) -> None:
        """Be a thread."""
        super().__init__(daemon=True)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        """Send."""
        try:
            self.node = Trade("127.0.0.1", self.place.daemon.port, self.user)
            self.insist(self.node.checkauth)
            while not self.over.is_set():
                self.send_one(f"{self.user}{len(self.sent)}.xml")
        except BaseException as error:
            self.failure = error
        finally:
            self.node.close()

    def insist(self, ask: Callable[[], T]) -> T:
        """Ask until there is an answer, on a new connection each time."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return ask()
            except (OSError, HTTPException):
                assert time.monotonic() < deadline
                self.node.go_on_at(self.node.port)
                time.sleep(0.02)

    def send_one(self, name: str) -> None:
        """Send a document, and have it imported."""
        pieces = [self.chance.randbytes(self.chance.randrange(1, NORTH_LIMIT)) for _ in range(3)]
        for piece in pieces:
            self.insist(lambda piece=piece: self.node.send_file(name, piece))  # type: ignore[misc]
        self.sent[name] = b"".join(pieces)
        if self.waits:
            self.insist(lambda: self.node.import_file(name))
            self.imported.append(name)
        else:
            ask = f"type=catalog&mode=import&filename={name}&sessid={self.node.sessid}"
            assert self.insist(lambda: self.node._ask(ask)).startswith("progress")

    def check(self) -> None:
        """Raise what went wrong."""
        if self.failure is not None:
            raise self.failure


def told(site: ShopProcess) -> list[dict[str, Any]]:
    """Return the descriptions that a site was sent."""
    return [json.loads(seen.body) for seen in site.seen]


def told_in_the_west(place: Place) -> list[dict[str, Any]]:
    """Return the descriptions that the program was given."""
    return [json.loads(line) for line in (place.folder / "import.sh.told").read_text().splitlines()]


def refusal(place: Place, user: str) -> str:
    """Return what a user reads who sends a file without a session."""
    with pytest.raises(ExchangeFailed) as caught:
        Trade("127.0.0.1", place.daemon.port, user).send_file("..%0A", b"x")
    return str(caught.value)


def test_shops_under_chaos(place: Place) -> None:
    """Kills, reloads, wrong files and a site that hangs: each shop keeps its bytes and its imports, none waits.

    One shop's site hangs, another's answers, and a third one's is a program.
    """
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    place.north.answer({"silent": True})
    place.start()
    senders = [
        Sender(place, user, waits, random.Random(chance.random()))
        for user, waits in (("anna", False), ("arthur", False), ("boris", True), ("wanda", True))
    ]
    boris, wanda = senders[2:]
    for sender in senders:
        sender.start()

    def work(imports: int) -> None:
        """Let the shop whose site answers have so many more imports."""
        for one in (boris, wanda):
            wanted = len(one.imported) + imports
            until(lambda: len(one.imported) >= wanted or not one.is_alive(), lambda: (seed, place.daemon.log))  # noqa: B023
        for sender in senders:
            sender.check()

    limit = SOUTH_LIMIT
    for _ in range(ROUNDS):
        work(IMPORTS_OF_A_ROUND)
        limit = SOUTH_LIMIT + chance.randrange(1, 1000)
        place.write(limit)
        place.reload(RELOADED)
        work(1)
        place.write(limit + 1000, "ziip = true")
        place.reload(CANNOT_RELOAD)
        assert "shops.west.ziip: no such option" in place.daemon.log
        assert (place.limit_of("anna"), place.limit_of("boris")) == (NORTH_LIMIT, limit), f"seed {seed}"
        place.write(limit)
        time.sleep(chance.random() * 0.05)  # so that the kill finds the nodes anywhere
        place.kill()
    work(IMPORTS_OF_A_ROUND)
    until(lambda: {one["user"] for one in told(place.north)} == {"anna", "arthur"}, lambda: place.daemon.log)
    hanging, answering, running = place.states("north"), place.states("south"), place.states("west")
    for sender in senders:
        sender.over.set()
    for sender in senders:
        sender.join(PATIENCE)
        sender.check()
        assert not sender.is_alive()
    imported_beside = [len(one.imported) for one in (boris, wanda)]
    assert set(hanging) == {"waiting"}
    for states in (answering, running):
        assert states.count("succeeded") >= ROUNDS * (IMPORTS_OF_A_ROUND + 1)
    place.north.answer({})
    place.kill()
    until(
        lambda: {state for shop in ("north", "south", "west") for state in place.states(shop)} == {"succeeded"},
        lambda: (seed, place.states("north"), place.states("south"), place.daemon.log),
    )

    assert imported_beside == [len(one.sent) for one in (boris, wanda)]
    for sender in senders:
        for name, content in sender.sent.items():
            assert (place.daemon.temp / sender.node.sessid / name).read_bytes() == content, f"{name}, seed {seed}"
    for heard, shop, own in (
        (told(place.north), "north", senders[:2]),
        (told(place.south), "south", [boris]),
        (told_in_the_west(place), "west", [wanda]),
    ):
        assert {one["shop"] for one in heard} == {shop}
        expected = {(sender.user, name) for sender in own for name in sender.sent}
        assert {(one["user"], one["filename"]) for one in heard} == expected, f"seed {seed}"
    assert not refusal(place, "anna").isascii(), "in Russian"
    assert refusal(place, "boris").isascii()


def test_a_reload_of_the_real_daemon(place: Place) -> None:
    """The command and SIGHUP say what changes and what needs a restart; a wrong file changes nothing, status 1."""
    run = place.folder / "run"
    for name in ("", "elsewhere"):
        (run / name).mkdir()
    common = 'auth = "file:words"\nmedia-root = "media"\nmin-rate = {}\n'
    shops = '[shops.{}]\nusers = "anna"\nfile-limit = {}\n'
    file, admin = run / "onec.toml", f"unix:{run / 'admin'}"
    (run / "words").write_text("anna:secret\nboris:secret\n")
    file.write_text(common.format(10) + shops.format("north", 1000))
    place.daemon = start(
        run,
        f"--admin={admin}",
        auth="--config=onec.toml",
        twistd=("-n", "--pidfile=", "--rundir=elsewhere"),
    )

    def reload() -> tuple[int, str, str]:
        """Run the command."""
        place.daemon.wait_for("AdminSite")
        done = finish([str(SCRIPTS / "onec-exchange"), "reload", f"--admin={admin}"], PATIENCE, cwd=place.folder)
        return done.returncode, done.stdout, done.stderr

    assert Path(f"/proc/{place.daemon.process.pid}/cwd").resolve() == run / "elsewhere"
    assert reload() == (0, "reloaded: nothing is different\n", "")
    assert place.limit_of("anna") == 1000
    file.write_text(common.format(20) + shops.format("north", 2000))
    assert reload() == (0, "reloaded: shops.north\nneeds a restart: min-rate\n", "")
    assert place.limit_of("anna") == 2000
    place.daemon.wait_for("--min-rate has changed, but that needs a restart")
    file.write_text(common.format(20) + shops.format("north", 3000) + "ziip = 1\n")
    status, out, complaint = reload()
    assert (status, out) == (1, "")
    assert f"{file}, line 7: shops.north.ziip: no such option" in complaint
    assert place.limit_of("anna") == 2000
    place.reload(CANNOT_RELOAD)
    assert place.limit_of("anna") == 2000
    file.write_text(common.format(10) + shops.format("south", 3000))
    place.reload("settings reloaded: shops.north, shops.south")
    assert place.limit_of("anna") == 3000
    assert (run / "media" / "1c_temp").is_dir()
    assert not list((run / "elsewhere").iterdir())
