"""What is installed is what was meant to be."""

from __future__ import annotations

import json
import os
import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest
from daemon import PATIENCE, SCRIPTS
from packaging.requirements import Requirement

import onec_twisted

ROOT = Path(__file__).parents[2]
DROPINS = [f"twisted/plugins/onec_twisted_{name}.py" for name in ("dropin", "htpasswd", "importers")]


def is_editable() -> bool:
    """Return whether the checkout itself is installed."""
    origin = json.loads(metadata.distribution("onec-twisted").read_text("direct_url.json") or "{}")
    return bool(origin.get("dir_info", {}).get("editable"))


def test_the_checkout_adds_dropins_and_no_package() -> None:
    """A package file under ``twisted/`` would replace Twisted's own when it is installed."""
    found = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "twisted").rglob("*.py"))

    assert found == DROPINS


@pytest.mark.skipif(is_editable(), reason="an editable install lists no files")
def test_the_wheel_ships_the_dropins_and_the_types() -> None:
    """Three build back ends leave them out without a word."""
    files = {file.as_posix() for file in metadata.files("onec-twisted") or ()}

    assert files >= {*DROPINS, "onec_twisted/py.typed"}
    assert not any(name.startswith("tests/") or name.endswith("dropin.cache") for name in files)


def test_twistd_offers_the_service(tmp_path: Path) -> None:
    """The script, away from the checkout."""
    seen = subprocess.run(
        [str(SCRIPTS / "twistd"), "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )

    assert re.search(r"^ +onec-exchange +Receive what 1C", seen.stdout, re.MULTILINE)
    assert "Traceback" not in seen.stderr


def test_other_commands_do_not_load_the_program(tmp_path: Path) -> None:
    """A dropin is imported by every twistd of the machine; the program is not."""
    code = (
        "import sys; from twisted.plugin import getPlugins; from twisted.application.service import IServiceMaker;"
        "assert any(one.tapname == 'onec-exchange' for one in getPlugins(IServiceMaker));"
        "assert 'onec_twisted.tap' not in sys.modules and not {'bcrypt', 'treq', 'onec_twisted.webhook'}"
        " & set(sys.modules)"
    )
    subprocess.run([str(SCRIPTS / "python"), "-W", "ignore", "-c", code], cwd=tmp_path, check=True, timeout=PATIENCE)


def test_the_version_is_told_once() -> None:
    """The distribution has the module's."""
    assert metadata.version("onec-twisted") == onec_twisted.__version__


@pytest.mark.skipif("ONEC_TEST_WHEEL" not in os.environ, reason="set by tox, which tests the wheel")
def test_it_is_the_wheel_that_is_tested() -> None:
    """Not the checkout that happens to lie around."""
    assert Path(onec_twisted.__file__).parent != ROOT / "onec_twisted"
    assert not is_editable()


@pytest.mark.skipif("ONEC_TEST_OLDEST" not in os.environ, reason="set by tox -e oldest")
def test_the_oldest_are_the_lower_bounds() -> None:
    """Each dependency is installed in exactly the lowest version that we promise to work with."""
    requirements = [Requirement(text) for text in metadata.requires("onec-twisted") or ()]
    wanted = [one for one in requirements if one.marker is None or one.marker.evaluate()]
    bounds = {one.name: str(one.specifier).removeprefix(">=") for one in wanted}
    installed = {name: metadata.version(name) for name in bounds}

    assert bounds
    for name, bound in bounds.items():
        assert re.fullmatch(re.escape(bound) + r"(\.0)*", installed[name]), name
