"""A notice: what somebody is told who does not look at the status page."""

from __future__ import annotations

import json

from attrs import asdict, frozen

__all__ = ["NOTICE_VERSION", "RAISED", "RECOVERED", "Notice"]

NOTICE_VERSION = 1
"""The version of the JSON: fields may be added, none is renamed or removed."""

RAISED, RECOVERED = "raised", "recovered"
"""The states of what a notice is about."""


@frozen(kw_only=True)
class Notice:
    """What has happened to a subject.

    ``event`` is a kind of reason of the verdict, ``subject`` what it is about: the event, and the ``user`` if there
    is one. ``words`` is one line for a person; ``time`` and ``since`` are in seconds since 1970, ``since`` is None
    where it is unknown; ``count`` is 0 where it makes no sense.
    """

    event: str
    subject: str
    state: str
    user: str
    words: str
    time: float
    since: float | None = None
    count: int = 0

    def as_json(self) -> bytes:
        """Return it as a JSON object."""
        return json.dumps({"version": NOTICE_VERSION, **asdict(self)}, ensure_ascii=False).encode("utf-8")
