"""Packages from npm that some tests need: fetched once, of exact versions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Mapping

INSTALL = 120
"""Seconds that npm may take."""


def wanted(source: Path) -> dict[str, str]:
    """Return the versions that a folder's ``package.json`` asks for."""
    versions: dict[str, str] = json.loads((source / "package.json").read_text())["dependencies"]
    return versions


def _installed(cache: Path, names: list[str]) -> dict[str, str]:
    """Return the versions of the packages that are there."""
    described = {name: cache / "node_modules" / name / "package.json" for name in names}
    return {name: json.loads(path.read_text())["version"] for name, path in described.items() if path.exists()}


def install(source: Path) -> Path:
    """Return a folder with a copy of our scripts, and the packages that they need beside them."""
    npm = shutil.which("npm")
    assert npm is not None, "CI must have npm"
    assert shutil.which("node") is not None, "CI must have node"
    cache, versions = Path(sys.prefix) / f"tests-npm-{source.name}", wanted(source)
    cache.mkdir(exist_ok=True)
    for path in source.iterdir():
        if path.is_file():
            shutil.copy(path, cache)
    if _installed(cache, list(versions)) != versions:
        done = subprocess.run(
            [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"],
            cwd=cache,
            capture_output=True,
            text=True,
            timeout=INSTALL,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert _installed(cache, list(versions)) == versions
    return cache


def printed(script: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Any:
    """Run a script; return what it printed as JSON. ``environment`` is added to ours."""
    done = subprocess.run(
        ["node", str(script), *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


SOURCE = Path(__file__).parent / "javascript" / "clients"
"""Our scripts, and the exact versions of the packages that they need."""

RUFH = SOURCE.with_name("rufh")
"""Those that speak RUFH: another version of one of the packages."""
