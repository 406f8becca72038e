"""The Site: our Request, our paths, HTTP/1.1, and an access log without secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from attrs import evolve, frozen
from twisted.logger import Logger
from twisted.web.http import combinedLogFormatter, datetimeToLogString, datetimeToString
from twisted.web.iweb import IAccessLogFormatter
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer, provider

from onec_twisted.exchange.protocol import failure
from onec_twisted.http.allowance import Allowance
from onec_twisted.http.answer import Answer
from onec_twisted.http.channel import ExchangeChannel
from onec_twisted.http.connections import Connections
from onec_twisted.http.head import LONGEST_LOGGED, shortened, without_secrets
from onec_twisted.http.interfaces import IStreamingResource
from onec_twisted.http.newcomers import Newcomers
from onec_twisted.http.request import ExchangeRequest
from onec_twisted.http.resource import address_of
from onec_twisted.model.errors import NoExchangeHere
from onec_twisted.runtime.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twisted.internet.interfaces import IReactorTime
    from twisted.web.http import Request

    from onec_twisted.model.errors import Refused

__all__ = ["Elsewhere", "ExchangeSite", "GuardedSite", "Limits", "access_log_line", "tree"]


@frozen
class Limits:
    """What a stranger may take.

    The head of a request may take ``header_timeout`` seconds, a body must bring ``min_rate`` bytes per second on
    average over the last minute; 0 is no limit.
    """

    header_timeout: float = 30.0
    min_rate: int = 0


@implementer(IStreamingResource)
class Elsewhere(Resource):
    """Every path that is not the exchange: 404, or what ``status`` says, in the protocol's words."""

    def __init__(self, status: int = 404) -> None:
        """Answer with an HTTP status."""
        super().__init__()
        self._status = status

    def getChild(self, path: bytes, request: Any) -> Resource:
        """Return another of its kind, without the children that this one may have."""
        return Elsewhere(self._status)

    async def respond(self, request: ExchangeRequest, refused: Refused | None = None) -> Answer:
        """Say that this is not the exchange; nobody wants that in the log."""
        if refused is not None:
            answer: Answer = request.site.refusal(refused, address_of(request))
            return answer
        elsewhere = NoExchangeHere()
        request.site.metrics.refused(elsewhere)
        return Answer(self._status, failure(elsewhere).body)


def tree(resources: Mapping[bytes, Resource], status: int = 404) -> Resource:
    """Return a root resource with resources at their paths, and ``Elsewhere`` at all others."""
    root = Elsewhere(status)
    for path, resource in resources.items():
        *folders, leaf = (unquote_to_bytes(segment) for segment in path.lstrip(b"/").split(b"/"))
        parent: Resource = root
        for folder in folders:
            child = parent.getStaticEntity(folder)
            if child is None:
                child = Elsewhere(status)
                parent.putChild(folder, child)
            parent = child
        parent.putChild(leaf, resource)
    return root


@provider(IAccessLogFormatter)
def access_log_line(_timestamp: str, request: ExchangeRequest) -> str:
    """Return a request's line in the access log, in the combined format, short and without secrets.

    The timestamp that comes is the reactor's, which may not count from 1970.
    """
    request.method = shortened(request.method, 32)
    request.uri = shortened(without_secrets(request.uri), 2 * LONGEST_LOGGED)
    for name in (b"referer", b"user-agent"):
        told = request.getHeader(name)
        if told is not None:
            request.requestHeaders.setRawHeaders(name, [shortened(without_secrets(told))])
    line: str = combinedLogFormatter(datetimeToLogString(), request)
    return line


class GuardedSite(Site):
    """A site whose connections are bounded in number and time, the same for nodes and for the administrator.

    ``limits`` keep strangers within bounds, ``connections`` counts them, ``allowance`` is what all of them may cost
    at a time. The channel is ours: Twisted's would only choose between HTTP/1.1 and HTTP/2.
    """

    _log = Logger()
    protocol = ExchangeChannel  # type: ignore[assignment]  # Twisted names its own chooser

    def __init__(
        self,
        resource: Resource,
        reactor: IReactorTime,
        limits: Limits | None,
        connections: Connections | None,
        metrics: Metrics | None,
        *,
        most: int = 0,
        **keywords: Any,
    ) -> None:
        """Serve the tree with the reactor's clock, over ``most`` connections in all; ``keywords`` are Twisted's."""
        super().__init__(resource, reactor=reactor, **keywords)
        self.limits = limits or Limits()
        self.connections = connections or Connections()
        self.newcomers = Newcomers(self.connections, reactor, most)
        self.metrics = metrics or Metrics()
        self.allowance = Allowance(reactor)
        self._date = b"", -1

    def date(self) -> bytes:
        """Return the value of a Date header; made once a second."""
        second = int(self.reactor.seconds())
        if self._date[1] != second:
            self._date = datetimeToString(), second
        return self._date[0]

    def refusal(self, refused: Refused, address: str) -> Answer:
        """Return the answer to what never reached a resource; it is counted, and told the log."""
        self.metrics.refused(refused)
        self._log.info(
            "refused: {words} ({status}) from {peer}",
            words=refused.words,
            status=refused.status,
            peer=address,
            refused=type(refused).__name__,
        )
        return failure(refused)

    def acceptableProtocols(self) -> list[bytes]:
        """Offer HTTP/1.1 alone over TLS: streaming rests on its channel."""
        return [b"http/1.1"]


class ExchangeSite(GuardedSite):
    """Serves a resource tree to nodes.

    A body may be silent for ``body_timeout`` seconds; ``always_ok`` answers 200 to what is no HTTP as well;
    ``access_log`` gives each request a line in the log.
    """

    def __init__(
        self,
        resource: Resource,
        reactor: IReactorTime,
        body_timeout: float,
        *,
        limits: Limits | None = None,
        connections: Connections | None = None,
        metrics: Metrics | None = None,
        always_ok: bool = False,
        access_log: bool = True,
    ) -> None:
        """Serve the tree with the reactor's clock."""
        super().__init__(
            resource,
            reactor,
            limits,
            connections,
            metrics,
            requestFactory=ExchangeRequest,
            logFormatter=access_log_line,
        )
        self.body_timeout = body_timeout
        self.closing = False
        """Whether the daemon is about to end: an answer closes its connection, so that the node turns to the next."""
        self.always_ok = always_ok
        self._access_log = access_log

    def refusal(self, refused: Refused, address: str) -> Answer:
        """See ``GuardedSite``."""
        answer = super().refusal(refused, address)
        return evolve(answer, status=200) if self.always_ok else answer

    def log(self, request: Request) -> None:
        """Write a request's line, if that is wanted."""
        if self._access_log:
            super().log(request)
