"""Whether the peer of a connection still waits for its answer, or may have gone on with another daemon.

A daemon that was frozen finds whole requests in its sockets whose senders have long gone on elsewhere. A peer that
has closed its end does not wait; one that has vanished cannot be told from one that is patient.
"""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from onec_twisted.http.interfaces import IPeer
from onec_twisted.http.sockets import duplicate

if TYPE_CHECKING:
    from twisted.internet.interfaces import ITransport

__all__ = ["Peer", "peer_of"]

CLOSED = getattr(select, "POLLRDHUP", 0)
"""What is asked of the kernel: whether the peer sends nothing more. Errors, and both ends closed, come unasked."""


@implementer(IPeer)
class Peer:
    """The peer at the other end of a socket; ``descriptor`` belongs to this object, None if there is none to ask."""

    def __init__(self, descriptor: int | None) -> None:
        """Watch nothing yet."""
        self._descriptor = descriptor

    def waits(self) -> bool:
        if self._descriptor is None:
            return True
        poll = select.poll()
        poll.register(self._descriptor, CLOSED)
        return not poll.poll(0)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def peer_of(transport: ITransport) -> Peer:
    """Return the peer of a connection, over TLS or not. Raises ``OSError`` when no descriptor is left."""
    bottom: Any = getattr(transport, "transport", transport)
    if not hasattr(bottom, "socket"):
        return Peer(None)
    return Peer(duplicate(bottom.fileno()))
