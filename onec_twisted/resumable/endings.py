"""When a request completes its upload: each protocol has its rule. No Twisted."""

from __future__ import annotations

from enum import Enum

__all__ = ["Ending"]


class Ending(Enum):
    """What completes an upload."""

    BY_LENGTH = "by length"
    """As many bytes as its client has announced, however they came (tus 1.0.0, "Upload-Length")."""

    HERE = "here"
    """The end of this request's body: its client said so (RUFH, ``Upload-Complete: ?1``)."""

    LATER = "later"
    """A request that is still to come, whatever has come so far."""

    def is_reached(self, length: int | None, committed: int, *, all_came: bool) -> bool:
        """Return whether an upload of ``length`` bytes, None if unknown, is complete with ``committed`` on record.

        ``all_came`` means that the request's body has ended, and that every byte of it is among those.
        """
        if self is Ending.HERE:
            return all_came and length in {None, committed}
        return self is Ending.BY_LENGTH and length == committed
