"""How we ask the site: treq without what a daemon must not do.

No cookies, no redirects by themselves, a time-out on every step, answers read up to a limit, and a signature.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64encode
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

from attrs import field, frozen
from OpenSSL import SSL
from treq.client import HTTPClient
from twisted.internet import defer, error
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent
from zope.interface import implementer

from onec_twisted.heads import BoundedPool, HeadRefused
from onec_twisted.shown import hidden
from onec_twisted.trust import Trust, certificate_refused
from onec_twisted.wire import decoded

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

__all__ = [
    "SIGNATURE",
    "Address",
    "BodyReader",
    "SiteClient",
    "address_of",
    "basic",
    "is_host",
    "is_same_host",
    "plain_client",
    "reason_of",
    "signature",
    "url_of",
    "was_cancelled",
]

SIGNATURE = "X-Onec-Signature"
"""The header that proves who asks: ``sha256=`` and a HMAC in hexadecimal digits."""

CONNECT = 10.0
"""Seconds that a connection may take to come about."""

CURE = "add the issuer's certificate to the system's, or name a file that has it in SSL_CERT_FILE"
"""What an administrator of the daemon can do about an issuer that is not trusted; OpenSSL reads the variable."""

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_URL = re.compile(r"[\x21-\x7e]+")

TEXT_LIMIT = 64 * 1024
"""Bytes of an answer's text that are read."""


@frozen
class Address:
    """Where a site is asked; ``authorization`` is the header that says who asks (RFC 7617), empty for nobody."""

    url: str
    authorization: str = field(default="", repr=False)


def basic(words: bytes) -> str:
    """Return the Authorization header for ``user:password`` (RFC 7617)."""
    return f"Basic {b64encode(words).decode('ascii')}" if words.strip(b":") else ""


def address_of(scheme: str, argument: str) -> Address:
    """Return what ``url_of`` does, for an address that may tell a user and a password, percent-encoded.

    Raises ``ValueError``, whose words have neither of them.
    """
    url = argument if argument.startswith(("http:", "https:")) else f"{scheme}:{argument}"
    start, slashes, rest = url.partition("//")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    told, at, _ = authority.rpartition("@")
    plain = url_of(scheme, start + slashes + rest[len(told + at) :])
    user, _, password = told.encode("utf-8", "surrogateescape").partition(b":")
    return Address(plain, basic(unquote_to_bytes(user) + b":" + unquote_to_bytes(password)))


def is_host(name: str) -> bool:
    """Return whether it can be a host: a name (RFC 1123 section 2.1; private nets have ``_``, too), or an address."""
    try:
        ip_address(name)
    except ValueError:
        labels = name.removesuffix(".").split(".")
        return len(name) <= 253 and not labels[-1].isdecimal() and all(_LABEL.fullmatch(label) for label in labels)
    return True


def url_of(scheme: str, argument: str) -> str:
    """Return the URL of ``http://host/path``, written as a whole or behind its ``http:``. Raises ``ValueError``."""
    url = argument if argument.startswith(("http:", "https:")) else f"{scheme}:{argument}"
    try:
        parts = urlsplit(url)
        is_address = is_host(parts.hostname or "") and parts.port != 0 and parts.username is None
    except ValueError:
        is_address = False
    if not is_address or not _URL.fullmatch(url) or parts.fragment:
        raise ValueError(f"{hidden(url)} is no address; write it as in {scheme}://127.0.0.1:8000/path")
    return url


def is_same_host(url: str, other: str) -> bool:
    """Return whether an answer from ``url`` may lead to the other URL: on the same host, and never out of TLS."""
    here, there = urlsplit(url), urlsplit(other)
    if here.hostname != there.hostname or there.scheme not in ("http", "https"):
        return False
    return there.scheme == "https" or (here.scheme == "http" and (here.port or 80) == (there.port or 80))


def signature(secret: bytes, message: bytes) -> str:
    """Return the value of the signature header: a HMAC-SHA-256 (RFC 2104) of a message."""
    return f"sha256={hmac.new(secret, message, hashlib.sha256).hexdigest()}"


def reason_of(failed: BaseException) -> str:
    """Return in a few words why the site could not be asked."""
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
        return str(failed.args[0][0][2])
    except (IndexError, TypeError):
        return "without a reason"


def was_cancelled(failed: BaseException) -> bool:
    """Return whether a request failed because somebody wanted its end: Twisted wraps that."""
    if isinstance(failed, (defer.CancelledError, error.ConnectingCancelledError)):
        return True
    return any(was_cancelled(reason.value) for reason in getattr(failed, "reasons", ()))


class BodyReader(Protocol):
    """Gives the body of an answer to ``write``, as far as a ``limit`` of bytes; None is no limit."""

    def __init__(self, write: Callable[[bytes], object], limit: int | None) -> None:
        """Wait for the first bytes."""
        self._write = write
        self._left = limit
        self.ended: Deferred[bool] = Deferred(lambda _: self._drop())
        """Fires with whether the end is certain: a connection that ends may have broken."""

    def _drop(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """Pass bytes on, and want no more when there were enough."""
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        if data:
            self._write(data)
        if self._left == 0:
            self._drop()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell how it ended."""
        if not self.ended.called:
            if reason.check(ResponseDone, PotentialDataLoss) or self._left == 0:
                self.ended.callback(reason.check(PotentialDataLoss) is None)
            else:
                self.ended.errback(reason)


@implementer(IAgent)
@frozen
class _Uncompressed:
    """An Agent that asks for no compression, and undoes none: a few bytes could become any number.

    What was compressed all the same says so in ``X-Content-Encoding``.
    """

    agent: IAgent

    def request(self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: Any = None) -> Deferred[Any]:  # noqa: N803 - IAgent's name
        """See ``IAgent``."""
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


class SiteClient:
    """Asks a site. ``secret`` signs what is asked, ``authorization`` is the header that says who asks, if any."""

    def __init__(self, reactor: Any, secret: bytes = b"", authorization: str = "") -> None:
        """Connect with the reactor, anew for each request."""
        pool: Any = BoundedPool(HTTPConnectionPool(reactor, persistent=False))
        self.clock: IReactorTime = reactor
        self._secret = secret
        self._authorization = authorization
        self._client = plain_client(Agent(reactor, Trust(CURE), CONNECT, pool=pool))

    async def ask(
        self, method: str, url: str, timeout: float, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Any:
        """Return the response, an ``IResponse`` whose body is not read yet.

        What is signed is the body; where there is none, path and query of the URL. Raises what Twisted raises, and
        ``TimeoutError`` when no answer has begun after so many seconds.
        """
        sent = {"User-Agent": "onec-exchange", **(headers or {})}
        if self._authorization:
            sent["Authorization"] = self._authorization
        if self._secret:
            parts = urlsplit(url)
            target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
            sent[SIGNATURE] = signature(self._secret, target.encode("ascii") if body is None else body)
        asked: Deferred[Any] = self._client.request(
            method,
            url,
            headers=Headers({name: [value] for name, value in sent.items()}),
            data=body,
            allow_redirects=False,
            unbuffered=True,
            reactor=self.clock,  # type: ignore[arg-type]  # treq asks it for the time alone
        )
        asked.addTimeout(timeout, self.clock, _timed_out)
        return await asked

    async def text_of(self, response: Any, timeout: float) -> str:
        """Return the beginning of an answer's body as text. Raises what Twisted raises, ``TimeoutError`` included."""
        text = bytearray()
        body = BodyReader(text.extend, TEXT_LIMIT)
        response.deliverBody(body)
        body.ended.addTimeout(timeout, self.clock, _timed_out)
        await body.ended
        return decoded(bytes(text))

    def location_of(self, response: Any, url: str) -> str | None:
        """Return where an answer from a URL leads to, None if nowhere. Raises ``ValueError`` for another host."""
        header = response.headers.getRawHeaders("location", [None])[0]
        if header is None:
            return None
        location: str = urljoin(url, header)
        if not location.isascii() or not is_same_host(url, location):
            raise ValueError("it leads to another host")
        if urlsplit(location).username is not None:
            raise ValueError("it leads to an address that tells a user")
        return location
