"""Pages without a daemon: values to make them from, and what a reader finds in them."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from twisted.web.template import Tag, flattenString

from onec_twisted.admin.pages.frame import Frame
from onec_twisted.admin.verdict import Verdict
from onec_twisted.admin.words.english import ENGLISH
from onec_twisted.model.journal import ExchangeLine, Minute, RefusalLine, UserRow
from onec_twisted.model.records import SUCCEEDED

NOW = 1_800_000_000.0
"""When the pages are looked at, in seconds since 1970."""

DAY = 86400.0
GB = 2**30
HOSTILE = "<script>alert(1)</script>\"'&\u202egpj.xml"
"""A name that would run, end an attribute, and read backwards."""

HOSTILE_TEXT = "<script>alert(1)</script>\"'&U+202Egpj.xml"
"""What a reader sees of it."""


class Document(HTMLParser):
    """A document's tags with their attributes, and its text."""

    def __init__(self, source: str) -> None:
        """Read it."""
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep text."""
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of all tags of a name."""
        return [attributes for name, attributes in self.tags if name == tag]

    def of_class(self, kind: str) -> list[dict[str, str | None]]:
        """Return the attributes of all tags of a class."""
        return [attributes for _, attributes in self.tags if kind in (attributes.get("class") or "").split()]


def source_of(*content: Any) -> str:
    """Return content as it is sent."""
    found: list[bytes] = []
    flattenString(None, Tag("main")(content)).addCallback(found.append)
    return found[0].decode()


def read(*content: Any) -> Document:
    """Return what a reader finds in content."""
    return Document(source_of(*content))


def frame(**changes: Any) -> Frame:
    """Return the frame of a page."""
    values: dict[str, Any] = {
        "words": ENGLISH,
        "page": "",
        "root": "",
        "here": "",
        "verdict": Verdict(),
        "now": NOW,
        "version": "1.2.3",
        "token": "secret-token",
        "shops": (),
    }
    return Frame(**(values | changes))


def exchange_line(**changes: Any) -> ExchangeLine:
    """Return an exchange that succeeded an hour ago."""
    values: dict[str, Any] = {
        "number": 7,
        "sessid": "a" * 32,
        "username": "shop",
        "address": "192.0.2.1",
        "agent": "1C+Enterprise/8.3",
        "started": NOW - 3600,
        "ended": NOW - 3500,
        "state": SUCCEEDED,
        "files": 2,
        "size": 2048,
        "refusals": 0,
        "imports": 1,
        "words": "",
        "import_seconds": 40.0,
    }
    return ExchangeLine(**(values | changes))


def habit(
    username: str, pause: float, *, count: int = 10, last: float = NOW - 3600, state: str = SUCCEEDED
) -> UserRow:
    """Return a user whose exchanges began at equal pauses; the state is that of the last."""
    recent = [
        exchange_line(
            number=count - place, username=username, started=last - pause * place, ended=last - pause * place
        )
        for place in range(count)
    ]
    first = exchange_line(number=count, username=username, started=last, ended=last + 1, state=state)
    return UserRow(username, (first, *recent[1:]))


def refusal(**changes: Any) -> RefusalLine:
    """Return a request that was refused a minute ago."""
    values: dict[str, Any] = {
        "number": 3,
        "first": NOW - 600,
        "last": NOW - 60,
        "count": 12,
        "username": "shop",
        "address": "192.0.2.1",
        "sessid": "a" * 32,
        "status": 507,
        "code": "quota-exceeded",
        "words": "No room for this file",
        "asked": "POST mode=file filename=a.xml",
    }
    return RefusalLine(**(values | changes))


def minutes(count: int, *, free: int = 100 * GB, loss: int = 0, received: int = 0) -> tuple[Minute, ...]:
    """Return the last minutes, in which so many bytes of the disk were lost each, down to ``free``."""
    last = int(NOW // 60)
    return tuple(
        Minute(last - back, received, received, 0, 0, 0, 0, free + loss * back) for back in range(count - 1, -1, -1)
    )
