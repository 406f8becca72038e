"""The Debian package: it is built, installed, run as its unit says, and removed without a trace but for uploads."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from daemon import PATIENCE
from front import DEPLOY, Client, htpasswd, launch, setting
from processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

BUILD = DEPLOY / "debian" / "build.sh"
INSTALLED = Path("/usr/lib/onec-exchange")
SETTINGS = Path("/etc/onec-exchange/onec-exchange.toml")
UPLOADS = Path("/var/lib/onec-exchange")
UNIT = Path("/lib/systemd/system/onec-exchange.service")

pytestmark = [
    pytest.mark.skipif("ONEC_TEST_DEPLOY" not in os.environ, reason="tox -e deploy runs it"),
    pytest.mark.skipif(shutil.which("dpkg-deb") is None or os.geteuid() != 0, reason="needs dpkg, and root"),
    pytest.mark.skipif(INSTALLED.exists() or UPLOADS.exists(), reason="the package is in use on this machine"),
]


def run(*command: str) -> str:
    """Run a command, which must succeed; return what it prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE * 10, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def present() -> set[str]:
    """Return what is in the folders into which packages install."""
    folders = ("/etc", "/etc/systemd/system", "/lib/systemd/system", "/usr/bin", "/usr/lib", "/usr/sbin", "/var/lib")
    return {str(path) for folder in folders for path in Path(folder).iterdir()}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Build the package."""
    subprocess.run(
        ["sh", BUILD, tmp_path],
        env={**os.environ, "PYTHON": sys.executable},
        timeout=PATIENCE * 20,
        check=True,
    )
    (built,) = tmp_path.glob("*.deb")
    return built


@pytest.fixture
def purged() -> Iterator[None]:
    """Remove the package after the test, whatever happens."""
    yield
    subprocess.run(["dpkg", "--purge", "onec-exchange"], capture_output=True, timeout=PATIENCE * 10, check=False)
    shutil.rmtree(UPLOADS, ignore_errors=True)


@pytest.mark.usefixtures("purged")
def test_it_is_installed_runs_and_is_removed(package: Path, tmp_path: Path) -> None:
    """Without users it says what to do; with one it takes an upload; only that stays when the package is purged."""
    before = present()
    said = run("dpkg", "--install", str(package))
    assert "onec-exchange users add /etc/onec-exchange/htpasswd NAME" in said
    assert run("systemd-analyze", "--no-pager", "verify", str(UNIT)) == ""
    assert run("/usr/bin/onec-exchange", "--help")
    assert run("/usr/bin/onec-node", "--help")

    (start,), (check,) = setting(UNIT, "ExecStart"), setting(UNIT, "ExecStartPre")
    assert check == f"{start} --check"
    as_its_user = ["setpriv", "--reuid=onec-exchange", "--regid=onec-exchange", "--clear-groups"]
    users, port = htpasswd(SETTINGS.with_name("htpasswd")), free_port()
    shutil.chown(users, "root", "onec-exchange")
    users.chmod(0o640)
    SETTINGS.write_text(SETTINGS.read_text("utf-8").replace("tcp:8080:", f"tcp:{port}:"), "utf-8")
    assert "FAIL" not in run(*as_its_user, *check.split())
    daemon = launch(tmp_path / "run", [*as_its_user, *start.split()])
    node = Client("127.0.0.1", port)
    node.checkauth()
    node.init()
    node.send_file("goods.xml", b"<goods/>")
    node.close()
    assert (UPLOADS / "1c_temp" / node.sessid / "goods.xml").read_bytes() == b"<goods/>"
    assert daemon.stop() in (0, -signal.SIGTERM)

    run("dpkg", "--remove", "onec-exchange")
    assert not list(INSTALLED.rglob("*")), "byte code that the package did not bring would stay"
    assert SETTINGS.exists(), "what the administrator wrote stays until the purge"
    assert "uploads stay in /var/lib/onec-exchange" in run("dpkg", "--purge", "onec-exchange")
    assert present() - before == {str(UPLOADS)}
    assert subprocess.run(["getent", "passwd", "onec-exchange"], capture_output=True, check=False).returncode
