"""Read a CommerceML document as a stream: whether it is well-formed to its last byte, and what is in it.

A document is untrusted. It is read by expat with handlers that hold counters and one file name, so memory does not
grow with it. Entities are refused, nothing is fetched, depth and the length of a tag are limited.

Which elements mean what: the CommerceML 2 schema, and docs/importers.md. Documents that are not CommerceML have
another root, and nothing is counted in them.

A blocking function, for a process of its own: nothing is imported that would slow its start.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from xml.parsers import expat
from xml.parsers.expat import errors

from onec_twisted.model.document import Document
from onec_twisted.model.segments import on_disk
from onec_twisted.storage.whole import open_below

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["DocumentBroken", "picture_path", "read_document", "read_documents"]

READ_BLOCK = 256 * 1024
"""Bytes that are parsed at a time."""

LONGEST_TAG = 8 * 1024 * 1024
"""Bytes of one tag, comment or declaration at most: expat holds it whole, and may read it again with each block."""

DEEPEST_ELEMENT = 1000
"""Elements inside one another at most; readers that build a tree fail at some depth, too."""

LONGEST_VALUE = 100
"""Characters of a root's name, and of the version, that are kept."""

LONGEST_PICTURE = 1024
"""Characters of a picture's name that are kept: no file has a longer one."""

MOST_MISSING = 20
"""Names of missing pictures that are kept."""

COUNTED = {
    "Товар": "products",
    "Предложение": "offers",
    "Цена": "prices",
    "Остаток": "rests",
    "Документ": "orders",
    "Группа": "groups",
    "Картинка": "pictures",
}
"""Elements that are counted, outside of orders: goods in an order are lines of it."""

ORDER, PICTURE = "Документ", "Картинка"

CHANGES_ONLY = "СодержитТолькоИзменения"
WITH_CHANGES_ONLY = frozenset({"Каталог", "ПакетПредложений"})
CHANGES = "ИзмененияПакетаПредложений"
"""The attribute that tells changes from a full export, who has it, and an element that never is a full one."""

VERSION = "ВерсияСхемы"

_WITH_MEANING = {*COUNTED, *WITH_CHANGES_ONLY, CHANGES}

_TRUE = frozenset({"true", "1"})

_BREAKS_OFF = frozenset(
    {
        errors.XML_ERROR_NO_ELEMENTS,
        errors.XML_ERROR_UNCLOSED_TOKEN,
        errors.XML_ERROR_PARTIAL_CHAR,
        errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    }
)
"""Errors of expat that mean, at the end of a document, that the rest of it is missing."""


class DocumentBroken(Exception):
    """A document cannot be read; the message follows its name: ``breaks off at line 12,345``."""


def picture_path(written: str) -> str:
    r"""Return the path of a picture relative to its document, as names of uploads are: ``\`` means ``/``.

    Empty if it cannot be one: it leads elsewhere, or is hidden.
    """
    segments = [one for one in written.strip().replace("\\", "/").split("/") if one not in ("", ".")]
    if any(one.startswith(".") or "\0" in one for one in segments):
        return ""
    return "/".join(segments)


class _Reader:
    """The handlers of one parser, and what they have counted."""

    def __init__(self, parser: expat.XMLParserType, has: Callable[[str], bool]) -> None:
        self._parser, self._has = parser, has
        self.root = self.version = ""
        self.changes_only: bool | None = None
        self.counts = dict.fromkeys(COUNTED, 0)
        self.missing = 0
        self.missing_names: list[str] = []
        self._depth = self._order = 0
        self._picture: list[str] = []
        self._picture_length = 0
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.EntityDeclHandler = self.refuse_entities

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Count an element."""
        self._depth += 1
        if name in _WITH_MEANING and not self._order:
            self._note(name, attributes)
        if self._depth == 1:
            self.root = name[:LONGEST_VALUE]
            self.version = attributes.get(VERSION, "")[:LONGEST_VALUE]
        elif self._depth > DEEPEST_ELEMENT:
            raise DocumentBroken(f"has more than {DEEPEST_ELEMENT:,} elements inside one another")

    def _note(self, name: str, attributes: dict[str, str]) -> None:
        """Count an element outside of orders that means something."""
        if name in COUNTED:
            self.counts[name] += 1
            if name == ORDER:
                self._order = self._depth
            elif name == PICTURE:
                self._picture, self._picture_length = [], 0
                self._parser.CharacterDataHandler = self.take
        elif name == CHANGES:
            self.changes_only = True
        elif CHANGES_ONLY in attributes:
            self.changes_only = bool(self.changes_only) or attributes[CHANGES_ONLY].strip().lower() in _TRUE

    def end(self, name: str) -> None:
        """Note the end of an element: of a picture's name, or of an order."""
        if name == PICTURE and not self._order:
            self._parser.CharacterDataHandler = None
            self._look_for("".join(self._picture))
        elif self._order == self._depth:
            self._order = 0
        self._depth -= 1

    def take(self, text: str) -> None:
        """Keep the text of a picture's name."""
        if self._picture_length <= LONGEST_PICTURE:
            self._picture.append(text[: LONGEST_PICTURE + 1])
            self._picture_length += len(text)

    def _look_for(self, written: str) -> None:
        """Note a picture that the session lacks; one at an address is not expected to be there."""
        name = picture_path(written)
        if not written.strip() or "://" in written or (name and len(name) <= LONGEST_PICTURE and self._has(name)):
            return
        self.missing += 1
        shown = (name or written.strip())[:LONGEST_PICTURE]
        if len(self.missing_names) < MOST_MISSING and shown not in self.missing_names:
            self.missing_names.append(shown)

    def refuse_entities(self, *_: Any) -> None:
        """Refuse what could make a small document large, or lead to other files."""
        raise DocumentBroken("declares entities, which are not read")

    def result(self, name: str) -> Document:
        """Return what was counted, for a document of this name."""
        counts = {COUNTED[name]: count for name, count in self.counts.items()}
        return Document(
            name=name,
            root=self.root,
            version=self.version,
            changes_only=self.changes_only,
            missing=self.missing,
            missing_names=tuple(self.missing_names),
            **counts,
        )


def _why(error: expat.ExpatError, *, is_whole: bool) -> DocumentBroken:
    """Return an error of expat in words."""
    what = expat.ErrorString(error.code)
    if is_whole and what in _BREAKS_OFF:
        return DocumentBroken(f"breaks off at line {error.lineno:,}")
    words = what.removeprefix("not well-formed ").strip("()")
    return DocumentBroken(f"is not well-formed at line {error.lineno:,}: {words}")


def read_document(name: str, fd: int, size: int, has: Callable[[str], bool]) -> Document:
    """Read the document in the first ``size`` bytes of an open file; ``has`` tells whether a picture is there.

    Raises ``DocumentBroken`` with words that follow the document's name, ``MemoryError`` and ``OSError``.
    """
    parser = expat.ParserCreate()
    reader = _Reader(parser, has)
    place = 0
    try:
        while place < size:
            block = os.pread(fd, min(READ_BLOCK, size - place), place)
            if not block:
                raise DocumentBroken(f"has {place:,} of its {size:,} bytes")
            place += len(block)
            parser.Parse(block, False)
            if place - parser.CurrentByteIndex > LONGEST_TAG:
                raise DocumentBroken(f"has a tag that is too long at line {parser.CurrentLineNumber:,}")
        if not place:
            raise DocumentBroken("is empty")
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        if expat.ErrorString(error.code) == errors.XML_ERROR_NO_MEMORY:
            raise MemoryError from None
        raise _why(error, is_whole=place == size) from None
    except (LookupError, ValueError):
        raise DocumentBroken("has an encoding that is not known") from None
    return reader.result(name)


def read_documents(base: str, documents: list[tuple[str, int]]) -> tuple[list[Document], str]:
    """Read documents below a folder, by their names and sizes, up to the first one that is broken.

    Returns what is in them, and why that one is broken, in words; empty if none is.
    """

    def has(picture: str) -> bool:
        with suppress(OSError):
            return stat.S_ISREG(os.lstat(f"{base}/{on_disk(picture)}").st_mode)
        return False

    found: list[Document] = []
    for name, size in documents:
        try:
            fd = open_below(base, name)
        except OSError as error:
            return found, f"{name} cannot be read: {error.strerror}"
        try:
            found.append(read_document(name, fd, size, has))
        except DocumentBroken as broken:
            return found, f"{name} {broken}"
        finally:
            os.close(fd)
    return found, ""
