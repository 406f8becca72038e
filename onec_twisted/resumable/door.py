"""The door of resumable uploads: it passes each request to the resource of its protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve
from twisted.web.resource import Resource
from zope.interface import implementer

from onec_twisted.http.interfaces import IStreamingResource

if TYPE_CHECKING:
    from onec_twisted.http.answer import Answer
    from onec_twisted.http.interfaces import IRequest
    from onec_twisted.model.errors import Refused

__all__ = ["PARTIAL_UPLOAD", "UploadDoor", "is_for_tus"]

OF_RUFH = (b"upload-complete", b"upload-draft-interop-version")
"""Headers of RUFH alone."""

PARTIAL_UPLOAD = b"application/partial-upload"
"""The media type of an append by RUFH, and of nothing else."""

WITHOUT_FIELDS = frozenset({b"HEAD", b"GET", b"DELETE"})
"""The methods by which RUFH asks for an upload, or ends it, without a field that shows it."""


def is_for_tus(request: IRequest) -> bool:
    """Return whether a request speaks tus, or shows no protocol where RUFH would have to show itself.

    Each request by tus has ``Tus-Resumable``; one with content by RUFH has ``Upload-Complete``, or lacks it by
    mistake, but has its media type or names its version. Others may have no field at all. ``OPTIONS`` is answered for
    both, as browsers send it without any.
    """
    if request.getHeader(b"tus-resumable") is not None or request.method == b"OPTIONS":
        return True
    content_type = request.getHeader(b"content-type") or b""
    if content_type.lower().startswith(PARTIAL_UPLOAD) or any(
        request.getHeader(name) is not None for name in OF_RUFH
    ):
        return False
    return request.method not in WITHOUT_FIELDS or not any(request.postpath)


@implementer(IStreamingResource)
class UploadDoor(Resource):
    """Passes requests to ``tus`` or to ``rufh``; ``discovered`` are RUFH's headers of an answer to ``OPTIONS``."""

    isLeaf = True

    def __init__(
        self, tus: IStreamingResource, rufh: IStreamingResource, discovered: tuple[tuple[bytes, bytes], ...]
    ) -> None:
        """Pass requests on."""
        super().__init__()
        self._tus = tus
        self._rufh = rufh
        self._discovered = discovered

    async def respond(self, request: IRequest, refused: Refused | None = None) -> Answer:
        if not is_for_tus(request):
            return await self._rufh.respond(request, refused)
        answer: Answer = await self._tus.respond(request, refused)
        if request.method == b"OPTIONS" and answer.status < 300:
            return evolve(answer, headers=(*answer.headers, *self._discovered))
        return answer
