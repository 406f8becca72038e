"""The README's walk-through prints what it says, and its tables tell what there is."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from daemon import PATIENCE, Daemon, start

from onec_twisted import errors
from onec_twisted.options import Options

if TYPE_CHECKING:
    from collections.abc import Iterator

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """The daemon of the README's first command, on a port of its own."""
    match = re.search(r"twistd -n onec-exchange (--auth=\S+)\n", README)
    assert match is not None
    daemon = start(tmp_path, auth=match[1])
    yield daemon
    daemon.kill()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_first_upload_prints_what_the_readme_says(daemon: Daemon) -> None:
    """Word for word; ``…`` stands for what differs each time."""
    lines = "\n".join(re.findall(r"```console\n(.*?)```", README, re.DOTALL)).splitlines()
    script = "\n".join(line.removeprefix("$ ") for line in lines if line.startswith("$ "))
    said = [line for line in lines if line and not line.startswith("$ ")]
    done = subprocess.run(
        ["bash", "-euc", script.replace("127.0.0.1:8080", f"127.0.0.1:{daemon.port}")],
        cwd=daemon.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    printed = done.stdout.splitlines()

    assert done.stderr == ""
    assert len(printed) == len(said)
    for expected, line in zip(said, printed, strict=True):
        assert re.fullmatch(re.escape(expected).replace("…", ".+"), line), (expected, line)


def test_every_option_is_in_the_table() -> None:
    """With its default."""
    options = Options()
    for name, _, default, *_ in options.optParameters:
        row = re.search(rf"^\| `--{name}=.*$", README, re.MULTILINE)

        assert row is not None, name
        assert default is None or str(default) in row[0]
    for name in ("auth", "listen", "path"):
        assert f"| `--{name}=" in README


def test_every_refusal_is_in_the_table() -> None:
    """In the words that are sent."""
    for name in errors.__all__:
        words = getattr(getattr(errors, name), "words", None)
        if words is None or name in (
            "Refused",
            "MissingCredentials",
            "WrongCredentials",
            "FileNotFound",
            "WrongOffset",
        ):
            continue

        assert f"`{words}`" in README, name


def test_files_that_it_names_exist() -> None:
    """Links lead somewhere."""
    root = Path(__file__).parent.parent
    for target in re.findall(r"\]\(((?!http)[^)]+)\)", README):
        assert (root / target).exists(), target
