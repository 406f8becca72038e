"""The resource of RUFH, the IETF's resumable uploads: it carries out each method (docs/rufh.md).

Section names in quotes are those of draft-ietf-httpbis-resumable-upload.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from attrs import evolve, frozen
from twisted.logger import Logger

from onec_twisted.http.answer import Answer
from onec_twisted.http.resource import RefusingResource
from onec_twisted.model import text
from onec_twisted.model.errors import (
    FileBusy,
    FileTooLarge,
    InvalidLength,
    InvalidOffset,
    MethodNotAllowed,
    Refused,
    SessionRestarted,
    UploadGone,
    UploadNotFound,
    UploadTakenOver,
    WrongOffset,
)
from onec_twisted.model.uploads import COMPLETE, RUFH
from onec_twisted.resumable.appending import append
from onec_twisted.resumable.door import PARTIAL_UPLOAD
from onec_twisted.resumable.endings import Ending
from onec_twisted.resumable.uploads import content_type_of
from onec_twisted.rufh import fields
from onec_twisted.rufh.answers import refusal_of
from onec_twisted.rufh.errors import (
    AlreadyComplete,
    MismatchingOffset,
    MisplacedField,
    MissingComplete,
    WrongPartType,
)
from onec_twisted.rufh.limits import limits_field

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from onec_twisted.http.interfaces import IRequest
    from onec_twisted.http.interim import InterimResponses
    from onec_twisted.model.journal import RefusedRequest
    from onec_twisted.model.uploads import Found
    from onec_twisted.resumable.checksums import Checksum
    from onec_twisted.resumable.origins import Origins
    from onec_twisted.resumable.uploads import Client, Uploads

__all__ = ["Rufh", "discovered"]

UPLOAD_RESUMPTION = 104
"""The status of interim answers: where the upload is, and how far it has come."""

OLD_VERSION = 6
"""The interop version of drafts 04 and 05. It has statuses of its own: 201 for a part, 404 for what is gone."""

MISPLACED = {
    b"HEAD": (b"upload-offset", b"upload-complete", b"upload-length"),
    b"DELETE": (b"upload-offset", b"upload-complete"),
}
"""The fields that this version refuses in requests without content."""

TO_UPLOADS, TO_UPLOAD = b"POST, OPTIONS", b"GET, HEAD, PATCH, DELETE, OPTIONS"
"""The methods allowed for the path, and those allowed for an upload."""


@frozen
class _Content:
    """What a request says of its body: where it begins, whether it is the last, of what length in all, its digest."""

    offset: int
    is_last: bool
    length: int | None
    checksum: Checksum | None

    @property
    def ending(self) -> Ending:
        """Return what completes the upload."""
        return Ending.HERE if self.is_last else Ending.LATER


class Rufh(RefusingResource):
    """``uploads`` by RUFH; pages of ``origins`` may upload; ``interim`` says who gets interim answers."""

    _log = Logger()

    def __init__(
        self,
        uploads: Uploads,
        origins: Origins,
        interim: InterimResponses,
        note_refusal: Callable[[RefusedRequest], None],
    ) -> None:
        """Put refused requests on record by ``note_refusal``."""
        super().__init__(uploads.ingest.metrics, note_refusal)
        self._uploads = uploads
        self._origins = origins
        self._interim = interim
        self._methods: dict[bytes, Callable[[Client, str, int, IRequest], Awaitable[Answer]]] = {
            b"HEAD": self._look,
            b"GET": self._look,
            b"PATCH": self._patch,
            b"DELETE": self._delete,
        }

    async def respond(self, request: IRequest, refused: Refused | None = None) -> Answer:
        answer = await super().respond(request, refused)
        cors = self._origins.headers(request.getHeader(b"origin"), preflight=False)
        return evolve(answer, headers=(*answer.headers, *cors))

    def refusal(self, refused: Refused) -> Answer:
        return refusal_of(refused, self._uploads.quota)

    async def carry_out(self, request: IRequest) -> Answer:
        if not _is_old(request):
            return await self._carry_out(request)
        if any(request.getHeader(name) is not None for name in MISPLACED.get(request.method, ())):
            raise MisplacedField
        try:
            return await self._carry_out(request)
        except UploadGone:
            raise UploadNotFound from None

    async def _carry_out(self, request: IRequest) -> Answer:
        """Handle a request, as ``carry_out`` does, in the newest version."""
        number = self._uploads.arrive()
        upload_id = text.decoded(b"/".join(request.postpath or []))
        client = await self._uploads.client(request, upload_id)
        if not upload_id:
            if request.method != b"POST":
                raise MethodNotAllowed(TO_UPLOADS)
            return await self._post(client, number, request)
        if request.method not in self._methods:
            raise MethodNotAllowed(TO_UPLOAD)
        return await self._methods[request.method](client, upload_id, number, request)

    async def _post(self, client: Client, number: int, request: IRequest) -> Answer:
        """Create an upload, and append the body ("Upload Creation").

        A client that was told the upload's address keeps it when the request breaks off; otherwise nothing is left.
        """
        uploads, body = self._uploads, request.body
        content = _content_of(request, 0)
        if body.length is not None and content.length is not None and body.length > content.length:
            raise InvalidLength
        digest = fields.parse_digest(request.joined(b"repr-digest"))
        name = fields.filename_of(request.joined(b"content-disposition"))
        # tus-js-client sends the media type of appends with a creation as well: that says nothing of the file
        is_append = content_type_of(request) == PARTIAL_UPLOAD
        metadata = fields.pack_metadata(name, None if is_append else request.getHeader(b"content-type"))
        packed = digest.packed() if digest is not None else ""
        upload = uploads.record(client, RUFH, name, content.length, metadata, packed)
        found = await uploads.create(client, upload, request)
        location = (b"Location", uploads.location(request, upload))
        is_told = self._tell(request, (location, self._limits(found)))
        try:
            if body.length != 0 or content.is_last:
                found = await self._append(client, found, number, request, content, keeps=is_told)
        except BaseException:
            if not is_told:
                await uploads.chunks.undo(upload)
            raise
        answer = self._result(found, 201)
        return evolve(answer, headers=(location, *answer.headers))

    async def _patch(self, client: Client, upload_id: str, number: int, request: IRequest) -> Answer:
        """Append the body ("Upload Append"), or give the final answer again."""
        if content_type_of(request) != PARTIAL_UPLOAD:
            raise WrongPartType
        offset = fields.parse_number(request.joined(b"upload-offset"))
        if offset is None:
            raise InvalidOffset
        content = _content_of(request, offset)
        found = await self._uploads.find(client, upload_id, RUFH)
        if found.upload.state == COMPLETE:
            if offset != found.committed:
                raise MismatchingOffset(found.committed, offset)
            if request.body.length or not content.is_last:
                raise AlreadyComplete
            if content.length not in {None, found.upload.length}:
                raise InvalidLength
            if request.body.length == 0:
                return self._result(found, 200)
        found = await self._append(client, found, number, request, content)
        return self._result(found, 201 if _is_old(request) else 204)

    async def _append(
        self, client: Client, found: Found, number: int, request: IRequest, content: _Content, *, keeps: bool = True
    ) -> Found:
        """Append the body; ``keeps`` is whether the upload stays when that fails.

        Raises ``Refused``, with the offset to go on from if there still is one.
        """
        uploads, upload, offset = self._uploads, found.upload, content.offset
        try:
            with uploads.claims.hold(upload.id, number, request.body) as claim:
                return await append(
                    uploads.chunks,
                    found,
                    claim,
                    offset,
                    content.length,
                    content.checksum,
                    creates=not keeps,
                    ending=content.ending,
                    progress=partial(self._tell_progress, request),
                )
        except WrongOffset as wrong:
            raise MismatchingOffset(wrong.committed, offset) from None
        except Refused as refused:
            length = content.length if upload.length is None else upload.length
            if isinstance(refused, FileTooLarge) and length is not None and length <= uploads.quota:
                refused = InvalidLength()  # after 413 a client sends less, but this upload is over
            try:
                now = await uploads.find(client, upload.id, RUFH)
            except Refused as gone:
                raise gone if isinstance(refused, UploadTakenOver) else refused from None
            if now.upload.state == COMPLETE and isinstance(refused, (FileTooLarge, InvalidLength)):
                refused = AlreadyComplete()
            refused.headers = (*refused.headers, fields.offset_field(now.committed))
            raise refused from None

    async def _look(self, client: Client, upload_id: str, number: int, request: IRequest) -> Answer:
        """Report how far an upload has come; its client goes on from there, so older requests are stopped.

        See "Offset Retrieval".
        """
        try:
            found = await self._uploads.find_alone(client, upload_id, number, request, RUFH)
        except (UploadTakenOver, SessionRestarted):
            raise FileBusy from None  # its client would stop at 409
        length = found.upload.length
        known = (fields.length_field(length),) if length is not None else ()
        return Answer(
            204,
            headers=(
                fields.offset_field(found.committed),
                fields.complete_field(found.upload.state == COMPLETE),
                *known,
                self._limits(found),
                (b"Cache-Control", b"no-store"),
            ),
        )

    async def _delete(self, client: Client, upload_id: str, number: int, request: IRequest) -> Answer:
        """End an upload ("Upload Cancellation")."""
        await self._uploads.terminate(client, upload_id, number, request, RUFH)
        return Answer(204)

    def _result(self, found: Found, status: int) -> Answer:
        """Return the answer to a body that came whole: the final one if the upload is complete.

        The final one is made of what is on record, so that it can be given again.
        """
        upload, offset = found.upload, fields.offset_field(found.committed)
        is_complete = upload.state == COMPLETE
        headers = fields.complete_field(is_complete), offset
        if not is_complete:
            return Answer(status, headers=(*headers, self._limits(found)))
        told = {"name": upload.name, "size": found.committed, "sessid": upload.sessid}
        return Answer(200, json.dumps(told, ensure_ascii=False).encode() + b"\n", b"application/json", headers)

    def _limits(self, found: Found) -> tuple[bytes, bytes]:
        """Return the field that says how large an upload may be, and how long it can still be continued."""
        return limits_field(self._uploads.quota, self._uploads.age_left(found))

    def _tell(self, request: IRequest, headers: tuple[tuple[bytes, bytes], ...]) -> bool:
        """Send an interim answer to a client that speaks our version; return whether it was sent."""
        version = fields.parse_version(request.joined(b"upload-draft-interop-version"))
        if version is None or not self._interim.allows(request):
            return False
        return bool(request.interim(UPLOAD_RESUMPTION, (fields.version_field(version), *headers)))

    def _tell_progress(self, request: IRequest, committed: int) -> None:
        """Tell how much of an upload is on record: that is never taken back."""
        self._tell(request, (fields.offset_field(committed),))


def discovered(quota: int) -> tuple[tuple[bytes, bytes], ...]:
    """Return what an answer to ``OPTIONS`` says of uploads of at most ``quota`` bytes ("Feature Detection")."""
    return limits_field(quota, None), (b"Accept-Patch", PARTIAL_UPLOAD)


def _content_of(request: IRequest, offset: int) -> _Content:
    """Return what a request says of its body, which begins at ``offset`` ("Upload-Complete", "Upload-Length").

    Raises ``MissingComplete``, ``InvalidLength`` when two indicators of the length differ, and ``InvalidDigest``.
    """
    is_last = fields.parse_complete(request.joined(b"upload-complete"))
    if is_last is None:
        raise MissingComplete
    length, coming = fields.parse_number(request.joined(b"upload-length")), request.body.length
    if is_last and coming is not None:
        if length not in {None, offset + coming}:
            raise InvalidLength
        length = offset + coming
    return _Content(offset, is_last, length, fields.parse_digest(request.joined(b"content-digest")))


def _is_old(request: IRequest) -> bool:
    """Return whether a request's client speaks the old version."""
    return fields.parse_version(request.joined(b"upload-draft-interop-version")) == OLD_VERSION
