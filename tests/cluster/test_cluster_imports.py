"""Real daemons that share a store import what stock 1C sends: archives, in pieces, through whichever of them."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from cluster_nodes import Daemon, Shared, insist, running
from handed_off import SCHEMA
from shop import ShopProcess
from trade import Trade, packed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = pytest.mark.process

PICTURE = "import_files/aa/large.jpg"
CONTENTS = {
    "import0_1.xml": (
        '<?xml version="1.0" encoding="UTF-8"?><КоммерческаяИнформация ВерсияСхемы="2.08"><Каталог><Товары><Товар>'
        f"<Ид>1</Ид><Картинка>{PICTURE}</Картинка></Товар></Товары></Каталог></КоммерческаяИнформация>"
    ).encode(),
    "offers0_1.xml": '<?xml version="1.0"?><КоммерческаяИнформация ВерсияСхемы="2.08"/>'.encode(),
    PICTURE: os.urandom(20_000_000),
}
PIECE = 9_000_000
"""Bytes of a piece: the archive takes three."""

PROGRAM = """#!{python}
import hashlib, json, os, pathlib, sys
told, folder = json.load(sys.stdin), pathlib.Path(sys.argv[1])
files = {{path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
         for path in folder.rglob("*") if path.is_file()}}
with open({log!r}, "a") as log:
    log.write(json.dumps([sys.argv[2], files, told]) + "\\n")
"""


def digest(content: bytes) -> str:
    """Return the SHA-256."""
    return hashlib.sha256(content).hexdigest()


def exported(daemons: list[Daemon]) -> Trade:
    """Send an archive in pieces to both daemons in turn, and have its documents imported by the last one."""
    archive = packed(CONTENTS)
    node = Trade("127.0.0.1", daemons[0].port)
    node.checkauth()
    insist(node.init)
    for number, start in enumerate(range(0, len(archive), PIECE)):
        node.go_on_at(daemons[number % 2].port)
        insist(lambda start=start: node.send_file("v8_1.zip", archive[start : start + PIECE]))  # type: ignore[misc]
    node.go_on_at(daemons[1].port)
    for name in ("import0_1.xml", "offers0_1.xml"):
        insist(lambda name=name: node.import_file(name))  # type: ignore[misc]
    node.close()
    return node


@pytest.fixture
def daemons(request: pytest.FixtureRequest, tmp_path: Path, shared: Shared) -> Iterator[list[Daemon]]:
    """Two daemons, which check documents as they do without saying; the test's parameter is their importer."""
    importer: Any = request.getfixturevalue(request.param)
    options = [f"--importer={importer}", "--check-documents=yes", "--import-hold=10"]
    daemons = [Daemon(tmp_path / f"daemon{number}", shared, options) for number in range(2)]
    with running(daemons):
        yield daemons


@pytest.fixture
def program(tmp_path: Path) -> str:
    """A program that notes what is in its folder."""
    path = tmp_path / "program"
    path.write_text(PROGRAM.format(python=sys.executable, log=str(tmp_path / "noted")))
    path.chmod(0o755)
    return f"exec:{path}"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A site that notes what it is told."""
    (tmp_path / "site").mkdir()
    site = ShopProcess(tmp_path / "site")
    site.start()
    yield f"{site.url}/import"
    site.stop()


@pytest.mark.parametrize("daemons", ["program"], indirect=True)
def test_a_program_finds_everything_in_its_folder(daemons: list[Daemon], tmp_path: Path) -> None:
    """The document that it is to import, and the pictures beside it, whichever daemon took them in."""
    exported(daemons)
    noted = [json.loads(line) for line in (tmp_path / "noted").read_text().splitlines()]
    assert [name for name, _, _ in noted] == ["import0_1.xml", "offers0_1.xml"]
    for _, files, told in noted:
        assert {name: files[name] for name in CONTENTS} == {name: digest(data) for name, data in CONTENTS.items()}
        jsonschema.validate(told, SCHEMA)
        assert (told["version"], told["unpacked"]) == (1, "v8_1.zip")
    (document,) = noted[0][2]["documents"]
    assert (document["products"], document["pictures"], document["missing"]) == (1, 1, 0)


@pytest.mark.parametrize("daemons", ["site"], indirect=True)
def test_a_site_gets_addresses(daemons: list[Daemon], tmp_path: Path) -> None:
    """Of the document, and by the manifest of everything; no log, page or row has one."""
    node = exported(daemons)
    seen = [json.loads(json.loads(line)["body"]) for line in (tmp_path / "site" / "seen").read_text().splitlines()]
    assert [told["filename"] for told in seen] == ["import0_1.xml", "offers0_1.xml"]
    for told in seen:
        jsonschema.validate(told, SCHEMA)
        assert told["version"] == 2
        (file,) = told["files"]
        assert fetched(file["url"]) == CONTENTS[told["filename"]]
        manifest = json.loads(fetched(told["manifest"]))
        urls = {one["name"]: one["url"] for one in manifest["files"]}
        assert {name: digest(fetched(urls[name])) for name in CONTENTS} == {
            name: digest(data) for name, data in CONTENTS.items()
        }
    for daemon in daemons:
        assert node.sessid[:8] in daemon.log
        assert "X-Amz" not in daemon.log
        assert "Signature" not in daemon.log


def fetched(url: str) -> bytes:
    """Return what is at an address."""
    with urllib.request.urlopen(url) as answer:
        return bytes(answer.read())
