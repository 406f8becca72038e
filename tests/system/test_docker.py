"""The Dockerfile: what it says is read here, and done with the daemon that is installed; nothing is built."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import pytest
from attrs import frozen
from daemon import PATIENCE, SCRIPTS
from front import DEPLOY, Client, free_port, htpasswd, launch, wait_until

if TYPE_CHECKING:
    from pathlib import Path

NAMES = [
    "FROM",
    "WORKDIR",
    "COPY",
    "RUN",
    "USER",
    "VOLUME",
    "EXPOSE",
    "STOPSIGNAL",
    "HEALTHCHECK",
    "ENTRYPOINT",
    "CMD",
]
"""The instructions that are read here."""

pytestmark = pytest.mark.skipif("ONEC_TEST_DEPLOY" not in os.environ, reason="tox -e deploy runs it")

ROOT = DEPLOY.parent
INSTALLED = "/opt/onec-exchange/bin/"


@frozen
class Instruction:
    """One instruction, continued lines joined, with the stage that it belongs to."""

    stage: int
    name: str
    words: str

    @property
    def listed(self) -> list[str]:
        """Return the arguments of the exec form, behind the options of the instruction."""
        words: list[str] = json.loads(self.words[self.words.index("[") :])
        return words


def parsed() -> list[Instruction]:
    """Return the instructions."""
    lines = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").splitlines(keepends=True)
    joined = "".join(line for line in lines if not line.startswith("#")).replace("\\\n", "")
    found: list[Instruction] = []
    stage = -1
    for line in joined.splitlines():
        if line.strip():
            name, _, words = line.partition(" ")
            stage += name == "FROM"
            found.append(Instruction(stage, name, words.strip()))
    return found


def only(name: str) -> Instruction:
    """Return the one instruction of a name in the last stage."""
    (found,) = (one for one in parsed() if one.name == name and one.stage == parsed()[-1].stage)
    return found


def outside(words: list[str], ports: dict[str, int], folder: Path) -> list[str]:
    """Return a command of the image with the paths and ports of this machine."""
    changes = {
        INSTALLED: f"{SCRIPTS}/",
        "/etc/onec.htpasswd": f"{folder}/htpasswd",
        "=/media": f"={folder}/run/media",
        **{shown: str(port) for shown, port in ports.items()},
    }
    for shown, used in changes.items():
        words = [word.replace(shown, used) for word in words]
    return words


def test_the_parts_are_in_their_places() -> None:
    """Every instruction is known, and the image runs as a user that is a number, and not root's."""
    names = {one.name for one in parsed()}
    user = only("USER").words

    assert names <= set(NAMES)
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    assert f"useradd --uid {user.partition(':')[0]} " in only("RUN").words
    assert only("VOLUME").listed == ["/media"]
    assert only("STOPSIGNAL").words == "SIGTERM"
    assert f"--listen=tcp:{only('EXPOSE').words}" in only("ENTRYPOINT").listed


def test_the_images_python_is_one_of_ours() -> None:
    """It is named in pyproject.toml, and both stages have the same: a virtual environment cannot move to another."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    images = {one.words.partition(" AS ")[0] for one in parsed() if one.name == "FROM"}
    (version,) = {re.fullmatch(r"python:(3\.\d+)-slim", image)[1] for image in images}  # type: ignore[index]

    assert f'"Programming Language :: Python :: {version}",' in project


def test_what_is_copied_is_enough(tmp_path: Path) -> None:
    """The files are there, the builder may see them, and a wheel with the whole program can be made of them alone."""
    copied = [one.words.split() for one in parsed() if one.name == "COPY" and "--from" not in one.words]
    seen = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    sources = [source for *some, _ in copied for source in some]
    for source in sources:
        assert f"!{source}" in seen
        there = ROOT / source
        (shutil.copytree if there.is_dir() else shutil.copy)(there, tmp_path / source)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "wheels", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE * 5,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next((tmp_path / "wheels").glob("*.whl"))) as wheel:
        held = {name for name in wheel.namelist() if name.endswith(".py")}
    programs = [path for source in sources if (ROOT / source).is_dir() for path in (ROOT / source).rglob("*.py")]
    assert {path.relative_to(ROOT).as_posix() for path in programs} == held
    assert len(held) > 40


def health(ports: dict[str, int], folder: Path) -> int:
    """Run the health check, and return its exit status."""
    done = subprocess.run(
        outside(only("HEALTHCHECK").listed, ports, folder),
        capture_output=True,
        timeout=PATIENCE,
        check=False,
        env={"http_proxy": "http://127.0.0.1:9"},
    )
    return done.returncode


def test_the_image_starts_a_daemon_and_knows_its_health(tmp_path: Path) -> None:
    """ENTRYPOINT and CMD run it; the health check ends with 0, and with 1 when it is not ready or not there."""
    ports = {"8080": free_port(), "8081": free_port()}
    command = outside(only("ENTRYPOINT").listed + only("CMD").listed, ports, tmp_path)
    htpasswd(tmp_path / "htpasswd")
    assert health(ports, tmp_path) == 1
    daemon = launch(tmp_path / "run", command)
    wait_until(lambda: health(ports, tmp_path) == 0)
    node = Client("127.0.0.1", ports["8080"])
    node.checkauth()
    node.init()
    node.send_file("goods.xml", b"<goods/>")
    node.import_file("goods.xml")
    node.close()
    assert (daemon.temp / node.sessid / "goods.xml").read_bytes() == b"<goods/>"
    assert daemon.stop() in (0, -signal.SIGTERM)

    daemon = launch(tmp_path / "run", [*command, "--min-free=1000000G"])
    wait_until(lambda: is_live(ports["8081"]))
    assert health(ports, tmp_path) == 1
    daemon.kill()


def is_live(port: int) -> bool:
    """Return whether the daemon answers, ready or not."""
    line = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        line.request("GET", "/health/live")
        with line.getresponse() as response:
            return response.status == 200
    except OSError:
        return False
    finally:
        line.close()
