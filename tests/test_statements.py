"""The catalog's statements; what they do is tested with the catalog."""

from __future__ import annotations

import re
from pathlib import Path

import onec_twisted
from onec_twisted import statements

SQL = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE)\b")


def test_there_is_no_other_sql() -> None:
    """It stands in two modules."""
    house = Path(onec_twisted.__file__).parent
    found = {path.stem for path in house.glob("*.py") if SQL.search(path.read_text(encoding="utf-8"))}

    assert found == {"schema", "statements"}


def test_each_is_named() -> None:
    """What the module offers is what the catalog takes."""
    assert all(callable(getattr(statements, name)) for name in statements.__all__)
