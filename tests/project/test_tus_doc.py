"""What the document of tus promises is what the daemon does; its commands print what it says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from daemon import PATIENCE, Daemon
from documents import is_refusal, russian

from onec_twisted.ingest.checkpoints import CHECKPOINT_INTERVAL, CHECKPOINT_SIZE
from onec_twisted.ingest.writers import RECORD_SPARE
from onec_twisted.model.refusals import uploads
from onec_twisted.resumable.checksums import DIGEST_SIZES
from onec_twisted.runtime.metrics import reason_of
from onec_twisted.tus import errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.model.errors import Refused

pytestmark = pytest.mark.once

DOCUMENT = (Path(__file__).parents[2] / "docs" / "tus.md").read_text(encoding="utf-8")
OPERATIONS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")


OF_RUFH = {uploads.DigestMismatch, uploads.FileBegun}
"""Refusals that only RUFH knows; its document tells them."""


@pytest.mark.parametrize(
    "refused",
    [kind for kind in [*vars(uploads).values(), *vars(errors).values()] if is_refusal(kind) and kind not in OF_RUFH],
)
def test_every_refusal_is_told(refused: type[Refused]) -> None:
    """With its status and its words; and its reason stands among those that are counted."""
    assert re.search(rf"^\| {refused.status} \| `{re.escape(refused.words)}` \|", DOCUMENT, re.MULTILINE)
    assert f"`{reason_of(refused)}`" in OPERATIONS


def test_numbers_are_what_they_are() -> None:
    """In the text and in the program."""
    translated = " ".join(russian("tus.md").read_text(encoding="utf-8").split())

    assert f"every {CHECKPOINT_SIZE // 2**20} MiB or {CHECKPOINT_INTERVAL:.0f} seconds" in " ".join(DOCUMENT.split())
    assert f"каждые {CHECKPOINT_SIZE // 2**20} МиБ или {CHECKPOINT_INTERVAL:.0f} секунд" in translated
    assert f"whose last {RECORD_SPARE // 1024} KiB" in DOCUMENT
    assert all(f"`{algorithm}`" in DOCUMENT for algorithm in DIGEST_SIZES)


def test_commands_print_what_the_document_says(daemons: Callable[..., Daemon], tmp_path: Path) -> None:
    """In a shell, beside a real daemon."""
    daemon = daemons("--min-free=1M")
    example = DOCUMENT.split("## A first upload")[1].split("\n## ")[0]
    script, expected = ["exec 2>&1"], []
    for block in re.findall(r"```console\n(.*?)```", example, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                script.append(line[2:].replace("127.0.0.1:8080", f"127.0.0.1:{daemon.port}"))
            else:
                expected.append(line)
    done = subprocess.run(
        ["/bin/bash", "-eu", "-o", "pipefail", "-c", "\n".join(script)],
        cwd=daemon.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout.replace("\r", "").splitlines()) == (0, expected)
