"""A web shop as a daemon's site: a small Twisted server that answers as it is told to.

In a test's own reactor it is opened by the fixture ``open_shop``; beside a real daemon it is a process of its own,
``ShopProcess``, that reads its answers from a file and writes down what it was asked.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from attrs import asdict, define, field
from forks import spawn
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

PATIENCE = 60


@define
class Seen:
    """A request that came. ``body`` is text, as JSON and XML are."""

    method: str
    uri: str
    headers: dict[str, str]
    body: str

    @property
    def key(self) -> str:
        """Return the Idempotency-Key."""
        return self.headers["idempotency-key"]


@define(eq=False)
class Shop(Resource):
    """Gives its answers in their order, and the last one again and again.

    An answer has ``status``, ``text``, ``headers``; or it is ``silent``, is ``raw``, or ``breaks`` or
    ``stops`` after so many bytes of its text; ``delay`` is in seconds.
    """

    isLeaf = True
    answers: list[dict[str, Any]] = field(factory=list)
    seen: list[Seen] = field(factory=list)
    note: Callable[[Seen], None] = lambda _: None
    gone: int = 0

    def __attrs_post_init__(self) -> None:
        """Be a resource."""
        Resource.__init__(self)

    def render(self, request: Any) -> Any:
        """Write down what is asked, and answer."""
        headers = {
            name.decode().lower(): values[0].decode() for name, values in request.requestHeaders.getAllRawHeaders()
        }
        seen = Seen(request.method.decode(), request.uri.decode(), headers, request.content.read().decode())
        self.seen.append(seen)
        self.note(seen)
        answer = self.answers.pop(0) if len(self.answers) > 1 else (self.answers or [{}])[0]
        request.notifyFinish().addErrback(self._note_gone)
        if "delay" in answer:
            from twisted.internet import reactor

            cast("Any", reactor).callLater(answer["delay"], self._answer_late, request, answer)
            return NOT_DONE_YET
        return self._answer(request, answer)

    def _answer_late(self, request: Any, answer: dict[str, Any]) -> None:
        if not request._disconnected:
            text = self._answer(request, answer)
            request.write(text)
            request.finish()

    def _answer(self, request: Any, answer: dict[str, Any]) -> Any:
        if answer.get("silent"):
            return NOT_DONE_YET
        if "raw" in answer:
            request.channel.transport.write(answer["raw"].encode())
            request.channel.loseConnection()
            return NOT_DONE_YET
        text = answer.get("text", "").encode()
        request.setResponseCode(answer.get("status", 200))
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        for name, value in answer.get("headers", {}).items():
            request.setHeader(name.encode(), value.encode())
        if "breaks" in answer or "stops" in answer:
            request.setHeader(b"content-length", b"%d" % len(text))
            request.write(text[: answer.get("breaks", answer.get("stops"))])
            if "breaks" in answer:
                request.channel.loseConnection()
            return NOT_DONE_YET
        if answer.get("chunked"):
            for start in range(0, len(text), 1000):
                request.write(text[start : start + 1000])
            request.finish()
            return NOT_DONE_YET
        return text

    def _note_gone(self, _: Any) -> None:
        self.gone += 1


@define(eq=False)
class ShopProcess:
    """A shop in a process of its own."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None
    port: int = 0

    def start(self) -> None:
        """Start, or start again on the same port."""
        told = self.folder / "port"
        told.unlink(missing_ok=True)
        self.process = spawn([sys.executable, __file__, str(self.folder), str(self.port)])
        deadline = time.monotonic() + PATIENCE
        while not told.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        self.port = int(told.read_text())

    def stop(self) -> None:
        """Be down."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE)
            self.process = None

    def answer(self, *answers: dict[str, Any]) -> None:
        """Say what to answer from now on."""
        new = self.folder / "new"
        new.write_text(json.dumps(answers))
        new.rename(self.folder / "answers")

    @property
    def url(self) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def seen(self) -> list[Seen]:
        """Return what it was asked."""
        try:
            lines = (self.folder / "seen").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [Seen(**json.loads(line)) for line in lines]

    def wait_for(self, requests: int) -> list[Seen]:
        """Wait until it was asked so often; return what."""
        deadline = time.monotonic() + PATIENCE
        while len(self.seen) < requests:
            assert time.monotonic() < deadline, self.seen
            time.sleep(0.02)
        return self.seen


class FromFile(Shop):
    """A shop that reads its answers from a file, each time anew."""

    def render(self, request: Any) -> Any:
        """Take up new answers, and answer."""
        answers = Path(sys.argv[1]) / "answers"
        if answers.exists():
            self.answers = json.loads(answers.read_text())
            answers.unlink()
        return super().render(request)


def main(folder: Path, port: int) -> None:
    """Serve until killed."""
    from twisted.internet import reactor as installed

    reactor: Any = installed

    def note(seen: Seen) -> None:
        with (folder / "seen").open("a") as file:
            file.write(json.dumps(asdict(seen)) + "\n")

    listening = reactor.listenTCP(port, Site(FromFile(note=note)), interface="127.0.0.1")
    (folder / "port.new").write_text(str(listening.getHost().port))
    (folder / "port.new").rename(folder / "port")
    reactor.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
