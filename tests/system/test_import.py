"""The whole way: a node uploads to the real daemon, and a real program or a real site imports it, whatever dies."""

from __future__ import annotations

import http.client
import io
import json
import os
import random
import re
import socket
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import pytest_twisted
from daemon import PATIENCE, Daemon, command, run, start
from forks import finish
from nodes import Bitrix, Unf
from shop import ShopProcess
from trade import PATH, ExchangeFailed, Trade, packed
from twisted.web.client import HTTPConnectionPool

from onec_twisted.delivery.client import SIGNATURE, signature
from onec_twisted.node import Node, http_client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MB = 2**20
DOCUMENT = b"<?xml" + b" " * 1000
KILLS = int(os.environ.get("ONEC_CHAOS", "600")) // 100
ORDER = (
    '<?xml version="1.0"?><КоммерческаяИнформация><Контейнер><Документ><Номер>{}</Номер></Документ></Контейнер>'
    "</КоммерческаяИнформация>"
)
NO_ORDERS = '<?xml version="1.0"?><КоммерческаяИнформация/>'


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[ShopProcess]:
    """A web shop, started."""
    folder = tmp_path / "shop"
    folder.mkdir()
    shop = ShopProcess(folder)
    shop.start()
    yield shop
    shop.stop()


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Start daemons, one after another, on one media root."""
    started: list[Daemon] = []

    def begin(*arguments: str, port: int = 0) -> Daemon:
        listen = (f"tcp:{port}:interface=127.0.0.1",)
        started.append(start(tmp_path / "run", "--import-hold=0.3", *arguments, listen=listen))
        return started[-1]

    yield begin
    for daemon in started:
        daemon.kill()
        assert "Traceback" not in daemon.log


def uploaded(daemon: Daemon, *names: str) -> Trade:
    """Return a node that has uploaded documents."""
    node = Trade("127.0.0.1", daemon.port)
    node.checkauth()
    node.init()
    for name in names:
        node.send_file(name, DOCUMENT)
    return node


def script(tmp_path: Path, text: str) -> str:
    """Write a program; return the option that chooses it."""
    path = tmp_path / "import"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return f"--importer=exec:{path}"


def handoffs(daemon: Daemon) -> list[tuple[Any, ...]]:
    """Return what is on record of hand-offs: id, event, state, tries, words."""
    with closing(sqlite3.connect(daemon.temp / "exchange.sqlite3")) as connection:
        return connection.execute("SELECT id, event, state, tries, words FROM handoffs ORDER BY number").fetchall()


def wait_for(daemon: Daemon, state: str, many: int = 1) -> list[tuple[Any, ...]]:
    """Wait until so many hand-offs are in a state; return all."""
    deadline = time.monotonic() + PATIENCE
    while sum(one[2] == state for one in handoffs(daemon)) < many:
        assert time.monotonic() < deadline, (handoffs(daemon), daemon.log)
        time.sleep(0.05)
    return handoffs(daemon)


class TestProgram:
    def test_a_program_imports(self, daemons: Callable[..., Daemon], tmp_path: Path) -> None:
        """It reads the files where they lie; what it says is heard at the 1C screen."""
        daemon = daemons(script(tmp_path, f'echo "Reading $2"; sleep 1; cp "$1/$2" {tmp_path}/imported'))
        node = uploaded(daemon, "import0_1.xml")
        first = node._ask(f"type=catalog&mode=import&filename=import0_1.xml&sessid={node.sessid}")
        node.import_file("import0_1.xml")
        node.close()

        assert first == "progress\nReading import0_1.xml"
        assert (tmp_path / "imported").read_bytes() == DOCUMENT

    def test_what_was_imported_is_kept(self, daemons: Callable[..., Daemon], tmp_path: Path) -> None:
        """Through init and kill -9, where the program was told; the node goes on beside it."""
        daemon = daemons(script(tmp_path, f'echo "$1/$2" >> {tmp_path}/told'))
        node = uploaded(daemon, "import0_1.xml")
        node.import_file("import0_1.xml")
        node.init()
        node.send_file("import0_1.xml", b"<new/>")
        daemon.kill()
        again = daemons(script(tmp_path, f'echo "$1/$2" >> {tmp_path}/told'), port=daemon.port)
        node.go_on_at(again.port)
        node.send_file("offers0_1.xml", b"<newer/>")
        node.import_file("import0_1.xml")
        node.close()
        told = [Path(line) for line in (tmp_path / "told").read_text().splitlines()]

        assert [path.read_bytes() for path in told] == [DOCUMENT, b"<new/>"]
        assert [path.parent.name for path in told] == [node.sessid, f"{node.sessid}.3"]
        assert (told[1].parent / "offers0_1.xml").read_bytes() == b"<newer/>"

    def test_a_program_that_fails(self, daemons: Callable[..., Daemon], tmp_path: Path) -> None:
        """The 1C user reads its last words; asked again, it runs again."""
        daemon = daemons(script(tmp_path, f'[ -e {tmp_path}/mended ] || {{ echo "No <price>" >&2; exit 1; }}'))
        node = uploaded(daemon, "import0_1.xml")
        with pytest.raises(ExchangeFailed, match=r"^failure\nNo  price $"):
            node.import_file("import0_1.xml")
        (tmp_path / "mended").touch()
        node.import_file("import0_1.xml")
        node.close()

    def test_a_program_that_hangs(self, daemons: Callable[..., Daemon], tmp_path: Path) -> None:
        """It is killed, counted, and at last given up."""
        daemon = daemons(script(tmp_path, "sleep 1000"), "--import-timeout=0.3", "--import-tries=2")
        node = uploaded(daemon, "import0_1.xml")
        with pytest.raises(ExchangeFailed, match="Given up after 2 tries: The importer had not ended after 0 s"):
            node.import_file("import0_1.xml")
        node.close()

        assert "failed permanently on attempt 2" in daemon.log

    def test_kill_minus_9_in_the_middle(self, daemons: Callable[..., Daemon], tmp_path: Path) -> None:
        """The next daemon starts it again, with the same id; the node's question is answered by it."""
        first = daemons(
            script(
                tmp_path, f"cat >> {tmp_path}/told; [ -e {tmp_path}/go ] || {{ touch {tmp_path}/begun; sleep 1000; }}"
            )
        )
        node = uploaded(first, "import0_1.xml")
        assert node._ask(f"type=catalog&mode=import&filename=import0_1.xml&sessid={node.sessid}").startswith(
            "progress"
        )
        while not (tmp_path / "begun").exists():
            time.sleep(0.02)
        first.kill()
        (tmp_path / "go").touch()
        node.go_on_at(daemons(f"--importer=exec:{tmp_path}/import").port)
        node.import_file("import0_1.xml")
        node.close()
        one, two = (tmp_path / "told").read_text().splitlines()

        assert one == two

    def test_sigterm_is_heard_at_once_by_who_waits(self, daemons: Callable[..., Daemon], tmp_path: Path) -> None:
        """The import may end; the daemon does too."""
        daemon = daemons(
            script(tmp_path, f"touch {tmp_path}/begun; sleep 1; touch {tmp_path}/ended"), "--import-hold=50"
        )
        node = uploaded(daemon, "import0_1.xml")
        heard: list[str] = []
        closed: list[str | None] = []
        query = f"{PATH}?type=catalog&mode=import&filename=import0_1.xml&sessid={node.sessid}"

        def ask() -> None:
            node.connection.request("GET", query, headers={"Cookie": node.cookie})
            response = node.connection.getresponse()
            heard.append(response.read().decode())
            closed.append(response.getheader("Connection"))

        asking = threading.Thread(target=ask)
        asking.start()
        while not (tmp_path / "begun").exists():
            time.sleep(0.02)
        daemon.stop()
        asking.join(PATIENCE)
        node.close()

        assert heard == ["progress\nImport is running"]
        assert closed == ["close"], "the next question goes to the next daemon"
        assert (tmp_path / "ended").exists()
        assert handoffs(daemon)[0][2] == "succeeded"


class TestSite:
    def test_a_site_imports(self, daemons: Callable[..., Daemon], shop: ShopProcess, tmp_path: Path) -> None:
        """It is asked once, with all that it needs, and signed."""
        (tmp_path / "secret").write_text("s3cret\n")
        daemon = daemons(f"--importer={shop.url}/1c", f"--import-secret={tmp_path}/secret")
        node = uploaded(daemon, "import0_1.xml", "offers0_1.xml")
        for name in ("import0_1.xml", "offers0_1.xml", "import0_1.xml"):
            node.import_file(name)
        node.close()
        told = [json.loads(seen.body) for seen in shop.seen]

        assert [one["filename"] for one in told] == ["import0_1.xml", "offers0_1.xml"]
        assert told[0]["folder"] == str(daemon.temp / node.sessid)
        assert shop.seen[0].headers[SIGNATURE.lower()] == signature(b"s3cret", shop.seen[0].body.encode())
        assert "s3cret" not in daemon.log

    def test_a_site_that_is_down_for_a_while(self, daemons: Callable[..., Daemon], shop: ShopProcess) -> None:
        """The node hears why it waits; when the site is back it gets what it missed, in order."""
        daemon = daemons(f"--importer={shop.url}/1c")
        shop.stop()
        node = uploaded(daemon, "import0_1.xml")
        query = f"type=catalog&mode=import&filename=import0_1.xml&sessid={node.sessid}"
        reason = "progress\nThe site cannot be asked: it refuses connections - try "
        while not node._ask(query).startswith(reason):
            assert not shop.seen
        node._ask(f"type=catalog&mode=complete&sessid={node.sessid}")
        shop.start()
        node.import_file("import0_1.xml")
        node.close()

        assert [json.loads(seen.body)["event"] for seen in shop.wait_for(2)] == ["import", "complete"]

    def test_a_site_of_every_kind_of_trouble(self, daemons: Callable[..., Daemon], shop: ShopProcess) -> None:
        """Nonsense, a connection that breaks, an error, slowness, progress: one import, one id, one body."""
        daemon = daemons(f"--importer={shop.url}/1c", "--import-timeout=1.5")
        shop.answer(
            {"raw": "nonsense"},
            {"silent": True},
            {"status": 202, "text": "half", "headers": {"Retry-After": "1"}},
            {"status": 200},
        )
        node = uploaded(daemon, "import0_1.xml")
        node.import_file("import0_1.xml")
        node.close()

        assert len(shop.seen) == 4
        assert len({seen.key for seen in shop.seen}) == 1
        assert len({seen.body for seen in shop.seen}) == 1
        assert handoffs(daemon)[0][2:4] == ("succeeded", 3)

    def test_a_quiet_session_is_handed_off_and_events_too(
        self, daemons: Callable[..., Daemon], shop: ShopProcess
    ) -> None:
        """What a node in "no wait" mode left, and a deactivate from another session."""
        daemon = daemons(f"--importer={shop.url}/1c", "--settle=1")
        uploaded(daemon, "import0_1.xml", "offers0_1.xml").close()
        empty = uploaded(daemon)
        empty._ask(f"type=catalog&mode=deactivate&timestamp=17&sessid={empty.sessid}")
        empty.close()
        told = [json.loads(seen.body) for seen in shop.wait_for(2)]

        assert sorted((one["event"], len(one["files"]), one["timestamp"]) for one in told) == [
            ("deactivate", 0, "17"),
            ("settled", 2, None),
        ]
        time.sleep(1.5)
        assert len(shop.seen) == 2

    def test_a_daemon_that_is_killed_at_any_moment(self, daemons: Callable[..., Daemon], shop: ShopProcess) -> None:
        """Between seal, call and record: the site hears of each at least once, never of two bodies under one id."""
        chance = random.Random(7)
        option = f"--importer={shop.url}/1c"
        asked: list[str] = []
        for number in range(KILLS):
            daemon = daemons(option)
            node = uploaded(daemon, "import0_1.xml")

            def ask(node: Trade = node) -> None:
                try:
                    node._ask(f"type=catalog&mode=import&filename=import0_1.xml&sessid={node.sessid}")
                except Exception:
                    return  # killed meanwhile

            shop.answer({"silent": True} if number % 3 == 2 else {})
            asking = threading.Thread(target=ask)
            asking.start()
            time.sleep(chance.uniform(0, 0.06))
            daemon.kill()
            asking.join(PATIENCE)
            node.close()
            asked.append(node.sessid)
        shop.answer({})
        daemon = daemons(option, "--settle=1")
        wait_for(daemon, "succeeded", KILLS)
        bodies: dict[str, set[str]] = {}
        for seen in shop.seen:
            bodies.setdefault(seen.key, set()).add(seen.body)

        assert all(len(one) == 1 for one in bodies.values())
        assert {json.loads(seen.body)["sessid"] for seen in shop.seen} == set(asked), "each session was handed off"
        assert {one[0] for one in handoffs(daemon)} <= set(bodies)
        assert all(one[2] == "succeeded" for one in handoffs(daemon))


class TestOrders:
    def test_orders_go_to_the_node_and_are_confirmed(self, daemons: Callable[..., Daemon], shop: ShopProcess) -> None:
        """1C:UNF and the Bitrix module take them, each in its way."""
        daemon = daemons(f"--orders={shop.url}/orders")
        shop.answer({"text": ORDER.format(7)}, {"status": 204})
        with closing(Unf("127.0.0.1", daemon.port)) as node:
            assert node.orders(b"<?xml?>") == ["7"]
        shop.answer({"text": ORDER.format(8)}, {}, {"text": NO_ORDERS, "chunked": True})
        with closing(Bitrix("127.0.0.1", daemon.port)) as other:
            assert other.orders() == ["8"]

        assert [seen.method for seen in shop.seen] == ["GET", "POST", "GET", "POST", "GET"]

    def test_directories(self, daemons: Callable[..., Daemon], shop: ShopProcess) -> None:
        """The site's, as 1C:UNF asks for them."""
        daemon = daemons(f"--orders={shop.url}/orders")
        shop.answer(
            {
                "text": '<?xml version="1.0"?><Справочник><\u0043татусы><Элемент><Ид>N</Ид><Название>Новый</Название>'
                "</Элемент></\u0043татусы></Справочник>"
            }
        )
        with closing(Unf("127.0.0.1", daemon.port)) as node:
            node.checkauth("sale")

            assert node.info() == ["Новый"]

    @pytest.mark.parametrize("answer", [{"text": "<html>"}, {"status": 500}, {"raw": "x"}])
    def test_a_site_that_gives_nonsense(
        self, daemons: Callable[..., Daemon], shop: ShopProcess, answer: dict[str, Any]
    ) -> None:
        """The node hears a failure, and no order is lost: nothing was confirmed."""
        daemon = daemons(f"--orders={shop.url}/orders", "--status-codes=ok")
        shop.answer(answer)
        refused = pytest.raises(ExchangeFailed, match="failure\nThe site gave no orders - retry later")
        with closing(Unf("127.0.0.1", daemon.port)) as node, refused:
            node.orders(b"<?xml?>")

        assert [seen.method for seen in shop.seen] == ["GET"]

    @pytest.mark.parametrize("chunked", [True, False])
    def test_a_large_document_is_not_held(
        self, daemons: Callable[..., Daemon], shop: ShopProcess, chunked: bool
    ) -> None:
        """A node that reads slowly holds the site back; the daemon's memory stays flat."""
        daemon = daemons(f"--orders={shop.url}/orders")
        node = uploaded(daemon)
        node._ask(f"type=sale&mode=init&sessid={node.sessid}")
        before = daemon.peak_memory()
        size = 32 * MB
        shop.answer({"text": "<?xml" + "x" * (size - 5), "chunked": chunked})
        with socket.create_connection(("127.0.0.1", daemon.port), PATIENCE) as line:
            line.sendall(query(node, "HTTP/1.1"))
            time.sleep(1)
            received = b""
            total = 0
            while total < size:
                received = line.recv(MB)
                assert received
                total += len(received)

        assert daemon.peak_memory() - before < 8 * MB
        node.close()

    @pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
    def test_a_document_that_breaks_off_is_not_taken_for_whole(
        self, daemons: Callable[..., Daemon], shop: ShopProcess, version: str
    ) -> None:
        """The node's connection breaks as well."""
        daemon = daemons(f"--orders={shop.url}/orders")
        node = uploaded(daemon)
        shop.answer({"text": "<?xml" + "x" * MB, "breaks": MB // 2})
        with socket.create_connection(("127.0.0.1", daemon.port), PATIENCE) as line:
            line.sendall(query(node, version))
            head, body = read_all(line)

        assert b"Content-Length: %d" % (MB + 5) in head
        assert len(body) < MB
        daemon.wait_for("answer aborted")
        node.close()

    def test_a_document_for_http_1_0(self, daemons: Callable[..., Daemon], shop: ShopProcess) -> None:
        """Without a length it ends with its connection, and is not in chunks."""
        daemon = daemons(f"--orders={shop.url}/orders")
        node = uploaded(daemon)
        shop.answer({"text": NO_ORDERS * 2000, "chunked": True})
        with socket.create_connection(("127.0.0.1", daemon.port), PATIENCE) as line:
            line.sendall(query(node, "HTTP/1.0"))
            head, body = read_all(line)

        assert b"chunked" not in head
        assert body.decode() == NO_ORDERS * 2000
        node.close()

    @pytest.mark.parametrize("chunked", [True, False])
    @pytest.mark.parametrize("late", ["body", "nothing"])
    def test_a_question_with_a_body(
        self, daemons: Callable[..., Daemon], shop: ShopProcess, chunked: bool, late: str
    ) -> None:
        """Some nodes POST whatever they ask: the document is whole, also when their body comes late or never."""
        daemon = daemons(f"--orders={shop.url}/orders", "--idle-timeout=1")
        node = uploaded(daemon)
        text = NO_ORDERS * 20_000
        shop.answer({"text": text, "chunked": chunked})
        head = query(node, "HTTP/1.1").replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n")
        line = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=PATIENCE)
        line.connect()
        line.send(head)
        response = http.client.HTTPResponse(line.sock)
        response.begin()
        begun = response.read(1000)
        if late == "body":
            line.send(b"12345")
        received = begun + response.read()
        line.close()
        response.close()
        node.close()

        assert received.decode() == text

    def test_a_connection_goes_on_after_a_document(self, daemons: Callable[..., Daemon], shop: ShopProcess) -> None:
        """Documents and other answers follow each other on it."""
        daemon = daemons(f"--orders={shop.url}/orders")
        node = uploaded(daemon)
        for chunked in (True, False, True):
            shop.answer({"text": NO_ORDERS, "chunked": chunked})
            assert node._ask(f"type=sale&mode=query&sessid={node.sessid}") == NO_ORDERS
            node.send_file("a", b"x")
        node.close()

    def test_nodes_that_leave_before_the_site_answers(
        self, daemons: Callable[..., Daemon], shop: ShopProcess
    ) -> None:
        """Leave no connection behind."""
        daemon = daemons(f"--orders={shop.url}/orders")
        node = uploaded(daemon)
        shop.answer({"text": NO_ORDERS * 5000, "delay": 0.5})
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", daemon.port), PATIENCE) as line:
                line.sendall(query(node, "HTTP/1.1"))
                time.sleep(0.05)
        shop.wait_for(5)
        time.sleep(1)
        node.close()

        assert connections(daemon, shop.port) == 0

    def test_a_node_that_goes_away_lets_the_site_go(self, daemons: Callable[..., Daemon], shop: ShopProcess) -> None:
        """Nothing is fetched for nobody."""
        daemon = daemons(f"--orders={shop.url}/orders")
        node = uploaded(daemon)
        shop.answer({"text": "<?xml" + "x" * 50 * MB})
        with socket.create_connection(("127.0.0.1", daemon.port), PATIENCE) as line:
            line.sendall(query(node, "HTTP/1.1"))
            line.recv(1000)
        deadline = time.monotonic() + 10
        while connections(daemon, shop.port):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        node.close()


def query(node: Trade, version: str) -> bytes:
    """Return the request for orders."""
    return (
        f"GET {PATH}?type=sale&mode=query&sessid={node.sessid} {version}\r\nHost: a\r\nCookie: {node.cookie}\r\n\r\n"
    ).encode()


def read_all(line: socket.socket) -> tuple[bytes, bytes]:
    """Read until the connection ends; return head and body."""
    received = b""
    try:
        while block := line.recv(MB):
            received += block
    except ConnectionResetError:
        pass
    head, _, body = received.partition(b"\r\n\r\n")
    return head, body


def connections(daemon: Daemon, port: int) -> int:
    """Return how many connections the daemon has to a port."""
    inodes = set()
    for fd in os.listdir(f"/proc/{daemon.process.pid}/fd"):
        try:
            inodes.add(os.readlink(f"/proc/{daemon.process.pid}/fd/{fd}"))
        except FileNotFoundError:
            continue
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [row.split() for row in table.readlines()[1:]]
    return sum(row[2].endswith(f":{port:04X}") and f"socket:[{row[9]}]" in inodes for row in rows)


@pytest.fixture
def nodes() -> Iterator[Callable[[Daemon], Node]]:
    """Make nodes of our own library."""
    from twisted.internet import reactor

    pool = HTTPConnectionPool(reactor)

    def make(daemon: Daemon) -> Node:
        url = f"http://127.0.0.1:{daemon.port}{PATH}"
        return Node(reactor, http_client(reactor, url, pool=pool), url, "shop", "secret")

    yield make
    pytest_twisted.blockon(pool.closeCachedConnections())


class TestReplays:
    @pytest_twisted.ensureDeferred
    async def test_trade_11_5(
        self, daemons: Callable[..., Daemon], shop: ShopProcess, nodes: Callable[[Daemon], Node]
    ) -> None:
        """One archive in pieces; the names imported lie inside. Our own library plays the node."""
        daemon = daemons(f"--importer={shop.url}/1c", "--file-limit=100K")
        shop.answer({"status": 202, "headers": {"Retry-After": "1"}}, {})
        node = nodes(daemon)
        login = await node.checkauth()
        parameters = await node.init()
        content = packed({"import0_1.xml": os.urandom(300_000), "offers0_1.xml": DOCUMENT}, 0)
        sent = await node.send_file("v8_1A76_155ae.zip", io.BytesIO(content))
        await node.import_file("import0_1.xml")
        await node.import_file("offers0_1.xml")
        told = [json.loads(seen.body) for seen in shop.seen]

        assert (sent.pieces, sent.bytes_sent) == (3, len(content))
        assert (login.remarks, parameters.remarks, sent.remarks) == ((), (), ())
        assert [(one["filename"], one["unpacked"]) for one in told] == [
            ("import0_1.xml", "v8_1A76_155ae.zip"),
            ("import0_1.xml", "v8_1A76_155ae.zip"),
            ("offers0_1.xml", "v8_1A76_155ae.zip"),
        ]
        assert told[2]["files"] == [{"name": "offers0_1.xml", "size": len(DOCUMENT)}]

    def test_trade_11_5_hears_a_damaged_archive(self, daemons: Callable[..., Daemon], shop: ShopProcess) -> None:
        """In words that say what to do next: look at the archive."""
        daemon = daemons(f"--importer={shop.url}/1c")
        node = Trade("127.0.0.1", daemon.port)
        node.checkauth()
        node.send_file("v8_1.zip", packed({"import0_1.xml": DOCUMENT})[:-9])
        with pytest.raises(ExchangeFailed, match=r"Archive v8_1\.zip is damaged"):
            node.import_file("import0_1.xml")
        node.close()

        assert shop.seen == []

    def test_unf(self, daemons: Callable[..., Daemon], shop: ShopProcess) -> None:
        """Documents in an archive, pictures one by one; orders without an import are handed off all the same."""
        daemon = daemons(f"--importer={shop.url}/1c", "--settle=1")
        node = Unf("127.0.0.1", daemon.port)
        shop.answer({"status": 400, "text": "Нет цены"}, {})
        archive = packed({"offers0_1.xml": DOCUMENT, "import0_1.xml": DOCUMENT})
        pictures = {f"import_files/ab/{number}.jpg": os.urandom(500) for number in range(20)}
        with pytest.raises(ExchangeFailed, match="Нет цены"):
            node.catalog({"v8_1.zip": archive}, pictures, ["offers0_1.xml", "import0_1.xml"])
        node.catalog({"v8_1.zip": archive}, pictures, ["offers0_1.xml", "import0_1.xml"])
        assert node.orders(b"<?xml?>") == []
        assert node.info() == []
        node.close()
        told = [json.loads(seen.body) for seen in shop.wait_for(4)]

        assert [(one["event"], one["type"], one["filename"]) for one in told] == [
            ("import", "catalog", "import0_1.xml"),
            ("import", "catalog", "import0_1.xml"),
            ("import", "catalog", "offers0_1.xml"),
            ("settled", "sale", None),
        ]
        assert len({one["sessid"] for one in told}) == 3

    def test_the_bitrix_module(self, daemons: Callable[..., Daemon], shop: ShopProcess) -> None:
        """Each package logs in anew; then deactivate and complete; and a log that comes without ``init``."""
        daemon = daemons(f"--importer={shop.url}/1c", "--settle=1", "--status-codes=ok")
        node = Bitrix("127.0.0.1", daemon.port)
        for kind in ("import", "offers", "prices"):
            name = f"{kind}___4f9b2c7e-11aa-4c1d-9be0-0123456789ab.xml"
            node.package(name, {f"v8_{kind}.zip": packed({name: DOCUMENT})})
        node.end()
        log = quote("\\Reports\\Exchange_(Узел обмена)2026-11-23.zip")
        node.log(log, packed({"log.txt": b"log"}))
        node.close()
        told = [json.loads(seen.body) for seen in shop.wait_for(6)]

        assert [one["event"] for one in told] == ["import"] * 3 + ["deactivate", "complete", "settled"]
        assert told[3]["timestamp"] == node.timestamp.removeprefix("&timestamp=")
        assert [file["name"] for file in told[5]["files"]] == ["log.txt"]
        assert len({one["sessid"] for one in told}) == 6

    @pytest_twisted.ensureDeferred
    async def test_a_full_upload_of_the_bitrix_module_by_our_library(
        self, daemons: Callable[..., Daemon], shop: ShopProcess, nodes: Callable[[Daemon], Node]
    ) -> None:
        """Packages with their own logins, orders that nobody has, then deactivate and complete."""
        daemon = daemons(f"--importer={shop.url}/1c", f"--orders={shop.url}/orders")
        first = await nodes(daemon).checkauth()
        for kind in ("import", "offers"):
            node = nodes(daemon)
            await node.checkauth()
            await node.init(version="3.1")
            await node.send_file(f"{kind}___1.xml", io.BytesIO(DOCUMENT))
            await node.import_file(f"{kind}___1.xml")
        for mode in ("deactivate", "complete"):
            node = nodes(daemon)
            await node.checkauth()
            await (node.deactivate(first.timestamp) if mode == "deactivate" else node.complete())
        shop.wait_for(4)
        shop.answer({"text": NO_ORDERS}, {})
        node = nodes(daemon)
        await node.checkauth("sale")
        assert (await node.init("sale", "3.1")).remarks == ()
        parts: list[bytes] = []
        await node.query_orders(parts.append)
        await node.confirm_orders()
        told = [json.loads(seen.body) for seen in shop.seen if seen.body]

        assert b"".join(parts).decode() == NO_ORDERS
        assert [one["event"] for one in told] == ["import", "import", "deactivate", "complete", "success"]
        assert told[2]["timestamp"] == first.timestamp

    def test_an_exchange_without_files_delivers_nothing(
        self, daemons: Callable[..., Daemon], shop: ShopProcess
    ) -> None:
        """The second try of 1C:UNF with zip=no: ``checkauth``, ``init``, and success."""
        daemon = daemons(f"--importer={shop.url}/1c", "--settle=1")
        node = Unf("127.0.0.1", daemon.port)
        node.catalog({}, {}, [])
        node.close()
        time.sleep(2.5)

        assert shop.seen == []
        assert handoffs(daemon) == []


def test_the_importers_are_listed(tmp_path: Path) -> None:
    """As ``--help-auth`` lists checkers; nothing is started."""
    done = finish(command("--help-importers"), PATIENCE, cwd=tmp_path)

    assert done.returncode == 0
    assert [line.strip() for line in done.stdout.splitlines() if re.fullmatch("  [a-z]+", line)] == [
        "exec",
        "http",
        "https",
        "keep",
    ]


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--importer=bitrix:x", "--importer=bitrix:x: no such importer; --help-importers lists them"),
        ("--importer=exec:/nowhere", "--importer=exec:/nowhere: there is no program /nowhere"),
        ("--importer=http:x", "--importer=http:x: http:x is not an address"),
        ("--import-secret=/nowhere", "--import-secret=/nowhere: cannot be read: No such file or directory"),
        ("--orders=ftp://x", "--orders=ftp://x: write an address"),
        ("--orders=http://", "--orders=http://: http:// is not an address"),
        ("--import-tries=0", "--import-tries=0: must be a number, 1 or more"),
    ],
)
def test_a_site_that_cannot_be(tmp_path: Path, argument: str, words: str) -> None:
    """Ends the start with one line."""
    status, _, complaint = run(tmp_path, "--auth=memory:shop:secret", argument)

    assert status == 1
    assert words in complaint
    assert len(complaint.strip().splitlines()) == 1
