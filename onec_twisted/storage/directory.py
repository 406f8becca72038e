"""The names in an archive, in a form that is cheap to hold, to pass on, and to search.

An archive of 249,000 pictures takes 2 MB, without an object for each name: see ``Names``. No Twisted; ``examine``
makes it, so nothing is imported that would slow its start.
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
    """Return the digest of a name; a collision is as unlikely as it is harmless."""
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


class Names:
    """Names that can be looked up, but not listed: 8 bytes each, and no object. ``packed`` contains all of them."""

    __slots__ = ("_digests", "packed")

    def __init__(self, packed: bytes | memoryview = b"") -> None:
        """Use what another instance has packed."""
        self.packed = packed
        self._digests = memoryview(packed).cast("Q")

    @classmethod
    def of(cls, digests: Iterable[int]) -> Names:
        """Pack digests of names."""
        return cls(array("Q", sorted(digests)).tobytes())

    def __contains__(self, name: str) -> bool:
        """Return whether a name is contained."""
        digest = _digest(name)
        place = bisect_left(self._digests, digest)
        return place < len(self._digests) and self._digests[place] == digest


class Directory:
    """The names in an archive, and those of its documents whose content does not match the archive's directory."""

    __slots__ = ("damaged", "names")

    def __init__(self, names: Names, damaged: Names) -> None:
        """Keep both."""
        self.names = names
        self.damaged = damaged

    @classmethod
    def of(cls, found: Iterable[Entry]) -> Directory:
        """Pack entries as they are found."""
        names, damaged = array("Q"), array("Q")
        for entry in found:
            digests = [_digest(name) for name in entry.names]
            names.extend(digests)
            if not entry.sound:
                damaged.extend(digests)
        return cls(Names.of(names), Names.of(damaged))

    def as_bytes(self) -> bytes:
        """Return the bytes that ``from_bytes`` reads, in a process on the same machine."""
        return b"".join((len(self.damaged.packed).to_bytes(8, "little"), self.damaged.packed, self.names.packed))

    @classmethod
    def from_bytes(cls, raw: bytes | memoryview) -> Directory:
        """Return the directory of ``as_bytes``, without copying it. Raises ``ValueError`` for anything else."""
        raw = memoryview(raw)
        size = int.from_bytes(raw[:8], "little")
        if len(raw) < 8 or len(raw) % 8 or size % 8 or size > len(raw) - 8:
            raise ValueError("this is no directory")
        return cls(Names(raw[8 + size :]), Names(raw[8 : 8 + size]))
