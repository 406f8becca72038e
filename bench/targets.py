"""The ways in which the peers take an upload."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Protocol

from attrs import define, frozen

from bench.client import Connection

if TYPE_CHECKING:
    from bench.client import Address, Answer
    from bench.content import Content

__all__ = [
    "Exchange",
    "ExchangeSender",
    "ExchangeTus",
    "ExchangeTusSender",
    "InTurn",
    "Plain",
    "PlainSender",
    "Refused",
    "Sender",
    "Target",
    "Tus",
    "TusSender",
]


class Refused(Exception):
    """A peer did not answer as it should have."""


class Sender(Protocol):
    """One connection that uploads."""

    @property
    def connection(self) -> Connection:
        """Return the connection."""

    def upload(self, name: str, piece: int, size: int) -> str:
        """Upload a piece of ``size`` bytes as a file of its own; return its path below the peer's folder."""


class Target(Protocol):
    """How a running peer takes uploads."""

    def enter(self, content: Content) -> Sender:
        """Return a sender that is ready to upload."""


def _expect(answer: Answer, *statuses: int, body: bytes | None = None) -> Answer:
    if answer.status not in statuses or (body is not None and answer.body != body):
        raise Refused(f"answered {answer.status} {answer.body[:200]!r}")
    return answer


@frozen
class Plain:
    """A peer that stores ``PUT /NAME`` as the file ``files/NAME``."""

    address: Address

    def enter(self, content: Content) -> PlainSender:
        """Return a sender; nothing is sent before its first upload."""
        return PlainSender(Connection(self.address, content))


@frozen
class PlainSender:
    """A sender of ``Plain``."""

    connection: Connection

    def upload(self, name: str, piece: int, size: int) -> str:
        """Put a file."""
        _expect(self.connection.ask("PUT", f"/{name}", piece=piece, size=size), 200, 201, 204)
        return f"files/{name}"


@frozen
class Tus:
    """A tus 1.0 server at ``/files`` that stores an upload as ``files/ID``."""

    address: Address

    def enter(self, content: Content) -> TusSender:
        """Return a sender; nothing is sent before its first upload."""
        return TusSender(Connection(self.address, content))


@frozen
class TusSender:
    """A sender of ``Tus``."""

    connection: Connection

    def upload(self, name: str, piece: int, size: int) -> str:  # noqa: ARG002 - the server chooses the name
        """Create an upload, and send all of it by one PATCH."""
        return _resumable(self.connection, {}, piece, size)[1:]


def _resumable(connection: Connection, headers: dict[str, str], piece: int, size: int) -> str:
    """Create an upload, and send all of it by one PATCH; return its path."""
    told = {**headers, "Tus-Resumable": "1.0.0"}
    created = _expect(
        connection.ask("POST", "/files", {**told, "Upload-Length": str(size), "Content-Length": "0"}), 201
    )
    path = "/files/" + created.headers["location"].rsplit("/", 1)[-1]
    told |= {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    _expect(connection.ask("PATCH", path, told, piece, size), 204)
    return path


@frozen
class Exchange:
    """The daemon: a session is opened by ``checkauth``, and its files lie in ``1c_temp/SESSID`` of ``media``."""

    address: Address
    media: str = "media"
    path: str = "/1c_exchange.php?type=catalog&mode="
    login: str = b64encode(b"bench:secret").decode()

    def checkauth(self, connection: Connection) -> tuple[str, str]:
        """Log in; return the cookie and the sessid of the new session."""
        answer = connection.ask("GET", f"{self.path}checkauth", {"Authorization": f"Basic {self.login}"})
        lines = _expect(answer, 200).body.decode().split("\n")
        return f"{lines[1]}={lines[2]}", lines[3].removeprefix("sessid=")

    def enter(self, content: Content) -> ExchangeSender:
        """Return a sender with a session of its own."""
        connection = Connection(self.address, content)
        return ExchangeSender(self, connection, *self.checkauth(connection))

    def sender(self, content: Content, cookie: str, sessid: str) -> ExchangeSender:
        """Return a sender of a session that is open, with a connection that is made at its first use."""
        return ExchangeSender(self, Connection(self.address, content), cookie, sessid)


@frozen
class ExchangeSender:
    """A sender of ``Exchange``."""

    target: Exchange
    connection: Connection
    cookie: str
    sessid: str

    def location(self, name: str) -> str:
        """Return the path and query that take a file."""
        return f"{self.target.path}file&filename={name}&sessid={self.sessid}"

    def stored(self, name: str) -> str:
        """Return where a file is stored, below the daemon's folder."""
        return f"{self.target.media}/1c_temp/{self.sessid}/{name}"

    def upload(self, name: str, piece: int, size: int) -> str:
        """Post a file."""
        headers = {"Cookie": self.cookie}
        _expect(self.connection.ask("POST", self.location(name), headers, piece, size), 200, body=b"success")
        return self.stored(name)


@define(eq=False)
class InTurn:
    """Several targets, of which each new sender gets the next one."""

    targets: list[Exchange]

    def enter(self, content: Content) -> ExchangeSender:
        """Return a sender of the first target, and put that last."""
        self.targets.append(self.targets.pop(0))
        return self.targets[-1].enter(content)


@frozen
class ExchangeTus:
    """The daemon by tus, in a session that ``checkauth`` has opened: its files lie where those of ``Exchange`` do."""

    address: Address

    def enter(self, content: Content) -> ExchangeTusSender:
        """Return a sender with a session of its own."""
        return ExchangeTusSender(Exchange(self.address).enter(content))


@frozen
class ExchangeTusSender:
    """A sender of ``ExchangeTus``."""

    session: ExchangeSender

    @property
    def connection(self) -> Connection:
        """Return the connection."""
        return self.session.connection

    def upload(self, name: str, piece: int, size: int) -> str:
        """Create an upload, and send all of it by one PATCH."""
        metadata = f"filename {b64encode(name.encode()).decode()}"
        _resumable(self.connection, {"Cookie": self.session.cookie, "Upload-Metadata": metadata}, piece, size)
        return self.session.stored(name)
