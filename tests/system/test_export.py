"""A real export arrives intact: 1C:Trade 11.5 against the real daemon, both ways of packing."""

from __future__ import annotations

import sys
from signal import SIGTERM
from typing import TYPE_CHECKING

import pytest
from daemon import start
from trade import PICTURES, Export, Trade, digests, make_export

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MEMORY = 16 * 2**20


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Export]:
    """Make it once; it is large, so it is removed at the end."""
    folder = tmp_path_factory.mktemp("export")
    made = make_export(folder)
    yield made
    made.archive.unlink()


def test_it_is_as_large_as_a_real_one(export: Export) -> None:
    """Documents of some MB, hundreds of pictures, an archive over 250 MB."""
    sizes = {path.name: path.stat().st_size for path in export.folder.glob("*.xml")}

    assert sizes["import0_1.xml"] > 3_000_000
    assert sizes["offers0_1.xml"] > 500_000
    assert len(list(export.folder.rglob("*.jpg"))) == PICTURES
    assert export.archive.stat().st_size > 250 * 2**20


@pytest.mark.parametrize("packing", ["yes", "no"])
def test_a_real_export_arrives_intact(export: Export, tmp_path: Path, packing: str) -> None:
    """Every file has the digest that it had on the node; an archive of 250 MB is cut into 3 pieces."""
    documents = [path.stat().st_size for path in export.folder.glob("*.xml")]
    pieces = 3 if packing == "yes" else PICTURES + sum(-(-size // 2**20) for size in documents)
    daemon = start(tmp_path, f"--zip={packing}", "--file-limit=100M" if packing == "yes" else "--file-limit=1M")
    try:
        warm = Trade("127.0.0.1", daemon.port)
        warm.checkauth()
        warm.init()
        warm.send_file("warm", b"x" * 500_000)
        warm.close()
        before = daemon.peak_memory() if sys.platform == "linux" else 0
        node = Trade("127.0.0.1", daemon.port)
        node.export(export.folder, export.archive)
        grown = daemon.peak_memory() - before if sys.platform == "linux" else 0
    finally:
        status = daemon.stop()

    archive = {export.archive.name: digests(export.archive.parent)[export.archive.name]} if packing == "yes" else {}
    everything = digests(daemon.temp / node.sessid)
    received = {name: digest for name, digest in everything.items() if not name.startswith(".unpacked/")}
    assert received.pop("manifest.json")
    assert received == (archive or digests(export.folder))
    assert node.zipped is (packing == "yes")
    assert node.pieces == pieces
    assert grown < MEMORY, f"{grown / 2**20:.1f} MiB more"
    assert status == -SIGTERM, "twistd ends by the signal that told it to"
    assert "Traceback" not in daemon.log
