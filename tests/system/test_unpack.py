"""The real daemon unpacks what stock 1C sends, for an importer of ten lines; whatever ends in between."""

from __future__ import annotations

import json
import os
import random
import subprocess
import threading
import time
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from daemon import PATIENCE, SCRIPTS, Daemon
from odd_archives import DEFLATED, DOCUMENT, IMPORT, Odd, archive_of
from trade import ExchangeFailed, Trade, digests, make_export, packed

from onec_twisted.delivery.preparation import PREPARE

if TYPE_CHECKING:
    from collections.abc import Callable

STRICT = """#!/usr/bin/env python3
import hashlib, json, os, pathlib, sys
folder, name = sys.argv[1:]
description = json.load(sys.stdin)
if name:
    assert description["folder"] == folder and pathlib.Path(folder, name).is_file()
    found = {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
             for path in pathlib.Path(folder).rglob("*") if path.is_file()}
    whole = json.load(open(os.environ["IMPORT_WHOLE"]))
    if found != whole:
        sys.exit("half: " + " ".join(sorted(set(found) ^ set(whole)))[:200])
    with open(os.environ["IMPORT_WHOLE"] + ".done", "a") as done:
        done.write(description["id"] + " " + name + "\\n")
"""
"""An importer that accepts nothing but the whole export."""

TEN_LINES = """#!/bin/sh -e
# FOLDER NAME: what 1C has exported
[ -n "$2" ] || exit 0
echo "Reading $2"
grep -c '<Товар>' "$1/$2" > "$IMPORT_SHOP/$2.count" || true
ls "$1/import_files"/* > "$IMPORT_SHOP/pictures"
"""


def importer_at(folder: Path, text: str) -> str:
    """Write an importer's program, and return its path."""
    path = folder / "importer"
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def preparing(daemon: Daemon) -> list[int]:
    """Return the processes of a daemon that unpack."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = (process / "stat").read_text().rpartition(") ")[2].split()[1]
            if int(parent) == daemon.process.pid and PREPARE in (process / "cmdline").read_bytes().decode():
                found.append(int(process.name))
    return found


def imported(node: Trade, name: str) -> str:
    """Ask for an import as 1C does, until it ends; return the last answer."""
    text = "progress"
    while text.startswith("progress"):
        try:
            text = node._ask(f"type=catalog&mode=import&filename={name}&sessid={node.sessid}")
        except ExchangeFailed as refused:
            text = str(refused)
    return text


@pytest.mark.parametrize("zipped", ["yes", "no"])
def test_ten_lines_of_shell_import_what_stock_1c_sends(
    daemons: Callable[..., Daemon], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: str
) -> None:
    """Packed or not: documents and pictures lie under the names that 1C means."""
    monkeypatch.setenv("IMPORT_SHOP", str(tmp_path))
    export = tmp_path / "webdata"
    (export / "import_files").mkdir(parents=True)
    (export / "import0_1.xml").write_text("<a>\n<Товар>\n<Товар>\n</a>")
    (export / "offers0_1.xml").write_text("<a/>")
    (export / "import_files/x.jpg").write_bytes(b"jpeg")
    contents = {path.relative_to(export).as_posix(): path.read_bytes() for path in export.rglob("*.*")}
    (tmp_path / "v8_1.zip").write_bytes(packed(contents))
    daemon = daemons(f"--zip={zipped}", f"--importer=exec:{importer_at(tmp_path, TEN_LINES)}")
    Trade("127.0.0.1", daemon.port).export(export, tmp_path / "v8_1.zip")

    assert (tmp_path / "import0_1.xml.count").read_text() == "2\n"
    assert (tmp_path / "offers0_1.xml.count").read_text() == "0\n"
    assert (tmp_path / "pictures").read_text().endswith("/import_files/x.jpg\n")


def test_ten_lines_of_shell_import_what_onec_node_pushes(
    daemons: Callable[..., Daemon], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same."""
    monkeypatch.setenv("IMPORT_SHOP", str(tmp_path))
    export = tmp_path / "export"
    (export / "import_files").mkdir(parents=True)
    (export / "import0_1.xml").write_text("<a>\n<Товар>\n</a>")
    (export / "import_files/x.jpg").write_bytes(b"jpeg")
    daemon = daemons(f"--importer=exec:{importer_at(tmp_path, TEN_LINES)}")
    url = f"http://127.0.0.1:{daemon.port}/1c_exchange.php"
    done = subprocess.run(
        [str(SCRIPTS / "onec-node"), "push", "--url", url, "--user", "shop", str(export)],
        env={**os.environ, "ONEC_PASSWORD": "secret"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert "import0_1.xml: imported" in done.stdout, done.stderr + daemon.log
    assert (tmp_path / "import0_1.xml.count").read_text() == "1\n"


def test_a_site_that_lists_the_folder(daemons: Callable[..., Daemon]) -> None:
    """With ``keep``: the manifest says where the files of a hand-off are, below the session's folder."""
    daemon = daemons("--importer=keep")
    node = Trade("127.0.0.1", daemon.port)
    node.checkauth()
    node.init()
    node.send_file("v8_1.zip", archive_of(IMPORT, Odd(b"import_files/x.jpg")))
    node.import_file("import0_1.xml")
    node.close()
    session = daemon.temp / node.sessid
    manifest = json.loads((session / "manifest.json").read_text())
    (handoff,), (file,) = manifest["handoffs"], manifest["files"]

    assert (handoff["archive"], handoff["unpacked"]) == (None, "v8_1.zip")
    assert (session / handoff["folder"] / handoff["filename"]).read_bytes() == DOCUMENT
    assert (session / handoff["folder"] / "import_files/x.jpg").exists()
    assert (session / file["name"]).read_bytes() == DOCUMENT
    daemon.kill()
    daemons("--importer=keep")
    assert (session / file["name"]).read_bytes() == DOCUMENT, "after a restart as well"


def test_an_init_removes_what_was_unpacked(daemons: Callable[..., Daemon], tmp_path: Path) -> None:
    """With all else of a session whose import failed; what was imported is kept with what was unpacked for it."""
    refuses = tmp_path / "refuses"
    program = importer_at(tmp_path, f"#!/bin/sh\ntest ! -e {refuses}\n")
    daemon = daemons(f"--importer=exec:{program}")
    node = Trade("127.0.0.1", daemon.port)
    node.checkauth()
    node.init()
    folder = daemon.temp / node.sessid
    refuses.touch()
    node.send_file("v8_1.zip", archive_of(IMPORT))
    with pytest.raises(ExchangeFailed):
        node.import_file("import0_1.xml")
    assert list(folder.glob(".unpacked/*/files/import0_1.xml"))
    node.init()
    assert not folder.exists()

    refuses.unlink()
    node.send_file("v8_2.zip", archive_of(IMPORT))
    node.import_file("import0_1.xml")
    node.init()
    node.close()
    assert list(folder.glob(".unpacked/*/files/import0_1.xml"))


def test_a_piece_for_a_picture_that_an_importer_was_given(daemons: Callable[..., Daemon]) -> None:
    """It goes into the upload, and not into what the importer has; a restart sees no foreign file."""
    daemon = daemons("--importer=keep")
    node = Trade("127.0.0.1", daemon.port)
    node.checkauth()
    node.init()
    node.send_file("v8_1.zip", archive_of(IMPORT))
    node.send_file("x.jpg", b"first")
    node.import_file("import0_1.xml")
    session = daemon.temp / node.sessid
    (given,) = session.glob(".unpacked/*/files/x.jpg")
    assert given.samefile(session / "x.jpg")
    node.send_file("x.jpg", b" second")

    assert (given.read_bytes(), (session / "x.jpg").read_bytes()) == (b"first", b"first second")
    daemon.kill()
    again = daemons("--importer=keep")
    node.go_on_at(again.port)
    node.send_file("x.jpg", b" third")
    node.close()
    assert (session / "x.jpg").read_bytes() == b"first second third"
    assert "left alone" not in again.log


def whole_export(folder: Path, pictures: int, size: int) -> tuple[Path, bytes]:
    """Make an archive; return where its digests are written, and its content."""
    chance = random.Random(3)
    contents = {"import0_1.xml": DOCUMENT * 50}
    for number in range(pictures):
        contents[f"import_files/{number % 16:02x}/{number:032x}.jpg"] = chance.randbytes(size)
    export = folder / "export"
    for name, content in contents.items():
        path = export / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    whole = folder / "whole.json"
    whole.write_text(json.dumps(digests(export)))
    return whole, packed(contents)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")
def test_kill_minus_9_while_an_archive_is_unpacked(
    daemons: Callable[..., Daemon], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At random: the next daemon begins it again, and the importer never sees half of it."""
    whole, archive = whole_export(tmp_path, 600, 2000)
    monkeypatch.setenv("IMPORT_WHOLE", str(whole))
    chance = random.Random(5)
    arguments = ("--importer=exec:" + importer_at(tmp_path, STRICT), "--import-hold=0.2")
    daemon = daemons(*arguments)
    node = Trade("127.0.0.1", daemon.port)
    node.checkauth()
    node.init()
    node.send_file("v8_1.zip", archive)
    kills = 0
    while not Path(f"{whole}.done").exists():
        asking = threading.Thread(target=ask_once, args=(node, daemon.port), daemon=True)
        asking.start()
        deadline = time.monotonic() + PATIENCE
        while not preparing(daemon) and not Path(f"{whole}.done").exists():
            assert time.monotonic() < deadline, daemon.log
            time.sleep(0.002)
        pids = preparing(daemon)
        if kills < 6 and pids:
            time.sleep(chance.uniform(0, 0.25))
            daemon.kill()
            kills += 1
            while any(is_alive(pid) for pid in pids):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            asking.join()
            daemon = daemons(*arguments)
        else:
            asking.join()
    node.go_on_at(daemon.port)

    assert imported(node, "import0_1.xml") == "success"
    node.close()
    ids = {line.split()[0] for line in Path(f"{whole}.done").read_text().splitlines()}
    assert len(ids) == 1, "the same hand-off, with the same id"
    assert kills
    session = daemon.temp / node.sessid
    assert not list(session.glob(".unpacked/.new-*"))


def ask_once(node: Trade, port: int) -> None:
    """Ask for the import, whatever becomes of it; on a busy machine the archive may not have been read at once."""
    own = Trade(node.host, port)
    own.cookie, own.sessid = node.cookie, node.sessid
    with suppress(OSError, HTTPException, ExchangeFailed):
        while "is being read" in own._ask(f"type=catalog&mode=import&filename=import0_1.xml&sessid={node.sessid}"):
            pass
    own.close()


def is_alive(pid: int) -> bool:
    """Return whether a process still runs."""
    try:
        return not Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except OSError:
        return False


def test_no_process_is_left_when_the_daemon_stops(daemons: Callable[..., Daemon], tmp_path: Path) -> None:
    """It ends with the daemon's grace, or before; the next one begins again."""
    bomb = archive_of(IMPORT, *(Odd(b"%d.jpg" % number, bytes(500), method=DEFLATED) for number in range(20_000)))
    daemon = daemons("--importer=keep", "--import-hold=0.2")
    node = Trade("127.0.0.1", daemon.port)
    node.checkauth()
    node.init()
    node.send_file("v8_1.zip", bomb)
    ask_once(node, daemon.port)
    pids = preparing(daemon)
    daemon.stop()
    assert not any(is_alive(pid) for pid in pids)
    again = daemons("--importer=keep")
    node.go_on_at(again.port)

    assert imported(node, "import0_1.xml") == "success"
    node.close()


@pytest.mark.once
def test_a_whole_export_of_250_mb(daemons: Callable[..., Daemon], tmp_path: Path) -> None:
    """As 1C makes one: every file is there, the daemon's memory stays flat, and so does that of the process."""
    export = make_export(tmp_path)
    daemon = daemons("--importer=keep")
    before = daemon.peak_memory()
    node = Trade("127.0.0.1", daemon.port)
    node.checkauth()
    node.init()
    with export.archive.open("rb") as file:
        node.send_split(export.archive.name, file, export.archive.stat().st_size)
    assert imported(node, "import0_1.xml") == "success"
    node.close()
    session = daemon.temp / node.sessid
    (folder,) = session.glob(".unpacked/*/files")
    found = digests(folder)
    expected = digests(export.folder)

    assert {name: found[name] for name in expected} == expected
    assert set(found) - set(expected) == {"import_files/ff/video.mp4"}
    assert daemon.peak_memory() - before < 40 * 2**20
