"""A TLS connection to a site over a real socket, without a reactor: a test says what happens, and when."""

from __future__ import annotations

import select
import socket
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from attrs import define, field
from OpenSSL import SSL
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.internet.tcp import Server
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from certificates import Certificate
    from in_memory import InMemory

VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}

MOST_STEPS = 10_000
"""Steps after which a connection is taken to turn in circles."""


@define(eq=False)
class Polled:
    """The part of a reactor that a connection uses: who wants to read and write, and the clock."""

    clock: Any
    readers: set[Any] = field(factory=set)
    writers: set[Any] = field(factory=set)

    def addReader(self, one: Any) -> None:
        """Note it."""
        self.readers.add(one)

    def removeReader(self, one: Any) -> None:
        """Forget it."""
        self.readers.discard(one)

    def addWriter(self, one: Any) -> None:
        """Note it."""
        self.writers.add(one)

    def removeWriter(self, one: Any) -> None:
        """Forget it."""
        self.writers.discard(one)

    def callLater(self, *args: Any) -> Any:
        """Let the clock call."""
        return self.clock.callLater(*args)


class OverPair(Server):
    """A connection by one socket of a pair, whose bytes are there as soon as they are sent."""

    def __init__(self, ours: socket.socket, protocol: Any, reactor: Any) -> None:
        """Serve the protocol."""
        port: Any = SimpleNamespace(_realPortNumber=443)
        super().__init__(ours, protocol, ("192.168.1.1", 54321), port, 0, reactor)

    def getHost(self) -> IPv4Address:
        """Return an address, which a pair has not."""
        return IPv4Address("TCP", "127.0.0.1", 443)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Do nothing: a pair never delays."""


@define(eq=False)
class TlsNode:
    """The other end's OpenSSL: makes the bytes that a node sends, and reads those that it receives."""

    connection: Any
    received: bytes = b""
    ended: str | None = None
    """How the server has ended TLS: by ``close_notify``, or an alert in OpenSSL's words."""

    @classmethod
    def make(cls, version: str) -> TlsNode:
        """Make one that speaks a version, and begins a handshake when it is asked for bytes."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(VERSIONS[version])
        context.set_max_proto_version(VERSIONS[version])
        connection = SSL.Connection(context, None)
        connection.set_connect_state()
        return cls(connection)

    def shake_hands(self) -> bytes:
        """Go on with the handshake; return what to send."""
        with suppress(SSL.WantReadError):
            self.connection.do_handshake()
        return self.to_send()

    def records(self, data: bytes, size: int = 16384) -> bytes:
        """Return the records of some bytes, each of ``size`` of them."""
        for start in range(0, len(data), size):
            self.connection.send(data[start : start + size])
        return self.to_send()

    def close_notify(self) -> bytes:
        """Return the alert that ends TLS."""
        self.connection.shutdown()
        return self.to_send()

    def to_send(self) -> bytes:
        """Return the bytes that it has to send."""
        made = b""
        with suppress(SSL.WantReadError):
            while True:
                made += self.connection.bio_read(65536)
        return made

    def take(self, data: bytes) -> None:
        """Take what the server has sent."""
        self.connection.bio_write(data)
        try:
            while self.ended is None:
                self.received += self.connection.recv(65536)
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.ended = "close_notify"
        except SSL.Error as error:
            self.ended = str(error.args[0][-1][-1] if error.args and error.args[0] else error)


@define(eq=False)
class TlsLine:
    """A connection of a node to a site: what it sends is there at once, what becomes of it a test decides."""

    exchange: InMemory
    certificate: Certificate
    node: Any
    reactor: Polled = field(init=False)
    transport: Any = field(init=False)
    tls: Any = field(init=False)
    line: socket.socket = field(init=False)
    waiting: bytes = field(default=b"", init=False)
    """What the node has sent, and the socket has no room for yet."""
    ends: str | None = field(default=None, init=False)
    """How the node ends the connection once all it has sent is in the socket."""

    def __attrs_post_init__(self) -> None:
        """Connect, and shake hands."""
        context = DefaultOpenSSLContextFactory(str(self.certificate.key), str(self.certificate.chain), SSL.TLS_METHOD)
        factory: Any = TLSMemoryBIOFactory(context, False, self.exchange.site, self.exchange.clock)
        self.tls = factory.buildProtocol(None)
        ours, self.line = socket.socketpair()
        ours.setblocking(False)
        self.line.setblocking(False)
        self.reactor = Polled(self.exchange.clock)
        self.transport = OverPair(ours, self.tls, self.reactor)
        self.tls.makeConnection(self.transport)
        for _ in range(3):
            self.send(self.node.shake_hands())
            self.settle()

    @property
    def channel(self) -> Any:
        """Return our end's HTTP."""
        return self.tls.wrappedProtocol

    @property
    def is_lent(self) -> bool:
        """Return whether a worker has the connection."""
        return self.tls.connected and type(self.tls._tlsConnection) is not SSL.Connection

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.waiting += data
        self._push()

    def end(self, how: str) -> None:
        """End the connection behind what was sent: by ``FIN``, or by half of it."""
        self.ends = how
        self._push()

    def _push(self) -> bool:
        """Put into the socket what it has room for; return whether there was anything."""
        if self.line.fileno() < 0:
            return False
        waiting, ends = len(self.waiting), self.ends
        with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            while self.waiting:
                self.waiting = self.waiting[self.line.send(self.waiting) :]
            if self.ends == "half":
                self.line.shutdown(socket.SHUT_WR)
            elif self.ends == "FIN":
                self._pull()
                self.line.close()
            self.ends = None
        return (waiting, ends) != (len(self.waiting), self.ends)

    def _pull(self) -> bool:
        """Let the node read what the server has sent; return whether there was anything."""
        if self.line.fileno() < 0:
            return False
        came = False
        with suppress(BlockingIOError, ConnectionResetError):
            while data := self.line.recv(65536):
                self.node.take(data)
                came = True
        return came

    def step(self) -> bool:
        """Let the reactor turn once; return whether anything happened."""
        clock, transport = self.exchange.clock, self.transport
        calls = len(clock.getDelayedCalls())
        clock.advance(0)
        happened = len(clock.getDelayedCalls()) != calls
        readable, writable = self._ready()
        if writable and transport in self.reactor.writers:
            happened = True
            self._note(transport.doWrite())
        if readable and transport in self.reactor.readers:
            happened = True
            self._note(transport.doRead())
        pushed = self._push()
        return self._pull() or pushed or happened

    def _ready(self) -> tuple[bool, bool]:
        """Return whether our socket can be read and written."""
        if not self.transport.connected:
            return False, False
        readable, writable, _ = select.select([self.transport], [self.transport], [], 0)
        return bool(readable), bool(writable)

    def _note(self, why: Any) -> None:
        """Treat the end of the connection as a reactor does."""
        if why is not None and self.transport.connected:
            reason = ConnectionDone() if why is CONNECTION_DONE else why
            self.transport.connectionLost(Failure(reason))

    def settle(self, *, work: bool = True) -> None:
        """Let the reactor turn, and the workers run unless they shall not, until nothing happens any more."""
        workers: Any = self.exchange.means.workers
        for _ in range(MOST_STEPS):
            happened = self.step()
            if work and workers.waiting:
                workers.run()
                happened = True
            if not happened:
                return
        raise AssertionError("it turns in circles")

    def close(self) -> None:
        """End it, on both sides."""
        if self.transport.connected:
            self.transport.connectionLost(Failure(ConnectionDone()))
        self.line.close()
