"""What the journal says: what each exchange brought, and what became of it. Times are seconds since 1970."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from onec_twisted.model.shops import DEFAULT_SHOP

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = [
    "BROKEN",
    "EMPTY",
    "IMPORTING",
    "RUNNING",
    "STATES",
    "UNKNOWN_SENDER",
    "Exchange",
    "ExchangeFile",
    "ExchangeFilter",
    "ExchangeImport",
    "ExchangeLine",
    "HandoffFilter",
    "ImportTry",
    "Minute",
    "RefusalFilter",
    "RefusalLine",
    "RefusedRequest",
    "Sender",
    "ShopTotals",
    "UserRow",
]

RUNNING, IMPORTING, BROKEN, EMPTY = "running", "importing", "broken", "empty"
"""States of an exchange, besides ``SUCCEEDED`` and ``FAILED`` of its imports: nothing was handed off yet; something
waits for the site; it ended, and nobody asked for its files; it ended, and brought nothing."""

STATES = (RUNNING, IMPORTING, "succeeded", "failed", BROKEN, EMPTY)
"""All states of an exchange."""


@frozen
class Sender:
    """Who logged in: the address, and what the program calls itself (``User-Agent``); empty where unknown."""

    address: str
    agent: str


UNKNOWN_SENDER = Sender("", "")


@frozen
class ExchangeLine:
    """An exchange in a list: one session, from its login or from an ``init`` after earlier files until it ends.

    ``ended`` is None until everything was delivered, or the session ended. ``size`` is in bytes; ``imports`` is how
    many hand-offs there were, ``words`` the message of the last that failed, ``import_seconds`` how long the importer
    took for all of them; ``refusals`` is how many of its requests were refused.
    """

    number: int
    sessid: str
    username: str
    address: str
    agent: str
    started: float
    ended: float | None
    state: str
    files: int
    size: int
    refusals: int
    imports: int
    words: str
    import_seconds: float
    shop: str = DEFAULT_SHOP


@frozen
class ExchangeFile:
    """A file of an exchange; ``size`` is in bytes, ``summary`` what was found in it if it is a document."""

    name: str
    size: int
    type: str
    summary: dict[str, Any] | None = None


@frozen
class ImportTry:
    """An attempt to deliver; ``outcome`` is the state of the hand-off after it."""

    begun: float
    ended: float
    outcome: str
    words: str


@frozen
class ExchangeImport:
    """A hand-off of an exchange, as in ``Handoff``; ``repeated`` is its state after it was delivered again."""

    id: str
    event: str
    type: str
    filename: str
    created: float
    ended: float | None
    state: str
    words: str
    summaries: tuple[dict[str, Any], ...]
    tries: tuple[ImportTry, ...]


@frozen
class RefusedRequest:
    """A request that was refused; empty where unknown.

    ``username`` is whom it claims to come from, ``code`` the reason, as in the metric of refusals, ``words`` the
    answer; ``asked`` is its method and target, without secrets; ``shop`` is the one that it was for.
    """

    username: str
    address: str
    sessid: str
    status: int
    code: str
    words: str
    asked: str
    shop: str = DEFAULT_SHOP


@frozen
class RefusalLine:
    """Requests that were refused alike, as in ``RefusedRequest``: ``count`` of them, from ``first`` to ``last``."""

    number: int
    first: float
    last: float
    count: int
    username: str
    address: str
    sessid: str
    status: int
    code: str
    words: str
    asked: str
    shop: str = DEFAULT_SHOP


@frozen
class Exchange:
    """All that is on record of an exchange. Of many files, the documents and the first others are there.

    An exchange is ``live`` while its files are those of its session, and on the disk.
    """

    line: ExchangeLine
    files: tuple[ExchangeFile, ...]
    imports: tuple[ExchangeImport, ...]
    refusals: tuple[RefusalLine, ...]
    live: bool


@frozen
class Minute:
    """Totals of a minute, which is a Unix time divided by 60.

    They are in bytes, except for the numbers of ``refusals``, of ``imports`` that succeeded, and of ``failures``, the
    attempts that did not; ``free`` is what was free on the disk at the end.
    """

    minute: int
    received: int
    accepted: int
    discarded: int
    refusals: int
    imports: int
    failures: int
    free: int


@frozen
class UserRow:
    """A user's last exchanges, the newest first."""

    username: str
    recent: tuple[ExchangeLine, ...]


@frozen(kw_only=True)
class ShopTotals:
    """What is on record of a shop: sessions, the bytes that they hold, hand-offs by state, and the last exchange."""

    sessions: int
    held: int
    handoffs: Mapping[str, int]
    last: ExchangeLine | None = None


@frozen(kw_only=True)
class ExchangeFilter:
    """Which exchanges to list; empty or None means any.

    They are of a user, of a shop, in a state, began from ``since`` until before ``until``, have a file whose name
    contains ``file``, and a number less than ``before``; ``limit`` at most.
    """

    username: str = ""
    shop: str = ""
    state: str = ""
    since: float | None = None
    until: float | None = None
    file: str = ""
    before: int | None = None
    limit: int = 50


@frozen(kw_only=True)
class RefusalFilter:
    """Which refusals to list, as in ``ExchangeFilter``; ``before`` is the ``last`` time of a line."""

    username: str = ""
    shop: str = ""
    before: float | None = None
    limit: int = 50


@frozen(kw_only=True)
class HandoffFilter:
    """Which hand-offs to list, as in ``ExchangeFilter``; ``before`` is their number."""

    username: str = ""
    shop: str = ""
    state: str = ""
    before: int | None = None
    limit: int = 50
