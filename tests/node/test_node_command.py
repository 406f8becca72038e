"""``onec-node`` as a process against the real daemon: files arrive whole, whatever breaks, and one reads why."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from certificates import make_certificate
from daemon import PATIENCE, SCRIPTS, Daemon, start
from forks import finish, spawn
from forward_proxy import ForwardProxy
from shop import ShopProcess
from trade import digests

from onec_twisted.node.command import EXIT_CODES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MB = 2**20
NODE = str(SCRIPTS / "onec-node")
PASSWORD = "secret"


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Start daemons, one after another, on one media root."""
    started: list[Daemon] = []

    def begin(*arguments: str, listen: str = "tcp:0:interface=127.0.0.1", **named: Any) -> Daemon:
        started.append(start(tmp_path / "run", *arguments, listen=(listen,), **named))
        return started[-1]

    yield begin
    for daemon in started:
        daemon.kill()
        assert "Traceback" not in daemon.log


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An export directory."""
    folder = tmp_path / "webdata"
    (folder / "import_files" / "ab").mkdir(parents=True)
    (folder / "import0_1.xml").write_text("<?xml version='1.0'?><a/>")
    (folder / "offers0_1.xml").write_text("<?xml version='1.0'?><b/>")
    (folder / "import_files" / "ab" / "x.jpg").write_bytes(os.urandom(200_000))
    return folder


def url(port: int | str, host: str = "127.0.0.1", scheme: str = "http") -> str:
    """Return the address of an exchange."""
    return f"{scheme}://{host}:{port}/1c_exchange.php"


def environment(password: str | None = PASSWORD) -> dict[str, str]:
    """Return an environment with a password, or none."""
    known = {name: value for name, value in os.environ.items() if name != "ONEC_PASSWORD"}
    return known if password is None else {**known, "ONEC_PASSWORD": password}


def arguments(command: str, address: str, *more: str) -> list[str]:
    """Return a command line."""
    return [NODE, command, "--url", address, "--user", "shop", *more]


def run(command: str, address: str, *more: str, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
    """Run a command; whatever it prints, the password is not in it."""
    done = finish(arguments(command, address, *more), PATIENCE, env=environment(password))
    assert password not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(MB):
            found.update(block)
    return found.hexdigest()


def received(daemon: Daemon) -> Path:
    """Return the folder of the one session that has files."""
    folders = [path for path in daemon.temp.iterdir() if path.is_dir() and not path.name.startswith(".")]
    assert len(folders) == 1
    return folders[0]


class TestPush:
    def test_a_folder_file_by_file(self, daemons: Callable[..., Daemon], folder: Path) -> None:
        """All of it arrives, and the documents are imported."""
        daemon = daemons("--zip=no")
        done = run("push", url(daemon.port), str(folder), "--complete")

        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [
            "import0_1.xml: 25 bytes",
            "offers0_1.xml: 25 bytes",
            "import_files/ab/x.jpg: 200,000 bytes",
            "import0_1.xml: imported",
            "offers0_1.xml: imported",
        ]
        arrived = digests(received(daemon))
        manifest = json.loads((received(daemon) / "manifest.json").read_text())
        del arrived["manifest.json"]
        assert arrived == digests(folder)
        assert [one["event"] for one in manifest["handoffs"]] == ["import", "import", "complete"]

    def test_a_folder_as_one_archive(self, daemons: Callable[..., Daemon], folder: Path) -> None:
        """The names imported lie inside; machines read how it went."""
        daemon = daemons()
        done = run("push", url(daemon.port), str(folder), "--json")
        events = [json.loads(line) for line in done.stdout.splitlines()]

        assert done.returncode == 0, done.stderr
        assert [one["event"] for one in events] == ["note", "begin", "sent", "imported", "imported"]
        assert events[2]["size"] == events[2]["bytes_sent"]
        (archive,) = received(daemon).glob("v8_*.zip")
        shutil.unpack_archive(archive, folder.parent / "unpacked")
        assert digests(folder.parent / "unpacked") == digests(folder)

    def test_quiet(self, daemons: Callable[..., Daemon], folder: Path) -> None:
        """Nothing is said when all is well; and only uploaded, where that is wanted."""
        daemon = daemons("--zip=no")
        done = run("push", url(daemon.port), str(folder / "import0_1.xml"), "--quiet", "--no-import")

        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert [path.name for path in received(daemon).iterdir()] == ["import0_1.xml"]

    @pytest.mark.once
    @pytest.mark.parametrize("ends", ["kill", "stop"])
    def test_the_daemon_ends_in_the_middle(self, daemons: Callable[..., Daemon], tmp_path: Path, ends: str) -> None:
        """By kill -9 or gently, and starts again: the file is equal, and at most a piece was sent twice."""
        piece = 20 * MB
        big = tmp_path / "big.bin"
        with big.open("wb") as file:
            for _ in range(30):
                file.write(os.urandom(10 * MB))
        daemon = daemons("--file-limit=20M")
        pushing = spawn(
            arguments("push", url(daemon.port), str(big), "--json"),
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + PATIENCE
        while sum(path.stat().st_size for path in daemon.temp.glob("*/big.bin")) < 90 * MB:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        daemon.kill() if ends == "kill" else daemon.stop()
        again = daemons("--file-limit=20M", listen=f"tcp:{daemon.port}:interface=127.0.0.1")
        out, complaints = pushing.communicate(timeout=PATIENCE)
        events = [json.loads(line) for line in out.splitlines()]
        (sent,) = [one for one in events if one["event"] == "sent"]

        assert pushing.returncode == 0, complaints
        assert digest(received(again) / "big.bin") == digest(big)
        assert 0 <= sent["bytes_sent"] - sent["size"] <= piece
        assert any("trying again" in one.get("words", "") for one in events)
        big.unlink()

    @pytest.mark.once
    @pytest.mark.executed("memory")
    def test_memory_stays_flat(self, daemons: Callable[..., Daemon], tmp_path: Path) -> None:
        """For 2 GB as for 64 MB."""
        daemon = daemons("--durability=none")
        peaks = []
        for number, size in enumerate((64 * MB, 2048 * MB)):
            path = tmp_path / f"{number}.bin"
            with path.open("wb") as file:
                file.truncate(size)
            pushing = spawn(
                arguments("push", url(daemon.port), str(path), "--quiet"), env=environment(), stderr=subprocess.PIPE
            )
            assert pushing.stderr is not None
            with pushing.stderr:
                complaints = pushing.stderr.read()
            _, status, usage = os.wait4(pushing.pid, 0)
            pushing.returncode = os.waitstatus_to_exitcode(status)
            peaks.append(usage.ru_maxrss * 1024)
            assert status == 0, complaints
            (stored,) = daemon.temp.glob(f"*/{number}.bin")
            assert stored.stat().st_size == size
            stored.unlink()

        assert peaks[1] - peaks[0] < 16 * MB, peaks

    def test_a_terminal_shows_a_bar(self, daemons: Callable[..., Daemon], tmp_path: Path) -> None:
        """With rate and time left; what it says otherwise stands above it."""
        daemon = daemons("--file-limit=1M")
        path = tmp_path / "big.bin"
        path.write_bytes(os.urandom(60 * MB))
        code, shown = in_terminal(arguments("push", url(daemon.port), str(path)))

        assert code == 0, shown
        assert re.search(r"big\.bin: +\d+%\|", shown)
        assert re.search(r"\[\d\d:\d\d<\d\d:\d\d, +[\d.]+[kMG]B/s\]", shown)
        assert "big.bin: 62,914,560 bytes" in shown

    @pytest.mark.executed("terminal")
    def test_a_password_is_asked_for(self, daemons: Callable[..., Daemon], folder: Path) -> None:
        """On the terminal, unseen."""
        daemon = daemons("--zip=no")
        line = arguments("push", url(daemon.port), str(folder / "import0_1.xml"))
        code, shown = in_terminal(line, environment(None), typed=f"{PASSWORD}\n")

        assert code == 0, shown
        assert "Password:" in shown
        assert PASSWORD not in shown

    def test_a_password_from_a_file(self, daemons: Callable[..., Daemon], folder: Path, tmp_path: Path) -> None:
        """Its first line; it comes before the environment."""
        daemon = daemons("--zip=no")
        (tmp_path / "word").write_text(f"{PASSWORD}\nmore\n")
        document = str(folder / "import0_1.xml")
        done = run(
            "push", url(daemon.port), document, f"--password-file={tmp_path / 'word'}", password="something else"
        )

        assert done.returncode == 0, done.stderr

    @pytest.mark.executed("signals")
    def test_ctrl_c_leaves_nothing_half_done(self, daemons: Callable[..., Daemon], tmp_path: Path) -> None:
        """The site throws away what it has, so that it imports no half; one line says how to go on."""
        daemon = daemons("--file-limit=1M")
        path = tmp_path / "big.bin"
        with path.open("wb") as file:
            file.truncate(1000 * MB)
        pushing = spawn(
            arguments("push", url(daemon.port), str(path)),
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while not list(daemon.temp.glob("*/big.bin")):
            time.sleep(0.01)
        pushing.send_signal(signal.SIGINT)
        said, complaints = pushing.communicate(timeout=PATIENCE)
        daemon.stop()

        assert pushing.returncode == 130
        assert complaints == "Stopped. Run the same command to start over.\n"
        assert said == "What was sent is removed from the site.\n"
        assert list(daemon.temp.glob("*/*")) == []


def in_terminal(line: list[str], env: dict[str, str] | None = None, typed: str = "") -> tuple[int, str]:
    """Run a command in a pseudo-terminal; return its exit code and what was shown."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    process = spawn(
        line, env=env or environment(), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # how Linux tells that nobody is at the other end
        while select.select([ours], [], [], PATIENCE)[0] and (block := os.read(ours, 65536)):
            shown += block
            if typed and b"Password:" in shown:
                deadline = time.monotonic() + PATIENCE
                while termios.tcgetattr(ours)[3] & termios.ECHO:  # what is typed before it is unseen is thrown away
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
                os.write(ours, typed.encode())
                typed = ""
    os.close(ours)  # which ends a process that still asks
    return process.wait(PATIENCE), shown.decode(errors="replace")


def stopped(line: list[str], when: Callable[[], bool], number: int = signal.SIGINT) -> tuple[int, float, str]:
    """Run a command, and stop it at a moment; return its exit code, how long that took, and its complaints."""
    process = spawn(line, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + PATIENCE
    while not when():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    began = time.monotonic()
    _, complaints = process.communicate(timeout=PATIENCE)
    return process.returncode, time.monotonic() - began, complaints


@pytest.mark.executed("signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_while_packing(
    daemons: Callable[..., Daemon], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Ends soon, and leaves no archive behind."""
    (tmp_path / "big").mkdir()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    with (tmp_path / "big" / "x.bin").open("wb") as file:
        block = os.urandom(MB)
        for _ in range(300):
            file.write(block)
    line = arguments("push", url(daemons().port), str(tmp_path / "big"))
    code, took, complaints = stopped(line, lambda: bool(list((tmp_path / "tmp").glob("*/*.zip"))), number)

    assert (code, complaints) == (130, "Stopped. Run the same command to start over.\n")
    assert took < 3
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.executed("signals")
@pytest.mark.parametrize("ignores", [False, True])
def test_ctrl_c_while_python_imports(tmp_path: Path, *, ignores: bool) -> None:
    """Ends the command by the signal, without a traceback, unless it was started to ignore Ctrl-C."""
    (tmp_path / "treq.py").write_text("print('importing', flush=True)\ninput()\nraise SystemExit(7)\n")
    line = [sys.executable, "-c", "from onec_twisted.onec_node import main; main()"]
    importing = spawn(
        ["/bin/sh", "-c", "trap '' INT; exec \"$@\"", "sh", *line] if ignores else line,
        env={**environment(), "PYTHONPATH": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert importing.stdout is not None
    assert importing.stdout.readline() == "importing\n"
    importing.send_signal(signal.SIGINT)
    _, complaints = importing.communicate("\n" if ignores else None, PATIENCE)

    assert (importing.returncode, complaints) == (7 if ignores else -signal.SIGINT, "")


def test_signals_when_all_is_told() -> None:
    """They change no exit code: who presses Ctrl-C twice may do so while the interpreter ends."""
    script = """
import atexit, os, signal
from twisted.internet.defer import CancelledError
from onec_twisted.node import command

@atexit.register
def late():
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGTERM)

async def stopped(reactor):
    raise CancelledError

command._run(stopped)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, timeout=PATIENCE)

    assert (done.returncode, done.stderr) == (130, b"Stopped.\n")


def test_a_stop_of_a_load(daemons: Callable[..., Daemon]) -> None:
    """Is no success, and leaves nothing on the site."""
    daemon = daemons()
    line = arguments("load", url(daemon.port), "--nodes=5", "--pieces=100000", "--size=100000")
    code, _, complaints = stopped(line, lambda: bool(list(daemon.temp.glob("*/*.bin"))))
    daemon.stop()

    assert (code, complaints) == (130, "Stopped.\n")
    assert list(daemon.temp.glob("*/*.bin")) == []


class TestExitCodes:
    def test_they_are_in_the_help(self) -> None:
        """Each with its meaning."""
        done = finish([NODE, "--help"], PATIENCE)
        assert done.returncode == 0
        shown = " ".join(done.stdout.split())
        for code, words in EXIT_CODES.items():
            assert f"{code}: {words}" in shown

    def test_a_wrong_password(self, daemons: Callable[..., Daemon], folder: Path) -> None:
        """The site's own words, in one line."""
        done = run("push", url(daemons().port), str(folder), password="wrong")

        assert (done.returncode, done.stderr) == (1, "The site refused: Wrong user name or password\n")

    def test_a_site_that_is_not_there(self, folder: Path) -> None:
        """It is tried again, and told."""
        done = run("push", url(1), str(folder), "--retries=1")

        assert done.returncode == 3
        assert done.stderr.splitlines() == ["The site cannot be asked: it refuses connections"]
        assert "trying again" in done.stdout

    def test_a_site_that_is_something_else(self, folder: Path, shop: ShopProcess) -> None:
        """A page, or a redirect."""
        shop.answer({"text": "<html><title>Shop</title>"})
        page = run("push", shop.url, str(folder))
        shop.answer({"status": 301, "headers": {"location": "https://shop.example/"}})
        redirect = run("push", shop.url, str(folder))

        assert (page.returncode, redirect.returncode) == (4, 4)
        assert "a page of HTML (Shop)" in page.stderr
        assert "redirects to https://shop.example/" in redirect.stderr

    def test_an_address_is_given_once(self) -> None:
        """As an argument of check, or by its option."""
        both = run("check", url(1), url(1))
        none = finish([NODE, "check", "--user=x"], PATIENCE)

        assert (both.returncode, none.returncode) == (2, 2)
        assert "give the address once" in both.stderr
        assert "Missing option '--url'" in none.stderr

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            (["/nowhere"], "does not exist"),
            (["--ca=/nowhere", "."], "--ca=/nowhere: cannot be read: No such file"),
            (["--ca=/etc/passwd", "."], "no certificate"),
            (["--proxy=ftp://x", "."], "write a proxy as in"),
            (["--password-file=/nowhere", "."], "cannot be read"),
            (["--password=x", "."], "No such option"),
            (["--timeout=-1", "."], "Invalid value"),
            (["--retries=-1", "."], "Invalid value"),
            (["--proxy=http://x", "--unix-socket=/x", "."], "use one or the other"),
            (["--url=http://u:p@host/", "."], "it holds a user"),
            (["--url=http://host:99999/", "."], "not an address"),
        ],
    )
    def test_wrong_command_lines(self, more: list[str], words: str) -> None:
        """Are told before anything is sent; a password is no option."""
        done = run("push", url(1), *more)

        assert done.returncode == 2
        assert words in done.stderr


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[ShopProcess]:
    """A web shop of its own kind."""
    (tmp_path / "shop").mkdir()
    shop = ShopProcess(tmp_path / "shop")
    shop.start()
    yield shop
    shop.stop()


class TestOrders:
    def test_into_a_file(self, daemons: Callable[..., Daemon], shop: ShopProcess, tmp_path: Path) -> None:
        """And confirmed, when that is wanted."""
        daemon = daemons(f"--orders={shop.url}/orders")
        shop.answer({"text": "<?xml?>" + "x" * 3_000_000}, {})
        done = run("orders", url(daemon.port), f"--output={tmp_path / 'orders.xml'}", "--confirm")

        assert done.returncode == 0, done.stderr
        assert (tmp_path / "orders.xml").stat().st_size == 3_000_007
        assert [seen.method for seen in shop.seen] == ["GET", "POST"]

    def test_to_standard_output(self, daemons: Callable[..., Daemon]) -> None:
        """Nothing but the document."""
        done = run("orders", url(daemons().port))

        assert done.returncode == 0
        assert done.stdout.startswith("<?xml")

    def test_a_document_that_breaks_off(
        self, daemons: Callable[..., Daemon], shop: ShopProcess, tmp_path: Path
    ) -> None:
        """Leaves the file as it was, and nothing beside it."""
        daemon = daemons(f"--orders={shop.url}/orders")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "orders.xml").write_text("old")
        shop.answer({"text": "<?xml?>" + "x" * 3_000_000, "breaks": 1_000_000})
        done = run("orders", url(daemon.port), f"--output={tmp_path / 'out' / 'orders.xml'}", "--confirm")

        assert done.returncode == 3
        assert [path.read_text() for path in (tmp_path / "out").iterdir()] == ["old"]
        assert [seen.method for seen in shop.seen] == ["GET"]


class TestCheck:
    def test_our_daemon_suits_everybody(self, daemons: Callable[..., Daemon]) -> None:
        """Nothing to say about it."""
        done = run("check", url(daemons().port))

        assert done.returncode == 0, done.stdout
        assert done.stdout.count("accepts it") == 3
        assert [line.split()[-1] for line in done.stdout.splitlines()[4:]] == ["ok"] * 9

    def test_a_site_with_habits(self, shop: ShopProcess) -> None:
        """Who stumbles, over what, and what to do."""
        shop.answer(
            {"text": "failure\nno"},
            {"text": "success\nPHPSESSID\nabc\n"},
            {"text": "zip=no\nfile_limit=1000000\n"},
            {"text": "success\nok"},
            {"text": "failure\nUnknown command"},
            {"text": "success\nPHPSESSID\nabc\n"},
            {"text": "zip=no\nfile_limit=1000000"},
            {"text": "<?xml?>"},
            {"text": "ok"},
        )
        done = run("check", shop.url)

        assert done.returncode == 1
        for words in (
            "1C:Trade 11.5        stumbles",
            "line 4 is missing",
            "a LF at the end",
            "success has more lines",
            "import           Unknown command",
            "names no version from 2.08 on",
            "type=listen is answered 200",
            "-> answer exactly two lines, and no LF at the end",
        ):
            assert words in done.stdout, words

    def test_a_site_that_is_not_there(self) -> None:
        """Is told in a line of the table."""
        done = run("check", url(1), "--retries=0")

        assert done.returncode == 3
        assert "connection       The site cannot be asked: it refuses connections" in done.stdout


def test_load(daemons: Callable[..., Daemon]) -> None:
    """Pieces per second and latencies; nothing is left to import."""
    daemon = daemons("--settle=1")
    done = run("load", url(daemon.port), "--nodes=5", "--pieces=4", "--size=100000", "--json")
    figures = json.loads(done.stdout)

    assert done.returncode == 0, done.stderr
    assert (figures["pieces"], figures["failures"]) == (20, 0)
    assert 0 < figures["p50_ms"] <= figures["p99_ms"] <= figures["max_ms"]
    assert list(daemon.temp.glob("*/*.bin")) == []


class TestRoutes:
    def test_a_private_authority(self, daemons: Callable[..., Daemon], folder: Path, tmp_path: Path) -> None:
        """Is trusted when it is named, and not otherwise."""
        made = make_certificate(tmp_path)
        key, cert = made.key, made.chain
        daemon = daemons("--zip=no", listen=f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={cert}")
        address = url(daemon.port, "localhost", "https")
        trusted = run("push", address, str(folder), f"--ca={cert}")
        unknown = run("push", address, str(folder), "--retries=0")

        assert trusted.returncode == 0, trusted.stderr
        assert unknown.returncode == 3

    def test_a_unix_socket(self, daemons: Callable[..., Daemon], folder: Path, tmp_path: Path) -> None:
        """Whatever the address says."""
        path = tmp_path / "onec.sock"
        daemons("--zip=no", listen=f"unix:{path}")
        done = run("push", url(80, "shop.example"), str(folder), f"--unix-socket={path}")

        assert done.returncode == 0, done.stderr

    @pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6 here")
    def test_ipv6(self, daemons: Callable[..., Daemon], folder: Path) -> None:
        """In brackets, as URLs have it."""
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("there is no IPv6 here")
        daemon = daemons("--zip=no", listen=r"tcp6:0:interface=\:\:1")
        done = run("push", url(daemon.port, "[::1]"), str(folder))

        assert done.returncode == 0, done.stderr

    def test_a_proxy(self, daemons: Callable[..., Daemon], folder: Path, tmp_path: Path) -> None:
        """Plain requests by their whole URL, TLS through a tunnel."""
        made = make_certificate(tmp_path)
        key, cert = made.key, made.chain
        proxy = ForwardProxy()
        plain = daemons("--zip=no")
        through = run("push", url(plain.port), str(folder), f"--proxy=http://127.0.0.1:{proxy.port}")
        plain.stop()
        secure = daemons("--zip=no", listen=f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={cert}")
        address = url(secure.port, "localhost", "https")
        tunnelled = run("push", address, str(folder), f"--ca={cert}", f"--proxy=127.0.0.1:{proxy.port}")
        proxy.close()

        assert through.returncode == 0, through.stderr
        assert tunnelled.returncode == 0, tunnelled.stderr
        assert f"GET {url(plain.port)}" in proxy.asked
        assert f"CONNECT localhost:{secure.port}" in proxy.asked

    def test_a_proxy_that_refuses(self, folder: Path) -> None:
        """Is told as such."""
        proxy = ForwardProxy("403 Forbidden")
        done = run(
            "push", url(1, "localhost", "https"), str(folder), f"--proxy=127.0.0.1:{proxy.port}", "--retries=0"
        )
        proxy.close()

        assert done.returncode == 3
        assert "the proxy answered HTTP/1.1 403 Forbidden" in done.stderr
