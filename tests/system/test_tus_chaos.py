"""A tus client uploads while everything breaks; what it was told stays true, and the file is what it sent.

``ONEC_CHAOS=5000`` makes it thousands of faults, as ``tox -e chaos`` does; ``ONEC_CHAOS_SEED`` repeats a run.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import random
import sys
import threading
import time
from base64 import b64encode
from collections import Counter
from typing import TYPE_CHECKING

from attrs import define, field
from daemon import PATIENCE, Daemon, start
from faulty_node import connect, reset
from tus_in_memory import CHUNK, metadata

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

FAULTS = int(os.environ.get("ONEC_CHAOS", "40"))
SIZE = 3_000_000
"""Bytes of an upload at most."""

LONGEST = 1_500_000
"""Bytes of a request at most."""

BASIC = {"Tus-Resumable": "1.0.0", "Authorization": "Basic " + b64encode(b"shop:secret").decode()}


@define(eq=False)
class Chaos:
    """A client, its daemon, and what they have met; ``told`` is the largest offset that it ever heard."""

    folder: Path
    chance: random.Random
    daemon: Daemon = field(init=False)
    path: str = ""
    content: bytes = b""
    told: int = 0
    met: Counter[str] = field(factory=Counter)

    def __attrs_post_init__(self) -> None:
        """Start the daemon."""
        self.start()

    def start(self) -> None:
        """Start the daemon, where the files of the one before are."""
        self.daemon = start(self.folder, "--min-free=1M")

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str]]:
        """Send a request that nothing happens to; return status and headers."""
        line = http.client.HTTPConnection("127.0.0.1", self.daemon.port, timeout=PATIENCE)
        told = {**BASIC, **{name.replace("_", "-"): value for name, value in headers.items()}}
        with contextlib.closing(line):
            line.request(method, path, body, told)
            answer = line.getresponse()
            answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}

    def offset(self) -> int:
        """Ask how far the upload is: never less than what was told."""
        status, headers = self.ask("HEAD", self.path)
        assert status == 200, (status, self.daemon.log)
        offset = int(headers["upload-offset"])
        assert self.told <= offset <= len(self.content)
        self.told = offset
        return offset

    def wire(self, offset: int, body: bytes) -> bytes:
        """Return the bytes of a PATCH."""
        told = {**BASIC, "Content-Type": CHUNK, "Upload-Offset": str(offset), "Content-Length": str(len(body))}
        if self.chance.random() < 0.3:
            told["Upload-Checksum"] = "sha1 " + b64encode(hashlib.sha1(body, usedforsecurity=False).digest()).decode()
        lines = [f"PATCH {self.path} HTTP/1.1", "Host: shop.example"]
        lines += [f"{name}: {value}" for name, value in told.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def nothing(self, offset: int, body: bytes) -> None:
        """Let the request through."""
        status, headers = self.ask("PATCH", self.path, body, Upload_Offset=str(offset), Content_Type=CHUNK)
        assert (status, int(headers["upload-offset"])) == (204, offset + len(body))
        self.told = offset + len(body)

    def cut(self, offset: int, body: bytes) -> None:
        """Reset the connection in the middle."""
        wire = self.wire(offset, body)
        line = connect(self.daemon)
        line.sendall(wire[: self.chance.randrange(len(wire))])
        reset(line)

    def end(self, offset: int, body: bytes) -> None:
        """Close the connection in the middle."""
        wire = self.wire(offset, body)
        with connect(self.daemon) as line:
            line.sendall(wire[: self.chance.randrange(len(wire))])

    def swallow(self, offset: int, body: bytes) -> None:
        """Send all of it, and never hear of it."""
        line = connect(self.daemon)
        line.sendall(self.wire(offset, body))
        reset(line)

    def leave(self, offset: int, body: bytes) -> None:
        """Send a part, and come back on another connection; the first one goes on with something else."""
        wire = self.wire(offset, body)
        cut = self.chance.randrange(1, len(wire))
        with connect(self.daemon) as line:
            line.sendall(wire[:cut])
            self.offset()
            with contextlib.suppress(OSError):
                line.sendall(bytes(min(len(wire) - cut, 50_000)))
            assert self.offset() == self.told

    def corrupt(self, offset: int, body: bytes) -> None:
        """Send something else than the checksum is of."""
        digest = b64encode(hashlib.md5(body + b"x", usedforsecurity=False).digest()).decode()
        headers = {"Upload_Offset": str(offset), "Content_Type": CHUNK, "Upload_Checksum": f"md5 {digest}"}
        status, told = self.ask("PATCH", self.path, body, **headers)
        assert (status, int(told["upload-offset"])) == (460, offset)

    def kill_during(self, offset: int, body: bytes) -> None:
        """Kill the daemon at any moment of the request."""
        killing = threading.Timer(self.chance.random() * 0.02, self.daemon.process.kill)
        with connect(self.daemon) as line, contextlib.suppress(OSError):
            killing.start()
            line.sendall(self.wire(offset, body))
            line.recv(4096)
        killing.join()
        self.restart()

    def kill_after(self, offset: int, body: bytes) -> None:
        """Kill the daemon as soon as it has answered."""
        self.nothing(offset, body)
        self.restart()

    def restart(self) -> None:
        """Kill the daemon, and start it again."""
        self.daemon.kill()
        self.start()

    def upload(self) -> None:
        """Bring a file in, whatever happens."""
        self.content = self.chance.randbytes(self.chance.randrange(1, SIZE))
        self.told = 0
        length = str(len(self.content))
        status, headers = self.ask("POST", "/files/", Upload_Length=length, Upload_Metadata=metadata(filename="a"))
        assert status == 201
        self.path = "/" + headers["location"].split("/", 3)[3]
        faults = [self.nothing, self.cut, self.end, self.swallow, self.leave, self.corrupt, self.kill_during]
        while (offset := self.offset()) < len(self.content):
            body = self.content[offset : offset + self.chance.randrange(1, LONGEST)]
            (fault,) = self.chance.choices([*faults, self.kill_after], [15, 20, 15, 15, 15, 10, 10, 10])
            fault(offset, body)
            if fault != self.nothing:
                self.met[fault.__name__] += 1

    def check(self) -> None:
        """See that the file is there as it was sent, and was handed off once."""
        deadline = time.monotonic() + PATIENCE
        while not (manifests := list(self.daemon.temp.glob("*/manifest.json"))):
            assert time.monotonic() < deadline, self.daemon.log
            time.sleep(0.02)
        (folder,) = [one.parent for one in manifests]
        stored = (folder / "a").read_bytes()
        assert hashlib.sha256(stored).digest() == hashlib.sha256(self.content).digest()
        manifest = json.loads((folder / "manifest.json").read_text())
        assert [(one["event"], one["filename"]) for one in manifest["handoffs"]] == [("upload", "a")]
        status, _ = self.ask("DELETE", self.path)
        assert status == 204
        assert not folder.exists()


def test_chaos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Kill -9 at any moment, resets at any byte, answers that are never heard: no offset is ever taken back."""
    seed = int(os.environ.get("ONEC_CHAOS_SEED", random.randrange(10**6)))
    chaos = Chaos(tmp_path / "run", random.Random(seed))
    uploads = 0
    try:
        while chaos.met.total() < FAULTS:
            chaos.upload()
            chaos.check()
            uploads += 1
    except BaseException:
        sys.stderr.write(f"seed {seed}\n{chaos.daemon.log}")
        raise
    finally:
        chaos.daemon.kill()
    with capsys.disabled():
        sys.stdout.write(f"\ntus chaos, seed {seed}: {uploads} uploads, faults {dict(chaos.met)}\n")
