"""The names in an archive, in a form that costs little to hold, to pass on, and to look into.

An archive of 249,000 pictures makes 2 MB of it, and not one object for each: see ``Names``. No Twisted; ``examine``
makes it, so nothing is imported that makes its start longer.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from onec_twisted.storage.archive import Entry

__all__ = ["Directory", "Names"]


def _digest(name: str) -> int:
    """Return what stands for a name; that two have the same is as unlikely as it is harmless."""
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


class Names:
    """Names that can be asked for, and not listed: each takes 8 bytes, and no object. ``packed`` has all of them."""

    __slots__ = ("_digests", "packed")

    def __init__(self, packed: bytes | memoryview = b"") -> None:
        """Take what another has packed."""
        self.packed = packed
        self._digests = memoryview(packed).cast("Q")

    @classmethod
    def of(cls, digests: Iterable[int]) -> Names:
        """Pack digests of names."""
        return cls(array("Q", sorted(digests)).tobytes())

    def __contains__(self, name: str) -> bool:
        """Return whether a name is among them."""
        digest = _digest(name)
        place = bisect_left(self._digests, digest)
        return place < len(self._digests) and self._digests[place] == digest


class Directory:
    """The names in an archive, and those of its documents whose content is not what the directory says."""

    __slots__ = ("damaged", "names")

    def __init__(self, names: Names, damaged: Names) -> None:
        """Keep both."""
        self.names = names
        self.damaged = damaged

    @classmethod
    def of(cls, found: Iterable[Entry]) -> Directory:
        """Pack what was found, as it is found."""
        names, damaged = array("Q"), array("Q")
        for entry in found:
            digests = [_digest(name) for name in entry.names]
            names.extend(digests)
            if not entry.sound:
                damaged.extend(digests)
        return cls(Names.of(names), Names.of(damaged))

    def as_bytes(self) -> bytes:
        """Return what ``from_bytes`` understands, in a process of the same machine."""
        return b"".join((len(self.damaged.packed).to_bytes(8, "little"), self.damaged.packed, self.names.packed))

    @classmethod
    def from_bytes(cls, told: bytes | memoryview) -> Directory:
        """Return the directory that was told, without copying it. Raises ``ValueError`` when it was none."""
        told = memoryview(told)
        size = int.from_bytes(told[:8], "little")
        if len(told) < 8 or len(told) % 8 or size % 8 or size > len(told) - 8:
            raise ValueError("this is no directory")
        return cls(Names(told[8 + size :]), Names(told[8 : 8 + size]))
