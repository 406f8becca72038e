"""The Dockerfile and the compose file: what they say is read here, and done with the daemon that is installed."""

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
from typing import TYPE_CHECKING, Any

import pytest
from attrs import frozen
from daemon import PATIENCE, SCRIPTS
from front import DEPLOY, Client, htpasswd, launch, wait_until
from processes import free_port

if TYPE_CHECKING:
    from pathlib import Path

NAMES = [
    "FROM",
    "WORKDIR",
    "COPY",
    "ARG",
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


def composed() -> dict[str, Any]:
    """Return the compose file."""
    import yaml  # only the environment has it that runs these tests

    read: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return read


def test_the_compose_file_fits_the_image() -> None:
    """Volumes, secret and settings stand where the command line and the image look for them; no password is in it."""
    services = composed()["services"]
    daemon, nginx = services["onec-exchange"], services["nginx"]
    mounted = {place.split(":")[1]: place.split(":")[0] for place in daemon["volumes"]}

    assert (DEPLOY / daemon["build"]["context"] / daemon["build"]["dockerfile"]).is_file()
    assert mounted.keys() == {"/etc/onec-exchange.toml", *only("VOLUME").listed}
    assert f"--config={next(iter(mounted))}" in daemon["command"]
    assert f"--auth=htpasswd:/run/secrets/{daemon['secrets'][0]}" in daemon["command"]
    assert composed()["secrets"] == {"htpasswd": {"file": "./htpasswd"}}
    assert daemon["stop_grace_period"] == "90s"
    assert nginx["network_mode"] == "service:onec-exchange"
    assert mounted["/media"] in composed()["volumes"]


def test_the_settings_of_the_compose_file_serve(tmp_path: Path) -> None:
    """The image's command line and the compose file's, with the sample of all options: a node can log in."""
    ports = {"8080": free_port(), "8081": free_port()}
    shutil.copy(DEPLOY / "onec-exchange.toml", tmp_path / "settings.toml")
    users = htpasswd(tmp_path / "htpasswd")
    command = only("ENTRYPOINT").listed + composed()["services"]["onec-exchange"]["command"]
    places = {"/etc/onec-exchange.toml": f"{tmp_path}/settings.toml", "/run/secrets/htpasswd": str(users)}
    for shown, used in places.items():
        command = [word.replace(shown, used) for word in command]
    daemon = launch(tmp_path / "run", outside(command, ports, tmp_path))
    node = Client("127.0.0.1", ports["8080"])
    node.checkauth()
    node.close()
    assert daemon.stop() in (0, -signal.SIGTERM)


def test_nginx_of_the_compose_file_is_the_sites(tmp_path: Path) -> None:
    """What the comment says to copy is there, and its paths are those that are mounted."""
    mounted = {place.split(":")[1] for place in composed()["services"]["nginx"]["volumes"]}
    site = (DEPLOY / "nginx" / "https.conf").read_text(encoding="utf-8")

    assert "cp nginx/https.conf site.conf" in (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    assert "server 127.0.0.1:8080;" in site
    assert "alias /srv/shop/media/;" in site
    assert re.findall(r"ssl_certificate(?:_key)? (/etc/letsencrypt)/", site) == ["/etc/letsencrypt"] * 2
    assert {"/etc/letsencrypt", "/srv/shop/media", "/etc/nginx/conf.d/default.conf"} == mounted
