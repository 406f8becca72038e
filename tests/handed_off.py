"""A hand-off as a value, and the schema of what importers are told of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from onec_twisted.model.records import Handoff

SCHEMA = json.loads((Path(__file__).parents[1] / "docs" / "description.schema.json").read_text(encoding="utf-8"))


def handoff(**changes: Any) -> Handoff:
    """Return a hand-off as the catalog has it."""
    values: dict[str, Any] = {
        "number": 1,
        "id": "0" * 32,
        "sessid": "a" * 32,
        "username": "Иван",
        "event": "import",
        "type": "catalog",
        "filename": "import0_1.xml",
        "archive": "v8_1.zip",
        "timestamp": "",
        "files": (("v8_1.zip", 7),),
        "created": 1_800_000_000.0,
    }
    return Handoff(**(values | changes))
