"""Endpoints to listen on: renewed certificates are taken up, and who can reach a port is known.

Twisted reads the certificate of an ``ssl:`` endpoint once, and of its file the first one alone. Here its description
is read again, now and then and when the administrator says so; what is new serves the connections that come from then
on. All certificates of the file are sent: 1C, as most clients, looks for no link of the chain itself.
"""

from __future__ import annotations

import re
from calendar import timegm
from ipaddress import ip_address
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

from onec_twisted.daemon.config import CannotStart

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.application.service import IService
    from twisted.internet.interfaces import IProtocolFactory

_FILE = re.compile(r"(privateKey|certKey|extraCertChain|dhParameters)=")
_PART = re.compile(r"(?:[^:\\]|\\.)+", re.DOTALL)
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

LISTEN_BACKLOG = 1024
"""Connections that may wait to be taken; of one too many the kernel makes its peer try again, a second later.

Twisted's number is 50: a burst of strangers has that at once.
"""

__all__ = ["Certificate", "ListeningReactor", "is_local", "listening", "warn_of_strangers"]


class _Catcher:
    """Stands for a reactor, to see what an endpoint would listen with."""

    context: Any = None

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, **options: Any) -> None:
        """Keep the context factory."""
        self.context = contextFactory


def _context_of(description: str) -> Any:
    """Return the context factory of an ``ssl:`` endpoint, from the files as they are now. Raises what they raise."""
    catcher = _Catcher()
    caught: list[Any] = []
    serverFromString(catcher, description).listen(None).addErrback(caught.append)
    if caught:
        caught[0].raiseException()
    return _with_chain(catcher.context, description)


def _with_chain(context: Any, description: str) -> Any:
    """Return a context factory that sends all certificates of ``certKey``, and then those of ``extraCertChain``.

    One that nobody has used yet; without ``certKey`` the file of ``privateKey`` holds both, as Twisted has it. Raises
    ``OSError``, and what OpenSSL says of a certificate.
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
    """The certificate of an ``ssl:`` endpoint, which may change; ``context`` is Twisted's own for it."""

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
        """Return what tells it from others, without the names of its files."""
        return ":".join(part for part in self.description.split(":") if not _FILE.match(part))

    def expires(self) -> float:
        """Return when it expires, in seconds since 1970."""
        certificate = self.context.certificate
        moment = certificate.get_notAfter() or b"19700101000000Z"
        return float(timegm(strptime(moment.decode("ascii"), "%Y%m%d%H%M%SZ")))

    def reload(self) -> None:
        """Take up what the files hold now; what cannot be read or does not fit is told, and the old one stays."""
        try:
            fresh = _context_of(self.description)
            fresh.getContext()
        except Exception as error:
            self._log.error(
                "{endpoint}: the certificate cannot be loaded ({reason}); the one before stays in use",
                endpoint=self.endpoint,
                reason=str(error) or type(error).__name__,
            )
            return
        if _chain(fresh) != _chain(self.context):
            self.context = fresh
            self._log.info("{endpoint}: a renewed certificate is in use", endpoint=self.endpoint)


def _chain(context: Any) -> list[bytes]:
    """Return what tells certificates apart."""
    return [one.digest("sha256") for one in (context.certificate, *(context.extraCertChain or ()))]


@define(eq=False)
class ListeningReactor:
    """A reactor for one endpoint: its TLS port takes up renewed certificates; all else is the real one's.

    ``on_listening`` is called with each address at which it listens.
    """

    reactor: Any
    description: str
    certificates: list[Certificate] = field(factory=list)
    on_listening: Callable[[Any], None] | None = None

    def listenTCP(self, *arguments: Any, **options: Any) -> Any:
        """Listen at a TCP port."""
        return self._noted(self.reactor.listenTCP(*arguments, **self._with_backlog(options)))

    def listenUNIX(self, *arguments: Any, **options: Any) -> Any:
        """Listen at a unix socket."""
        return self.reactor.listenUNIX(*arguments, **self._with_backlog(options))

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, *arguments: Any, **options: Any) -> Any:
        """Listen with a certificate that may change."""
        certificate = Certificate(self.description, _with_chain(contextFactory, self.description))
        self.certificates.append(certificate)
        options = self._with_backlog(options)
        return self._noted(self.reactor.listenSSL(port, factory, certificate, *arguments, **options))

    def adoptStreamPort(self, *arguments: Any, **options: Any) -> Any:
        """Listen on a socket of the service manager's."""
        return self._noted(self.reactor.adoptStreamPort(*arguments, **options))

    def _with_backlog(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return what to listen with: where the administrator says nothing of a backlog, ours."""
        return options if "backlog=" in self.description else {**options, "backlog": LISTEN_BACKLOG}

    def _noted(self, port: Any) -> Any:
        if self.on_listening is not None:
            self.on_listening(port.getHost())
        return port

    def __getattr__(self, name: str) -> Any:
        """Return what the real one has."""
        return getattr(self.reactor, name)


def is_local(address: Any) -> bool:
    """Return whether only this machine can connect to an address: a unix socket, or the loopback network."""
    host = getattr(address, "host", None)
    return host is None or (host != "" and ip_address(host.partition("%")[0]).is_loopback)


def listening(
    option: str,
    description: str,
    factory: IProtocolFactory,
    reactor: Any,
    certificates: list[Certificate],
    on_listening: Callable[[Any], None] | None = None,
) -> IService:
    """Return the service that listens at an endpoint, which an option describes. Raises ``CannotStart``.

    ``certificates`` gets the certificate of one that has; ``on_listening`` is called with each address.
    """
    listener = ListeningReactor(reactor, description, certificates, on_listening)
    try:
        return listening_service(description, factory, listener)  # type: ignore[arg-type]  # it delegates the rest
    except Exception as error:  # a plugin's parser, or a certificate's, may raise anything
        raise CannotStart(
            f"--{option}={description}: cannot be understood ({type(error).__name__}: {error}); "
            f"{_advice(description)}"
        ) from None


def _advice(description: str) -> str:
    """Return what to do about an endpoint that cannot be used."""
    if description.startswith("ssl:") and "privateKey=" in description:
        return (
            "see that privateKey and certKey name PEM files that fit each other, and that we may read: "
            "plain text, without the mark that editors on Windows put before it"
        )
    return "write a Twisted endpoint as in tcp:8080:interface=127.0.0.1"


def warn_of_strangers(address: Any) -> None:
    """Warn when others than this machine can reach the status page."""
    if not is_local(address):
        Logger(namespace=__name__).warn(
            "--admin can be reached from other machines, at {address}; "
            "give it a loopback address or a unix socket, or protect it by --admin-auth and TLS",
            address=str(address),
        )
