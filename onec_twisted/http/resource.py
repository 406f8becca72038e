"""A Resource whose refusals become answers: what is raised is counted, told the log, and worded for who asks."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from twisted.logger import Logger
from twisted.web.resource import Resource
from zope.interface import implementer

from onec_twisted.http.head import fields_of_target
from onec_twisted.http.interfaces import IStreamingResource
from onec_twisted.model.errors import ConnectionDropped, Refused, StorageUnavailable, SyncFailed, Unforeseen

if TYPE_CHECKING:
    from onec_twisted.http.answer import Answer
    from onec_twisted.http.request import ExchangeRequest
    from onec_twisted.runtime.metrics import Metrics

__all__ = ["RefusingResource", "address_of"]

PASSING = frozenset(
    {
        errno.EACCES,
        errno.EAGAIN,
        errno.EINTR,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.EPERM,
        errno.EROFS,
        errno.ESTALE,
    }
)
"""What the system says of itself, not of what it was asked for: the same request may do better a little later."""


def address_of(request: ExchangeRequest) -> str:
    """Return who sends, as text: an IP address, or ``-`` on a unix socket."""
    return str(getattr(request.getClientAddress(), "host", "-"))


@implementer(IStreamingResource)
class RefusingResource(Resource):
    """Carries requests out, or says why not."""

    isLeaf = True
    _log = Logger()

    def __init__(self, metrics: Metrics) -> None:
        """Count refusals there."""
        super().__init__()
        self._metrics = metrics

    async def respond(self, request: ExchangeRequest, refused: Refused | None = None) -> Answer:
        """See ``IStreamingResource``."""
        if refused is not None:
            return self._refuse(request, refused)
        try:
            return await self.carry_out(request)
        except ConnectionDropped:
            raise
        except Refused as error:
            return self._refuse(request, error)
        except Exception as error:
            if isinstance(error, OSError) and error.errno in PASSING and not isinstance(error, SyncFailed):
                unavailable = StorageUnavailable()
                unavailable.__cause__ = error
                return self._refuse(request, unavailable)
            self._log.failure("{method} {path} failed", **fields_of_target(request.method, request.uri))
            self._metrics.refused(Unforeseen())
            return self.refusal(Unforeseen())

    def _refuse(self, request: ExchangeRequest, refused: Refused) -> Answer:
        """Count a refusal, tell the log, with what the system said, and return the answer."""
        cause = refused.__cause__
        self._log.info(
            "refused: {words} ({status}{because}) {method} {path}?{query} from {peer}",
            words=refused.words,
            because=f": {cause}" if isinstance(cause, OSError) else "",
            status=refused.status,
            peer=address_of(request),
            refused=type(refused).__name__,
            **fields_of_target(request.method, request.uri),
        )
        self._metrics.refused(refused)
        return self.refusal(refused)

    async def carry_out(self, request: ExchangeRequest) -> Answer:
        """Do what a request asks, and return the answer, or raise ``Refused``."""
        raise NotImplementedError  # each protocol has its own

    def refusal(self, refused: Refused) -> Answer:
        """Return the answer to a request that is refused."""
        raise NotImplementedError  # each protocol has its own
