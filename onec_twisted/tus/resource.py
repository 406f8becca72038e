"""The resource of tus: it carries out each method, and turns refusals into answers (tus 1.0.0; docs/tus.md)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import evolve
from twisted.logger import Logger
from twisted.web.http import datetimeToString

from onec_twisted.http.answer import Answer
from onec_twisted.http.resource import RefusingResource
from onec_twisted.model import text
from onec_twisted.model.errors import (
    InvalidLength,
    MethodNotAllowed,
    Refused,
    SessionRestarted,
    UnsupportedVersion,
    UploadGone,
    UploadLocked,
    UploadTakenOver,
)
from onec_twisted.model.uploads import TUS
from onec_twisted.resumable.appending import append
from onec_twisted.resumable.checksums import ALGORITHMS
from onec_twisted.resumable.uploads import content_type_of
from onec_twisted.tus import fields
from onec_twisted.tus.errors import ConcatenationUnsupported, WrongContentType

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from onec_twisted.http.interfaces import IRequest
    from onec_twisted.model.journal import RefusedRequest
    from onec_twisted.model.uploads import Found
    from onec_twisted.resumable.origins import Origins
    from onec_twisted.resumable.uploads import Client, Uploads

__all__ = ["Tus"]

VERSION = b"1.0.0"
"""The only version of tus."""

EXTENSIONS = b"creation,creation-with-upload,creation-defer-length,expiration,checksum,termination"
CHUNK = b"application/offset+octet-stream"
TO_UPLOADS, TO_UPLOAD = b"POST, OPTIONS", b"HEAD, PATCH, DELETE, OPTIONS"
"""The methods allowed for the path, and those allowed for an upload."""


class Tus(RefusingResource):
    """``uploads`` by tus; pages of ``origins`` may upload."""

    _log = Logger()

    def __init__(self, uploads: Uploads, origins: Origins, note_refusal: Callable[[RefusedRequest], None]) -> None:
        """Put refused requests on record by ``note_refusal``."""
        super().__init__(uploads.ingest.metrics, note_refusal)
        self._uploads = uploads
        self._origins = origins
        self._methods: dict[bytes, Callable[[Client, str, int, IRequest], Awaitable[Answer]]] = {
            b"HEAD": self._head,
            b"PATCH": self._patch,
            b"DELETE": self._delete,
        }

    async def respond(self, request: IRequest, refused: Refused | None = None) -> Answer:
        answer = await super().respond(request, refused)
        preflight = _method_of(request) == b"OPTIONS"
        cors = self._origins.headers(request.getHeader(b"origin"), preflight=preflight)
        return evolve(answer, headers=((b"Tus-Resumable", VERSION), *answer.headers, *cors))

    def refusal(self, refused: Refused) -> Answer:
        return Answer(refused.status, refused.words.encode("utf-8") + b"\n", headers=refused.headers)

    async def carry_out(self, request: IRequest) -> Answer:
        number = self._uploads.arrive()
        method = _method_of(request)
        upload_id = text.decoded(b"/".join(request.postpath or []))
        if method == b"OPTIONS":
            return self._options()
        if request.getHeader(b"tus-resumable") != VERSION:
            raise UnsupportedVersion
        client = await self._uploads.client(request, upload_id)
        if not upload_id:
            if method != b"POST":
                raise MethodNotAllowed(TO_UPLOADS)
            return await self._post(client, number, request)
        if method not in self._methods:
            raise MethodNotAllowed(TO_UPLOAD)
        return await self._methods[method](client, upload_id, number, request)

    def _options(self) -> Answer:
        """Report what is supported; browsers send this request before any other, and without a password."""
        return Answer(
            204,
            headers=(
                (b"Tus-Version", VERSION),
                (b"Tus-Extension", EXTENSIONS),
                (b"Tus-Max-Size", b"%d" % self._uploads.quota),
                (b"Tus-Checksum-Algorithm", ALGORITHMS),
            ),
        )

    async def _post(self, client: Client, number: int, request: IRequest) -> Answer:
        """Create an upload, and append the body; unless the answer is 201, nothing is left behind."""
        body, uploads = request.body, self._uploads
        if request.getHeader(b"upload-concat") is not None:
            raise ConcatenationUnsupported
        length = fields.parse_length(request.getHeader(b"upload-length"), request.getHeader(b"upload-defer-length"))
        raw = request.getHeader(b"upload-metadata") or b""
        name = fields.filename_of(fields.parse_metadata(raw))
        has_body = body.length != 0
        is_checked = (
            has_body or length == 0
        )  # else it is for bytes that follow by PATCH: clients send all headers each time
        checksum = fields.parse_checksum(request.getHeader(b"upload-checksum")) if is_checked else None
        if has_body and content_type_of(request) != CHUNK:
            raise WrongContentType
        upload = uploads.record(client, TUS, name, length, raw.decode("ascii"))
        found = await uploads.create(client, upload, request)
        reports_offset = has_body or found.committed > 0 or length == 0
        chunks = uploads.chunks
        try:
            if found.committed:  # the body begins at 0: the answer reports the offset to continue from instead
                found = await chunks.complete(upload) if length == found.committed else found
            elif has_body or length == 0:
                with uploads.claims.hold(upload.id, number, body) as claim:
                    found = await append(chunks, found, claim, 0, None, checksum, creates=True)
        except BaseException:
            await chunks.undo(upload)
            raise
        headers = ((b"Location", uploads.location(request, upload)), *self._expires(found))
        return Answer(201, headers=(*headers, fields.offset_header(found.committed)) if reports_offset else headers)

    async def _head(self, client: Client, upload_id: str, number: int, request: IRequest) -> Answer:
        """Report an upload's offset; the client will continue from there, so older requests are stopped."""
        try:
            found = await self._uploads.find_alone(client, upload_id, number, request, TUS)
        except (UploadTakenOver, SessionRestarted):
            raise UploadLocked from None  # clients treat 409 here as the end of the upload
        upload = found.upload
        known = (b"Upload-Defer-Length", b"1") if upload.length is None else (b"Upload-Length", b"%d" % upload.length)
        metadata = ((b"Upload-Metadata", upload.metadata.encode("ascii")),) if upload.metadata else ()
        return Answer(
            headers=(
                fields.offset_header(found.committed),
                known,
                *metadata,
                *self._expires(found),
                (b"Cache-Control", b"no-store"),
            )
        )

    async def _patch(self, client: Client, upload_id: str, number: int, request: IRequest) -> Answer:
        """Append the body."""
        if content_type_of(request) != CHUNK:
            raise WrongContentType
        offset = fields.parse_offset(request.getHeader(b"upload-offset"))
        raw = request.getHeader(b"upload-length")
        length = fields.parse_length(raw, None) if raw is not None else None
        checksum = fields.parse_checksum(request.getHeader(b"upload-checksum"))
        uploads = self._uploads
        found = await uploads.find(client, upload_id, TUS)
        if length is not None and found.upload.length not in {None, length}:
            raise InvalidLength
        try:
            with uploads.claims.hold(upload_id, number, request.body) as claim:
                found = await append(uploads.chunks, found, claim, offset, length, checksum)
        except UploadGone:
            raise
        except Refused as refused:
            with suppress(Refused):
                found = await uploads.find(client, upload_id, TUS)
                refused.headers = (*refused.headers, fields.offset_header(found.committed), *self._expires(found))
            raise
        return Answer(204, headers=(fields.offset_header(found.committed), *self._expires(found)))

    async def _delete(self, client: Client, upload_id: str, number: int, request: IRequest) -> Answer:
        """End an upload."""
        await self._uploads.terminate(client, upload_id, number, request, TUS)
        return Answer(204)

    def _expires(self, found: Found) -> tuple[tuple[bytes, bytes], ...]:
        """Return the header that reports when an unfinished upload expires, unless it is continued."""
        moment = self._uploads.expires(found)
        return ((b"Upload-Expires", datetimeToString(moment)),) if moment is not None else ()


def _method_of(request: IRequest) -> bytes:
    """Return the intended method: some clients and proxies pass only GET and POST."""
    override: bytes = request.getHeader(b"x-http-method-override") or request.method
    return override.upper()
