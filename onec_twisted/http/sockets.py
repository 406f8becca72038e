"""What the kernel knows about a connection: what its peer has acknowledged; how much is read from it at a time.

It uses private names of Twisted; ``tests/http/test_http_sockets.py`` pins them for the oldest and the newest one:

* ``_aggregator`` of a TLS transport: collects small writes;
* ``_tempDataLen`` of a TCP transport, with its ``dataBuffer`` and ``offset``: bytes not handed to the kernel yet.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import sys
import termios
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionAborted
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from zope.interface import implementer

from onec_twisted.http.interfaces import ILine
from onec_twisted.runtime.descriptors import PIECE_SHARE, is_scarce

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "MANY_RECORDS",
    "TINY_RECORD",
    "RecordReads",
    "SocketLine",
    "WrittenLine",
    "close_now",
    "duplicate",
    "is_plain",
    "line_of",
    "read_at_once",
    "send",
    "write_now",
    "write_through",
]

TCP_CLOSE = 7
"""Linux's number for the state of a closed connection."""

LEAST_READ, FIRST_READ, MOST_READ = 512, 8 * 1024, 64 * 1024
"""Bytes that are read at a time with TLS; a record has at most 16 KB (RFC 8446 section 5.1)."""

LARGE_RECORD, TINY_RECORD = 4 * 1024, 512
"""Bytes of a record that makes reads larger, and below which ``MANY_RECORDS`` in a row make them smaller."""

MANY_RECORDS = 16
"""Consecutive tiny records after which reads become smaller."""

ACKNOWLEDGED = slice(120, 128)
"""Where ``tcp_info`` of Linux 4.1 and later has the number of bytes that the peer has acknowledged."""

OUR_FIN = (4, 9, 11)
"""Linux's numbers for FIN_WAIT1, LAST_ACK and CLOSING: our FIN is unacknowledged, and counted as a byte."""


def is_plain(transport: Any) -> bool:
    """Return whether a transport writes to its socket unchanged: TCP or a unix socket, without TLS."""
    return isinstance(transport, Connection) and not transport.TLS


def close_now(transport: Any) -> None:
    """Abort a connection, and free its descriptor at once.

    ``abortConnection`` does so in the reactor's next iteration, and many others may be accepted in this one.
    """
    bottom = getattr(transport, "transport", transport)
    if isinstance(bottom, Connection):
        bottom.stopReading()
        bottom.stopWriting()
        bottom.connectionLost(Failure(ConnectionAborted()))
    else:
        transport.abortConnection()


def duplicate(descriptor: int) -> int:
    """Duplicate a socket's descriptor. Raises ``OSError``, also when the remaining ones are reserved."""
    made = os.dup(descriptor)
    if is_scarce(made, PIECE_SHARE):
        os.close(made)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return made


def read_at_once(transport: Any, size: int) -> None:
    """Set how many bytes of a connection the reactor reads at a time, except with TLS: see ``RecordReads``."""
    if is_plain(transport):
        transport.bufferSize = size


class RecordReads:
    """Sets how much is read at a time from a TLS connection: little, until its records are large.

    Each record costs, and may carry a single byte: a read of 64 KB has 3,000 of those.
    """

    def __init__(self, transport: Any) -> None:
        """Start with small reads."""
        self._transport = getattr(transport, "transport", transport)
        self._tiny = 0
        self._size = self._transport.bufferSize = FIRST_READ

    def before(self, take: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """Wrap ``take`` so that the size of each record is noted first."""

        def take_record(data: bytes) -> None:
            self.came(len(data))
            take(data)

        return take_record

    @property
    def are_tiny(self) -> bool:
        """Return whether the last records were too small to be read in bulk."""
        return self._size < FIRST_READ

    def shrink(self) -> None:
        """Read as little as possible at a time: the records are tiny."""
        self._size = self._transport.bufferSize = LEAST_READ

    def came(self, size: int) -> None:
        """Adapt the read size to the size of a record, in bytes."""
        if size >= LARGE_RECORD:
            self._tiny = 0
            if self._size < MOST_READ:
                self._size = self._transport.bufferSize = self._size * 2
        elif size < TINY_RECORD:
            self._tiny += 1
            if self._tiny >= MANY_RECORDS and self._size > LEAST_READ:
                self.shrink()


def write_now(transport: Any, data: bytes) -> int:
    """Hand bytes to the kernel at once, if nothing is queued before them; return how many it took.

    This saves the reactor two changes of what it watches, and an iteration.
    """
    if not is_plain(transport) or not transport.connected or transport.disconnecting:
        return 0
    if transport.dataBuffer or transport._tempDataLen:
        return 0
    sent = transport.writeSomeData(data)
    return sent if isinstance(sent, int) else 0  # the reactor will notice the error, too


def write_through(transport: Any) -> None:
    """Flush what TLS would collect until the reactor's next iteration; other transports collect nothing."""
    aggregator = getattr(transport, "_aggregator", None)
    if aggregator is not None:
        aggregator.flush()


def send(transport: Any, data: bytes) -> None:
    """Write an answer, at once if nothing is queued before it."""
    sent = write_now(transport, data)
    if sent < len(data):
        transport.write(data[sent:])


@implementer(ILine)
class SocketLine:
    """A Linux socket, by a duplicate of its descriptor: Twisted closes its own before it can be queried.

    Shared by all users that track one connection, and closed by the last.
    """

    def __init__(self, transport: Any) -> None:
        """Keep a transport's socket, and the transport itself, for what it has not handed to the kernel."""
        self._users = 1
        self._transport = transport
        self._socket = socket.socket(fileno=duplicate(transport.socket.fileno()))

    def unacknowledged(self) -> int:
        """Return SIOCOUTQ plus what Twisted still buffers."""
        transport = self._transport
        held: int = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
        sent = int.from_bytes(fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
        if sent and self._state() in OUR_FIN:
            sent -= 1
        return held + sent

    def _state(self) -> int | None:
        """Return the state of a TCP connection, None for other sockets."""
        if self._socket.family not in (socket.AF_INET, socket.AF_INET6):
            return None
        return self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]

    def over(self) -> bool:
        """Return whether the state is CLOSE. Sockets other than TCP acknowledge nothing after their end."""
        return self._state() in (None, TCP_CLOSE)

    def close(self) -> None:
        self._users -= 1
        if not self._users:
            self._socket.close()

    def acknowledged(self) -> int | None:
        """Return the bytes that the peer has acknowledged since it connected; None if it is not reported."""
        if self._socket.family not in (socket.AF_INET, socket.AF_INET6):
            return None
        info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, ACKNOWLEDGED.stop)[ACKNOWLEDGED]
        return int.from_bytes(info, sys.byteorder) if info else None

    def shared(self) -> SocketLine:
        """Return itself for another user, which has to close it, too."""
        self._users += 1
        return self


@implementer(ILine)
class WrittenLine:
    """A line, up to what has been written so far.

    TLS writes a close alert when a connection ends. A peer that closed as soon as it had read the answer never
    acknowledges the alert, but has the answer.
    """

    def __init__(self, line: SocketLine) -> None:
        """Determine how far a line has been written."""
        self._line = line
        self._end: int | None = None
        acknowledged = line.acknowledged()
        while acknowledged is not None and self._end is None:
            end, before = acknowledged + line.unacknowledged(), acknowledged
            acknowledged = line.acknowledged()
            self._end = end if acknowledged == before else None  # otherwise more was acknowledged in between

    def unacknowledged(self) -> int:
        acknowledged = self._line.acknowledged() if self._end is not None else None
        if self._end is None or acknowledged is None:
            return self._line.unacknowledged()
        return max(0, self._end - acknowledged)

    def over(self) -> bool:
        return self._line.over()

    def close(self) -> None:
        self._line.close()


def line_of(transport: Any) -> SocketLine | None:
    """Return the line for querying a transport's kernel, None where that is impossible; with TLS, that of its TCP."""
    bottom = getattr(transport, "transport", transport)
    if sys.platform != "linux" or not hasattr(bottom, "socket"):
        return None
    return SocketLine(bottom)
