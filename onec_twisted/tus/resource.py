"""The resource of tus: it carries out each method, and turns refusals into answers (tus 1.0.0; docs/tus.md)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import evolve, frozen
from twisted.logger import Logger
from twisted.web.http import datetimeToString

from onec_twisted.auth.sessions import COOKIE
from onec_twisted.http.answer import Answer
from onec_twisted.http.proxied import shows_proxy
from onec_twisted.http.refusals import address_of, sender_of
from onec_twisted.http.resource import RefusingResource
from onec_twisted.model import text
from onec_twisted.model.errors import (
    FileTooLarge,
    HandoffRunning,
    InvalidLength,
    InvalidSession,
    MethodNotAllowed,
    Refused,
    SessionRestarted,
    UploadGone,
    UploadLocked,
    UploadNotFound,
    UploadTakenOver,
)
from onec_twisted.model.names import safe_name
from onec_twisted.model.uploads import OPEN, UploadRecord
from onec_twisted.resumable.checksums import ALGORITHMS
from onec_twisted.tus import fields
from onec_twisted.tus.errors import VERSION, ConcatenationUnsupported, UnsupportedVersion, WrongContentType
from onec_twisted.tus.origins import Origins, location

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from onec_twisted.auth.members import Members
    from onec_twisted.auth.sessions import Sessions
    from onec_twisted.catalog.registry import Registry
    from onec_twisted.delivery.relaying import IRelay
    from onec_twisted.http.interfaces import IRequest
    from onec_twisted.ingest.engine import Ingest
    from onec_twisted.model.journal import RefusedRequest
    from onec_twisted.model.records import Session
    from onec_twisted.model.uploads import Found
    from onec_twisted.resumable.chunks import Chunks
    from onec_twisted.resumable.claims import Claims

__all__ = ["Tus"]

EXTENSIONS = b"creation,creation-with-upload,creation-defer-length,expiration,checksum,termination"
CHUNK = b"application/offset+octet-stream"
DEFAULT_NAME = b"upload"
"""The name of a file whose client sends none, in a session of its own."""

TO_UPLOADS, TO_UPLOAD = b"POST, OPTIONS", b"HEAD, PATCH, DELETE, OPTIONS"
"""The methods allowed for the path, and those allowed for an upload."""


@frozen
class _Client:
    """The client of a request: a user, and the session that its cookie opens, if it sent one."""

    user: str
    session: Session | None


class Tus(RefusingResource):
    """Uploads at ``path``, which has no trailing slash; each upload has a URL of its own below it."""

    _log = Logger()

    def __init__(
        self,
        path: bytes,
        *,
        members: Members,
        sessions: Sessions,
        ingest: Ingest,
        relay: IRelay,
        registry: Registry,
        chunks: Chunks,
        origins: Origins,
        claims: Claims,
        lock_timeout: float,
        note_refusal: Callable[[RefusedRequest], None],
    ) -> None:
        """Serve with these parts; pages of ``origins`` may upload; ``lock_timeout`` is in seconds."""
        super().__init__(ingest.metrics, note_refusal)
        self._path = path
        self._members = members
        self._sessions = sessions
        self._shard = sessions.shard
        self._ingest = ingest
        self._relay = relay
        self._registry = registry
        self._chunks = chunks
        self._origins = origins
        self._lock_timeout = lock_timeout
        self._claims = claims
        self._methods: dict[bytes, Callable[[_Client, str, int, IRequest], Awaitable[Answer]]] = {
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
        number = self._claims.arrive()
        method = _method_of(request)
        upload_id = text.decoded(b"/".join(request.postpath or []))
        if method == b"OPTIONS":
            return self._options()
        if request.getHeader(b"tus-resumable") != VERSION:
            raise UnsupportedVersion
        client = await self._client(request, upload_id)
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
                (b"Tus-Max-Size", b"%d" % self._registry.quota),
                (b"Tus-Checksum-Algorithm", ALGORITHMS),
            ),
        )

    async def _client(self, request: IRequest, upload_id: str) -> _Client:
        """Return the client, authenticated by the cookie of a session or by Basic. Raises ``Refused``."""
        token = request.getCookie(COOKIE.encode("ascii"))
        session = await self._sessions.find(token)
        if session is not None:
            return _Client(session.username, session)
        if not upload_id:  # a proxy routes by the upload's id first
            self._shard.note_unknown(token or b"")
        header = request.getHeader(b"authorization")
        return _Client(await self._members.login_again(header, address_of(request)), None)

    async def _post(self, client: _Client, number: int, request: IRequest) -> Answer:
        """Create an upload, and append the body; unless the answer is 201, nothing is left behind."""
        body = request.body
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
        if has_body and _content_type_of(request) != CHUNK:
            raise WrongContentType
        own = client.session is None
        upload = UploadRecord(
            id=self._shard.new_id(16),
            username=client.user,
            sessid=client.session.sessid if client.session is not None else self._shard.new_id(16),
            name=str(safe_name(name or (DEFAULT_NAME if own else None))),
            length=length,
            metadata=raw.decode("ascii"),
            own=own,
        )
        await self._check_room(upload, body.length)
        async with self._chunks.lock(upload):
            found = await self._registry.create(upload, client.session, self._ingest.now(), sender_of(request))
        self._log.info(
            "{sessid}: upload of {name} created by {user} from {peer}",
            sessid=upload.sessid,
            user=client.user,
            name=upload.name,
            peer=address_of(request),
            upload=upload.id,
            length=length,
        )
        reports_offset = has_body or found.committed > 0 or length == 0
        try:
            if found.committed:  # the body begins at 0: the answer reports the offset to continue from instead
                found = await self._chunks.complete(upload) if length == found.committed else found
            elif has_body or length == 0:
                with self._claims.hold(upload.id, number, body) as claim:
                    found = await self._chunks.append(found, claim, 0, None, checksum, creates=True)
        except BaseException:
            await self._chunks.undo(upload)
            raise
        headers = ((b"Location", self._location(request, upload)), *self._expires(found))
        return Answer(201, headers=(*headers, fields.offset_header(found.committed)) if reports_offset else headers)

    async def _check_room(self, upload: UploadRecord, coming: int | None) -> None:
        """Check that there is room for the whole upload. Raises ``FileTooLarge``, ``InsufficientStorage``."""
        length = upload.length
        if max(length or 0, coming or 0) > self._registry.quota:
            raise FileTooLarge
        self._relay.check_room(upload.username)
        if length is not None and coming is not None and coming > length:
            raise FileTooLarge
        files = self._ingest.files
        there = None if upload.own else await files.find(upload.sessid, upload.name)
        rest = (length or 0) - (there.committed if there is not None else 0)
        await self._ingest.check_room(upload.username, max(rest, len(upload.metadata)))

    async def _head(self, client: _Client, upload_id: str, number: int, request: IRequest) -> Answer:
        """Report an upload's offset; the client will continue from there, so older requests are stopped."""
        found = await self._find(client, upload_id)
        try:
            with self._claims.hold(upload_id, number, request.body) as claim:
                async with self._chunks.lock(found.upload):
                    await claim.count(self._ingest.daemons, self._chunks.live(found), upload_id)
                    found = await self._find(client, upload_id)
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

    async def _patch(self, client: _Client, upload_id: str, number: int, request: IRequest) -> Answer:
        """Append the body."""
        if _content_type_of(request) != CHUNK:
            raise WrongContentType
        offset = fields.parse_offset(request.getHeader(b"upload-offset"))
        raw = request.getHeader(b"upload-length")
        length = fields.parse_length(raw, None) if raw is not None else None
        checksum = fields.parse_checksum(request.getHeader(b"upload-checksum"))
        found = await self._find(client, upload_id)
        if length is not None and found.upload.length not in {None, length}:
            raise InvalidLength
        try:
            with self._claims.hold(upload_id, number, request.body) as claim:
                found = await self._chunks.append(found, claim, offset, length, checksum)
        except UploadGone:
            raise
        except Refused as refused:
            with suppress(Refused):
                found = await self._find(client, upload_id)
                refused.headers = (*refused.headers, fields.offset_header(found.committed), *self._expires(found))
            raise
        return Answer(204, headers=(fields.offset_header(found.committed), *self._expires(found)))

    async def _delete(self, client: _Client, upload_id: str, number: int, request: IRequest) -> Answer:
        """End an upload, and remove its file; if the file was handed off, remove it after delivery."""
        found = await self._find(client, upload_id)
        with self._claims.hold(upload_id, number, request.body):
            await self._terminate(found.upload)
        return Answer(204)

    async def _terminate(self, upload: UploadRecord) -> None:
        """Remove an upload with its file, and with its session, if that is its own. Raises ``HandoffRunning``.

        A file that a node has sent part of stays, because that part was acknowledged to the node.
        """
        if upload.own:
            locks = self._ingest.locks
            await self._relay.idle(upload.sessid, self._lock_timeout)
            try:
                async with locks.of_session(upload.sessid, UploadGone, UploadLocked):
                    await self._chunks.discard(upload)
            except InvalidSession:
                raise UploadGone from None
        else:
            async with self._chunks.lock(upload):
                if await self._remove(upload):
                    await self._chunks.remove_file(upload)
        self._log.info(
            "{sessid}: upload of {name} terminated",
            sessid=upload.sessid,
            user=upload.username,
            name=upload.name,
            upload=upload.id,
        )

    async def _remove(self, upload: UploadRecord) -> bool:
        """Delete an upload's record, after its delivery if need be; return whether its file is to be removed."""
        try:
            return await self._registry.remove(upload, self._ingest.now())
        except HandoffRunning:
            await self._relay.idle(upload.sessid, self._lock_timeout)
            return await self._registry.remove(upload, self._ingest.now())

    async def _find(self, client: _Client, upload_id: str) -> Found:
        """Return a client's upload. Raises ``UploadNotFound``, also for another client's, and ``UploadGone``."""
        try:
            found = await self._registry.find(upload_id)
        except UploadNotFound:
            self._shard.note_unknown(upload_id)
            raise
        found.check_owner(client.user)
        self._chunks.live(found)
        return found

    def _expires(self, found: Found) -> tuple[tuple[bytes, bytes], ...]:
        """Return the header that reports when an unfinished upload expires, unless it is continued."""
        if found.session is None or found.upload.state != OPEN:
            return ()
        return ((b"Upload-Expires", datetimeToString(found.session.touched + self._sessions.ttl)),)

    def _location(self, request: IRequest, upload: UploadRecord) -> bytes:
        """Return the URL of an upload."""
        path = self._path + b"/" + upload.id.encode("ascii")
        host, prefix = request.getHeader(b"host") or b"", b""
        if request.trusted_proxy:
            host = request.from_proxy(b"x-forwarded-host") or host
            prefix = request.from_proxy(b"x-forwarded-prefix")
        elif shows_proxy(request):
            host = b""  # an untrusted proxy's: scheme and host may differ from those that the client used
        return location(path, host.strip(), prefix.strip(), secure=request.isSecure())


def _method_of(request: IRequest) -> bytes:
    """Return the intended method: some clients and proxies pass only GET and POST."""
    override: bytes = request.getHeader(b"x-http-method-override") or request.method
    return override.upper()


def _content_type_of(request: IRequest) -> bytes:
    """Return the media type of a body, without parameters."""
    content_type: bytes = request.getHeader(b"content-type") or b""
    return content_type.partition(b";")[0].strip().lower()
