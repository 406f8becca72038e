"""What the protocols have in common: both find, end and address uploads in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rufh_in_memory import RufhInMemory, path_of
from tus_in_memory import TusInMemory, heard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twisted.internet.task import Clock


@pytest.fixture(params=[TusInMemory, RufhInMemory])
def client(request: pytest.FixtureRequest, rufh: RufhInMemory) -> Iterator[TusInMemory]:
    """A client of each protocol."""
    client: TusInMemory = request.param(rufh.exchange)
    yield client
    client.close()


def made(client: TusInMemory) -> str:
    """Make an upload of five bytes, of which two have come; return its path."""
    if isinstance(client, RufhInMemory):
        path = client.careful(Upload_Length="5")
        client.add(path, 0, b"he", "?0")
    else:
        path = client.made(5)
        client.patch(path, 0, b"he")
    return path


def test_addresses_cannot_be_guessed(client: TusInMemory) -> None:
    """They have 128 random bits."""
    ids = {made(client).rpartition("/")[2] for _ in range(5)}
    assert len(ids) == 5
    assert {len(one) for one in ids} == {32}


def test_an_upload_that_ends(client: TusInMemory) -> None:
    """Its file and its own session go with it."""
    path = made(client)
    assert len(client.stored()) == 1
    assert client.request("DELETE", path).status == 204
    assert client.stored() == {}
    assert client.request("HEAD", path).status == 410


def test_an_upload_that_nobody_continues(client: TusInMemory, clock: Clock) -> None:
    """Is over after a session's time."""
    path = made(client)
    clock.advance(3599)
    assert client.offset(path) == 2
    clock.advance(3601)
    assert client.request("HEAD", path).status == 410


def test_a_proxy_that_is_not_trusted(rufh: RufhInMemory) -> None:
    """The address is a path then: nobody knows by which name the client came."""
    (answer,) = rufh.post(b"", "?0", Via="1.1 x")
    assert answer.headers["location"].startswith("/files/")


def test_the_name_by_which_the_client_came(client: TusInMemory) -> None:
    """The address has it."""
    answer = client.post(b"", "?0")[-1] if isinstance(client, RufhInMemory) else client.create(5)
    assert answer.headers["location"].startswith("http://shop.example/files/")
    assert path_of(answer) == answer.headers["location"].removeprefix("http://shop.example")


def test_a_node_that_writes_the_file(rufh: RufhInMemory) -> None:
    """While it does, an upload of the same name cannot begin: a client comes again."""
    cookie, sessid = rufh.exchange.checkauth()
    rufh.cookie = cookie
    line = rufh.open()
    head = f"POST /1c_exchange.php?type=catalog&mode=file&filename=a.xml&sessid={sessid} HTTP/1.1"
    line.send(f"{head}\r\nHost: x\r\nCookie: {cookie}\r\nContent-Length: 5\r\n\r\nhe".encode())
    waiting = rufh.begin_post(5, "?1", b"hello", Content_Disposition="inline; filename=a.xml")
    assert b"HTTP/1.1 104" not in waiting.answered
    line.send(b"llo")
    assert heard(waiting.answered).status == 409
    assert rufh.stored() == {"a.xml": b"hello"}
