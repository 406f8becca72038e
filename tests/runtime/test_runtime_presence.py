"""Whether the media root is there."""

from __future__ import annotations

from typing import Any

from onec_twisted.model.errors import StorageRemoved
from onec_twisted.runtime.presence import REMOVED, Presence
from onec_twisted.testing import inline


def test_only_what_changes_is_told(nothing_left_behind: list[dict[str, Any]]) -> None:
    """That it has gone, and that it is there again; what cannot be looked at is neither."""
    looks: list[Exception | None] = [
        None,
        StorageRemoved(),
        StorageRemoved(),
        OSError(13, "Permission denied"),
        None,
        None,
        StorageRemoved(),
    ]

    def look() -> None:
        found = looks.pop(0)
        if found is not None:
            raise found

    presence = Presence(look, inline)
    while looks:
        presence.once()
    told = [(event["log_level"].name, event.get("what")) for event in nothing_left_behind]

    assert told == [("critical", REMOVED), ("warn", None), ("info", None), ("critical", REMOVED)]
