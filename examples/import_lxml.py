#!/usr/bin/env python3
"""An importer: ``twistd -n onec-exchange --auth=htpasswd:FILE --importer=exec:import_lxml.py``.

Reads goods, prices and rests with lxml, however large the document: only one element is in memory at a time. It
writes them into the file ``$IMPORT_SHOP``, a SQLite database. It needs lxml: ``pip install lxml``.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from pathlib import Path

from lxml import etree

SCHEMA = """
CREATE TABLE IF NOT EXISTS goods (id TEXT PRIMARY KEY, name TEXT);
CREATE TABLE IF NOT EXISTS offers (id TEXT PRIMARY KEY, price TEXT, rest TEXT);
"""


def elements(path, *names):
    """Yield the elements of these names, whatever their namespace, and forget each afterwards."""
    for _, element in etree.iterparse(path, tag=[f"{{*}}{name}" for name in names], huge_tree=False):
        yield etree.QName(element).localname, element
        element.clear()
        while element.getprevious() is not None:  # else the parent keeps an empty element for each
            del element.getparent()[0]


def text(element, *paths):
    """Return the first text that is there; None if there is none."""
    return next((found for path in paths if (found := element.findtext(path)) is not None), None)


def import_document(shop, path):
    """Write what is in a document; what it does not mention stays as it is. Return how many elements it has."""
    count = 0
    for name, element in elements(path, "Товар", "Предложение"):
        count += 1
        ident = element.findtext("{*}Ид")
        if name == "Товар":
            shop.execute("INSERT OR REPLACE INTO goods VALUES (?, ?)", (ident, element.findtext("{*}Наименование")))
            continue
        price = text(element, "{*}Цены/{*}Цена/{*}ЦенаЗаЕдиницу")
        rest = text(element, "{*}Количество", "{*}Остатки//{*}Количество")
        shop.execute("INSERT OR IGNORE INTO offers (id) VALUES (?)", (ident,))
        shop.execute(  # prices and rests may come in documents of their own
            "UPDATE offers SET price = coalesce(?, price), rest = coalesce(?, rest) WHERE id = ?",
            (price, rest, ident),
        )
    return count


def main():
    """Import what the description on standard input names; the same twice does no harm."""
    description = json.load(sys.stdin)
    if description["event"] != "import" or description["type"] != "catalog":
        return  # an event without a document, or orders
    name = description["filename"]
    print(f"Reading {name}", flush=True)
    shop = sqlite3.connect(os.environ["IMPORT_SHOP"])
    try:
        with shop:  # all of a document, or nothing
            shop.executescript(SCHEMA)
            count = import_document(shop, str(Path(description["folder"], name)))
    except (etree.XMLSyntaxError, sqlite3.Error) as error:
        sys.exit(f"{name} cannot be imported: {error}")  # the 1C user sees this line
    finally:
        shop.close()
    print(f"{name}: {count} imported")


if __name__ == "__main__":
    main()
