"""HTTP requests to the site: with time-outs and a signature, and to no other host."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

from attrs import field, frozen
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers

from onec_twisted.http.bounds import BoundedPool
from onec_twisted.http.client import CONNECT_TIMEOUT, TEXT_LIMIT, BodyReader, _timed_out, plain_client, url_of
from onec_twisted.http.trust import Trust
from onec_twisted.model.text import decoded

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorTime

__all__ = ["SIGNATURE", "Address", "SiteClient", "address_of", "basic", "is_same_host", "signature"]

SIGNATURE = "X-Onec-Signature"
"""The header that authenticates the daemon: ``sha256=`` and an HMAC in hexadecimal digits."""

CURE = "add the issuer's certificate to the system's, or name a file that has it in SSL_CERT_FILE"
"""What the daemon's administrator can do about an untrusted issuer; OpenSSL reads the variable."""


@frozen
class Address:
    """A site's URL, and the ``authorization`` header for it (RFC 7617), empty if there is none."""

    url: str
    authorization: str = field(default="", repr=False)


def basic(words: bytes) -> str:
    """Return the Authorization header for ``user:password`` (RFC 7617)."""
    return f"Basic {b64encode(words).decode('ascii')}" if words.strip(b":") else ""


def address_of(scheme: str, argument: str) -> Address:
    """Return what ``url_of`` does, for an address that may contain a percent-encoded user and password.

    Raises ``ValueError``, whose message contains neither of them.
    """
    url = argument if argument.startswith(("http:", "https:")) else f"{scheme}:{argument}"
    start, slashes, rest = url.partition("//")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    userinfo, at, _ = authority.rpartition("@")
    plain = url_of(scheme, start + slashes + rest[len(userinfo + at) :])
    user, _, password = userinfo.encode("utf-8", "surrogateescape").partition(b":")
    return Address(plain, basic(unquote_to_bytes(user) + b":" + unquote_to_bytes(password)))


def is_same_host(url: str, other: str) -> bool:
    """Return whether ``url`` may redirect to the other URL: on the same host, and never from TLS to plain HTTP."""
    here, there = urlsplit(url), urlsplit(other)
    if here.hostname != there.hostname or there.scheme not in ("http", "https"):
        return False
    return there.scheme == "https" or (here.scheme == "http" and (here.port or 80) == (there.port or 80))


def signature(secret: bytes, message: bytes) -> str:
    """Return the value of the signature header: an HMAC-SHA-256 (RFC 2104) of a message."""
    return f"sha256={hmac.new(secret, message, hashlib.sha256).hexdigest()}"


class SiteClient:
    """Sends requests to a site, signed with ``secret``, and with the ``authorization`` header, if any."""

    def __init__(self, reactor: Any, secret: bytes = b"", authorization: str = "") -> None:
        """Open a new connection for each request."""
        pool: Any = BoundedPool(HTTPConnectionPool(reactor, persistent=False))
        self.clock: IReactorTime = reactor
        self._secret = secret
        self._authorization = authorization
        self._client = plain_client(Agent(reactor, Trust(CURE), CONNECT_TIMEOUT, pool=pool))

    async def ask(
        self, method: str, url: str, timeout: float, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Any:
        """Send a request; return the response, an ``IResponse`` whose body is not read yet.

        The signature covers the body or, if there is none, the URL's path and query. Raises what Twisted raises, and
        ``TimeoutError`` if no response begins within ``timeout`` seconds.
        """
        sent = {"User-Agent": "onec-exchange", **(headers or {})}
        if self._authorization:
            sent["Authorization"] = self._authorization
        if self._secret:
            parts = urlsplit(url)
            target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
            sent[SIGNATURE] = signature(self._secret, target.encode("ascii") if body is None else body)
        requested: Deferred[Any] = self._client.request(
            method,
            url,
            headers=Headers({name: [value] for name, value in sent.items()}),
            data=body,
            allow_redirects=False,
            unbuffered=True,
            reactor=self.clock,  # type: ignore[arg-type]  # treq uses only its clock
        )
        requested.addTimeout(timeout, self.clock, _timed_out)
        return await requested

    async def text_of(self, response: Any, timeout: float) -> str:
        """Return the beginning of a response body as text. Raises what Twisted raises, including ``TimeoutError``."""
        text = bytearray()
        body = BodyReader(text.extend, TEXT_LIMIT)
        response.deliverBody(body)
        body.ended.addTimeout(timeout, self.clock, _timed_out)
        await body.ended
        return decoded(bytes(text))

    def location_of(self, response: Any, url: str) -> str | None:
        """Return the URL of a response's ``Location``, or None. Raises ``ValueError`` for another host."""
        header = response.headers.getRawHeaders("location", [None])[0]
        if header is None:
            return None
        location: str = urljoin(url, header)
        if not location.isascii() or not is_same_host(url, location):
            raise ValueError("it leads to another host")
        if urlsplit(location).username is not None:
            raise ValueError("it leads to an address that tells a user")
        return location
