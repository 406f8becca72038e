"""The Site: our Request, our paths, HTTP/1.1, and an access log without secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from attrs import frozen
from twisted.logger import Logger
from twisted.web.http import combinedLogFormatter, datetimeToLogString
from twisted.web.iweb import IAccessLogFormatter
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer, provider

from onec_twisted.http.channel import ExchangeChannel
from onec_twisted.http.head import LONGEST_LOGGED, fields_of_target, shortened, without_secrets
from onec_twisted.http.interfaces import IStreamingResource
from onec_twisted.http.refusals import address_of
from onec_twisted.http.request import ExchangeRequest
from onec_twisted.http.server import REST_TIMEOUT
from onec_twisted.model.errors import NoExchangeHere

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twisted.internet.interfaces import IAddress
    from twisted.web.http import Request

    from onec_twisted.http.answer import Answer
    from onec_twisted.http.interfaces import IRequest
    from onec_twisted.http.refusals import Refusals
    from onec_twisted.http.server import Server
    from onec_twisted.model.errors import Refused
    from onec_twisted.runtime.seldom import Seldom

__all__ = ["Elsewhere", "ExchangeSite", "GuardedSite", "access_log_line", "tree"]


@implementer(IStreamingResource)
class Elsewhere(Resource):
    """Refuses every path that is not the exchange, in the words of ``refusals``.

    Who wants an exchange there has the wrong address: that is logged, though ``seldom``, with the right ``paths``.
    """

    _log = Logger()

    def __init__(self, refusals: Refusals, seldom: Seldom, paths: str) -> None:
        """Refuse in these words."""
        super().__init__()
        self._refusals = refusals
        self._seldom = seldom
        self._paths = paths

    def getChild(self, path: bytes, request: Any) -> Resource:
        """Return another ``Elsewhere``, without this one's children."""
        return Elsewhere(self._refusals, self._seldom, self._paths)

    async def respond(self, request: IRequest, refused: Refused | None = None) -> Answer:
        if refused is not None:
            return self._refusals.refuse_unseen(refused, address_of(request))
        peer, path = address_of(request), fields_of_target(request.method, request.uri)["path"]
        is_meant = b"mode=" in request.uri or request.getHeader(b"authorization") is not None
        if not is_meant or not self._seldom.allows((peer, path)):
            return self._refusals.counted(NoExchangeHere())  # what scanners ask for is not worth logging
        self._log.warn(
            "{peer} looks for an exchange at {path}, but it is at {paths}: correct the address in its settings",
            peer=peer,
            path=path,
            paths=self._paths,
        )
        return self._refusals.refuse(NoExchangeHere(), request)


def tree(resources: Mapping[bytes, Resource], refusals: Refusals, seldom: Seldom, paths: str) -> Resource:
    """Return a root resource with resources at their paths, and ``Elsewhere`` at all others.

    ``paths`` names those of the exchange to people.
    """
    root = Elsewhere(refusals, seldom, paths)
    for path, resource in resources.items():
        *folders, leaf = (unquote_to_bytes(segment) for segment in path.lstrip(b"/").split(b"/"))
        parent: Resource = root
        for folder in folders:
            child = parent.getStaticEntity(folder)
            if child is None:
                child = Elsewhere(refusals, seldom, paths)
                parent.putChild(folder, child)
            parent = child
        parent.putChild(leaf, resource)
    return root


@frozen
class _Shown:
    """A request as the access log shows it: shortened and without secrets."""

    request: ExchangeRequest
    method: bytes
    uri: bytes
    clientproto: bytes
    code: int
    sentLength: int

    @classmethod
    def of(cls, request: ExchangeRequest) -> _Shown:
        """Return what is shown of a request."""
        method, uri = shortened(request.method, 32), shortened(without_secrets(request.uri), 2 * LONGEST_LOGGED)
        return cls(request, method, uri, request.clientproto, request.code, request.sentLength)

    def getClientAddress(self) -> IAddress:
        """Return the client's address."""
        return self.request.getClientAddress()

    def getHeader(self, name: bytes) -> bytes | None:
        """Return the value of a header, ``referer`` or ``user-agent``."""
        value = self.request.getHeader(name)
        return shortened(without_secrets(value)) if value is not None else None


@provider(IAccessLogFormatter)
def access_log_line(_timestamp: str, request: ExchangeRequest) -> str:
    """Return a request's access log line, in the combined format, shortened and without secrets.

    The given timestamp is ignored: it is the reactor's, which may not count from 1970.
    """
    line: str = combinedLogFormatter(datetimeToLogString(), _Shown.of(request))
    return line


class GuardedSite(Site):
    """A site whose connections are limited in number and time, for nodes and administrators alike.

    It uses our own channel: Twisted's would only choose between HTTP/1.1 and HTTP/2.
    """

    noisy = False
    """Whether Twisted logs its start and stop, with the address of the object."""

    protocol = ExchangeChannel  # type: ignore[assignment]  # Twisted names its own chooser

    def __init__(self, resource: Resource, server: Server, **keywords: Any) -> None:
        """Serve the tree; ``keywords`` go to Twisted's ``Site``."""
        super().__init__(resource, reactor=server.clock, timeout=REST_TIMEOUT, **keywords)
        self.server = server

    def buildProtocol(self, addr: Any) -> Any:
        """Return a channel of this server."""
        channel = super().buildProtocol(addr)
        channel.server = self.server
        return channel

    def acceptableProtocols(self) -> list[bytes]:
        """Offer only HTTP/1.1 over TLS: streaming depends on its channel."""
        return [b"http/1.1"]


class ExchangeSite(GuardedSite):
    """Serves a resource tree to nodes; with ``access_log``, each request is logged."""

    def __init__(self, resource: Resource, server: Server, *, access_log: bool = True) -> None:
        """Serve the tree."""
        super().__init__(resource, server, requestFactory=ExchangeRequest, logFormatter=access_log_line)
        self._access_log = access_log

    def log(self, request: Request) -> None:
        """Write a request's line, if the access log is on."""
        if self._access_log:
            super().log(request)
