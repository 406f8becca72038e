"""The name of this daemon among several that share the work (docs/operations.md, "More than one daemon").

What identifies a session or an upload begins with the name of the daemon that has it, so that a proxy knows where a
request belongs. The daemon looks identifiers up as a whole, and reads the name in them only to notice a proxy that
mixes daemons up.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

from attrs import define, field
from twisted.logger import Logger

from onec_twisted.model.text import decoded

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Shard", "is_shard_name"]

WARNING_INTERVAL = 60.0
"""Seconds between two warnings in the log."""

_NAME = re.compile(r"[A-Za-z0-9]{1,8}")

_ID = re.compile(rf"({_NAME.pattern})-(?:[0-9a-f]{{32}}|[0-9a-f]{{64}})")


def is_shard_name(text: str) -> bool:
    """Return whether a text may name a shard: 1C sends it back in a URL and in a cookie, and neither is quoted."""
    return _NAME.fullmatch(text) is not None


@define(eq=False)
class Shard:
    """The daemon called ``name``; None if it is the only one. ``seconds`` is a monotonic clock."""

    name: str | None
    seconds: Callable[[], float]
    _warned_at: float | None = field(default=None, init=False)
    _unreported: int = field(default=0, init=False)
    _log = Logger()

    def new_id(self, size: int) -> str:
        """Return a new identifier: ``size`` random bytes in hexadecimal, after the name."""
        prefix = "" if self.name is None else f"{self.name}-"
        return prefix + secrets.token_hex(size)

    def note_unknown(self, identifier: bytes | str) -> None:
        """Log a warning if an identifier that is not on record here begins with another daemon's name.

        At most once per ``WARNING_INTERVAL``: anybody can make one up.
        """
        match = _ID.fullmatch(identifier if isinstance(identifier, str) else decoded(identifier))
        if match is None or match[1] == self.name:
            return
        self._unreported += 1
        now = self.seconds()
        if self._warned_at is not None and now - self._warned_at < WARNING_INTERVAL:
            return
        self._log.warn(
            "a request for shard {other} came to {here}, which does not know its session or upload: check how the "
            "proxy routes cookies, sessids and paths of uploads ({requests} such requests since the last warning)",
            other=match[1],
            here="a daemon without --shard" if self.name is None else f"shard {self.name}",
            requests=self._unreported,
        )
        self._warned_at, self._unreported = now, 0
