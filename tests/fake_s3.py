"""An object store in memory: as much of S3 as obstore asks for, over HTTP, with faults on demand.

It checks no signature, but the SHA-256 that a body was signed with, and keeps every call.
"""

from __future__ import annotations

import hashlib
import re
import ssl
import threading
from collections import deque
from contextlib import contextmanager
from datetime import datetime, timezone
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from attrs import define, field, frozen

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from certificates import Certificate

ERRORS = {
    403: "AccessDenied",
    404: "NoSuchKey",
    416: "InvalidRange",
    500: "InternalError",
    503: "SlowDown",
    507: "InsufficientStorage",
}
WRITTEN = 1_700_000_000.0
"""When objects were written, in seconds since 1970, unless a test says otherwise."""


@frozen
class Call:
    """A request: the key without the bucket, the query, and headers by their names in lower case."""

    method: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]


@define
class Fault:
    """What happens to the next ``times`` calls of a method whose key contains ``part``.

    ``status`` is answered, with ``code``, and nothing is done. ``loses`` closes the connection: ``"request"`` before
    anything is done, ``"answer"`` afterwards, ``"half"`` after half of the answer's body. ``until`` is waited for
    first.
    """

    method: str
    part: str = ""
    times: int = 1
    status: int = 0
    code: str = ""
    loses: str = ""
    until: threading.Event | None = None


@define(eq=False)
class FakeS3:
    """A server on a free port of 127.0.0.1 with one bucket; ``objects`` are bytes by key."""

    bucket: str = "bucket"
    page: int = 1000
    objects: dict[str, bytes] = field(factory=dict)
    changed: dict[str, float] = field(factory=dict)
    calls: list[Call] = field(factory=list)
    faults: list[Fault] = field(factory=list)
    uploads: dict[str, dict[int, bytes]] = field(factory=dict)
    lock: threading.Lock = field(factory=threading.Lock)
    open: int = 0
    most_open: int = 0
    _server: Any = None
    _scheme: str = "http"

    def start(self, certificate: Certificate | None = None) -> FakeS3:
        """Listen; with a certificate over TLS."""
        self._server = _Server(("127.0.0.1", 0), _Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.chain, certificate.key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self._scheme = "https"
        self._server.fake = self
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def stop(self) -> None:
        """Listen no more, and close all connections."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        """Return the URL of the server."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def fault(self, method: str, **what: Any) -> Fault:
        """Make calls fail."""
        fault = Fault(method, **what)
        self.faults.append(fault)
        return fault

    def count(self, method: str, part: str = "") -> int:
        """Return how many calls there were of a method whose key, or query, contains ``part``."""
        return sum(one.method == method and (part in one.key or part in one.query) for one in self.calls)

    def take_fault(self, method: str, key: str) -> Fault | None:
        """Return what happens to a call."""
        with self.lock:
            for fault in self.faults:
                if fault.method == method and fault.part in key and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None


class _Server(ThreadingHTTPServer):
    """Ends with its connections, whoever still keeps them."""

    daemon_threads = True
    block_on_close = True
    fake: FakeS3

    def __init__(self, *args: Any) -> None:
        self._connections: deque[socket.socket] = deque()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.append(request)
        super().process_request(request, client_address)

    def server_close(self) -> None:
        for connection in self._connections:
            try:
                connection.shutdown(2)
            except OSError:
                continue
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client may leave."""


class _Dropped(Exception):
    """The connection ends here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        fake = self.server.fake
        url = urlsplit(self.path)
        _, bucket, *rest = unquote(url.path).split("/", 2)
        key = rest[0] if rest else ""
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        fake.calls.append(Call(self.command, key, query, headers))
        with self._counted(fake):
            fault = fake.take_fault(self.command, key)
            try:
                if fault is not None:
                    self._harm(fault)
                if bucket != fake.bucket:
                    self._refuse(404, "NoSuchBucket")
                elif headers.get("x-amz-content-sha256", hashlib.sha256(body).hexdigest()) != (
                    hashlib.sha256(body).hexdigest()
                ):
                    self._refuse(400, "XAmzContentSHA256Mismatch")
                elif fault is None or not fault.status:
                    self._do(fake, key, query, body, fault.loses if fault is not None else "")
            except _Dropped:
                self.close_connection = True

    @contextmanager
    def _counted(self, fake: FakeS3) -> Iterator[None]:
        with fake.lock:
            fake.open += 1
            fake.most_open = max(fake.most_open, fake.open)
        try:
            yield
        finally:
            with fake.lock:
                fake.open -= 1

    def _harm(self, fault: Fault) -> None:
        if fault.until is not None:
            fault.until.wait(30)
        if fault.loses == "request":
            raise _Dropped
        if fault.status:
            self._refuse(fault.status, fault.code or ERRORS[fault.status])

    def _do(self, fake: FakeS3, key: str, query: dict[str, str], body: bytes, loses: str) -> None:
        with fake.lock:
            if self.command == "PUT" and "partNumber" in query:
                fake.uploads[query["uploadId"]][int(query["partNumber"])] = body
                answer: tuple[int, bytes, dict[str, str]] = 200, b"", {}
            elif self.command == "PUT":
                answer = self._store(fake, key, body)
            elif self.command == "POST":
                answer = self._multipart(fake, key, query)
            elif self.command == "DELETE":
                fake.uploads.pop(query.get("uploadId", ""), None)
                if "uploadId" not in query:
                    fake.objects.pop(key, None)
                answer = 204, b"", {}
            elif not key:
                answer = 200, _listing(fake, query), {}
            else:
                answer = self._found(fake, key)
        if loses == "answer":
            raise _Dropped
        self._answer(*answer, half=loses == "half")

    @staticmethod
    def _store(fake: FakeS3, key: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        fake.objects[key] = body
        fake.changed.setdefault(key, WRITTEN)
        return 200, b"", {}

    def _multipart(self, fake: FakeS3, key: str, query: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        if "uploads" in query:
            number = f"upload{len(fake.uploads)}"
            fake.uploads[number] = {}
            tags = f"<Bucket>{fake.bucket}</Bucket><Key>{escape(key)}</Key><UploadId>{number}</UploadId>"
            return 200, f"<InitiateMultipartUploadResult>{tags}</InitiateMultipartUploadResult>".encode(), {}
        parts = fake.uploads.pop(query["uploadId"])
        self._store(fake, key, b"".join(parts[number] for number in sorted(parts)))
        tags = f'<Bucket>{fake.bucket}</Bucket><Key>{escape(key)}</Key><ETag>"1"</ETag>'
        return 200, f"<CompleteMultipartUploadResult>{tags}</CompleteMultipartUploadResult>".encode(), {}

    def _found(self, fake: FakeS3, key: str) -> tuple[int, bytes, dict[str, str]]:
        if key not in fake.objects:
            return 404, _error("NoSuchKey"), {}
        whole = fake.objects[key]
        changed = {"Last-Modified": formatdate(fake.changed.get(key, WRITTEN), usegmt=True)}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range", ""))
        if wanted is None:
            return 200, whole, changed
        start, end = int(wanted[1]), min(int(wanted[2]) + 1, len(whole))
        if start >= len(whole):
            return 416, _error("InvalidRange"), {}
        return 206, whole[start:end], {**changed, "Content-Range": f"bytes {start}-{end - 1}/{len(whole)}"}

    def _refuse(self, status: int, code: str) -> None:
        self._answer(status, _error(code), {})

    def _answer(self, status: int, body: bytes, headers: dict[str, str], *, half: bool = False) -> None:
        self.send_response(status)
        for name, value in {"ETag": '"1"', **headers, "Content-Length": str(len(body))}.items():
            if status != 204 or name != "Content-Length":
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if half else body)
        if half:
            raise _Dropped


def _error(code: str) -> bytes:
    """Return the body of an error, with what S3 tells of the one who asks."""
    return (
        f"<Error><Code>{code}</Code><Message>no</Message><AWSAccessKeyId>KEY-ID</AWSAccessKeyId>"
        "<StringToSign>X-Amz-Signature=abc</StringToSign></Error>"
    ).encode()


def _listing(fake: FakeS3, query: dict[str, str]) -> bytes:
    """Return a page of a listing."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    after = query.get("continuation-token", query.get("start-after", ""))
    entries: dict[str, str] = {}
    for key in sorted(fake.objects):
        if key.startswith(prefix):
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            if cut >= 0:
                folder = key[: cut + 1]
                entries[folder] = f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>"
            else:
                entries[key] = _entry(fake, key)
    left = [name for name in sorted(entries) if name > after]
    page = left[: fake.page]
    more = len(left) > len(page)
    token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{fake.bucket}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(page)}</KeyCount>"
        f"<MaxKeys>{fake.page}</MaxKeys><IsTruncated>{str(more).lower()}</IsTruncated>{token}"
        f"{''.join(entries[name] for name in page)}</ListBucketResult>"
    ).encode()


def _entry(fake: FakeS3, key: str) -> str:
    changed = datetime.fromtimestamp(fake.changed.get(key, WRITTEN), timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return (
        f"<Contents><Key>{escape(key)}</Key><LastModified>{changed}</LastModified><ETag>1</ETag>"
        f"<Size>{len(fake.objects[key])}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )
