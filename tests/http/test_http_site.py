"""Paths, and an access log without secrets."""

from __future__ import annotations

import re
from typing import Any

import pytest
from in_memory import PATH, InMemory, server_of
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.web.iweb import IAccessLogFormatter
from twisted.web.resource import Resource
from twisted.web.test.requesthelper import DummyRequest
from zope.interface.verify import verifyObject

from onec_twisted.http.interfaces import IStreamingResource
from onec_twisted.http.site import Elsewhere, access_log_line, tree
from onec_twisted.runtime.seldom import Seldom


def test_they_are_what_they_say() -> None:
    """The log's formatter and the resource of all other paths."""
    assert IAccessLogFormatter.providedBy(access_log_line)
    assert verifyObject(IStreamingResource, Elsewhere(server_of(Clock()).refusals, Seldom(Clock().seconds), "/"))


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (b"/1c_exchange.php", True),
        (b"/bitrix/admin/1c_exchange.php", True),
        (b"/", False),
        (b"/bitrix", False),
        (b"/bitrix/admin/", False),
        (b"/bitrix/1c_exchange.php", False),
        (b"/x/1c_exchange.php", False),
    ],
)
def test_paths(path: bytes, found: bool) -> None:
    """The exchange stands where it was put, and nowhere else."""
    exchange = Resource()
    exchange.isLeaf = True
    paths = dict.fromkeys((b"/1c_exchange.php", b"/bitrix/admin/1c_exchange.php"), exchange)
    root = tree(paths, server_of(Clock()).refusals, Seldom(Clock().seconds), "/")
    request = DummyRequest(path[1:].split(b"/"))
    resource: Any = root
    while request.postpath and not resource.isLeaf:
        resource = resource.getChildWithDefault(request.postpath.pop(0), request)

    assert (resource is exchange) is found


def test_the_root_can_be_the_exchange() -> None:
    """Sites that route by query give ``/?…`` as their address."""
    exchange = Resource()

    root = tree({b"/": exchange}, server_of(Clock()).refusals, Seldom(Clock().seconds), "/")

    assert root.getChildWithDefault(b"", DummyRequest([b""])) is exchange


def test_who_wants_an_exchange_elsewhere(exchange: InMemory, nothing_left_behind: list[dict[str, Any]]) -> None:
    """The log names the right address, once a minute for each sender and path; scanners are not worth a line."""
    for uri, headers in (
        ("/1c_exchange?type=catalog&mode=checkauth", ""),
        ("/1c_exchange?type=catalog&mode=checkauth", ""),
        ("/1c", "Authorization: Basic c2hvcDpzZWNyZXQ=\r\n"),
        ("/wp-login.php", ""),
    ):
        protocol: Any = exchange.site.buildProtocol(None)
        protocol.makeConnection(StringTransport())
        protocol.dataReceived(f"GET {uri} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
        assert b"404" in protocol.transport.value()

    advice = [event for event in nothing_left_behind if "paths" in event]
    assert [event["path"] for event in advice] == ["/1c_exchange", "/1c"]
    assert PATH in advice[0]["paths"]
    assert [event["path"] for event in nothing_left_behind if event.get("refused")] == ["/1c_exchange", "/1c"]


def test_the_access_log_hides_sessid_and_cookie(exchange: InMemory, clock: Clock) -> None:
    """The line is there, with the status and without what would open the session; referers are no leak either."""
    lines: list[str] = []

    class Log:
        """Keeps lines."""

        def write(self, line: str) -> None:
            """Keep it."""
            lines.append(line)

        def close(self) -> None:
            """Nothing to close."""

    exchange.site.startFactory()
    exchange.site.logFile = Log()
    cookie, sessid = exchange.checkauth()
    token = cookie.partition("=")[2]
    for secret in (sessid, token):
        protocol: Any = exchange.site.buildProtocol(None)
        protocol.makeConnection(StringTransport())
        protocol.dataReceived(
            f"GET {PATH}?type=catalog&mode=init&sessid={secret} HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n"
            f"Referer: http://x/?sessid={secret}\r\n\r\n".encode()
        )
        exchange.request("POST", f"type=catalog&mode=file&filename=a&sessid={secret}", b"x" * 6000, Cookie=cookie)
    exchange.site.stopFactory()

    assert [re.search(r'" (\d+) ', line)[1] for line in lines] == ["200", "200", "413", "200", "413"]  # type: ignore[index]
    assert all(line.endswith("\n") for line in lines)
    assert "mode=init&sessid=***" in lines[1]
    assert not any(secret in line for line in lines for secret in (sessid, token))


def test_tls_offers_http_1_1_alone(exchange: InMemory) -> None:
    """Even where HTTP/2 is installed: streaming rests on the channel of HTTP/1.1."""
    assert exchange.site.acceptableProtocols() == [b"http/1.1"]
