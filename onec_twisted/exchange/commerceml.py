"""The CommerceML documents that a site without orders answers with. No Twisted, no disk.

They are complete, and empty: a node that asks for orders wants a document even if there are none, one that
starts with ``<?xml`` (docs/protocol.md, N10).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["SCHEMA_VERSION", "no_directories", "no_orders"]

SCHEMA_VERSION = "2.10"
"""The version of CommerceML that we speak."""


def _document(root: ET.Element) -> bytes:
    """Return the root as a UTF-8 document; the declaration is written by hand for its double quotes."""
    text: str = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()


def no_orders(now: datetime) -> bytes:
    """Return the answer to ``type=sale&mode=query`` of a site that has no orders; ``now`` dates it."""
    return _document(
        ET.Element(
            "КоммерческаяИнформация",
            ВерсияСхемы=SCHEMA_VERSION,
            ДатаФормирования=now.strftime("%Y-%m-%dT%H:%M:%S"),
        )
    )


def no_directories() -> bytes:
    """Return the answer to ``type=sale&mode=info``: no statuses, payment systems or delivery services.

    The first letter of ``Cтатусы`` is a Latin C: 1C:UNF looks for exactly that (docs/protocol.md, N10).
    """
    root = ET.Element("Справочник")
    for name in ("C" + "татусы", "ПлатежныеСистемы", "СлужбыДоставки"):
        ET.SubElement(root, name)
    return _document(root)
