"""Faults of the machine under the real daemon: order of its calls, a full disk, a clock that jumps."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from daemon import PATIENCE, Daemon, start
from faulty_node import answer, connect, logged_in, request
from trade import ExchangeFailed, Trade

if TYPE_CHECKING:
    from collections.abc import Iterator

MB = 2**20
STRACE = shutil.which("strace")
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
IN_CI = "CI" in os.environ


def can_trace() -> bool:
    """Return whether strace is here and may trace."""
    return STRACE is not None and subprocess.run([STRACE, "-o", "/dev/null", "true"], check=False).returncode == 0


@pytest.mark.executed("strace")
@pytest.mark.skipif(not can_trace(), reason="strace is not installed, or may not trace")
def test_the_order_of_a_pieces_calls(tmp_path: Path) -> None:
    """Bytes at their place, synced; the new name, synced; the record, synced; and only then the answer."""
    daemon = start(tmp_path / "run")
    node = logged_in(daemon)
    trace = tmp_path / "trace"
    calls = "trace=pwritev,pwritev2,fdatasync,fsync,pwrite64,sendto,send,write"
    tracer = subprocess.Popen(
        [str(STRACE), "-f", "-y", "-s", "400", "-e", calls, "-o", str(trace), "-p", str(daemon.process.pid)],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tracer.stderr is not None
    assert "attached" in tracer.stderr.readline()
    for _ in range(2):
        line = connect(daemon)
        line.sendall(request(node, "a", b"x" * 1000))
        assert answer(line)
        line.close()
    tracer.terminate()
    tracer.communicate(timeout=PATIENCE)
    daemon.kill()
    folder = re.escape(str(daemon.temp / node.sessid))
    steps = {
        "write": rf"pwritev2?\(\d+<{folder}/a>",
        "sync": rf"fdatasync\(\d+<{folder}/a>",
        "name": rf"fsync\(\d+<{folder}>",
        "record": r"pwrite64\(\d+<\S+exchange\.sqlite3-wal>",
        "sync record": r"f(?:data)?sync\(\d+<\S+exchange\.sqlite3-wal>",
        "answer": r"(?:sendto|send|write)\(\d+<(?:socket|TCP):.*success",
    }
    seen = [step for call in trace.read_text().splitlines() for step, form in steps.items() if re.search(form, call)]
    order = [step for place, step in enumerate(seen) if place == 0 or seen[place - 1] != step]
    first = order[: order.index("answer") + 1]
    second = order[len(first) :]
    while second and second[0] in ("record", "sync record"):  # the proof of the first answer, in its own time
        del second[0]

    assert first == ["write", "sync", "name", "record", "sync record", "answer"]
    assert second[:5] == ["write", "sync", "record", "sync record", "answer"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        assert not IN_CI, mounted.stderr
        pytest.skip(f"no file system can be mounted: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="tmpfs is Linux's")
def test_a_disk_that_fills_up(small_disk: Path) -> None:
    """In the middle of a piece, and under the database: rolled back, told, and well again when there is room."""
    daemon = start(small_disk / "run", "--min-free=0")
    try:
        fill_up(daemon, small_disk / "filler")
    finally:
        daemon.kill()


def fill_up(daemon: Daemon, filler: Path) -> None:
    """Fill the disk while a piece comes in, and before a login."""
    node = Trade("127.0.0.1", daemon.port)
    node.checkauth()
    node.send_file("a", b"first")
    file = daemon.temp / node.sessid / "a"
    wire = request(node, "a", b"x" * (14 * MB))
    line = connect(daemon)
    line.sendall(wire[: 4 * MB])
    deadline = time.monotonic() + PATIENCE
    while file.stat().st_size < 3 * MB:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with filler.open("wb") as other:
        other.write(bytes(14 * MB))
    with suppress(OSError):  # it has heard enough
        line.sendall(wire[4 * MB :])
    assert b"507 Insufficient Storage" in line.recv(65536)
    line.close()
    daemon.wait_for("dropped after")
    assert file.read_bytes() == b"first"
    with filler.open("ab", buffering=0) as other:
        for block in (MB, 4096, 1):
            try:
                while True:
                    other.write(bytes(block))
            except OSError:
                continue
    assert "Insufficient storage" in refusal(daemon)
    node.close()
    filler.unlink()
    time.sleep(1.1)  # the free space is read once a second
    node = Trade("127.0.0.1", daemon.port)
    node.checkauth()
    node.send_file("a", b"y" * (10 * MB))

    assert (daemon.temp / node.sessid / "a").stat().st_size == 10 * MB
    node.close()


def refusal(daemon: Daemon) -> str:
    """Log in until that is refused: the database may have a little room in its files."""
    for _ in range(200):
        node = Trade("127.0.0.1", daemon.port)
        try:
            node.checkauth()
        except ExchangeFailed as failed:
            return str(failed)
        finally:
            node.close()
    return ""


@pytest.mark.executed("faketime")
@pytest.mark.skipif(FAKETIME is None and not IN_CI, reason="libfaketime is not installed")
@pytest.mark.parametrize("jump", ["+1d", "-1d"])
def test_a_clock_that_jumps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: str) -> None:
    """By a day, either way: a session lives on, a piece goes on, and a silent one is dropped in its time."""
    assert FAKETIME is not None, "CI must have libfaketime"
    clock = tmp_path / "clock"
    clock.write_text("+0")
    with monkeypatch.context() as patch:
        patch.setenv("LD_PRELOAD", str(FAKETIME))
        patch.setenv("FAKETIME_TIMESTAMP_FILE", str(clock))
        patch.setenv("FAKETIME_NO_CACHE", "1")
        patch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        patch.setenv("DONT_FAKE_MONOTONIC", "1")
        daemon = start(tmp_path / "run", "--idle-timeout=3", "--session-ttl=3600")
    try:
        node = logged_in(daemon)
        wire = request(node, "a", b"x" * MB)
        line, silent = connect(daemon), connect(daemon)
        line.sendall(wire[: MB // 2])
        silent.sendall(request(node, "b", b"x" * MB)[: MB // 2])
        daemon.wait_for("session opened")
        clock.write_text(jump)
        time.sleep(1)
        line.sendall(wire[MB // 2 :])
        assert answer(line)
        assert silent.recv(65536).startswith(b"HTTP/1.1 408 ")
        line.sendall(request(node, "a", b"y"))
        assert answer(line)
        line.close()
        silent.close()
    finally:
        daemon.kill()

    assert (daemon.temp / node.sessid / "a").stat().st_size == MB + 1


@pytest.mark.skipif(sys.platform != "linux", reason="tmpfs is Linux's")
def test_a_disk_that_fills_up_under_tus(small_disk: Path) -> None:
    """What it took is kept, to the byte that is told; the rest comes when there is room, and the file is whole."""
    daemon = start(small_disk / "run", "--min-free=0")
    filler, content = small_disk / "filler", os.urandom(10 * MB)
    told = {"Tus-Resumable": "1.0.0", "Authorization": "Basic c2hvcDpzZWNyZXQ="}
    chunk = {**told, "Content-Type": "application/offset+octet-stream"}
    try:
        with closing(HTTPConnection("127.0.0.1", daemon.port, timeout=PATIENCE)) as client:
            client.request("POST", "/files/", headers={**told, "Upload-Length": str(len(content))})
            path = client.getresponse().headers["Location"].partition(str(daemon.port))[2]
        line = connect(daemon)
        head = {**chunk, "Upload-Offset": "0", "Content-Length": str(len(content))}
        lines = [f"PATCH {path} HTTP/1.1", "Host: x", *(f"{name}: {value}" for name, value in head.items())]
        line.sendall("\r\n".join([*lines, "", ""]).encode() + content[: 4 * MB])
        deadline = time.monotonic() + PATIENCE
        while sum(file.stat().st_size for file in daemon.temp.glob("*/upload")) < 3 * MB:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with filler.open("wb") as other:
            other.write(bytes(16 * MB))
        with suppress(OSError):  # it has heard enough
            line.sendall(content[4 * MB :])
        answered = line.recv(65536)
        line.close()
        assert b"507 Insufficient Storage" in answered
        (file,) = daemon.temp.glob("*/upload")
        offset = int(answered.partition(b"Upload-Offset: ")[2].split()[0])
        assert 3 * MB < offset < len(content)
        assert file.read_bytes() == content[:offset]
        filler.unlink()
        time.sleep(1.1)  # the free space is read once a second
        with closing(HTTPConnection("127.0.0.1", daemon.port, timeout=PATIENCE)) as client:
            client.request("PATCH", path, content[offset:], {**chunk, "Upload-Offset": str(offset)})
            assert client.getresponse().status == 204
        assert file.read_bytes() == content
    finally:
        daemon.kill()
