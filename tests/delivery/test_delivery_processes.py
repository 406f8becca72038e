"""Our programs run in processes of their own, and none is left that nobody needs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater

from onec_twisted.delivery.processes import TooMuchAsked, run_program

if TYPE_CHECKING:
    from pathlib import Path

    from twisted.internet.defer import Deferred


class Run:
    """A script that runs as ours do, and what it has written."""

    def __init__(self, path: Path, script: str, written: bytes = b"", timeout: float = 30.0) -> None:
        """Start it."""
        from twisted.internet import reactor

        self.heard = b""
        self.reactor: Any = reactor
        (path / "script.py").write_text(script)
        with (path / "script.py").open("rb") as file:
            self.ended: Deferred[None] = run_program(
                reactor,
                str(path / "script.py"),
                ["an argument"],
                file.fileno(),
                self.take,
                timeout=timeout,
                written=written,
            )

    def take(self, data: bytes) -> None:
        """Hear what it writes; a cry is too much."""
        self.heard += data
        if b"!" in data:
            raise ZeroDivisionError

    async def until(self, words: bytes) -> None:
        """Wait until it has written something."""
        while words not in self.heard:
            await deferLater(self.reactor, 0.01)


ECHO = "import os, sys; print(sys.argv[1:], os.environ.get('HOME'), os.read(3, 6)); print(sys.stdin.readline())"


@pytest_twisted.ensureDeferred
async def test_it_gets_arguments_a_descriptor_and_a_line(tmp_path: Path) -> None:
    """And nothing of the daemon's environment."""
    run = Run(tmp_path, ECHO, b"a line\n")
    await run.ended

    assert run.heard == f"['{os.getpid()}', 'an argument'] None b'import'\na line\n\n".encode()


@pytest_twisted.ensureDeferred
async def test_one_that_fails(tmp_path: Path) -> None:
    """Its last words are reported."""
    with pytest.raises(TooMuchAsked, match="division by zero"):
        await Run(tmp_path, "1 / 0").ended


@pytest_twisted.ensureDeferred
async def test_one_that_takes_too_long(tmp_path: Path) -> None:
    """Is killed."""
    with pytest.raises(TooMuchAsked, match="it had not ended after 0 s"):
        await Run(tmp_path, "import time; time.sleep(1000)", timeout=0.1).ended


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("ending", ["nobody waits", "what it writes is too much"])
async def test_one_that_nobody_needs(tmp_path: Path, ending: str) -> None:
    """Is killed, and the reason is that of the caller."""
    script = "import os, sys; print(os.getpid(), flush=True); sys.stdin.readline(); print('!', flush=True); "
    told = b"" if ending == "nobody waits" else b"go\n"
    run = Run(tmp_path, f"{script}sys.stdin.readline()", told)
    await run.until(b"\n")
    pid = int(run.heard.split()[0])
    if not told:
        run.ended.cancel()
    with pytest.raises(ZeroDivisionError if told else CancelledError):
        await run.ended
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            break
        await deferLater(run.reactor, 0.01)
