"""What is in a document: a value that the program which reads it, the importer and the status page share.

Nothing is imported that would slow the start of that program.
"""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["COUNTS", "Document"]

COUNTS = ("products", "offers", "prices", "rests", "orders", "groups", "pictures")
"""What is counted in a document."""


class Document(NamedTuple):
    """What is in a document, an XML file, whatever its kind.

    ``root`` is the name of its root element, ``version`` that of CommerceML, empty if none is stated.
    ``changes_only`` is None where the document does not say whether it is a full export. Pictures are counted as
    often as they are referred to, ``missing`` are those that the session does not have, and ``missing_names`` the
    first of their names.
    """

    name: str
    root: str
    version: str
    changes_only: bool | None
    products: int
    offers: int
    prices: int
    rests: int
    orders: int
    groups: int
    pictures: int
    missing: int
    missing_names: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as a dictionary for JSON."""
        return self._asdict() | {"version": self.version or None}

    @classmethod
    def from_dict(cls, known: dict[str, Any]) -> Document:
        """Return the document of ``as_dict``."""
        return cls(**known | {"version": known["version"] or "", "missing_names": tuple(known["missing_names"])})
