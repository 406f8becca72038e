"""The CommerceML documents served for a site without orders. No Twisted, no disk.

They are complete but empty: a node that requests orders expects a document even if there are none, and it must
start with ``<?xml`` (docs/protocol.md, N10).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["SCHEMA_VERSION", "no_directories", "no_orders"]

SCHEMA_VERSION = "2.10"
"""The version of CommerceML that is served."""


def _document(root: ET.Element) -> bytes:
    """Return the root as a UTF-8 document; the declaration is written by hand to get double quotes."""
    text: str = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()


def no_orders(now: datetime) -> bytes:
    """Return the answer to ``type=sale&mode=query`` for a site without orders, dated ``now``."""
    return _document(
        ET.Element(
            "КоммерческаяИнформация",
            ВерсияСхемы=SCHEMA_VERSION,
            ДатаФормирования=now.strftime("%Y-%m-%dT%H:%M:%S"),
        )
    )


def no_directories() -> bytes:
    """Return the answer to ``type=sale&mode=info``: no statuses, payment systems or delivery services.

    The first letter of ``Cтатусы`` is a Latin C, which 1C:UNF looks for (docs/protocol.md, N10).
    """
    root = ET.Element("Справочник")
    for name in ("C" + "татусы", "ПлатежныеСистемы", "СлужбыДоставки"):
        ET.SubElement(root, name)
    return _document(root)
