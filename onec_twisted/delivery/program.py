"""The importer ``exec:``: starts a program of the site for each hand-off, without a shell."""

from __future__ import annotations

import math
import os
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet import defer
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from onec_twisted.delivery.interfaces import IImporter
from onec_twisted.model.errors import ImportFailed, ImportInterrupted
from onec_twisted.model.text import decoded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from onec_twisted.model.description import Description

__all__ = ["Program", "checked_program", "program_environment"]

TICKS_FD = 3
"""See ``launch``, which is not imported: it is run by its path."""

LAUNCH = str(Path(__file__).with_name("launch.py"))

WITH_TICKS = {0: "w", 1: "r", 2: "r", 3: "w"}
"""The pipes of a program that is watched: ``launch`` reads the last one."""

TICK_INTERVAL = 1.0
"""Seconds between two ticks."""

TICK_PATIENCE = 4.0
"""Seconds without a tick after which a daemon counts as frozen: one less than other daemons wait."""

LAUNCH_GRACE = 8.0
"""Seconds for ``launch`` to terminate a program and its descendants: they get 5 of them to end by themselves."""

OUTPUT_LINGER = 1.0
"""Seconds to wait for output after the program has ended: its descendants may hold its pipes open."""

LINE_LIMIT = 4096
"""Most bytes of a line that are kept."""

AT_ONCE = 50
"""Most lines passed on from one read of some KB: the last ones."""

LOGGED_LINES = 1000
"""Most lines of standard error that are logged per try."""

PASSED_ON = re.compile(r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|SSL_CERT_(FILE|DIR)|IMPORT_\w+")
"""Environment variables that a program inherits; the administrator may add some whose names begin with IMPORT_."""


def checked_program(argument: str) -> str:
    """Return the absolute path of a program. Raises ``ValueError`` if it cannot be started."""
    path = Path(argument).absolute()
    if not argument or not path.is_file():
        raise ValueError(f"there is no program {argument}; write its path, as in exec:/usr/local/bin/import")
    if not os.access(path, os.X_OK):
        raise ValueError(f"{argument} cannot be started; allow it with: chmod +x {argument}")
    return str(path)


def program_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that a program inherits: ``PASSED_ON``, and none of the daemon's secrets."""
    return {name: value for name, value in variables.items() if PASSED_ON.fullmatch(name)}


def _argument(filename: str | None) -> str:
    """Return a name as a program's argument: a leading ``-`` must not make it an option (POSIX, 12.2, 13)."""
    return f"./{filename}" if filename is not None and filename.startswith("-") else filename or ""


class _Lines:
    """Keeps the last non-empty line of an output; ``report`` receives lines as they arrive.

    It receives only the last lines of each read, and ``most`` lines in total if that is finite: a program may print
    without end.
    """

    def __init__(self, report: Callable[[str], None], most: float = math.inf) -> None:
        self._report = report
        self._left = most
        self._begun = b""
        self.last = ""

    def take(self, data: bytes) -> None:
        *whole, begun = (self._begun + data).rsplit(b"\n", AT_ONCE)
        for line in whole:
            self._end(line.rpartition(b"\n")[2])  # the first one may contain several
        self._begun = begun[:LINE_LIMIT]

    def _end(self, line: bytes) -> None:
        text = decoded(line[:LINE_LIMIT]).strip()
        if not text:
            return
        self.last = text
        if self._left > 0:
            self._left -= 1
            self._report(text if self._left else f"{text} (further output is not logged)")

    def end(self) -> None:
        """Process a last line without a line end."""
        self._end(self._begun)
        self._begun = b""


class _Run(ProcessProtocol):
    """One running program; with ``is_watched``, ``launch`` is told each second that this process is not frozen."""

    def __init__(
        self, clock: IReactorTime, written: bytes, progress: _Lines, complaints: _Lines, *, is_watched: bool
    ) -> None:
        self._clock = clock
        self._written = written
        self._progress = progress
        self._complaints = complaints
        self._reason: BaseException | None = None
        self._linger: IDelayedCall | None = None
        self._waiting: list[Deferred[BaseException]] = []
        self._ticking = LoopingCall(self._tick) if is_watched else None

    def _tick(self) -> None:
        transport: Any = self.transport
        if TICKS_FD in transport.pipes:  # or it is about to be known that the program has ended
            transport.writeToChild(TICKS_FD, b".")

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self.pid: int = transport.pid
        transport.write(self._written)
        transport.closeStdin()
        if self._ticking is not None:
            self._ticking.clock = self._clock
            self._ticking.start(TICK_INTERVAL)

    def outReceived(self, data: bytes) -> None:
        self._progress.take(data)

    def errReceived(self, data: bytes) -> None:
        self._complaints.take(data)

    def processExited(self, reason: Failure) -> None:
        """Wait briefly for output: descendants may hold the pipes open for ever."""
        if self._ticking is not None and self._ticking.running:
            self._ticking.stop()
            transport: Any = self.transport
            transport.closeChildFD(TICKS_FD)
        self._linger = self._clock.callLater(OUTPUT_LINGER, self._let_go)

    def _let_go(self) -> None:
        """Close the pipes, even if descendants still hold them; unread input is discarded."""
        transport: Any = self.transport
        transport.loseConnection()
        stdin = transport.pipes.get(0)
        if stdin is not None:
            stdin.connectionLost(Failure(ConnectionDone()))

    def processEnded(self, reason: Failure) -> None:
        """Notify the waiters: the program has exited, and all its output has arrived."""
        if self._linger is not None and self._linger.active():
            self._linger.cancel()
        self._reason = reason.value or RuntimeError()
        self._progress.end()
        self._complaints.end()
        for waiting in self._waiting:
            if not waiting.called:
                waiting.callback(self._reason)

    def ended(self) -> Deferred[BaseException]:
        """Fire with the reason when the program has ended."""
        waiting: Deferred[BaseException] = Deferred()
        if self._reason is None:
            self._waiting.append(waiting)
        else:
            waiting.callback(self._reason)
        return waiting

    def end(self) -> None:
        """Have ``launch`` terminate the program and its descendants."""
        if self._linger is None and self._reason is None:
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill the program's process group."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            if self._linger is None and self._reason is None:  # it leads no group yet
                os.kill(self.pid, signal.SIGKILL)


@implementer(IImporter)
@frozen(eq=False)
class Program:
    """Starts the program at ``path``, with a limit of ``timeout`` seconds."""

    path: str
    reactor: Any
    timeout: float
    _log = Logger()

    async def deliver(self, description: Description, progress: Callable[[str], None]) -> None:
        """Run the program: status 0 is success, 75 (EX_TEMPFAIL) requests another try, any other is failure."""

        def complain(line: str) -> None:
            self._log.info("{sessid}: importer: {line}", sessid=description.sessid, handoff=description.id, line=line)

        complaints = _Lines(complain, LOGGED_LINES)
        is_watched = description.attempt > 0
        written = description.as_json() + b"\n"
        run = _Run(self.reactor, written, _Lines(progress), complaints, is_watched=is_watched)
        locked = description.session_folder or description.folder
        python = (sys.executable, "-I", "-S", LAUNCH, str(os.getpid()))
        launch = [os.fsencode(one) for one in (*python, self.path, description.folder)]
        try:
            self.reactor.spawnProcess(
                run,
                sys.executable,
                [
                    *launch,
                    _argument(description.filename).encode("utf-8"),
                    os.fsencode(locked),
                    *([b"%g" % TICK_PATIENCE] if is_watched else []),
                ],
                env=program_environment(os.environ),
                **({"childFDs": WITH_TICKS} if is_watched else {}),
            )
        except OSError as error:
            raise ImportInterrupted(f"The importer cannot be started: {error.strerror}") from error
        reason = await self._end_of(run)
        if isinstance(reason, ProcessDone):
            return
        number = getattr(reason, "signal", None)
        if number is not None:
            raise ImportInterrupted(f"The importer was ended by signal {number}")
        status = getattr(reason, "exitCode", None)
        words = complaints.last or f"The importer ended with status {status}"
        raise ImportInterrupted(words) if status == os.EX_TEMPFAIL else ImportFailed(words)

    async def _end_of(self, run: _Run) -> BaseException:
        """Return why a program has ended; on time-out or cancellation, terminate it first."""
        try:
            return await run.ended().addTimeout(self.timeout, self.reactor)
        except (defer.TimeoutError, CancelledError) as error:
            run.end()
            late = self.reactor.callLater(LAUNCH_GRACE, run.kill)
            await run.ended()
            if late.active():
                late.cancel()
            run.kill()  # for systems where launch cannot see descendants
            if isinstance(error, defer.TimeoutError):
                raise ImportInterrupted(f"The importer had not ended after {self.timeout:.0f} s") from None
            raise
