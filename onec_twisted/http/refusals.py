"""Turns exceptions into answers: each is counted, logged, and worded for the client's protocol."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from attrs import frozen
from twisted.logger import Logger

from onec_twisted.http.head import fields_of_target
from onec_twisted.model.errors import Refused, StorageUnavailable, SyncFailed, Unforeseen

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.web.http import Request as HTTPRequest

    from onec_twisted.http.answer import Answer
    from onec_twisted.http.interfaces import IRequest
    from onec_twisted.runtime.metrics import Metrics

__all__ = ["Refusals", "address_of"]

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
"""Errors about the state of the system, not about the request: the same request may succeed a little later."""

_LOG = Logger()


def address_of(request: IRequest | HTTPRequest) -> str:
    """Return the client's address as text: an IP address, or ``-`` on a unix socket."""
    return str(getattr(request.getClientAddress(), "host", "-"))


@frozen(eq=False)
class Refusals:
    """Answers refusals in the words of one protocol: ``wording`` returns the answer to a refusal.

    ``log`` is the logger of the resource that refuses.
    """

    metrics: Metrics
    wording: Callable[[Refused], Answer]
    log: Logger = _LOG

    def answer(self, error: Exception, request: IRequest) -> Answer:
        """Return the answer to a request that failed with ``error``; call it in the ``except`` block."""
        if isinstance(error, Refused):
            return self.refuse(error, request)
        if isinstance(error, OSError) and error.errno in PASSING and not isinstance(error, SyncFailed):
            unavailable = StorageUnavailable()
            unavailable.__cause__ = error
            return self.refuse(unavailable, request)
        self.log.failure("{method} {path} failed", **fields_of_target(request.method, request.uri))
        return self.counted(Unforeseen())

    def refuse(self, refused: Refused, request: IRequest) -> Answer:
        """Return the answer to a request that a resource refuses, and log it with the system's error, if any."""
        cause = refused.__cause__
        self.log.info(
            "refused: {words} ({status}{because}) {method} {path}?{query} from {peer}",
            words=refused.words,
            because=f": {cause}" if isinstance(cause, OSError) else "",
            status=refused.status,
            peer=address_of(request),
            refused=type(refused).__name__,
            **fields_of_target(request.method, request.uri),
        )
        return self.counted(refused)

    def refuse_unseen(self, refused: Refused, address: str) -> Answer:
        """Return the answer to a request that reached no resource, and log its address."""
        self.log.info(
            "refused: {words} ({status}) from {peer}",
            words=refused.words,
            status=refused.status,
            peer=address,
            refused=type(refused).__name__,
        )
        return self.counted(refused)

    def counted(self, refused: Refused) -> Answer:
        """Return the answer to a refusal that is counted but not logged."""
        self.metrics.refused(refused)
        return self.wording(refused)
