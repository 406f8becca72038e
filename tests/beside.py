"""What others feel of an attack: how long three usual requests take beside it, as a ratio to the quiet daemon.

The others are a process of their own, at an address of their own (127.0.0.2), so that neither the interpreter's lock
of the test nor a limit by address tells about them::

    with others(daemon.port) as quiet:
        time.sleep(2)
    with others(daemon.port) as beside:
        attack()
    print(figures("tiny chunks", quiet, beside))
    assert ratio(quiet, beside) < 10

A request that does not end, or is refused, counts: with the time until the block ended, and in ``failed``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from base64 import b64encode
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

from attrs import asdict, define, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ADDRESS = "127.0.0.2"
"""Where the others are."""

PAUSE = 0.02
"""Seconds between two requests of one kind."""

LONGEST = 60.0
"""Seconds after which a request has failed."""

NOTICEABLE = 0.005
"""Seconds that nobody notices: a quiet daemon counts as no faster than that in a ratio, or noise would be one."""

PATH = "/1c_exchange.php?type=catalog&mode="


@define
class Felt:
    """What others have felt: seconds of each request, by kind, and how many of them were no success."""

    checkauth: list[float] = field(factory=list)
    head: list[float] = field(factory=list)
    piece: list[float] = field(factory=list)
    failed: int = 0

    def percentile(self, kind: str, percent: float = 50) -> float:
        """Return the seconds within which so many of a hundred requests of a kind were answered; 100 is the worst."""
        taken = sorted(getattr(self, kind))
        assert taken, f"no {kind} was tried"
        return float(taken[min(len(taken) - 1, int(len(taken) * percent / 100))])


KINDS = ("checkauth", "head", "piece")


def ratio(quiet: Felt, beside: Felt, percent: float = 99, kinds: tuple[str, ...] = KINDS) -> float:
    """Return how many times as long requests take beside an attack; the worst of all kinds."""
    return max(beside.percentile(kind, percent) / max(quiet.percentile(kind, percent), NOTICEABLE) for kind in kinds)


def figures(name: str, quiet: Felt, beside: Felt) -> str:
    """Return a line for people: the median and the slowest of a hundred, quiet and beside, in milliseconds."""

    def milliseconds(kind: str, percent: float) -> str:
        before, after = (felt.percentile(kind, percent) * 1000 for felt in (quiet, beside))
        return f"{before:.1f}→{after:.1f}"

    told = (f"{kind} p50 {milliseconds(kind, 50)} p99 {milliseconds(kind, 99)} ms" for kind in KINDS)
    return f"{name}: {'; '.join(told)}; {beside.failed} failed"


@contextmanager
def others(port: int, user: str = "shop", password: str = "secret") -> Iterator[Felt]:
    """Let others log in, ask for a length and send small pieces while the block runs; what they felt is told then."""
    felt = Felt()
    process = subprocess.Popen(
        [sys.executable, __file__, str(port), user, password],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield felt
        told, _ = process.communicate("\n", timeout=30)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    for name, value in json.loads(told).items():
        setattr(felt, name, value)


@define(eq=False)
class _Other:
    """One of them, on a connection of its own."""

    port: int
    authorization: str
    line: HTTPConnection = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin without a connection."""
        self.renew()

    def renew(self) -> None:
        """Connect anew at the next request."""
        if hasattr(self, "line"):
            self.line.close()
        self.line = HTTPConnection("127.0.0.1", self.port, timeout=LONGEST, source_address=(ADDRESS, 0))

    def ask(self, method: str, query: str, body: bytes | None = None, **headers: str) -> str:
        """Send a request, and return the answer. Raises ``OSError`` for one that is no success."""
        try:
            self.line.request(method, PATH + query, body, headers)
            response = self.line.getresponse()
            text = response.read().decode()
        except (OSError, HTTPException) as error:
            self.renew()
            raise OSError(str(error)) from error
        if response.status != 200:
            raise OSError(text)
        return text

    def login(self) -> tuple[str, str]:
        """Open a session, and return its cookie and the sessid for a query."""
        lines = self.ask("GET", "checkauth", Authorization=self.authorization).split("\n")
        return f"{lines[1]}={lines[2]}", f"&{lines[3]}"


def _main(port: int, user: str, password: str) -> None:
    """Run as a process: ask until a line comes, then print what was felt."""
    authorization = "Basic " + b64encode(f"{user}:{password}".encode()).decode()
    felt, ended = Felt(), threading.Event()
    cookie, sessid = _Other(port, authorization).login()

    def checkauth(other: _Other, _: int) -> None:
        other.renew()  # a node that logs in comes anew
        other.login()

    def head(other: _Other, _: int) -> None:
        other.ask("HEAD", f"file&filename=asked.xml{sessid}", Cookie=cookie)

    def piece(other: _Other, number: int) -> None:
        other.ask("POST", f"file&filename=p{number}.xml{sessid}", b"x" * 1000, Cookie=cookie)

    def go_on(kind: str, request: Callable[[_Other, int], None]) -> None:
        other, number, taken = _Other(port, authorization), 0, getattr(felt, kind)
        while not ended.is_set():
            begun = begun_at[kind] = time.monotonic()
            failed = False
            try:
                request(other, number)
            except OSError:
                failed = True
            if not ended.is_set():
                felt.failed += failed
                taken.append(time.monotonic() - begun)
                del begun_at[kind]
            number += 1
            ended.wait(PAUSE)

    begun_at: dict[str, float] = {}
    for kind, request in (("checkauth", checkauth), ("head", head), ("piece", piece)):
        threading.Thread(target=go_on, args=(kind, request), daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    ended.set()
    for kind, begun in dict(begun_at).items():  # no end was seen of it
        taken = time.monotonic() - begun
        getattr(felt, kind).append(taken)
        felt.failed += taken > 1
    sys.stdout.write(json.dumps(asdict(felt)))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        _main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
