"""Built, installed, uninstalled: in environments of their own, by ``tox -e wheel``."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE = 600

pytestmark = pytest.mark.skipif("ONEC_TEST_BUILD" not in os.environ, reason="tox -e wheel builds and installs")


def call(*arguments: object, cwd: Path | None = None) -> str:
    """Run a command that must succeed, and return what it prints."""
    done = subprocess.run(
        [str(argument) for argument in arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    """The wheel."""
    (found,) = built.glob("*.whl")
    return found


def test_the_wheel_holds_the_program_and_nothing_else(wheel: Path) -> None:
    """Every module, the dropins, the types' mark and the licence."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        licences = [name for name in archive.namelist() if name.endswith("/licenses/LICENSE")]
    expected = {path.relative_to(ROOT).as_posix() for path in (ROOT / "onec_twisted").rglob("*.py")}
    expected |= {f"twisted/plugins/{path.name}" for path in (ROOT / "twisted" / "plugins").glob("*.py")}
    expected |= {f"onec_twisted/admin/{name}" for name in ("status.css", "status.js", "status.svg", "alarm.svg")}

    assert names == expected | {"onec_twisted/py.typed"}
    assert len(licences) == 1


def test_the_sdist_holds_what_is_needed_to_test_it(built: Path) -> None:
    """Tests, tox.ini and documents; no caches, no CI."""
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert names >= {
        "tox.ini",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "tests/project/test_wheel.py",
        "deploy/nginx/http.conf",
    }
    assert not any("dropin.cache" in name or name.startswith(".ci") or "__pycache__" in name for name in names)


def test_the_index_would_take_it(built: Path, wheel: Path) -> None:
    """The description renders, and the wheel has no faults that are known."""
    assert "FAILED" not in call(sys.executable, "-m", "twine", "check", "--strict", *built.iterdir())
    call(sys.executable, "-m", "check_wheel_contents", wheel, cwd=ROOT)


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of every file of a package that is no cache."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name != "dropin.cache"
    }


def test_installed_and_uninstalled(wheel: Path, tmp_path: Path) -> None:
    """The command is there while it is installed, in both ways; Twisted is untouched afterwards."""
    place = tmp_path / "environment"
    call(sys.executable, "-m", "venv", place)
    python, twistd = place / "bin" / "python", place / "bin" / "twistd"
    pip = (python, "-m", "pip", "--disable-pip-version-check")
    call(*pip, "install", "twisted[tls]")
    (twisted,) = place.glob("lib/python*/site-packages/twisted")
    call(twistd, "--help", cwd=tmp_path)
    before = digests(twisted)
    for what in ([wheel], ["--editable", ROOT]):
        call(*pip, "install", *what)
        assert "onec-exchange" in call(twistd, "--help", cwd=tmp_path)
        assert "htpasswd" in call(twistd, "onec-exchange", "--help-auth", cwd=tmp_path)
        call(*pip, "check")
        call(*pip, "uninstall", "--yes", "onec-twisted")

        assert digests(twisted) == before
        gone = call(twistd, "--help", cwd=tmp_path)
        assert "onec-exchange" not in gone
        assert "Traceback" not in gone
    call(*pip, "check")
