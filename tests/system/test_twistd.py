"""The real process, with real sockets and real files."""

from __future__ import annotations

import hashlib
import http.client
import os
import random
import signal
import socket
import stat
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from certificates import make_certificate
from daemon import AUTH, PATIENCE, Daemon, connect_unix, run, start
from trade import PATH, ExchangeFailed, Trade

if TYPE_CHECKING:
    from collections.abc import Callable

MB = 2**20


def logged_in(daemon: Daemon) -> Trade:
    """Return a node with a session."""
    node = Trade("127.0.0.1", daemon.port)
    node.checkauth()
    return node


def head(node: Trade, name: str, length: int, *extra: str) -> bytes:
    """Return the bytes of a piece's headers."""
    lines = (
        f"POST {PATH}?type=catalog&mode=file&filename={name}&sessid={node.sessid} HTTP/1.1",
        "Host: shop.example",
        f"Cookie: {node.cookie}",
        f"Content-Length: {length}",
        *extra,
        "",
        "",
    )
    return "\r\n".join(lines).encode()


def read_answer(line: socket.socket) -> bytes:
    """Return an answer with its body, by its Content-Length."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += line.recv(65536) or pytest.fail(f"closed after {answer!r}")
    start_of_body = answer.index(b"\r\n\r\n") + 4
    length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(answer) < start_of_body + length:
        answer += line.recv(65536) or pytest.fail(f"closed after {answer!r}")
    return answer


@pytest.mark.executed("first start")
def test_the_users_story(daemons: Callable[..., Daemon]) -> None:
    """To the byte: where the file lies, what is answered, what is refused."""
    daemon = daemons()
    node = logged_in(daemon)
    body = random.Random(1).randbytes(3 * MB)
    for start_at in range(0, len(body), MB):
        assert node._ask(
            f"type=catalog&mode=file&filename=import.zip&sessid={node.sessid}", body[start_at : start_at + MB]
        ) == ("success")
    assert (daemon.temp / node.sessid / "import.zip").read_bytes() == body

    def status_and_body(query: str) -> tuple[int, bytes]:
        line = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=PATIENCE)
        line.request("POST", f"{PATH}?{query}", body=b"x", headers={"Cookie": node.cookie})
        response = line.getresponse()
        answer = response.status, response.read()
        line.close()
        return answer

    query = "type=catalog&mode=file&filename=import.zip"
    assert status_and_body(f"{query}&sessid=wrong") == (403, b"failure\nInvalid session")
    assert status_and_body(query) == (403, b"failure\nMissing sessid")
    assert (daemon.temp / node.sessid / "import.zip").read_bytes() == body
    token = node.cookie.partition("=")[2]
    node.close()
    daemon.stop()
    assert token not in daemon.log
    assert f"{node.sessid[:8]}: import.zip: {MB} bytes stored" in daemon.log
    assert "sessid=***" in daemon.log


def test_concurrent_pieces_are_whole(daemons: Callable[..., Daemon]) -> None:
    """Eight senders of one file at the same time: the size is the sum, and no piece is torn."""
    daemon = daemons()
    node = logged_in(daemon)
    size, each, senders = 700_001, 3, 8
    failures: list[BaseException] = []

    def send(mark: bytes) -> None:
        try:
            own = Trade("127.0.0.1", daemon.port)
            own.cookie, own.sessid = node.cookie, node.sessid
            for _ in range(each):
                own.send_file("import.zip", mark * size)
            own.close()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=send, args=(b"%c" % (65 + number),)) for number in range(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    content = (daemon.temp / node.sessid / "import.zip").read_bytes()
    pieces = [content[place : place + size] for place in range(0, len(content), size)]

    assert failures == []
    assert len(content) == size * each * senders
    assert all(piece == piece[:1] * size for piece in pieces)
    assert sorted(piece[:1] for piece in pieces) == sorted(
        b"%c" % (65 + n) for n in range(senders) for _ in range(each)
    )
    node.close()


def test_a_connection_that_breaks_leaves_the_file_as_it_was(daemons: Callable[..., Daemon]) -> None:
    """By FIN and by RST, after the headers, in the middle, and one byte before the end."""
    daemon = daemons()
    node = logged_in(daemon)
    node.send_file("a", b"first")
    body = b"x" * (2 * MB)
    for sent in (0, 1, MB, len(body) - 1):
        for reset in (True, False):
            line = socket.create_connection(("127.0.0.1", daemon.port), PATIENCE)
            line.sendall(head(node, "a", len(body)) + body[:sent])
            if reset:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            line.close()
    daemon.wait_for("piece of a dropped", times=8)
    node.send_file("a", b"second")

    assert (daemon.temp / node.sessid / "a").stat().st_size == len(b"firstsecond")
    assert (daemon.temp / node.sessid / "a").read_bytes() == b"firstsecond"
    node.close()


def test_a_refused_sender_reads_its_answer(daemons: Callable[..., Daemon]) -> None:
    """A client that sends 30 MB before it reads anything hears 413, not a reset alone; nothing is stored."""
    daemon = daemons("--file-limit=1M")
    node = logged_in(daemon)
    line = socket.create_connection(("127.0.0.1", daemon.port), PATIENCE)
    line.sendall(head(node, "a", 30 * MB))
    try:
        for _ in range(30):
            line.sendall(b"x" * MB)
    except (BrokenPipeError, ConnectionResetError):
        pass  # after 8 MiB it has heard enough

    answer = read_answer(line)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b"\r\n\r\nfailure\nFile too large")
    line.close()
    assert not (daemon.temp / node.sessid).exists()
    node.close()


def test_a_refused_sender_that_asked_first_sends_nothing(daemons: Callable[..., Daemon]) -> None:
    """``Expect: 100-continue`` is answered with the refusal, and the connection closed."""
    daemon = daemons("--file-limit=1M")
    node = logged_in(daemon)
    line = socket.create_connection(("127.0.0.1", daemon.port), PATIENCE)
    line.sendall(head(node, "a", 30 * MB, "Expect: 100-continue"))

    assert read_answer(line).startswith(b"HTTP/1.1 413 ")
    assert line.recv(1) == b""
    line.close()
    node.close()


def test_a_restart_knows_its_sessions(daemons: Callable[..., Daemon]) -> None:
    """After kill -9 a node goes on with its old cookie, where its file was."""
    first = daemons()
    node = logged_in(first)
    node.send_file("a", b"first")
    line = socket.create_connection(("127.0.0.1", first.port), PATIENCE)
    line.sendall(head(node, "a", 10 * MB) + b"x" * MB)
    first.kill()
    line.close()
    second = daemons()
    again = Trade("127.0.0.1", second.port)
    again.cookie, again.sessid = node.cookie, node.sessid
    again.send_file("a", b"second")

    assert (second.temp / node.sessid / "a").read_bytes() == b"firstsecond"
    again.import_file("a")
    again.close()
    node.close()


@pytest.mark.executed("kill -9")
def test_a_crash_leaves_no_byte_that_was_not_acknowledged(daemons: Callable[..., Daemon]) -> None:
    """After kill -9 and a restart every file is what was acknowledged, before any request touches it."""
    first = daemons()
    node = logged_in(first)
    node.send_file("a", b"first")
    lines = []
    for name in ("a", "new"):
        line = socket.create_connection(("127.0.0.1", first.port), PATIENCE)
        line.sendall(head(node, name, 10 * MB) + b"x" * 3 * MB)
        lines.append(line)
    folder = first.temp / node.sessid
    deadline = time.monotonic() + PATIENCE
    while not (folder / "new").exists() or min((folder / name).stat().st_size for name in ("a", "new")) < MB:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    first.kill()
    (folder / "unknown").write_bytes(b"")
    second = daemons()
    logged_in(second).close()

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"a": b"first"}
    assert "nothing that was acknowledged is lost; 2 files had bytes that were never acknowledged" in second.log
    second.stop()
    third = daemons()
    logged_in(third).close()
    assert "the last run" not in first.log + third.log
    for line in lines:
        line.close()
    node.close()


def test_one_daemon_per_media_root(daemons: Callable[..., Daemon]) -> None:
    """A second one ends with one line and status 1; when the first is killed its place is free."""
    first = daemons()
    status, _, complaint = run(first.folder, AUTH, "--listen=tcp:0:interface=127.0.0.1")
    assert status == 1
    (line,) = complaint.splitlines()
    assert "another onec-exchange is using it" in line
    first.kill()

    logged_in(daemons()).close()


@pytest.mark.executed("signals")
@pytest.mark.parametrize("ends", [True, False])
def test_a_stop_waits_for_pieces_in_flight(daemons: Callable[..., Daemon], ends: bool) -> None:
    """SIGTERM: nobody new is let in, a piece that goes on is stored; a second signal ends at once."""
    daemon = daemons()
    node = logged_in(daemon)
    node.send_file("a", b"first")
    line = socket.create_connection(("127.0.0.1", daemon.port), PATIENCE)
    line.sendall(head(node, "a", 2 * MB) + b"x" * MB)
    deadline = time.monotonic() + PATIENCE
    while (daemon.temp / node.sessid / "a").stat().st_size < MB // 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    daemon.process.terminate()
    daemon.wait_for("waiting up to 30.0 s for pieces in flight")
    if ends:
        with pytest.raises(ExchangeFailed, match="Server is shutting down"):
            node.send_file("b", b"x")
        line.sendall(b"x" * MB)
        assert read_answer(line).endswith(b"success")
    else:
        daemon.process.terminate()
    daemon.process.wait(PATIENCE)
    line.close()
    node.close()
    size = (daemon.temp / node.sessid / "a").stat().st_size

    assert size == 2 * MB + 5 if ends else size >= 5
    logged_in(daemons()).close()
    assert (daemon.temp / node.sessid / "a").stat().st_size == (2 * MB + 5 if ends else 5)


@pytest.mark.parametrize("durability", ["handoff", "none"])
def test_durability(daemons: Callable[..., Daemon], durability: str) -> None:
    """Whatever is synced when: the bytes are there, and kill -9 takes nothing back."""
    first = daemons(f"--durability={durability}")
    node = logged_in(first)
    node.send_file("a", b"x" * MB)
    node.import_file("a")
    node.send_file("b", b"y")
    first.kill()
    daemons(f"--durability={durability}")

    assert [(first.temp / node.sessid / name).stat().st_size for name in "ab"] == [MB, 1]
    node.close()


@pytest.mark.executed("privileges")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_privileges_are_given_up() -> None:
    """With twistd's --uid the files are that user's, and the daemon works."""
    # Not in tmp_path: another pytest that starts takes away everybody's rights to what is above it
    with TemporaryDirectory() as place:
        os.chown(place, 65534, 65534)
        daemon = start(Path(place), twistd=("-n", "--pidfile=", "--uid=65534", "--gid=65534"))
        try:
            node = logged_in(daemon)
            node.send_file("a", b"x")
            node.close()
            owners = {path.stat().st_uid for path in (daemon.temp, *daemon.temp.rglob("*"))}
        finally:
            daemon.kill()

    assert owners == {65534}


def test_two_ways_to_log_in(daemons: Callable[..., Daemon]) -> None:
    """--auth may be repeated, and each counts."""
    daemon = daemons("--auth=memory:other:word")
    for user, password in (("shop", "secret"), ("other", "word")):
        node = Trade("127.0.0.1", daemon.port, user, password)
        node.checkauth()
        node.close()


@pytest.mark.executed("umask")
@pytest.mark.parametrize("umask", ["0077", "0000"])
def test_modes_whatever_the_umask(daemons: Callable[..., Daemon], umask: str) -> None:
    """Files 0644, folders 0755, the database ours alone."""
    daemon = daemons(twistd=("-n", "--pidfile=", f"--umask={umask}"))
    node = logged_in(daemon)
    node.send_file("import_files/ab/x.jpg", b"x")
    node.close()
    modes = {
        path.relative_to(daemon.temp).as_posix().replace(node.sessid, "S"): oct(stat.S_IMODE(path.stat().st_mode))
        for path in (daemon.temp, *daemon.temp.rglob("*"))
    }

    assert (
        modes.items()
        >= {
            "S": "0o755",
            "S/import_files": "0o755",
            "S/import_files/ab": "0o755",
            "S/import_files/ab/x.jpg": "0o644",
            "exchange.sqlite3": "0o600",
            "exchange.sqlite3-wal": "0o600",
        }.items()
    )


def test_tls(daemons: Callable[..., Daemon], tmp_path: Path) -> None:
    """Endpoint strings bring TLS: a large piece arrives intact, HTTP/1.1 is agreed on, the cookie is Secure."""
    made = make_certificate(tmp_path)
    daemon = daemons(listen=(f"ssl:0:interface=127.0.0.1:privateKey={made.key}:certKey={made.chain}",))
    context = made.trusted()
    context.set_alpn_protocols(["h2", "http/1.1"])
    plain = socket.create_connection(("127.0.0.1", daemon.port), PATIENCE)
    with context.wrap_socket(plain, server_hostname="localhost") as wrapped:
        agreed = wrapped.selected_alpn_protocol()
    node = Trade("localhost", daemon.port)
    node.connection = http.client.HTTPSConnection("localhost", daemon.port, timeout=PATIENCE, context=context)
    body = random.Random(2).randbytes(20 * MB)
    node.checkauth()
    node.send_file("import.zip", body)

    stored = (daemon.temp / node.sessid / "import.zip").read_bytes()
    assert hashlib.sha256(stored).digest() == hashlib.sha256(body).digest()
    assert agreed == "http/1.1"
    node.close()


def test_unix_socket_and_two_endpoints(daemons: Callable[..., Daemon], tmp_path: Path) -> None:
    """One daemon on several endpoints, one of them for a proxy on the same machine."""
    path = tmp_path / "onec.sock"
    daemon = daemons(listen=("tcp:0:interface=127.0.0.1", f"unix:{path}"))
    node = logged_in(daemon)
    node.connection.close()
    node.connection = http.client.HTTPConnection("localhost", timeout=PATIENCE)
    node.connection.sock = connect_unix(path)
    node.send_file("a", b"x" * MB)

    assert (daemon.temp / node.sessid / "a").stat().st_size == MB
    node.close()


def test_htpasswd_with_colons_and_russian_letters(daemons: Callable[..., Daemon], tmp_path: Path) -> None:
    """From the file to the cookie."""
    import bcrypt

    path = tmp_path / "htpasswd"
    hashed = bcrypt.hashpw("па:роль".encode(), bcrypt.gensalt(4))
    path.write_bytes("Иван:".encode() + hashed.replace(b"$2b$", b"$2y$") + b"\n")
    daemon = daemons(f"--auth=htpasswd:{path}")
    node = Trade("127.0.0.1", daemon.port, "Иван", "па:роль")
    node.checkauth()

    assert node.sessid
    node.close()


@pytest.mark.executed("daemonising")
def test_a_taken_port_ends_the_process(daemons: Callable[..., Daemon], tmp_path: Path) -> None:
    """With status 1 and one line, in the foreground and as a daemon, and no pid file is left."""
    port = daemons().port
    listen = f"--listen=tcp:{port}:interface=127.0.0.1"
    status, _, complaint = run(tmp_path, AUTH, listen, "--media-root=other")
    assert status == 1
    (line,) = complaint.splitlines()
    assert line.startswith("onec-exchange: ")
    assert "Address already in use" in line
    assert "choose another --listen" in line
    forked = ("--pidfile=twistd.pid", "--logfile=twistd.log")
    status, _, complaint = run(tmp_path, AUTH, listen, "--media-root=other", twistd=forked)

    assert status == 1
    assert "Couldn't listen" in complaint
    deadline = time.monotonic() + PATIENCE
    while (tmp_path / "twistd.pid").exists():  # twistd removes it when it has told its parent
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "say who may upload"),
        ([AUTH, "--file-limit=ten"], "is not a size"),
        ([AUTH, "--listen=tcp:http"], "is malformed"),
        ([AUTH, "--listen=tcp:99999"], "choose another --listen"),
        ([AUTH, "--media-root=/dev/null/media"], "cannot be written"),
        (["--auth=htpasswd:/nowhere"], "cannot read /nowhere"),
        ([AUTH, "--media-root=plain-file"], "cannot be written"),
    ],
)
def test_a_wrong_value_ends_the_start(tmp_path: Path, arguments: list[str], words: str) -> None:
    """With status 1 and one line on standard error."""
    (tmp_path / "plain-file").write_bytes(b"")
    status, _, complaint = run(tmp_path, *arguments)

    assert status == 1
    (line,) = complaint.splitlines()
    assert line.startswith("onec-exchange: ")
    assert words in line


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/self").exists(), reason="root may write anywhere")
def test_a_media_root_that_cannot_be_written(tmp_path: Path) -> None:
    """The kernel refuses to make a folder there, even to root."""
    status, _, complaint = run(tmp_path, AUTH, "--media-root=/proc/media")

    assert status == 1
    assert "--media-root=/proc/media: cannot be written" in complaint


def test_help(tmp_path: Path) -> None:
    """It ends well, and tells every option."""
    status, printed, _ = run(tmp_path, "--help")

    assert status == 0
    for option in ("auth", "listen", "media-root", "path", "file-limit", "body-limit", "session-quota", "min-free"):
        assert f"--{option}=" in printed
    for option in ("session-ttl", "lock-timeout", "idle-timeout", "sessid", "status-codes", "zip"):
        assert f"--{option}=" in printed


@pytest.mark.executed("daemonising")
def test_as_a_daemon(tmp_path: Path) -> None:
    """Forked, with a pid file, and ended by its number; its log is opened anew when logrotate has moved it away."""
    port_file = tmp_path / "twistd.log"
    forked = ("--pidfile=twistd.pid", "--logfile=twistd.log")
    status, _, complaint = run(tmp_path, AUTH, "--listen=tcp:0:interface=127.0.0.1", twistd=forked)
    assert (status, complaint) == (0, "")
    pid = int((tmp_path / "twistd.pid").read_text())
    try:
        log = port_file.read_text()
        port = int(log.split("ExchangeSite starting on ")[1].split()[0])
        node = Trade("127.0.0.1", port)
        node.checkauth()
        node.send_file("a", b"x")
        node.close()
        mode = (tmp_path / "media" / "1c_temp" / node.sessid / "a").stat().st_mode
        port_file.rename(tmp_path / "twistd.log.1")
        os.kill(pid, signal.SIGUSR1)
        deadline = time.monotonic() + PATIENCE
        while not port_file.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        os.kill(pid, 15)
    while "Server Shut Down" not in port_file.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)

    assert stat.S_IMODE(mode) == 0o644, "twistd's daemons have a umask of 0077"


@pytest.mark.executed("memory")
@pytest.mark.skipif(sys.platform != "linux", reason="strace and /proc are Linux's")
def test_memory_stays_flat_while_senders_are_held_back(daemons: Callable[..., Daemon]) -> None:
    """Twenty pieces that wait for one file cost little more than what their sockets hold."""
    daemon = daemons()
    node = logged_in(daemon)
    node.send_file("a", b"x")
    before = daemon.peak_memory()
    lines = []
    for _ in range(20):
        line = socket.create_connection(("127.0.0.1", daemon.port), PATIENCE)
        line.sendall(head(node, "a", 50 * MB) + b"x" * 100)
        line.setblocking(False)
        lines.append(line)
    sent = 0
    for line in lines[1:]:
        try:
            while True:
                sent += line.send(b"x" * MB)
        except BlockingIOError:
            pass
    answering = logged_in(daemon)

    assert daemon.peak_memory() - before < 16 * MB
    for line in lines:
        line.close()
    node.close()
    answering.close()
