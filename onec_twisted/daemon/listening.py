"""Endpoints to listen on, which reload renewed certificates and know who can reach a port.

Twisted reads the certificate of an ``ssl:`` endpoint once, and only the first one in its file. This module reloads
the endpoint's files periodically and on the administrator's request; new connections then use the new certificate. It
sends all certificates in the file, because 1C, like most clients, does not fetch missing links of the chain.
"""

from __future__ import annotations

import re
from calendar import timegm
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from time import strptime
from typing import TYPE_CHECKING, Any

from attrs import define, field
from OpenSSL.SSL import Connection
from twisted.application.strports import service as listening_service
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.ssl import Certificate as PEMCertificate
from twisted.logger import Logger
from zope.interface import implementer

from onec_twisted.daemon.announcement import address_text
from onec_twisted.daemon.config import CannotStart

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.application.service import IService
    from twisted.internet.interfaces import IProtocolFactory

_FILE = re.compile(r"(privateKey|certKey|extraCertChain|dhParameters)=")
_PART = re.compile(r"(?:[^:\\]|\\.)+", re.DOTALL)
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

LISTEN_BACKLOG = 1024
"""Most connections that wait to be accepted; beyond that, the kernel makes the peer retry a second later.

Twisted's default is 50, which any burst of connections reaches.
"""

__all__ = ["Certificate", "ListeningReactor", "certificate_of", "is_local", "listening", "warn_of_strangers"]


class _Catcher:
    """A fake reactor that captures the context factory of an endpoint."""

    context: Any = None

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, **options: Any) -> None:
        """Store the context factory."""
        self.context = contextFactory


def _context_of(description: str) -> Any:
    """Return the context factory of an ``ssl:`` endpoint from its current files. Raises what reading them raises."""
    catcher = _Catcher()
    caught: list[Any] = []
    serverFromString(catcher, description).listen(None).addErrback(caught.append)
    if caught:
        caught[0].raiseException()
    return _with_chain(catcher.context, description)


def _with_chain(context: Any, description: str) -> Any:
    """Return the context factory, made to send all certificates of ``certKey``, then those of ``extraCertChain``.

    The context factory must not have been used yet. Without ``certKey`` the file of ``privateKey`` contains both, as
    in Twisted. Raises ``OSError``, and OpenSSL's errors for a certificate.
    """
    parts = [re.sub(r"\\(.)", r"\1", part) for part in _PART.findall(description)]
    files = {name: value for name, is_one, value in (part.partition("=") for part in parts) if is_one}
    named = files.get("certKey") or files.get("privateKey")
    if named is not None:
        found = [PEMCertificate.loadPEM(pem).original for pem in _PEM.findall(Path(named).read_bytes())]
        chain = {one.digest("sha256"): one for one in (context.certificate, *found, *context.extraCertChain)}
        context.extraCertChain = list(chain.values())[1:]
    return context


@implementer(IOpenSSLServerConnectionCreator)
@define(eq=False)
class Certificate:
    """The replaceable certificate of an ``ssl:`` endpoint; ``context`` is Twisted's context factory for it."""

    description: str
    context: Any
    _log = Logger()

    def serverConnectionForTLS(self, protocol: Any) -> Any:
        creator = IOpenSSLServerConnectionCreator(self.context, None)
        if creator is not None:
            return creator.serverConnectionForTLS(protocol)
        return Connection(self.context.getContext(), None)

    @property
    def endpoint(self) -> str:
        """Return the description that identifies the endpoint, without the names of its files."""
        return ":".join(part for part in self.description.split(":") if not _FILE.match(part))

    def expires(self) -> float:
        """Return when the certificate expires, in seconds since 1970."""
        certificate = self.context.certificate
        moment = certificate.get_notAfter() or b"19700101000000Z"
        return float(timegm(strptime(moment.decode("ascii"), "%Y%m%d%H%M%SZ")))

    def chain(self) -> list[Any]:
        """Return the certificate and those that are sent after it, as pyOpenSSL has them."""
        return [self.context.certificate, *(self.context.extraCertChain or ())]

    def is_linked(self) -> bool:
        """Return whether each certificate of the chain was issued by the one that follows."""
        chain = [one.to_cryptography() for one in self.chain()]
        return all(one.issuer == issuer.subject for one, issuer in pairwise(chain))

    def reload(self) -> None:
        """Reload the files; if they are unreadable or do not match, log it and keep the old certificate."""
        try:
            fresh = _context_of(self.description)
            fresh.getContext()
        except Exception as error:
            self._log.error(
                "{endpoint}: the certificate cannot be loaded ({reason}); the previous one stays in use",
                endpoint=self.endpoint,
                reason=str(error) or type(error).__name__,
            )
            return
        if _chain(fresh) != _chain(self.context):
            self.context = fresh
            self._log.info("{endpoint}: renewed certificate loaded", endpoint=self.endpoint)


def certificate_of(description: str) -> Certificate:
    """Return the certificate of an ``ssl:`` endpoint from its files. Blocks. Raises what reading them raises."""
    return Certificate(description, _context_of(description))


def _chain(context: Any) -> list[bytes]:
    """Return the digests that identify a certificate and its chain."""
    return [one.digest("sha256") for one in (context.certificate, *(context.extraCertChain or ()))]


@define(eq=False)
class ListeningReactor:
    """A reactor for one endpoint: its TLS port reloads renewed certificates; the rest is the real reactor's.

    ``on_listening`` is called with each address at which it listens; ``addresses`` collects them as text.
    """

    reactor: Any
    description: str
    certificates: list[Certificate] = field(factory=list)
    on_listening: Callable[[Any], None] | None = None
    addresses: list[str] = field(factory=list)

    def listenTCP(self, *arguments: Any, **options: Any) -> Any:
        """Listen on a TCP port."""
        return self._noted(self.reactor.listenTCP(*arguments, **self._with_backlog(options)))

    def listenUNIX(self, *arguments: Any, **options: Any) -> Any:
        """Listen on a unix socket."""
        return self._noted(self.reactor.listenUNIX(*arguments, **self._with_backlog(options)))

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, *arguments: Any, **options: Any) -> Any:
        """Listen with a replaceable certificate."""
        certificate = Certificate(self.description, _with_chain(contextFactory, self.description))
        self.certificates.append(certificate)
        options = self._with_backlog(options)
        listening_at = self.reactor.listenSSL(port, factory, certificate, *arguments, **options)
        return self._noted(listening_at, is_secure=True)

    def adoptStreamPort(self, *arguments: Any, **options: Any) -> Any:
        """Listen on a socket passed by the service manager."""
        return self._noted(self.reactor.adoptStreamPort(*arguments, **options))

    def _with_backlog(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the options with our backlog, unless the administrator chose one."""
        return options if "backlog=" in self.description else {**options, "backlog": LISTEN_BACKLOG}

    def _noted(self, port: Any, *, is_secure: bool = False) -> Any:
        self.addresses.append(address_text(port.getHost(), is_secure=is_secure))
        if self.on_listening is not None:
            self.on_listening(port.getHost())
        return port

    def __getattr__(self, name: str) -> Any:
        """Return the real reactor's attribute."""
        return getattr(self.reactor, name)


def is_local(address: Any) -> bool:
    """Return whether only this machine can connect to an address: a unix socket or the loopback network."""
    host = getattr(address, "host", None)
    return host is None or (host != "" and ip_address(host.partition("%")[0]).is_loopback)


def listening(
    option: str,
    description: str,
    factory: IProtocolFactory,
    reactor: Any,
    certificates: list[Certificate],
    on_listening: Callable[[Any], None] | None = None,
    addresses: list[str] | None = None,
) -> IService:
    """Return the service that listens on the endpoint that an option describes. Raises ``CannotStart``.

    The endpoint's certificate, if any, is added to ``certificates``, and each address to ``addresses``;
    ``on_listening`` is called with it.
    """
    collected = addresses if addresses is not None else []
    listener = ListeningReactor(reactor, description, certificates, on_listening, collected)
    try:
        return listening_service(description, factory, listener)  # type: ignore[arg-type]  # it delegates the rest
    except Exception as error:  # the parser of a plugin or of a certificate may raise anything
        raise CannotStart(
            f"--{option}={description}: is malformed ({type(error).__name__}: {error}); {_advice(description)}"
        ) from None


def _advice(description: str) -> str:
    """Return advice for an endpoint that cannot be used."""
    if description.startswith("ssl:") and "privateKey=" in description:
        return (
            "see that privateKey and certKey name PEM files that fit each other, and that we may read: "
            "plain text, without the mark that editors on Windows put before it"
        )
    return "write a Twisted endpoint as in tcp:8080:interface=127.0.0.1"


def warn_of_strangers(address: Any) -> None:
    """Warn if other machines can reach the status page."""
    if not is_local(address):
        Logger(namespace=__name__).warn(
            "--admin is reachable from other machines at {address}; use a loopback address or a unix socket, "
            "or protect it with --admin-auth and TLS",
            address=str(address),
        )
