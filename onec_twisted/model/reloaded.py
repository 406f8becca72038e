"""What came of reading the settings again while the daemon runs."""

from __future__ import annotations

from attrs import frozen

__all__ = ["NotReloaded", "Reloaded"]


@frozen
class Reloaded:
    """What a reload has done: options that ``changed``, shops by their tables, and those that ``need_restart``."""

    changed: tuple[str, ...]
    need_restart: tuple[str, ...]


class NotReloaded(Exception):
    """Nothing has changed; the message says why, in one line."""
