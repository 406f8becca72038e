"""Documents of a site without orders."""

from __future__ import annotations

from datetime import datetime, timezone
from xml.etree import ElementTree as ET

from onec_twisted.exchange.commerceml import no_directories, no_orders


def test_documents_start_as_nodes_want_them() -> None:
    """No BOM, no blank line: 1C:Trade looks at the first characters."""
    now = datetime(2026, 11, 22, 21, 49, 7, tzinfo=timezone.utc)
    for document in (no_orders(now), no_directories()):
        assert document.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<')

    root = ET.fromstring(no_orders(now))
    assert root.attrib == {"ВерсияСхемы": "2.10", "ДатаФормирования": "2026-11-22T21:49:07"}
