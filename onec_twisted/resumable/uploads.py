"""What the protocols for resumable uploads have in common: who uploads, and how uploads begin, are found, and end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen
from twisted.logger import Logger

from onec_twisted.auth.sessions import COOKIE
from onec_twisted.http.proxied import shows_proxy
from onec_twisted.http.refusals import address_of, sender_of
from onec_twisted.model.errors import (
    FileTooLarge,
    HandoffRunning,
    InvalidSession,
    UnsupportedVersion,
    UploadGone,
    UploadLocked,
    UploadNotFound,
)
from onec_twisted.model.names import safe_name
from onec_twisted.model.uploads import OPEN, TUS, UploadRecord
from onec_twisted.resumable.origins import location

if TYPE_CHECKING:
    from onec_twisted.auth.members import Members
    from onec_twisted.auth.sessions import Sessions
    from onec_twisted.auth.shard import Shard
    from onec_twisted.catalog.registry import Registry
    from onec_twisted.delivery.relaying import IRelay
    from onec_twisted.http.interfaces import IRequest
    from onec_twisted.ingest.engine import Ingest
    from onec_twisted.model.records import Session
    from onec_twisted.model.uploads import Found
    from onec_twisted.resumable.chunks import Chunks
    from onec_twisted.resumable.claims import Claims

__all__ = ["Client", "Uploads", "content_type_of"]

DEFAULT_NAME = b"upload"
"""The name of a file whose client sends none, in a session of its own."""


@frozen
class Client:
    """The client of a request: a user, and the session that its cookie opens, if it sent one."""

    user: str
    session: Session | None


@frozen(eq=False, kw_only=True)
class Uploads:
    """Uploads at ``path``, which has no trailing slash; each upload has a URL of its own below it.

    ``lock_timeout`` is in seconds.
    """

    path: bytes
    members: Members
    sessions: Sessions
    ingest: Ingest
    relay: IRelay
    registry: Registry
    chunks: Chunks
    claims: Claims
    lock_timeout: float
    _log = Logger()

    @property
    def quota(self) -> int:
        """Return how many bytes an upload may have."""
        return self.registry.quota

    def arrive(self) -> int:
        """Return the number of a request, before it waits for anything; see ``Claims.arrive``."""
        return self.claims.arrive()

    @property
    def shard(self) -> Shard:
        """Return the shard that this daemon is."""
        return self.sessions.shard

    async def client(self, request: IRequest, upload_id: str) -> Client:
        """Return the client, authenticated by the cookie of a session or by Basic. Raises ``Refused``."""
        token = request.getCookie(COOKIE.encode("ascii"))
        session = await self.sessions.find(token)
        if session is not None:
            return Client(session.username, session)
        if not upload_id:  # a proxy routes by the upload's id first
            self.shard.note_unknown(token or b"")
        header = request.getHeader(b"authorization")
        return Client(await self.members.login_again(header, address_of(request)), None)

    def record(
        self,
        client: Client,
        protocol: str,
        name: bytes | None,
        length: int | None,
        metadata: str,
        digest: str = "",
    ) -> UploadRecord:
        """Return a new upload of a client, not yet on record; see ``UploadRecord``.

        ``name`` is the file's, None if the client sent none. Raises ``InvalidFilename``, ``MissingFilename``.
        """
        own = client.session is None
        return UploadRecord(
            id=self.shard.new_id(16),
            username=client.user,
            sessid=client.session.sessid if client.session is not None else self.shard.new_id(16),
            name=str(safe_name(name or (DEFAULT_NAME if own else None))),
            length=length,
            metadata=metadata,
            own=own,
            protocol=protocol,
            digest=digest,
        )

    async def create(self, client: Client, upload: UploadRecord, request: IRequest) -> Found:
        """Put a new upload on record, if there is room for it. Raises ``Refused``."""
        await self._check_room(upload, request.body.length)
        async with self.chunks.lock(upload):
            found = await self.registry.create(upload, client.session, self.ingest.now(), sender_of(request))
        self._log.info(
            "{sessid}: upload of {name} created by {user} from {peer}",
            sessid=upload.sessid,
            user=client.user,
            name=upload.name,
            peer=address_of(request),
            upload=upload.id,
            length=upload.length,
        )
        return found

    async def _check_room(self, upload: UploadRecord, coming: int | None) -> None:
        """Check that there is room for the whole upload. Raises ``FileTooLarge``, ``InsufficientStorage``."""
        length = upload.length
        if max(length or 0, coming or 0) > self.registry.quota:
            raise FileTooLarge
        self.relay.check_room(upload.username)
        if length is not None and coming is not None and coming > length:
            raise FileTooLarge
        files = self.ingest.files
        there = None if upload.own else await files.find(upload.sessid, upload.name)
        rest = (length or 0) - (there.committed if there is not None else 0)
        await self.ingest.check_room(upload.username, max(rest, len(upload.metadata)))

    async def find(self, client: Client, upload_id: str, protocol: str) -> Found:
        """Return a client's upload by a protocol.

        Raises ``UploadNotFound``, also for another client's and for one by RUFH, ``UnsupportedVersion`` for one by
        tus, and ``UploadGone``.
        """
        try:
            found = await self.registry.find(upload_id)
        except UploadNotFound:
            self.shard.note_unknown(upload_id)
            raise
        found.check_owner(client.user)
        if found.upload.protocol != protocol:
            raise UnsupportedVersion if found.upload.protocol == TUS else UploadNotFound
        self.chunks.live(found)
        return found

    async def find_alone(
        self, client: Client, upload_id: str, number: int, request: IRequest, protocol: str
    ) -> Found:
        """Return a client's upload once no older request writes to it: the client will continue from there.

        ``number`` is the request's, see ``Claims.arrive``. Raises ``Refused``.
        """
        found = await self.find(client, upload_id, protocol)
        with self.claims.hold(upload_id, number, request.body) as claim:
            async with self.chunks.lock(found.upload):
                await claim.count(self.ingest.daemons, self.chunks.live(found), upload_id)
                return await self.find(client, upload_id, protocol)

    async def terminate(self, client: Client, upload_id: str, number: int, request: IRequest, protocol: str) -> None:
        """End an upload, and remove its file; if the file was handed off, remove it after delivery.

        If its session is its own, that ends, too. A file that a node has sent part of stays, because that part was
        acknowledged to the node. ``number`` is the request's, see ``Claims.arrive``. Raises ``Refused``.
        """
        found = await self.find(client, upload_id, protocol)
        with self.claims.hold(upload_id, number, request.body):
            await self._end(found.upload)

    async def _end(self, upload: UploadRecord) -> None:
        """End an upload. Raises ``HandoffRunning``."""
        if upload.own:
            locks = self.ingest.locks
            await self.relay.idle(upload.sessid, self.lock_timeout)
            try:
                async with locks.of_session(upload.sessid, UploadGone, UploadLocked):
                    await self.chunks.discard(upload)
            except InvalidSession:
                raise UploadGone from None
        else:
            async with self.chunks.lock(upload):
                if await self._remove(upload):
                    await self.chunks.remove_file(upload)
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
            return await self.registry.remove(upload, self.ingest.now())
        except HandoffRunning:
            await self.relay.idle(upload.sessid, self.lock_timeout)
            return await self.registry.remove(upload, self.ingest.now())

    def expires(self, found: Found) -> float | None:
        """Return when an unfinished upload ends unless it is continued, in seconds since 1970; None for others."""
        if found.session is None or found.upload.state != OPEN:
            return None
        return found.session.touched + self.sessions.ttl

    def age_left(self, found: Found) -> float | None:
        """Return for how many seconds an unfinished upload stays unless it is continued; None for others."""
        expires = self.expires(found)
        return None if expires is None else expires - self.ingest.now()

    def location(self, request: IRequest, upload: UploadRecord) -> bytes:
        """Return the URL of an upload."""
        path = self.path + b"/" + upload.id.encode("ascii")
        host, prefix = request.getHeader(b"host") or b"", b""
        if request.trusted_proxy:
            host = request.from_proxy(b"x-forwarded-host") or host
            prefix = request.from_proxy(b"x-forwarded-prefix")
        elif shows_proxy(request):
            host = b""  # an untrusted proxy's: scheme and host may differ from those that the client used
        return location(path, host.strip(), prefix.strip(), secure=request.isSecure())


def content_type_of(request: IRequest) -> bytes:
    """Return the media type of a body, without parameters."""
    content_type: bytes = request.getHeader(b"content-type") or b""
    return content_type.partition(b";")[0].strip().lower()
