"""Where a worker takes a body from: a socket, or a TLS connection that the reactor lends to it.

A worker with a large body reads, decrypts and writes many records at a time; the reactor learns only how many bytes
they had. Two threads must not use OpenSSL's state of a connection. So while a worker has it, a stand-in takes its
place in Twisted's transport: what would be written is kept, and a shutdown is noted. When the worker is done, the
reactor takes the connection back, and does what Twisted does after a read: it sends what waits, passes on what was
received behind the body, and handles the error that the worker met, if any.

The kernel could decrypt as well (kTLS), and splice(2) move the bytes. But it takes over only at the handshake, from
an OpenSSL that owns the socket: Twisted's connections have memory BIOs, and pyOpenSSL does not tell their keys.

This module uses private names; ``tests/http/test_http_sources.py`` pins them for the oldest and the newest versions:

* ``_tlsConnection`` of a TLS transport, with ``_handshakeDone``, ``_lostTLSConnection`` and ``_appSendBuffer``: its
  state; ``_shutdownTLS``, ``_unbufferPendingWrites`` and ``_flushReceiveBIO``: what Twisted does with it;
* ``_ssl`` and ``_raise_ssl_error`` of a pyOpenSSL connection, and ``SSL_read`` of its bindings: its own ``recv_into``
  allocates a buffer for each record and copies once more, which takes a quarter more of the processor's time.
"""

from __future__ import annotations

import fcntl
import os
import sys
import termios
import threading
from typing import TYPE_CHECKING, Any, NoReturn

from OpenSSL.SSL import Error, WantReadError
from twisted.internet.tcp import Connection
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from onec_twisted.http.interfaces import IBodySocket, IBodySource
from onec_twisted.http.sockets import MANY_RECORDS, TINY_RECORD, duplicate, is_plain, write_through

try:
    from OpenSSL._util import ffi, lib
except ImportError:  # a later pyOpenSSL: go through its recv_into
    ffi = lib = None

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.http.sockets import RecordReads

__all__ = ["BodySocket", "SocketSource", "TlsBodySocket", "TlsSource", "socket_of"]

READ_SIZE = 256 * 1024
"""Bytes that a worker reads from a socket at a time: they stay in the processor's cache until they are written."""

RECORD_SPARE = 2 * 17 * 1024
"""Bytes that a read may return beyond those just received: of a record received in part (RFC 8446 section 5.2)."""

READ_BEYOND = 512
"""Bytes that a worker may read beyond a body for each record's overhead; what follows the body is the reactor's."""

NOTHING = memoryview(b"")
"""What is read at the end of a connection, and when the reactor has to look at it."""


class _Buffers(threading.local):
    """The buffers of one thread, made at its first read: bytes as received, and bytes of bodies."""

    def __init__(self) -> None:
        """Make them."""
        body = bytearray(READ_SIZE + RECORD_SPARE)
        self.received = memoryview(bytearray(READ_SIZE))
        self.body = memoryview(body)
        # not of a memoryview: Python before 3.13 may crash when it collects one in use as garbage
        self.pointer: Any = ffi.from_buffer(body) if ffi is not None else None

    def decrypt(self, connection: Any, start: int, most: int) -> int:
        """Decrypt at most ``most`` bytes to ``start``, and return their number. Raises what pyOpenSSL raises."""
        if lib is None:
            return int(connection.recv_into(self.body[start : start + most]))
        size: int = lib.SSL_read(connection._ssl, self.pointer + start, most)
        if size <= 0:
            connection._raise_ssl_error(connection._ssl, size)
        return size


_BUFFERS = _Buffers()


def _receive(descriptor: int, buffer: memoryview) -> int | None:
    """Read what waits in a socket; return its size, None if nothing waits, 0 at the end and for errors."""
    try:
        return os.readv(descriptor, [buffer])
    except BlockingIOError:
        return None
    except OSError:
        return 0


@implementer(IBodySource)
class SocketSource:
    """A socket whose bytes are those of the body."""

    is_plain = True

    def __init__(self, descriptor: int) -> None:
        """Read from a descriptor."""
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def read(self, most: int) -> memoryview | None:
        buffer = _BUFFERS.body
        size = _receive(self._descriptor, buffer[:most])
        return None if size is None else buffer[:size]


@implementer(IBodySource)
class TlsSource:
    """A TLS connection that belongs to a worker, and its socket.

    ``error`` is what OpenSSL has raised, which it does only once; ``are_tiny`` says that its records are so small
    that it is fairer to others to read fewer bytes at a time. Either ends the reading.
    """

    is_plain = False

    def __init__(self, descriptor: int, connection: Any) -> None:
        """Read from a descriptor, and decrypt by a connection of pyOpenSSL."""
        self.connection = connection
        self.error: Error | None = None
        self.are_tiny = False
        self._descriptor = descriptor
        self._is_drained = True

    def fileno(self) -> int:
        return self._descriptor

    def read(self, most: int) -> memoryview | None:
        if self.error is not None or self.are_tiny:
            return NOTHING
        buffers = _BUFFERS
        if self._is_drained:
            size = _receive(self._descriptor, buffers.received[: most + READ_BEYOND])
            if not size:
                return None if size is None else NOTHING
            self.connection.bio_write(buffers.received[:size])
        size = self._decrypt(min(most, len(buffers.body)))
        return buffers.body[:size] if size or self.error is not None else None

    def _decrypt(self, most: int) -> int:
        """Decrypt records until there are no more, or ``most`` bytes; return the number of bytes."""
        records, size, decrypt = 0, 0, _BUFFERS.decrypt
        self._is_drained = False
        try:
            while size < most:
                size += decrypt(self.connection, size, most - size)
                records += 1
        except WantReadError:
            self._is_drained = True
        except Error as error:
            self.error = error.with_traceback(None)  # its frames would keep the buffers
        self.are_tiny = records >= MANY_RECORDS and size < records * TINY_RECORD
        return size


class _StandIn:
    """Stands in for the TLS connection of a ``source`` that a worker has: Twisted keeps what it wants to write.

    ``is_shut`` says that Twisted has begun to shut the connection down.
    """

    def __init__(self, source: TlsSource) -> None:
        """Stand in from now on."""
        self.source = source
        self.is_shut = False

    def send(self, data: bytes) -> NoReturn:
        """Let Twisted keep the data: the connection has to read first."""
        raise WantReadError

    def recv(self, size: int) -> NoReturn:
        """Have nothing to read."""
        raise WantReadError

    def bio_read(self, size: int) -> NoReturn:
        """Have nothing to send."""
        raise WantReadError

    def bio_shutdown(self) -> None:
        """Do nothing: the connection is lost."""

    def shutdown(self) -> bool:
        """Note it; the other side has not shut down."""
        self.is_shut = True
        return False


@implementer(IBodySocket)
class BodySocket:
    """The socket of a connection without TLS, while a body is received."""

    def __init__(self, channel: Any) -> None:
        """Change nothing yet."""
        self._channel = channel
        self._transport = channel.transport
        self._descriptor: int | None = None

    def when_readable(self, moves: Callable[[], bool]) -> None:
        read = self._transport.doRead
        self._transport.doRead = lambda: None if moves() else read()

    def waiting(self) -> int:
        return int.from_bytes(fcntl.ioctl(self._transport.socket, termios.FIONREAD, bytes(4)), sys.byteorder)

    def lend(self) -> IBodySource | None:
        descriptor = self._duplicated()
        return SocketSource(descriptor) if descriptor is not None else None

    def _duplicated(self) -> int | None:
        """Return a duplicate, as Twisted may close its own descriptor at any moment; None if none is left."""
        if self._descriptor is None:
            try:
                self._descriptor = duplicate(self._transport.fileno())
            except OSError:
                return None
        return self._descriptor

    def moved(self, size: int) -> None:
        if self._transport.connected:
            self._channel.body_moved(size)

    def release(self) -> None:
        vars(self._transport).pop("doRead", None)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class TlsBodySocket(BodySocket):
    """A TLS connection, and the socket under it, while a body is received."""

    def __init__(self, channel: Any) -> None:
        """Change nothing yet."""
        super().__init__(channel)
        self._tls = self._transport
        self._transport = self._tls.transport
        self._reads: RecordReads = channel.record_reads

    def lend(self) -> IBodySource | None:
        tls = self._tls
        write_through(tls)
        is_busy = tls._appSendBuffer or tls._lostTLSConnection or tls.disconnecting or not tls._handshakeDone
        descriptor = None if is_busy or self._reads.are_tiny else self._duplicated()
        if descriptor is None:
            return None
        source = TlsSource(descriptor, tls._tlsConnection)
        tls._tlsConnection = _StandIn(source)
        return source

    def moved(self, size: int) -> None:
        """Count, and do what Twisted does after a read, in the same order; see ``TLSMemoryBIOProtocol``."""
        tls = self._tls
        stand_in = tls._tlsConnection
        if not isinstance(stand_in, _StandIn):
            return  # the connection was lost meanwhile
        source = stand_in.source
        connection = tls._tlsConnection = source.connection
        if source.are_tiny:
            self._reads.shrink()
        if stand_in.is_shut:
            tls._shutdownTLS()
        if tls._appSendBuffer:
            tls._unbufferPendingWrites()
        super().moved(size)
        if tls._tlsConnection is connection:
            if source.error is not None:
                _raise_once(connection, source.error)
            tls._flushReceiveBIO()


def _raise_once(connection: Any, error: Error) -> None:
    """Let a connection raise at its next read what OpenSSL has raised already."""

    def recv(_: int) -> NoReturn:
        del connection.recv
        raise error

    connection.recv = recv


def socket_of(channel: Any, length: int | None) -> BodySocket | None:
    """Return the socket of a body of ``length`` bytes; None if it cannot be taken from there."""
    transport = channel.transport
    if not length:
        return None
    if is_plain(transport):
        return BodySocket(channel)
    is_tls = isinstance(transport, TLSMemoryBIOProtocol) and isinstance(transport.transport, Connection)
    return TlsBodySocket(channel) if is_tls else None
