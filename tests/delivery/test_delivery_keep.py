"""The importer ``keep``: a manifest beside the files tells what was handed off."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from handed_off import handoff
from twisted.internet.defer import ensureDeferred
from zope.interface.verify import verifyObject

from onec_twisted.delivery.interfaces import IImporter
from onec_twisted.delivery.keep import Keep
from onec_twisted.model.description import describe
from onec_twisted.model.errors import ImportInterrupted
from onec_twisted.testing import inline

if TYPE_CHECKING:
    from pathlib import Path


def deliver(folder: Path, **changes: Any) -> dict[str, Any]:
    """Hand off; return the manifest."""
    done: list[Any] = []
    description = describe(handoff(**changes), str(folder))
    ensureDeferred(Keep(inline).deliver(description, lambda _: None)).addBoth(done.append)
    assert done == [None]
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A session's folder with two files."""
    folder = tmp_path / ("a" * 32)
    folder.mkdir()
    for name, seconds in (("v8_1.zip", 1_700_000_000), ("Товары.xml", 1_700_000_100)):
        (folder / name).write_bytes(b"1234567")
        os.utime(folder / name, (seconds, seconds))
    return folder


def test_it_is_an_importer() -> None:
    """As the interface has it."""
    assert verifyObject(IImporter, Keep(inline))


def test_a_manifest(folder: Path) -> None:
    """Names, sizes, times, user and type; readable for all, nothing else left beside it."""
    assert deliver(folder) == {
        "version": 1,
        "sessid": "a" * 32,
        "shop": None,
        "user": "Иван",
        "type": "catalog",
        "handoffs": [
            {
                "id": "0" * 32,
                "event": "import",
                "type": "catalog",
                "time": "2027-01-15T08:00:00Z",
                "filename": "import0_1.xml",
                "archive": "v8_1.zip",
                "unpacked": None,
                "timestamp": None,
                "metadata": None,
                "folder": ".",
            }
        ],
        "files": [{"name": "v8_1.zip", "size": 7, "time": "2023-11-14T22:13:20Z", "type": "catalog"}],
    }
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "v8_1.zip", "Товары.xml"]
    assert (folder / "manifest.json").stat().st_mode & 0o777 == 0o644


def test_it_grows_with_its_session(folder: Path) -> None:
    """The same hand-off twice, as after a crash, changes nothing."""
    deliver(folder)
    first = deliver(folder, id="1" * 32, filename="", archive="", event="settled", files=(("Товары.xml", 7),))
    again = deliver(folder, id="1" * 32, filename="", archive="", event="settled", files=(("Товары.xml", 7),))

    assert first == again
    assert [file["name"] for file in first["files"]] == ["v8_1.zip", "Товары.xml"]
    assert [one["event"] for one in first["handoffs"]] == ["import", "settled"]


def test_an_event_without_files_has_a_manifest_too(tmp_path: Path) -> None:
    """In a folder that is made for it, whatever the umask: who lists folders sees ``complete``."""
    before = os.umask(0o077)
    manifest = deliver(tmp_path / "s", event="deactivate", timestamp="17", filename="", archive="", files=())
    os.umask(before)

    assert (manifest["handoffs"][0]["event"], manifest["handoffs"][0]["timestamp"]) == ("deactivate", "17")
    assert manifest["files"] == []
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "s" / "manifest.json").stat().st_mode & 0o777 == 0o644


def test_a_manifest_that_cannot_be_written(folder: Path) -> None:
    """Is tried again: nothing is imported before it is there."""
    ended: list[Any] = []
    description = describe(handoff(files=(("gone", 1),)), str(folder))
    ensureDeferred(Keep(inline).deliver(description, lambda _: None)).addErrback(ended.append)

    assert ended[0].check(ImportInterrupted)
    assert str(ended[0].value) == "The manifest cannot be written: No such file or directory (gone)"


def test_a_manifest_that_a_site_has_written_anew_is_read(folder: Path) -> None:
    """In whatever layout; ours has a line for each hand-off and each file."""
    told = deliver(folder)
    for layout in (None, 1, "\t"):
        (folder / "manifest.json").write_text(json.dumps(told, indent=layout))
        grown = deliver(folder, id="1" * 32, filename="", archive="", event="settled", files=(("Товары.xml", 7),))
        assert [one["id"] for one in grown["handoffs"]] == ["0" * 32, "1" * 32]
        assert [file["name"] for file in grown["files"]] == ["v8_1.zip", "Товары.xml"]
    assert len((folder / "manifest.json").read_text().splitlines()) == 15


@pytest.mark.parametrize("content", ["", "{", "[]", '{"handoffs": 1}', '{"handoffs": [], "files": [{}]}'])
def test_a_manifest_that_is_broken_is_made_anew(folder: Path, content: str) -> None:
    """Somebody has written into it."""
    (folder / "manifest.json").write_text(content)

    assert [file["name"] for file in deliver(folder)["files"]] == ["v8_1.zip"]
