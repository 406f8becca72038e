"""Asks a running daemon by its administrator's API: over a unix socket, by http or https. Everything here blocks."""

from __future__ import annotations

import json
import netrc
import socket
import ssl
from base64 import b64encode
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from attrs import field, frozen

from onec_twisted.admin.api import API_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Remote", "RemoteFailed"]

ANSWER_PATIENCE = 30.0
"""Seconds for an answer; ending a session waits for its running import for 10."""

LARGEST_ANSWER = 64 * 1024 * 1024
"""Bytes of an answer that are read."""


class RemoteFailed(Exception):
    """The daemon cannot be asked, or refuses; the message says why, and what to do."""


class _UnixConnection(HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=ANSWER_PATIENCE)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(ANSWER_PATIENCE)
        self.sock.connect(self._path)


def _netrc_of(host: str) -> str:
    """Return ``USER:PASSWORD`` for a host from ``~/.netrc``; empty if there is none."""
    try:
        found = netrc.netrc().authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return ""
    return f"{found[0]}:{found[2]}" if found is not None else ""


@frozen
class Remote:
    """A daemon at ``address``: ``unix:PATH``, or a URL; ``credentials`` are ``USER:PASSWORD``, or empty."""

    address: str
    credentials: str = field(default="", repr=False)

    def get(self, path: str, **query: str) -> Any:
        """Return what the daemon answers. Raises ``RemoteFailed``."""
        wanted = urlencode({name: value for name, value in query.items() if value})
        return self._ask("GET", f"{path}?{wanted}" if wanted else path, None)

    def post(self, path: str, fields: Mapping[str, str]) -> Any:
        """Let the daemon do something. Raises ``RemoteFailed``."""
        return self._ask("POST", path, json.dumps(dict(fields)))

    def pages(self, path: str, most: int, **query: str) -> Iterator[dict[str, Any]]:
        """Yield at most ``most`` items of a list, page by page. Raises ``RemoteFailed``."""
        before = ""
        while most > 0:
            page = self.get(path, **query, before=before)
            yield from page["items"][:most]
            most -= len(page["items"])
            if page["next"] is None:
                return
            before = str(page["next"])

    def _ask(self, method: str, path: str, body: str | None) -> Any:
        connection, prefix, credentials = self._connection()
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if credentials:
            headers["Authorization"] = f"Basic {b64encode(credentials.encode()).decode('ascii')}"
        try:
            connection.request(method, f"{prefix}/api/{API_VERSION}/{path}", body, headers)
            response = connection.getresponse()
            content = response.read(LARGEST_ANSWER)
        except ssl.SSLCertVerificationError as error:
            raise RemoteFailed(f"{self.address}: its certificate is not trusted ({error.verify_message})") from None
        except (OSError, HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise RemoteFailed(
                f"{self.address}: no answer ({reason}); is this what --admin of the daemon says?"
            ) from None
        finally:
            connection.close()
        return self._read(response.status, content)

    def _connection(self) -> tuple[HTTPConnection, str, str]:
        """Return a connection, what comes before the path, and credentials. Raises ``RemoteFailed``."""
        if self.address.startswith("unix:"):
            return _UnixConnection(self.address.removeprefix("unix:")), "", self.credentials
        try:
            url = urlsplit(self.address)
            host, port = url.hostname or "", url.port
        except ValueError:
            url, host, port = urlsplit(""), "", None
        if url.scheme not in {"http", "https"} or not host:
            raise RemoteFailed(f"{self.address}: write unix:PATH, or a URL as in http://127.0.0.1:9090")
        make = HTTPSConnection if url.scheme == "https" else HTTPConnection
        return make(host, port, timeout=ANSWER_PATIENCE), url.path.rstrip("/"), self.credentials or _netrc_of(host)

    def _read(self, status: int, content: bytes) -> Any:
        """Return what an answer says. Raises ``RemoteFailed``."""
        if status == 401:
            raise RemoteFailed(f"{self.address}: wrong user name or password (--admin-auth of the daemon)")
        try:
            found = json.loads(content)
        except ValueError:
            raise RemoteFailed(f"{self.address}: something else answers there, with status {status}") from None
        if status != 200:
            raise RemoteFailed(str(found.get("error") or found.get("outcome") or f"status {status}"))
        return found
