"""The pieces on their way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from line import Line, post
from twisted.internet.task import Clock

from onec_twisted.ingest.transfers import Transfers
from onec_twisted.model.errors import TooManyUploads
from onec_twisted.model.records import Session
from onec_twisted.testing import FakeBody

if TYPE_CHECKING:
    from collections.abc import Callable

    from in_memory import InMemory

SESSION = Session("s", "shop", 1, 0, 0.0)


def test_what_is_known_of_one() -> None:
    """When it was asked for, when its turn came, and how fast it has been since."""
    clock = Clock()
    uploads = Transfers(clock.seconds)
    body = FakeBody(100)
    upload = uploads.begin(SESSION, "a", body)
    assert (uploads.all(), uploads.waiting(), upload.rate(clock.seconds())) == ([upload], 1, 0)
    clock.advance(5)
    upload.begun = clock.seconds()
    assert upload.rate(clock.seconds()) == 0
    body.feed(b"x" * 30)
    clock.advance(3)

    assert (uploads.waiting(), upload.requested, upload.rate(clock.seconds())) == (0, 0, 10)
    uploads.end(upload)
    assert len(uploads) == 0


def test_no_more_than_there_may_be() -> None:
    """One more is refused; one that has ended makes room."""
    uploads = Transfers(lambda: 0.0, 1)
    first = uploads.begin(SESSION, "a", FakeBody())
    with pytest.raises(TooManyUploads):
        uploads.begin(SESSION, "b", FakeBody())
    uploads.end(first)
    second = uploads.begin(SESSION, "b", FakeBody())

    assert uploads.all() == [second]
    assert second.key != first.key


def test_a_node_hears_it(make_exchange: Callable[..., InMemory]) -> None:
    """503 at the headers, and the other upload goes on."""
    exchange = make_exchange(max_uploads=1)
    session = exchange.checkauth()
    first, second = Line(exchange.site), Line(exchange.site)
    wire = post(session, "a", b"x" * 10)
    first.send(wire[:-1])
    answer = second.send(post(session, "b", b"y" * 10)[:-10])
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert answer.endswith(b"failure\nToo many uploads at once - retry later")
    second.lose()

    assert first.send(wire[-1:]).endswith(b"success")
    assert exchange.files() == {f"{session[1]}/a": b"x" * 10}
