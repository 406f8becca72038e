"""Why a TLS handshake failed, in words."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from certificates import make_certificate
from in_memory import server_of
from OpenSSL.SSL import Error
from pytest_twisted import ensureDeferred
from twisted.internet import reactor as the_reactor
from twisted.internet.error import ConnectionLost
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.web.resource import Resource

from onec_twisted.http.handshakes import OLD, note_failed_handshake, problem_of
from onec_twisted.http.request import ExchangeRequest
from onec_twisted.http.site import GuardedSite
from onec_twisted.runtime.seldom import Seldom

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (Error([("SSL routines", "", "http request")]), "it speaks plain HTTP to a TLS port"),
        (Error([("SSL routines", "", "unsupported protocol")]), OLD),
        (Error([("SSL routines", "", "tlsv1 alert unknown ca")]), "it does not trust our certificate"),
        (Error([("SSL routines", "", "ssl/tls alert certificate unknown")]), "it does not accept our certificate"),
        (Error([("SSL routines", "", "something new")]), "OpenSSL says: something new"),
        (Error(), None),
        (Error([]), None),
        (ConnectionLost(), None),
    ],
)
def test_what_openssl_means(error: BaseException, problem: str | None) -> None:
    """What is known is explained, what is not is quoted, and who goes away has no problem."""
    found = problem_of(error)

    assert found is None if problem is None else found is not None and found.startswith(problem)


def test_it_is_logged_once_a_minute(nothing_left_behind: list[dict[str, Any]]) -> None:
    """For each address: one that tries again and again writes one line."""
    seldom = Seldom(Clock().seconds)
    failed = Failure(Error([("SSL routines", "", "http request")]))
    for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
        note_failed_handshake(failed, address, seldom)
    note_failed_handshake(Failure(ConnectionLost()), "192.0.2.3", seldom)

    assert [event["peer"] for event in nothing_left_behind] == ["192.0.2.1", "192.0.2.2"]


def plain(port: int) -> bytes:
    """Speak plain HTTP."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(b"GET /1c_exchange.php?type=catalog&mode=checkauth HTTP/1.1\r\nHost: x\r\n\r\n")
        return line.recv(100)


def distrusting(port: int) -> bytes:
    """Speak TLS, and trust nobody."""
    context = ssl.create_default_context(cadata=None)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        try:
            context.wrap_socket(line, server_hostname="localhost")
        except ssl.SSLCertVerificationError as error:
            return error.verify_message.encode()
    return b""


@pytest.mark.parametrize(("speak", "words"), [(plain, "plain HTTP"), (distrusting, "not trust our certificate")])
@ensureDeferred
async def test_real_ones(
    tmp_path: Path,
    speak: Callable[[int], bytes],
    words: str,
    nothing_left_behind: list[dict[str, Any]],
) -> None:
    """The connection is closed at once, and the log says why."""
    reactor: Any = the_reactor
    own = make_certificate(tmp_path)
    site = GuardedSite(Resource(), server_of(reactor), requestFactory=ExchangeRequest)
    context = DefaultOpenSSLContextFactory(str(own.key), str(own.chain))
    port = reactor.listenSSL(0, site, context, interface="127.0.0.1")
    try:
        await deferToThread(speak, port.getHost().port)
        for _ in range(100):
            told = [event["problem"] for event in nothing_left_behind if "problem" in event]
            if told:
                break
            await deferLater(reactor, 0.02)
    finally:
        await port.stopListening()

    assert len(told) == 1
    assert words in told[0]
