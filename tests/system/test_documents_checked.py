"""The real daemon reads documents before its importer gets them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from trade import ExchangeFailed, Trade, packed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from daemon import Daemon

IMPORTER = """#!/bin/sh -e
cat >> "$IMPORT_SHOP/descriptions"
"""
GOODS = """<?xml version="1.0" encoding="windows-1251"?>
<КоммерческаяИнформация ВерсияСхемы="2.08"><Каталог СодержитТолькоИзменения="true"><Товары>
<Товар><Картинка>import_files/x.jpg</Картинка></Товар></Товары></Каталог></КоммерческаяИнформация>""".encode("cp1251")


@pytest.mark.parametrize("zipped", ["yes", "no"])
def test_what_stock_1c_sends_is_read_first(
    daemons: Callable[..., Daemon], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: str
) -> None:
    """Packed or not: the importer is told what is in a document, and never gets one that breaks off."""
    monkeypatch.setenv("IMPORT_SHOP", str(tmp_path))
    importer = tmp_path / "importer"
    importer.write_text(IMPORTER)
    importer.chmod(0o755)
    export = tmp_path / "webdata"
    export.mkdir()
    daemon = daemons(f"--zip={zipped}", f"--importer=exec:{importer}", "--check-documents=yes")

    def send(content: bytes) -> None:
        (export / "import0_1.xml").write_bytes(content)
        (tmp_path / "v8_1.zip").write_bytes(packed({"import0_1.xml": content}))
        trade = Trade("127.0.0.1", daemon.port)
        try:
            trade.export(export, tmp_path / "v8_1.zip")
        finally:
            trade.close()

    send(GOODS)
    told = json.loads((tmp_path / "descriptions").read_text(encoding="utf-8"))
    (found,) = told["documents"]
    assert (found["products"], found["changes_only"], found["missing_names"]) == (1, True, ["import_files/x.jpg"])
    assert "import0_1.xml is well-formed: 1 products" in daemon.log

    with pytest.raises(ExchangeFailed, match=r"import0_1\.xml breaks off at line 3"):
        send(GOODS[:-20])
    assert (tmp_path / "descriptions").read_text(encoding="utf-8").count('"version": 1') == 1
