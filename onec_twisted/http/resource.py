"""A Resource whose refusals become answers: all it raises is counted, logged, and worded for its protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger
from twisted.web.resource import Resource
from zope.interface import implementer

from onec_twisted.http.interfaces import IStreamingResource
from onec_twisted.http.refusals import Refusals
from onec_twisted.model.errors import ConnectionDropped

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.http.answer import Answer
    from onec_twisted.http.interfaces import IRequest
    from onec_twisted.model.errors import Refused
    from onec_twisted.model.journal import RefusedRequest
    from onec_twisted.runtime.metrics import Metrics

__all__ = ["RefusingResource"]


@implementer(IStreamingResource)
class RefusingResource(Resource):
    """Handles requests, or answers why it refuses them."""

    isLeaf = True
    _log = Logger()

    def __init__(self, metrics: Metrics, note: Callable[[RefusedRequest], None]) -> None:
        """Count refusals in ``metrics``, and put them on record by ``note``."""
        super().__init__()
        self._refusals = Refusals(metrics, self.refusal, note, self._log)

    async def respond(self, request: IRequest, refused: Refused | None = None) -> Answer:
        if refused is not None:
            return self._refusals.refuse(refused, request)
        try:
            return await self.carry_out(request)
        except ConnectionDropped:
            raise
        except Exception as error:
            return self._refusals.answer(error, request)

    async def carry_out(self, request: IRequest) -> Answer:
        """Handle a request and return the answer, or raise ``Refused``."""
        raise NotImplementedError  # each protocol has its own

    def refusal(self, refused: Refused) -> Answer:
        """Return the answer to a request that is refused."""
        raise NotImplementedError  # each protocol has its own
