"""The HTTP client for requests to the site: treq without what a daemon must not do.

No cookies, no automatic redirects, a time-out on every step, answers read up to a limit, and a signature.
"""

from __future__ import annotations

import re
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from attrs import frozen
from OpenSSL import SSL
from treq.client import HTTPClient
from twisted.internet import defer, error
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IAgent
from zope.interface import implementer

from onec_twisted.http.bounds import HeadRefused
from onec_twisted.http.trust import certificate_refused
from onec_twisted.model.shown import hidden

if TYPE_CHECKING:
    from collections.abc import Callable


__all__ = ["BodyReader", "is_host", "plain_client", "reason_of", "url_of", "was_cancelled"]

CONNECT_TIMEOUT = 10.0
"""Seconds that connecting may take."""

NO_TLS = frozenset({"wrong version number", "packet length too long"})
"""OpenSSL's words for an answer without TLS."""

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")

_URL = re.compile(r"[\x21-\x7e]+")

TEXT_LIMIT = 64 * 1024
"""Bytes of an answer's text that are read."""


def is_host(name: str) -> bool:
    """Return whether it can be a host: a name (RFC 1123 section 2.1; private nets also use ``_``), or an address."""
    try:
        ip_address(name)
    except ValueError:
        labels = name.removesuffix(".").split(".")
        return len(name) <= 253 and not labels[-1].isdecimal() and all(_LABEL.fullmatch(label) for label in labels)
    return True


def url_of(scheme: str, argument: str) -> str:
    """Return the URL ``http://host/path``, given in full or without its ``http:``. Raises ``ValueError``."""
    url = argument if argument.startswith(("http:", "https:")) else f"{scheme}:{argument}"
    try:
        parts = urlsplit(url)
        is_address = is_host(parts.hostname or "") and parts.port != 0 and parts.username is None
    except ValueError:
        is_address = False
    if not is_address or not _URL.fullmatch(url) or parts.fragment:
        raise ValueError(f"{hidden(url)} is not an address; write it as in {scheme}://127.0.0.1:8000/path")
    return url


def reason_of(failed: BaseException) -> str:
    """Return in a few words why a request to the site failed."""
    for kinds, words in (
        ((defer.TimeoutError, error.TimeoutError), "it did not answer in time"),
        ((error.ConnectionRefusedError,), "it refuses connections"),
        ((error.DNSLookupError,), "nobody knows its name"),
    ):
        if isinstance(failed, kinds):
            return words
    refused = certificate_refused(failed)
    if refused is not None:
        return str(refused)
    reasons = getattr(failed, "reasons", None)
    if reasons:
        return reason_of(reasons[0].value)
    if isinstance(failed, HeadRefused):
        return str(failed)
    if isinstance(failed, SSL.Error):
        return f"TLS failed ({_openssl_words(failed)})"
    return f"the connection failed ({type(failed).__name__})"


def _openssl_words(failed: SSL.Error) -> str:
    """Return OpenSSL's own words for an error."""
    try:
        words = str(failed.args[0][0][2])
    except (IndexError, TypeError):
        return "without a reason"
    return "the port speaks plain http or something else" if words in NO_TLS else words


def was_cancelled(failed: BaseException) -> bool:
    """Return whether a request failed because it was cancelled, an error that Twisted may wrap."""
    if isinstance(failed, (defer.CancelledError, error.ConnectingCancelledError)):
        return True
    return any(was_cancelled(reason.value) for reason in getattr(failed, "reasons", ()))


class BodyReader(Protocol):
    """Passes the body of an answer to ``write``, up to ``limit`` bytes; None means no limit."""

    def __init__(self, write: Callable[[bytes], object], limit: int | None) -> None:
        """Wait for the first bytes."""
        self._write = write
        self._left = limit
        self.ended: Deferred[bool] = Deferred(lambda _: self._drop())
        """Fires with whether the body is known to be complete: a connection that just closes may have broken."""

    def _drop(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """Pass bytes on, and disconnect at the limit."""
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        if data:
            self._write(data)
        if self._left == 0:
            self._drop()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Report how it ended."""
        if not self.ended.called:
            if reason.check(ResponseDone, PotentialDataLoss) or self._left == 0:
                self.ended.callback(reason.check(PotentialDataLoss) is None)
            else:
                self.ended.errback(reason)


@implementer(IAgent)
@frozen
class _Uncompressed:
    """An Agent that requests no compression, and decompresses nothing: a few bytes could expand to any number.

    The encoding of an answer that is compressed nevertheless is kept in ``X-Content-Encoding``.
    """

    agent: IAgent

    def request(self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: Any = None) -> Deferred[Any]:  # noqa: N803 - IAgent's name
        plain = headers.copy()
        plain.removeHeader(b"accept-encoding")
        return self.agent.request(method, uri, plain, bodyProducer).addCallback(self._as_it_is)

    def _as_it_is(self, response: Any) -> Any:
        packing = response.headers.getRawHeaders(b"content-encoding")
        response.headers.removeHeader(b"content-encoding")
        if packing:
            response.headers.setRawHeaders(b"x-content-encoding", packing)
        return response


def plain_client(agent: IAgent) -> HTTPClient:
    """Return treq on an Agent, without cookies and compression."""
    no_cookies: Any = CookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))
    return HTTPClient(_Uncompressed(agent), cookiejar=no_cookies)


def _timed_out(_result: object, _seconds: float) -> Failure:
    return Failure(defer.TimeoutError())
