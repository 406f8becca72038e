"""Connections to a site: direct, over a unix socket, through a proxy, with a private certificate authority."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.web.client import Agent, HTTPConnectionPool, ProxyAgent
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from onec_twisted.http.bounds import BoundedPool
from onec_twisted.http.client import plain_client, url_of
from onec_twisted.http.trust import Trust
from onec_twisted.node.answers import Unreachable

if TYPE_CHECKING:
    from treq.client import HTTPClient
    from twisted.python.failure import Failure
    from twisted.web.client import URI
    from twisted.web.iweb import IAgent

__all__ = ["Route", "http_client"]

CONNECT_TIMEOUT = 15.0
"""Most seconds to establish a connection."""

CURE = "name a file with the issuer's certificate by --ca"
"""What to do about an untrusted issuer."""

LONGEST_HEAD = 16 * 1024
"""Most bytes of a proxy's answer to CONNECT."""


@frozen
class Route:
    """How to reach a site.

    ``ca`` is PEM text of the authorities to trust instead of the system's, ``proxy`` the URL of an HTTP proxy,
    ``unix`` the path of a socket.
    """

    ca: bytes | None = None
    proxy: str | None = None
    unix: str | None = None


def _policy(ca: bytes | None) -> Trust:
    """Return the trusted authorities. Raises ``ValueError`` if the text contains no certificate."""
    if ca is None:
        return Trust(CURE)
    found = re.findall(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", ca, re.DOTALL)
    if not found:
        raise ValueError("there is no certificate in PEM form")
    return Trust(CURE, trustRootFromCertificates([Certificate.loadPEM(one) for one in found]))


class _Tunnel(Protocol):
    """Requests a tunnel from a proxy (RFC 9110 section 9.3.6), then carries another protocol's connection."""

    def __init__(self, target: bytes, factory: Any, connected: Deferred[Any]) -> None:
        self._target = target
        self._factory = factory
        self._connected = connected
        self._head = b""
        self._inner: Any = None

    def abort(self) -> None:
        """Abort the connection, which is no longer needed."""
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.write(b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (self._target, self._target))

    def dataReceived(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.dataReceived(data)
            return
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end and len(head) < LONGEST_HEAD:
            return
        transport: Any = self.transport
        line = head.split(b"\r\n", 1)[0]
        if re.match(rb"HTTP/1\.[01] 2\d\d", line) is None:
            transport.loseConnection()
            if self._connected.called:
                return
            words = f"The site cannot be asked: the proxy answered {line[:80].decode('ascii', 'replace')}"
            self._connected.errback(Unreachable(words))
            return
        self._inner = self._factory.buildProtocol(transport.getPeer())
        self._inner.makeConnection(transport)
        self._connected.callback(self._inner)
        if rest:
            self._inner.dataReceived(rest)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._inner is not None:
            self._inner.connectionLost(reason)
        elif not self._connected.called:
            self._connected.errback(reason)


@implementer(IStreamClientEndpoint)
@frozen
class _ThroughProxy:
    """Connects to ``target``, a host and a port, through a proxy."""

    reactor: Any
    proxy: Any
    target: bytes

    def connect(self, factory: Any) -> Deferred[Any]:
        made: list[_Tunnel] = []

        def give_up(_: object) -> None:
            asking.cancel()
            for tunnel in made:
                tunnel.abort()

        connected: Deferred[Any] = Deferred(give_up)

        def build() -> _Tunnel:
            made.append(_Tunnel(self.target, factory, connected))
            return made[0]

        asking = self.proxy.connect(Factory.forProtocol(build))
        asking.addErrback(lambda failure: None if connected.called else connected.errback(failure))
        return connected.addTimeout(CONNECT_TIMEOUT, self.reactor)


@implementer(IAgentEndpointFactory)
@frozen
class _Endpoints:
    """Provides an Agent with the endpoint for a URI."""

    reactor: Any
    policy: Any
    route: Route
    host: bytes
    """The host to connect to, regardless of the URI: see ``without_ipv6``."""

    def endpointForURI(self, uri: URI) -> Any:
        """Return the endpoint, including TLS."""
        host = self.host
        if self.route.unix is not None:
            endpoint: Any = UNIXClientEndpoint(self.reactor, self.route.unix, timeout=CONNECT_TIMEOUT)
        elif self.route.proxy is not None:
            endpoint = _ThroughProxy(
                self.reactor, _proxy_endpoint(self.reactor, self.route.proxy), self._target(uri.port)
            )
        else:
            endpoint = HostnameEndpoint(self.reactor, host, uri.port, timeout=CONNECT_TIMEOUT)
        if uri.scheme == b"https":
            endpoint = wrapClientTLS(self.policy.creatorForNetloc(host, uri.port), endpoint)
        return endpoint

    def _target(self, port: int) -> bytes:
        """Return host and port in the form that CONNECT requires."""
        return (b"[%s]:%d" if b":" in self.host else b"%s:%d") % (self.host, port)


def _proxy_endpoint(reactor: Any, proxy: str) -> HostnameEndpoint:
    """Return a proxy's endpoint. Raises ``ValueError`` for an invalid address."""
    url = proxy if "://" in proxy else f"http://{proxy}"
    if not url.startswith("http://") or "@" in url:
        raise ValueError("write a proxy as in http://proxy.example:3128, without a user")
    parts = urlsplit(url_of("http", url))
    return HostnameEndpoint(
        reactor, (parts.hostname or "").encode("ascii"), parts.port or 3128, timeout=CONNECT_TIMEOUT
    )


def http_client(
    reactor: Any, url: str, route: Route | None = None, pool: HTTPConnectionPool | None = None
) -> HTTPClient:
    """Return treq for a site, without a cookie jar; one connection serves all requests, as with 1C.

    If you pass a ``pool``, you close its connection. Raises ``ValueError`` for an invalid route.
    """
    route = route or Route()
    pool = pool or HTTPConnectionPool(reactor)
    pool.maxPersistentPerHost = 1
    pool.retryAutomatically = False  # a request that the site may have received must not be repeated silently
    bounded: Any = BoundedPool(pool)
    agent: IAgent
    if route.proxy is not None and route.unix is not None:
        raise ValueError("a unix socket needs no proxy: use one or the other")
    if route.proxy is not None and urlsplit(url).scheme == "http" and "[" not in url:
        agent = ProxyAgent(_proxy_endpoint(reactor, route.proxy), reactor, bounded)
    else:
        host = (urlsplit(url).hostname or "").encode("ascii")
        endpoints = _Endpoints(reactor, _policy(route.ca), route, host)
        if route.proxy is not None:
            _proxy_endpoint(reactor, route.proxy)
        agent = Agent.usingEndpointFactory(reactor, endpoints, bounded)
    return plain_client(agent)
