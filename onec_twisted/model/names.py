"""Turns a filename as a node sends it into a safe relative path."""

from __future__ import annotations

import re

from attrs import field, frozen

from onec_twisted.model.errors import InvalidFilename, MissingFilename
from onec_twisted.model.segments import MANIFEST, fits, has_marks
from onec_twisted.model.text import decoded

__all__ = ["SafeName", "safe_name"]

_ELSEWHERE = (
    re.compile(r"^[A-Za-z]:"),
    re.compile(r"^(?:.*?/)?webdata/", re.IGNORECASE),
    re.compile(r"^/+tmp/"),
    re.compile(r"^(?:\.?/)+"),
)
"""Prefixes that nodes put in front of a name, the file's location on their machine; removed in this order."""

_PLAIN = re.compile(rb"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
"""The form of most names: nothing to remove, nothing to refuse."""


@frozen
class SafeName:
    """A relative path that cannot leave its folder: no segment is empty, starts with a dot or is too long.

    ``text`` is the path with ``/`` between its segments.
    """

    segments: tuple[str, ...]
    text: str = field(init=False, eq=False, repr=False)

    @text.default
    def _joined(self) -> str:
        return "/".join(self.segments)

    def __str__(self) -> str:
        """Return ``text``."""
        return self.text


def safe_name(raw: bytes | None) -> SafeName:
    r"""Parse the ``filename`` of a query, percent-decoded already.

    Nodes send ``\`` for ``/``, full paths on their own machine (``/tmp/v8_1.zip``,
    ``/opt/…/webdata/…/import_files/x.jpg``, ``C:\…``) and names in UTF-8 or cp1251 (docs/protocol.md, N9).
    These prefixes are removed, sub-folders are kept.

    Raises ``MissingFilename`` for no name or an empty one, ``InvalidFilename`` for one that could leave its folder,
    be hidden in it, replace the manifest, or not be stored at all.
    """
    if not raw:
        raise MissingFilename
    if _PLAIN.fullmatch(raw):
        if raw == MANIFEST.encode("ascii"):
            raise InvalidFilename
        return SafeName((raw.decode("ascii"),))
    name = decoded(raw).replace("\\", "/")
    if has_marks(name):
        raise InvalidFilename
    for prefix in _ELSEWHERE:
        name = prefix.sub("", name)
    segments = tuple(name.split("/"))
    if segments[0] == MANIFEST or any(not segment or segment.startswith(".") for segment in segments):
        raise InvalidFilename
    if not fits(segments):
        raise InvalidFilename
    return SafeName(segments)
