"""Refusals become answers in one place."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, cast

import pytest
from attrs import define, field
from in_memory import flush_failures
from twisted.internet.address import IPv4Address, UNIXAddress

from onec_twisted.http.answer import Answer
from onec_twisted.http.refusals import Refusals, address_of
from onec_twisted.model.errors import FileTooLarge, Refused, StorageUnavailable, SyncFailed, Unforeseen
from onec_twisted.runtime.metrics import Metrics

if TYPE_CHECKING:
    from onec_twisted.http.interfaces import IRequest
    from onec_twisted.model.journal import RefusedRequest

SENDER = IPv4Address("TCP", "203.0.113.9", 1)


@define
class Asked:
    """A request."""

    address: Any = SENDER
    method: bytes = b"GET"
    uri: bytes = b"/a?sessid=secret"

    def getHeader(self, name: bytes) -> bytes | None:
        """Return the header of a login."""
        return b"Basic c2hvcDpzZWNyZXQ=" if name == b"authorization" else None

    def getClientAddress(self) -> Any:
        """Return who sends."""
        return self.address


@define
class Desk:
    """Answers to what is raised, as words alone."""

    metrics: Metrics = field(factory=Metrics)
    noted: list[RefusedRequest] = field(factory=list)
    refusals: Refusals = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Word refusals."""
        self.refusals = Refusals(self.metrics, self._worded, self.noted.append)

    def _worded(self, refused: Refused) -> Answer:
        return Answer(refused.status, refused.words.encode())

    def answer(self, error: Exception) -> Answer:
        """Return the answer to what is raised, where it is caught."""
        try:
            raise error
        except Exception as caught:
            return self.refusals.answer(caught, cast("IRequest", Asked()))


def test_what_no_resource_has_seen(nothing_left_behind: list[dict[str, Any]]) -> None:
    """It is counted, logged with the address alone, and worded."""
    desk = Desk()
    assert desk.refusals.refuse_unseen(FileTooLarge(), "192.0.2.1") == Answer(413, b"File too large")
    assert desk.metrics.refusals[FileTooLarge] == 1
    (event,) = nothing_left_behind
    assert (event["refused"], event["status"], event["peer"]) == ("FileTooLarge", 413, "192.0.2.1")


def test_what_the_log_does_not_need(nothing_left_behind: list[dict[str, Any]]) -> None:
    """It is counted and worded alone."""
    desk = Desk()
    assert desk.refusals.counted(FileTooLarge()).status == 413
    assert desk.metrics.refusals[FileTooLarge] == 1
    assert nothing_left_behind == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FileTooLarge(), FileTooLarge),
        (OSError(errno.EMFILE, "Too many open files"), StorageUnavailable),
        (OSError(errno.ENOENT, "No such file"), Unforeseen),
        (SyncFailed(errno.EAGAIN, "Try again"), Unforeseen),
        (ZeroDivisionError(), Unforeseen),
    ],
)
def test_what_is_raised(error: Exception, kind: type[Refused], nothing_left_behind: list[dict[str, Any]]) -> None:
    """What passes by itself is told from what nobody thought of, whose traceback is in the log."""
    desk = Desk()
    assert desk.answer(error).status == kind.status
    assert desk.metrics.refusals[kind] == 1
    assert flush_failures(nothing_left_behind) == ([error] if kind is Unforeseen else [])
    assert "secret" not in str(nothing_left_behind)


@pytest.mark.parametrize(("address", "text"), [(SENDER, "203.0.113.9"), (UNIXAddress("/run/x"), "-")])
def test_who_sends(address: Any, text: str) -> None:
    """As text for the log."""
    assert address_of(cast("IRequest", Asked(address))) == text
