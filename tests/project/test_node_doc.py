"""docs/onec-node.md says what the command does, and its examples work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from daemon import PATIENCE, SCRIPTS, start

from onec_twisted.node.command import EXIT_CODES, main

pytestmark = pytest.mark.once

DOC = (Path(__file__).parents[2] / "docs" / "onec-node.md").read_text(encoding="utf-8")


def test_exit_codes() -> None:
    """Each has its row."""
    assert dict(re.findall(r"^\| (\d+) \| (.+) \|$", DOC, re.MULTILINE)) == {
        str(code): words for code, words in EXIT_CODES.items()
    }


@pytest.mark.parametrize("name", ["push", "check", "orders", "load"])
def test_options(name: str) -> None:
    """Each option of push, and of all, has its row, with its default; no other has."""
    command = main.commands[name]
    options = {one.opts[0]: one for one in command.params if isinstance(one, click.Option)}
    told = dict(re.findall(r"^\| `(--[a-z-]+)(?:=[A-Za-z]+)?` \|(.*)$", DOC, re.MULTILINE))
    common = {"--url", "--user", "--password-file", "--ca", "--proxy", "--unix-socket", "--timeout", "--retries"}

    assert common <= set(options)
    assert common <= set(told)
    for option in common & {"--timeout", "--retries"}:
        assert f"`{options[option].default:g}`" in told[option]
    if name == "push":
        assert set(options) == set(told)


def test_the_examples(tmp_path: Path) -> None:
    """The report of a check, word for word; and the program, with the library."""
    (report,) = re.findall(r"```console\n(.*?)```", DOC, re.DOTALL)
    (program,) = re.findall(r"```python\n(.*?)```", DOC, re.DOTALL)
    (tmp_path / "node.py").write_text(program)
    (tmp_path / "import0_1.xml").write_text("<?xml?>")
    daemon = start(tmp_path / "run")
    try:
        line, _, said = report.partition("\n")
        asked = (
            line.removeprefix("$ ").replace("8080", str(daemon.port)).replace("onec-node", str(SCRIPTS / "onec-node"))
        )
        checked = subprocess.run(
            ["bash", "-c", asked], capture_output=True, text=True, timeout=PATIENCE, check=True, env=dict(os.environ)
        )
        address = f"http://127.0.0.1:{daemon.port}/1c_exchange.php"
        ran = subprocess.run(
            [sys.executable, "node.py", address, "secret", "import0_1.xml"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        wrong = subprocess.run(
            [sys.executable, "node.py", address, "wrong", "import0_1.xml"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
    finally:
        daemon.kill()

    assert checked.stdout == said
    assert ran.stdout == "7 bytes in 1 pieces\n"
    assert wrong.stdout == "Wrong user name or password\n"
