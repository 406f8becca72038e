"""Two daemons that share the work behind a real nginx and a real HAProxy, by the samples: unit, socket and sites."""

from __future__ import annotations

import hashlib
import os
import random
import re
import shlex
import signal
import socket
import subprocess
from base64 import b64encode
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import pytest
from attrs import define, field
from daemon import PATIENCE, SCRIPTS, Daemon
from forks import spawn
from front import (
    DEPLOY,
    Client,
    htpasswd,
    launch,
    listening,
    replaced,
    setting,
    start_haproxy,
    start_nginx,
    wait_until,
)
from processes import free_port
from trade import ExchangeFailed, digests
from tus_in_memory import CHUNK, metadata

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.skipif("ONEC_TEST_DEPLOY" not in os.environ, reason="tox -e deploy runs it")

SERVICE = DEPLOY / "onec-exchange@.service"
SOCKET = DEPLOY / "onec-exchange@.socket"
SITES = {"nginx": "nginx/shards.conf", "haproxy": "haproxy/shards.cfg"}
KB, MB = 2**10, 2**20
PIECE = 256 * KB
USERS = [f"node{number}" for number in range(40)]
"""So many that each shard gets five of them, however the proxy divides them."""


@define(eq=False)
class Shard:
    """A daemon as the template unit starts it, on a port that systemd would hold."""

    name: str
    folder: Path
    number: int
    admin: int
    port: socket.socket
    daemon: Daemon = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Start it."""
        self.start()

    def start(self) -> None:
        """Start it on the port that is held; if none is, hold it again."""
        if self.port.fileno() == -1:
            self.port = socket.create_server(("127.0.0.1", self.number))
        (line,) = setting(SERVICE, "ExecStart")
        changes = {
            "/opt/onec-exchange/bin/twistd": f"{SCRIPTS}/twistd",
            "tcp:819%i:": f"tcp:{self.admin}:",
            "/etc/onec.htpasswd": str(self.folder.parent / "htpasswd"),
            "/srv/shop/shard-%i": f"{self.folder}/media",
        }
        command = shlex.split(replaced(line, changes).replace("%i", self.name))
        self.daemon = launch(self.folder, [*command, "--zip=no", f"--file-limit={PIECE}"], self.port)

    def leave(self) -> None:
        """End it and its port, as a machine does that is switched off: connections are refused."""
        self.port.close()
        self.daemon.stop()

    def path(self, node: Client, name: str) -> Path:
        """Return where a file of a node is."""
        return self.daemon.temp / node.sessid / name

    def sessions(self) -> set[str]:
        """Return the sessions that have a folder."""
        return {path.name for path in self.daemon.temp.glob("*-*")}


@define(eq=False)
class Front:
    """A proxy, the two shards behind it, and users whose logins it sends to each; ``folder`` has what it prints."""

    folder: Path
    port: int
    shards: dict[str, Shard]
    users: dict[str, list[str]] = field(factory=lambda: defaultdict(list))

    def node(self, user: str) -> Client:
        """Return a node that reaches the exchange by the proxy."""
        return Client("127.0.0.1", self.port, user=user)

    def logged_in(self, shard: str, number: int = 0) -> Client:
        """Return a node that has logged in at its shard, as soon as the proxy knows that this is back, and begins."""
        node = self.node(self.users[shard][number])

        def is_there() -> bool:
            node.checkauth()
            return node.sessid.startswith(f"{shard}-")

        wait_until(is_there)
        node.init()
        return node

    @property
    def log(self) -> str:
        """Return what the proxy has printed so far."""
        return (self.folder / "output.log").read_text(encoding="utf-8")

    def divide(self) -> None:
        """Learn who belongs where, until there are five for each."""
        for user in USERS:
            node = self.node(user)
            node.checkauth()
            node.close()
            self.users[node.sessid.partition("-")[0]].append(user)
            if len(self.users) == 2 and min(map(len, self.users.values())) >= 5:
                return
        raise AssertionError(f"users are divided badly: {self.users}")


@pytest.fixture(scope="module", params=SITES)
def front(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """One of the sites, with nothing changed but the ports."""
    kind: str = request.param
    folder = tmp_path_factory.mktemp(kind)
    one = htpasswd(folder / "htpasswd").read_text(encoding="ascii")
    (folder / "htpasswd").write_text("".join(one.replace("shop:", f"{user}:") for user in USERS), encoding="ascii")
    with ExitStack() as ended:
        shards = {}
        for name in "12":
            port = socket.create_server(("127.0.0.1", 0))
            shards[name] = Shard(name, folder / f"shard-{name}", port.getsockname()[1], free_port(), port)
            ended.callback(shards[name].leave)
        site = (DEPLOY / SITES[kind]).read_text(encoding="utf-8")
        for shard in shards.values():
            site = site.replace(f"127.0.0.1:818{shard.name}", f"127.0.0.1:{shard.number}")
            site = site.replace(f"port 819{shard.name}", f"port {shard.admin}")
        public = free_port()
        if kind == "nginx":
            proxy = start_nginx(folder, replaced(site, listening(site, {"80": public})), public)
        else:
            proxy = start_haproxy(
                folder, replaced(site, {"    bind :80\n": f"    bind 127.0.0.1:{public}\n"}), public
            )
        ended.callback(proxy.wait, PATIENCE)
        ended.callback(proxy.terminate)
        front = Front(folder, public, shards)
        front.divide()
        yield front


def tus(
    front: Front, method: str, path: str, who: Mapping[str, str], body: bytes = b"", **more: str
) -> tuple[int, Mapping[str, str]]:
    """Send a tus request by the proxy, on a connection of its own; return status and headers."""
    line = HTTPConnection("127.0.0.1", front.port, timeout=PATIENCE)
    told = {name.replace("_", "-"): value for name, value in more.items()}
    line.request(method, path, body, {"Tus-Resumable": "1.0.0", **who, **told})
    with line.getresponse() as response:
        response.read()
        heard = response.status, {name.lower(): value for name, value in response.getheaders()}
    line.close()
    return heard


def authorization(user: str) -> str:
    """Return the header of a login."""
    return "Basic " + b64encode(f"{user}:secret".encode()).decode("ascii")


def test_ten_nodes_at_once(front: Front) -> None:
    """Whole dialogues, five at each shard: every file is where its session is, as it was sent, and nowhere else."""
    users = [(name, user) for name in front.shards for user in front.users[name][:5]]
    before = {name: shard.sessions() for name, shard in front.shards.items()}

    def export(name: str, user: str) -> tuple[str, str, dict[str, str]]:
        chance, node, sent = random.Random(user), front.node(user), {}
        node.checkauth()
        node.init()
        for file, size in {
            "import0_1.xml": 3 * PIECE + 1,
            "import_files/ab/x.jpg": 50_000,
            "offers0_1.xml": 9,
        }.items():
            content = chance.randbytes(size)
            if file.endswith(".xml"):
                content = b"<a>%s</a>" % content.hex().encode()[: size - len("<a></a>")]
            sent[file] = hashlib.sha256(content).hexdigest()
            for begin in range(0, size, PIECE):
                node.send_file(file, content[begin : begin + PIECE])
        node.import_file("import0_1.xml")
        node.close()
        return name, node.sessid, sent

    with ThreadPoolExecutor(len(users)) as pool:
        done = list(pool.map(lambda one: export(*one), users))

    assert len(done) == 10
    for name, shard in front.shards.items():
        ours = {sessid: sent for at, sessid, sent in done if at == name}
        assert shard.sessions() - before[name] == set(ours)
        for sessid, sent in ours.items():
            arrived = digests(shard.daemon.temp / sessid)
            del arrived["manifest.json"]
            assert arrived == sent
        assert "came to shard" not in shard.daemon.log


@pytest.mark.parametrize("by", ["Authorization", "Cookie"])
@pytest.mark.parametrize("name", ["1", "2"])
def test_uploads_by_tus(front: Front, name: str, by: str) -> None:
    """An upload stays where it was made, whichever way its client is known; what arrived before a cut is kept."""
    body, shard, node = random.Random(name + by).randbytes(2 * MB), front.shards[name], front.logged_in(name)
    who = {by: {"Authorization": authorization(node.user), "Cookie": node.cookie}[by]}
    name_it = metadata(filename="upload")
    status, headers = tus(front, "POST", "/files/", who, Upload_Length=str(len(body)), Upload_Metadata=name_it)
    path = re.sub(r"^http://127\.0\.0\.1:\d+", "", headers["location"])
    assert status == 201
    assert re.fullmatch(rf"/files/{name}-[0-9a-f]{{32}}", path)

    def arrived() -> list[int]:
        return [file.stat().st_size for file in shard.daemon.temp.glob("*/upload")]

    line = socket.create_connection(("127.0.0.1", front.port))
    line.sendall(
        f"PATCH {path} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\n{by}: {who[by]}\r\nUpload-Offset: 0\r\n"
        f"Content-Type: {CHUNK}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body[:MB]
    )
    # the daemon gathers up to 64 KB before it writes, so that not all that it has received is in the file
    wait_until(lambda: any(MB // 2 <= size <= MB for size in arrived()))
    line.close()
    offset = int(tus(front, "HEAD", path, who)[1]["upload-offset"])
    status, headers = tus(front, "PATCH", path, who, body[offset:], Upload_Offset=str(offset), Content_Type=CHUNK)

    assert MB // 2 <= offset <= MB
    assert (status, headers["upload-offset"]) == (204, str(len(body)))
    assert body in [file.read_bytes() for file in shard.daemon.temp.glob("*/upload")]
    assert tus(front, "DELETE", path, who)[0] == 204
    assert "came to shard" not in shard.daemon.log
    node.close()


def test_a_cookie_of_the_other_shard_does_not_lead_an_upload_away(front: Front) -> None:
    """The path counts first: somebody may have logged in elsewhere since the upload was made."""
    user, node = {"Authorization": authorization(front.users["1"][0])}, front.logged_in("2")
    path = tus(front, "POST", "/files/", user, Upload_Length="3")[1]["location"].partition("/files/")[2]
    assert tus(front, "HEAD", f"/files/{path}", {**user, "Cookie": node.cookie})[0] == 200
    assert tus(front, "DELETE", f"/files/{path}", {**user, "Cookie": node.cookie})[0] == 204
    node.close()


def test_who_has_lost_the_cookie_is_told_by_the_right_shard(front: Front) -> None:
    """The sessid leads there, although it opens nothing."""
    for name, shard in front.shards.items():
        node = front.logged_in(name)
        other = front.node(front.users["1" if name == "2" else "2"][0])
        other.sessid = node.sessid
        refusals = shard.daemon.log.count("refused: Invalid session")
        with pytest.raises(ExchangeFailed, match=r"^HTTP 403: failure\nInvalid session$"):
            other.init()
        shard.daemon.wait_for("refused: Invalid session", refusals + 1)
        node.close()
        other.close()


def test_a_shard_dies_in_the_middle(front: Front, tmp_path: Path) -> None:
    """Nodes of both shards export; one shard is killed and starts again: sessions go on, digests are those sent."""
    first = front.shards["1"]
    before = {name: shard.sessions() for name, shard in front.shards.items()}
    pushing = {}
    for name in front.shards:
        for user in front.users[name][:2]:
            folder = tmp_path / user
            folder.mkdir()
            (folder / "import0_1.xml").write_bytes(b"<?xml version='1.0'?><a/>")
            (folder / "picture.jpg").write_bytes(random.Random(user).randbytes(60 * PIECE + 7))
            command = [str(SCRIPTS / "onec-node"), "push", str(folder), "--user", user]
            command += ["--url", f"http://127.0.0.1:{front.port}/1c_exchange.php"]
            pushing[user] = spawn(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env={**os.environ, "ONEC_PASSWORD": "secret"},
            )

    def is_in_the_middle() -> bool:
        sizes = [path.stat().st_size for path in first.daemon.temp.glob("*/picture.jpg")]
        return len([size for size in sizes if size > 2 * PIECE]) == 2

    wait_until(is_in_the_middle)
    first.daemon.kill()
    unfinished = min(path.stat().st_size for path in first.daemon.temp.glob("*/picture.jpg"))
    first.start()
    said = {user: process.communicate(timeout=PATIENCE)[0] for user, process in pushing.items()}

    assert unfinished < 60 * PIECE, "one at least was in the middle"
    assert [process.returncode for process in pushing.values()] == [0] * 4, said
    for name, shard in front.shards.items():
        new = shard.sessions() - before[name]
        arrived = [digests(shard.daemon.temp / sessid) for sessid in new]
        for files in arrived:
            del files["manifest.json"]
        sent = [digests(tmp_path / user) for user in front.users[name][:2]]
        assert sorted(map(sorted, map(dict.items, arrived))) == sorted(map(sorted, map(dict.items, sent)))


def test_a_shard_that_restarts_keeps_its_nodes_waiting(front: Front) -> None:
    """systemd holds the port: a piece and a login that come in between are answered by the next process."""
    shard = front.shards["2"]
    node, other = front.logged_in("2"), front.node(front.users["2"][1])
    node.send_file("goods.xml", b"first,")
    assert shard.daemon.stop() in (0, -signal.SIGTERM)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(node.send_file, "goods.xml", b"second"), pool.submit(other.checkauth)]
        shard.start()
        for one in waiting:
            one.result(PATIENCE)
    node.close()
    other.close()

    assert shard.path(node, "goods.xml").read_bytes() == b"first,second"
    assert other.sessid.partition("-")[0] in front.shards


def test_refusals_come_through(front: Front) -> None:
    """The proxy passes on what the daemon says at the headers; the node reads no answer before it has sent all."""
    node = front.logged_in("2")
    for _ in range(3):
        with pytest.raises(ExchangeFailed, match=r"^HTTP 413: failure\nFile too large$"):
            node.send_file("a", b"x" * 4 * MB)
        node.go_on_at(front.port)
    node.close()


def test_a_node_that_dies_leaves_nothing(front: Front) -> None:
    """Its half piece is on the disk before the other half is sent, and is rolled back."""
    shard, node = front.shards["2"], front.logged_in("2")
    node.send_file("goods.xml", b"before,")
    file = shard.path(node, "goods.xml")
    line = socket.create_connection(("127.0.0.1", front.port))
    line.sendall(
        f"POST /1c_exchange.php?type=catalog&mode=file&filename=goods.xml&sessid={node.sessid} HTTP/1.1\r\n"
        f"Host: x\r\nCookie: {node.cookie}\r\nContent-Length: {PIECE}\r\n\r\n".encode()
        + b"x" * (PIECE - 1)
    )
    wait_until(lambda: file.stat().st_size > len(b"before,"))
    line.close()
    wait_until(lambda: file.stat().st_size == len(b"before,"))
    node.send_file("goods.xml", b"after")
    node.close()

    assert file.read_bytes() == b"before,after"


def test_the_daemon_knows_who_asks(front: Front) -> None:
    """Its log has the address of the node, whatever the node says; other paths lead nowhere."""
    node = Client("127.0.0.1", front.port, user=front.users["1"][0], address="127.0.0.9")
    told = {"Authorization": authorization(node.user), "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "gopher"}
    node.connection.request("GET", "/1c_exchange.php?type=catalog&mode=checkauth", headers=told)
    with node.connection.getresponse() as response:
        sessid = response.read().decode().partition("sessid=")[2].partition("\n")[0]
    node.connection.request("GET", "/media/1c_temp/exchange.sqlite3")
    with node.connection.getresponse() as response:
        assert response.status == 404
    node.close()

    name, _, random = sessid.partition("-")
    shard = front.shards[name]
    shard.daemon.wait_for(f"{name}-{random[:8]}: session opened by {node.user} from 127.0.0.9\n")
    assert "192.0.2.1" not in shard.daemon.log


def test_a_proxy_that_mixes_them_up_is_told_of(front: Front) -> None:
    """Here it is left out, and somebody takes a session to the wrong shard."""
    node = front.logged_in("1")
    node.go_on_at(front.shards["2"].number)
    with pytest.raises(ExchangeFailed, match=r"^HTTP 403: failure\nInvalid session$"):
        node.send_file("goods.xml", b"x")
    node.close()

    front.shards["2"].daemon.wait_for("a request for shard 1 came to shard 2, which does not know its session")


@pytest.mark.parametrize("front", ["haproxy"], indirect=True)
def test_a_shard_that_is_not_healthy(front: Front) -> None:
    """HAProxy learns from the daemon's health that it takes nothing in: logins go to the other, sessions stay."""
    shard, media = front.shards["1"], front.shards["1"].daemon.folder / "media"
    node, other = front.logged_in("1"), front.node(front.users["1"][1])
    node.send_file("goods.xml", b"first,")
    before = len(front.log)
    media.rename(media.with_name("elsewhere"))
    wait_until(lambda: "Server onec_exchange/1 is DOWN" in front.log[before:])
    with pytest.raises(ExchangeFailed, match=r"^HTTP 503: failure\nStorage was removed"):
        node.send_file("goods.xml", b"lost,")
    other.checkauth()
    assert other.sessid.startswith("2-")

    media.with_name("elsewhere").rename(media)
    wait_until(lambda: "Server onec_exchange/1 is UP" in front.log[before:])
    node.send_file("goods.xml", b"second")
    other.checkauth()
    assert other.sessid.startswith("1-"), "a login goes where its user belongs, whatever the cookie says"
    assert shard.path(node, "goods.xml").read_bytes() == b"first,second"
    node.close()
    other.close()


def test_a_shard_that_is_down(front: Front) -> None:
    """New logins go to the other, nobody's session does; who has one goes on with it when its shard is back.

    The last one here: nginx keeps away from a shard for ten seconds.
    """
    first, second = front.shards["1"], front.shards["2"]
    warnings = second.daemon.log.count("came to shard")
    node = front.logged_in("1")
    node.send_file("goods.xml", b"<a>")
    first.leave()

    for other in front.users["1"]:
        late = front.node(other)
        late.checkauth()
        assert late.sessid.startswith("2-")
        late.init()
        late.send_file("goods.xml", other.encode())
        late.close()
        assert second.path(late, "goods.xml").read_bytes() == other.encode()
    node.go_on_at(front.port)
    with pytest.raises(ExchangeFailed, match=r"^HTTP 50[23]: "):
        node.send_file("goods.xml", b"lost,")
    first.start()
    node.go_on_at(front.port)
    node.send_file("goods.xml", b"</a>")
    node.import_file("goods.xml")
    node.close()

    assert first.path(node, "goods.xml").read_bytes() == b"<a></a>"
    assert second.daemon.log.count("came to shard") == warnings
