"""What the document of RUFH promises is what the daemon does; its commands print what it says."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from daemon import PATIENCE, Daemon
from documents import DOCS, is_refusal, russian

from onec_twisted.http.interim import InterimResponses
from onec_twisted.ingest.checkpoints import CHECKPOINT_INTERVAL, CHECKPOINT_SIZE
from onec_twisted.model.errors import UploadLocked
from onec_twisted.model.refusals import uploads
from onec_twisted.resumable.checksums import SHA2_SIZES
from onec_twisted.rufh import errors
from onec_twisted.rufh.answers import refusal_of
from onec_twisted.rufh.errors import MismatchingOffset
from onec_twisted.rufh.fields import INTEROP_VERSIONS
from onec_twisted.rufh.problems import CONTENT_TYPE
from onec_twisted.runtime.metrics import reason_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.model.errors import Refused

pytestmark = pytest.mark.once

DOCUMENT = (DOCS / "rufh.md").read_text(encoding="utf-8")
OPERATIONS = (DOCS / "operations.md").read_text(encoding="utf-8")

OTHERS = [kind for kind in vars(uploads).values() if is_refusal(kind) and kind is not UploadLocked]
"""Refusals that tus has, too; instead of the one that is left out, a client of RUFH gets that of a node."""

ROW = re.compile(r"^\| (\d{3}) \| (`[^|]+) \| (?:`(\?[01])`|none|нет) \| [^|]+ \|$", re.MULTILINE)
"""A row of the table of refusals: status, words, ``Upload-Complete``."""


def rows_of(page: str) -> set[tuple[int, str, str]]:
    """Return what the table says of each refusal: its status, its words, and ``Upload-Complete``, empty for none."""
    return {
        (int(status), words, complete)
        for status, cell, complete in ROW.findall(page)
        for words in re.findall("`([^`]+)`", cell)
    }


def made(kind: type[Refused]) -> Refused:
    """Return a refusal of a kind."""
    return MismatchingOffset(4, 5) if kind is MismatchingOffset else kind()


@pytest.mark.parametrize("kind", [*OTHERS, *filter(is_refusal, vars(errors).values())])
def test_every_refusal_is_told(kind: type[Refused]) -> None:
    """With what is answered: status, words or a problem's title, completeness; its reason is among those counted."""
    answer = refusal_of(made(kind), 1000)
    is_problem = answer.content_type == CONTENT_TYPE
    words = json.loads(answer.body)["title"] if is_problem else answer.body.decode().strip()
    complete = dict(answer.headers).get(b"Upload-Complete", b"").decode()

    assert (answer.status, words, complete) in rows_of(DOCUMENT)
    assert f"`{reason_of(kind)}`" in OPERATIONS


def test_both_languages_refuse_the_same() -> None:
    """By status, words and completeness."""
    told = rows_of(russian("rufh.md").read_text(encoding="utf-8"))

    assert len(told) > 30
    assert told == rows_of(DOCUMENT)


def test_numbers_are_what_they_are() -> None:
    """In the text and in the program."""
    for page, words in (
        (DOCUMENT, "every {} MiB or {} seconds"),
        (russian("rufh.md").read_text(encoding="utf-8"), "каждые {} МиБ или {} секунд"),
    ):
        assert words.format(CHECKPOINT_SIZE // 2**20, f"{CHECKPOINT_INTERVAL:.0f}") in " ".join(page.split())
        versions = re.findall(r"^\| (\d) \| (\d\d.*) \|$", page, re.MULTILINE)
        assert [int(version) for version, row in versions if " 104" not in f" {row}"] == sorted(INTEROP_VERSIONS)[
            ::-1
        ]
        assert all(f"`{name.replace('sha', 'sha-')}`" in page for name in SHA2_SIZES)
        assert all(f"`{one.value}`" in page or f"={one.value}`" in page for one in InterimResponses)


def test_commands_print_what_the_document_says(daemons: Callable[..., Daemon]) -> None:
    """In a shell, beside a real daemon; ``…`` stands for what differs each time. test_readme_ru has the Russian."""
    daemon = daemons("--min-free=1M")
    typed = "".join(re.findall(r"```console\n(.*?)```", DOCUMENT, re.DOTALL))
    lines = typed.replace("127.0.0.1:8080", f"127.0.0.1:{daemon.port}").splitlines()
    script = ["exec 2>&1", *(line.removeprefix("$ ") for line in lines if line.startswith("$ "))]
    done = subprocess.run(
        ["/bin/bash", "-eu", "-o", "pipefail", "-c", "\n".join(script)],
        cwd=daemon.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    told = [re.escape(line).replace("…", ".+") for line in lines if not line.startswith("$ ")]
    printed = done.stdout.splitlines()
    assert (done.returncode, len(printed)) == (0, len(told)), done.stdout
    for expected, line in zip(told, printed, strict=True):
        assert re.fullmatch(expected, line), (expected, line)
