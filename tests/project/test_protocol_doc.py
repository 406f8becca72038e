"""docs/protocol.md is true: its dialogues are held with a real daemon, its tables are compared with the code.

So are the tables of the Russian page; that its dialogues are the same, test_translations says.
"""

from __future__ import annotations

import re
import socket
import time
from typing import TYPE_CHECKING, BinaryIO

import pytest
from attrs import define, field
from daemon import PATIENCE, Daemon, start
from documents import DOCS, kinds, russian, words_of

from onec_twisted.daemon.options import Options
from onec_twisted.exchange.protocol import CATALOG_TYPES, MODES, SALE_TYPES, parse_query
from onec_twisted.model.errors import InvalidFilename, Refused
from onec_twisted.model.names import safe_name

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

DOC = (DOCS / "protocol.md").read_text(encoding="utf-8")

in_both_languages = pytest.mark.parametrize(
    "page", [DOC, russian("protocol.md").read_text(encoding="utf-8")], ids=["en", "ru"]
)

BLOCKS = re.findall(r"^```http( [^\n]*)?\n(.*?)^```$", DOC, re.DOTALL | re.MULTILINE)
"""Dialogues, each with the options of its daemon: a block goes on with the session of the one before it."""

UNTOLD = {"Date": "…", "Content-Type": "text/plain; charset=utf-8", "Content-Length": "…"}
"""Headers that every answer has; examples may leave them out."""

PROGRAM = """#!/bin/sh
case "$2" in
import0_1.xml) echo "Reading goods"; until [ -e ready ]; do sleep 0.05; done ;;
offers0_1.xml) echo "Price type Retail is unknown" >&2; exit 1 ;;
esac
"""
"""The importer of the examples; it ends with ``import0_1.xml`` when the node has heard of its progress."""


@define
class Turn:
    """What one side says: the lines of a block that begin with ``>`` or ``<``."""

    is_request: bool
    lines: list[str] = field(factory=list)


def turns_of(block: str) -> list[Turn]:
    """Return who says what, in their order."""
    turns: list[Turn] = []
    for line in block.splitlines():
        is_request = line[0] == ">"
        assert line[0] in "<>", line
        if not turns or turns[-1].is_request != is_request:
            turns.append(Turn(is_request))
        turns[-1].lines.append(line[2:])
    return turns


def split(lines: list[str]) -> tuple[str, dict[str, str], list[str]]:
    """Return the first line, the headers and the body of a message."""
    end = lines.index("")
    headers = dict(line.split(": ", 1) for line in lines[1:end])
    return lines[0], headers, lines[end + 1 :]


def fits(expected: str, said: str) -> bool:
    """Return whether a line is as the document has it; ``…`` stands for what differs each time."""
    return re.fullmatch(re.escape(expected).replace("…", ".*"), said) is not None


@define
class Dialogue:
    """A node that says what the document says, and hears whether the daemon does."""

    daemon: Daemon
    cookie: str = ""
    sessid: str = ""
    connection: socket.socket | None = None
    reader: BinaryIO | None = None
    goes_on: bool = False

    def hold(self, block: str) -> None:
        """Say and hear all of a block."""
        turns = turns_of(block)
        for asked, expected in zip(turns[::2], turns[1::2], strict=True):
            message = self.message(asked.lines)
            said = self.ask(message)
            deadline = time.monotonic() + PATIENCE
            while b"&mode=import&" in message and said[2][0] == "progress" and not self.matches(expected.lines, said):
                assert time.monotonic() < deadline, said
                said = self.ask(message)  # as a node does
            assert self.matches(expected.lines, said), (asked.lines, expected.lines, said)
            if said[2][0] == "progress":
                (self.daemon.folder / "ready").touch()
            if said[2][:2] == ["success", "onec_session"]:
                self.cookie, self.sessid = said[2][2], said[2][3].removeprefix("sessid=")
            self.goes_on = " 100 " in said[0]

    def message(self, lines: list[str]) -> bytes:
        """Return what is sent: headers that all requests have are added, the session is put in its place."""
        told = "\n".join(lines).replace("TOKEN", self.cookie).replace("SESSID", self.sessid)
        if self.goes_on:
            return told.encode()  # the body that was waited for
        first, headers, body = split(told.split("\n"))
        content = "\n".join(body).encode()
        added = {"Host": "shop.example"}
        if self.cookie and "mode=checkauth" not in first:
            added["Cookie"] = f"onec_session={self.cookie}"
        if content or first.startswith("POST"):
            added["Content-Length"] = str(len(content))
        head = [first, *(f"{name}: {value}" for name, value in (added | headers).items()), "", ""]
        return "\r\n".join(head).encode() + content

    def ask(self, message: bytes) -> tuple[str, dict[str, str], list[str]]:
        """Send bytes, and return the answer."""
        if self.connection is None:
            self.connection = socket.create_connection(("127.0.0.1", self.daemon.port), PATIENCE)
            self.reader = self.connection.makefile("rb")
        self.connection.sendall(message)
        reader = self.reader
        assert reader is not None
        lines = [line.decode() for line in iter(lambda: reader.readline().rstrip(b"\r\n"), b"")]
        first, headers, _ = split([*lines, ""])
        size = 0 if message.startswith(b"HEAD") else int(headers.get("Content-Length", 0))
        body: str = reader.read(size).decode()
        if headers.get("Connection") == "close":
            self.hang_up()
        return first, headers, body.split("\n")

    def hang_up(self) -> None:
        """Close the connection."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def matches(self, expected: list[str], said: tuple[str, dict[str, str], list[str]]) -> bool:
        """Return whether an answer is what the document says, with all its headers."""
        first, headers, body = split(expected)
        untold = {" 100 ": {}, " 304 ": {"Date": "…"}}.get(first[8:13], UNTOLD)
        told = untold | headers
        closes = {"Connection"} if first[9:12] >= "400" else set()  # it depends on what of a body has come
        return (
            fits(first, said[0])
            and set(told) - closes == set(said[1]) - closes
            and all(fits(value, said[1].get(name, "")) for name, value in told.items())
            and fits("\n".join(body), "\n".join(said[2]))
        )


@pytest.mark.parametrize("options", list(dict.fromkeys(options.strip() for options, _ in BLOCKS)))
def test_the_daemon_answers_as_the_document_says(options: str, tmp_path: Path) -> None:
    """Line by line, header by header, each block going on where the one before it has ended."""
    (tmp_path / "import.sh").write_text(PROGRAM)
    (tmp_path / "import.sh").chmod(0o755)
    daemon = start(tmp_path, *options.split())
    dialogue = Dialogue(daemon)
    try:
        for said, block in BLOCKS:
            if said.strip() == options:
                dialogue.hold(block)
    finally:
        dialogue.hang_up()
        daemon.kill()


def name_of(kind: type[Refused]) -> str:
    """Return a refusal's reason, as metrics have it."""
    return re.sub(r"(?<=.)(?=[A-Z])", "_", kind.__name__).lower()


@in_both_languages
def test_every_refusal_has_its_row(page: str) -> None:
    """With the status and the words that are sent; and there is no row without a refusal."""
    rows = re.findall(r"^\| `([a-z_]+)` \| (\d{3}) \| `([^`]+)` \|", page, re.MULTILINE)

    assert {reason: (int(status), words) for reason, status, words in rows} == {
        name_of(kind): (kind.status, words_of(kind)) for kind in kinds()
    }


@in_both_languages
def test_refusals_that_ask_to_come_again_are_told(page: str) -> None:
    """Their rows say so, and when."""
    later = {
        name_of(one): dict(one.headers)[b"Retry-After"].decode()
        for one in kinds()
        if b"Retry-After" in dict(one.headers)
    }

    assert dict(re.findall(r"^\| `([a-z_]+)` \|.*`Retry-After: (\d+)`", page, re.MULTILINE)) == later


@in_both_languages
def test_names_become_what_the_table_says(page: str) -> None:
    """What a node sends, and what is stored; or that it is refused."""
    rows = re.findall(r"^\| `filename=([^`]+)` \| (?:`([^`]+)`|(refused|отказ)) \|$", page, re.MULTILINE)
    assert len(rows) > 10
    for sent, stored, _ in rows:
        filename = parse_query(f"type=catalog&mode=file&filename={sent}".encode()).filename
        if stored:
            assert str(safe_name(filename)) == stored
        else:
            with pytest.raises(InvalidFilename):
                safe_name(filename)


def test_every_mode_has_an_example() -> None:
    """So has every type."""
    examples = "".join(block for _, block in BLOCKS).lower()

    assert [mode for mode in sorted(MODES["sale"]) if f"mode={mode}" not in examples] == []
    assert [kind for kind in (*MODES, "listen") if f"type={kind}" not in examples] == []
    assert [kind for kind in CATALOG_TYPES | SALE_TYPES if f"`{kind}`" not in DOC] == []


def test_options_that_it_names_exist() -> None:
    """Nobody looks for one that does not."""
    known = {option.rstrip("=") for option in Options().longOpt}

    assert set(re.findall(r"--([a-z]+(?:-[a-z]+)*)", DOC)) <= known
