"""Turns exceptions into answers: each is counted, logged, and worded for the client's protocol."""

from __future__ import annotations

import errno
import re
from base64 import b64decode
from typing import TYPE_CHECKING

from attrs import frozen
from twisted.logger import Logger

from onec_twisted.http.head import fields_of_target
from onec_twisted.model.errors import Refused, StorageUnavailable, SyncFailed, Unforeseen
from onec_twisted.model.journal import RefusedRequest, Sender
from onec_twisted.model.shown import harmless
from onec_twisted.model.text import decoded
from onec_twisted.runtime.metrics import reason_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.web.http import Request as HTTPRequest

    from onec_twisted.http.answer import Answer
    from onec_twisted.http.interfaces import IRequest
    from onec_twisted.runtime.metrics import Metrics

__all__ = ["Refusals", "address_of", "claimed_user", "sender_of"]

LONGEST_AGENT = 200
"""Characters that are kept of what a program calls itself."""

PASSING = frozenset(
    {
        errno.EACCES,
        errno.EAGAIN,
        errno.EINTR,
        errno.EMFILE,
        errno.EREMOTE,  # an object store does not do what it is asked
        errno.ENFILE,
        errno.ENOMEM,
        errno.EPERM,
        errno.EROFS,
        errno.ESTALE,
    }
)
"""Errors about the state of the system, not about the request: the same request may succeed a little later."""

_LOG = Logger()

_SESSID = re.compile(rb"[?&]sessid=([A-Za-z0-9]{1,64})(?:&|$)")

LONGEST_USER = 100
"""Characters that are kept of a claimed user name."""

LONGEST_ASKED = 200
"""Characters that are kept of what a request asked for."""


def address_of(request: IRequest | HTTPRequest) -> str:
    """Return the client's address as text: an IP address, or ``-`` on a unix socket."""
    return str(getattr(request.getClientAddress(), "host", "-"))


def sender_of(request: IRequest) -> Sender:
    """Return who sent a request."""
    agent = decoded(request.getHeader(b"user-agent") or b"")
    return Sender(address_of(request), harmless(agent[:LONGEST_AGENT]))


def claimed_user(request: IRequest) -> str:
    """Return the user name in the Authorization header (RFC 7617 section 2), true or not; empty if there is none."""
    scheme, _, response = (request.getHeader(b"authorization") or b"").strip().partition(b" ")
    if scheme.lower() != b"basic":
        return ""
    try:
        name, colon, _ = b64decode(response.strip(), validate=True).partition(b":")
    except ValueError:
        return ""
    return harmless(decoded(name)[:LONGEST_USER]) if colon else ""


def _noted(refused: Refused, request: IRequest) -> RefusedRequest:
    """Return what is put on record of a refused request."""
    target, sessid = fields_of_target(request.method, request.uri), _SESSID.search(request.uri)
    asked = f"{target['method']} {target['path']}?{target['query']}".rstrip("?")
    return RefusedRequest(
        claimed_user(request),
        address_of(request),
        sessid[1].decode("ascii") if sessid else "",
        refused.status,
        reason_of(type(refused)),
        refused.words,
        harmless(asked[:LONGEST_ASKED]),
    )


@frozen(eq=False)
class Refusals:
    """Answers refusals in the words of one protocol: ``wording`` returns the answer to a refusal.

    ``note`` puts a refused request on record; ``log`` is the logger of the resource that refuses.
    """

    metrics: Metrics
    wording: Callable[[Refused], Answer]
    note: Callable[[RefusedRequest], None]
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
        cause, noted = refused.__cause__, _noted(refused, request)
        self.note(noted)
        self.log.info(
            "refused: {words} ({status}{because}) {method} {path}?{query} from {peer}{claim}",
            words=refused.words,
            because=f": {cause}" if isinstance(cause, OSError) else "",
            status=refused.status,
            peer=noted.address,
            user=noted.username,
            claim=f" as {noted.username}" if noted.username else "",
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
        self.note(RefusedRequest("", address, "", refused.status, reason_of(type(refused)), refused.words, ""))
        return self.counted(refused)

    def counted(self, refused: Refused) -> Answer:
        """Return the answer to a refusal that is counted but not logged."""
        self.metrics.refused(refused)
        return self.wording(refused)
