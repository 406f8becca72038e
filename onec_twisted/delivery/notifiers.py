"""How notices reach somebody: by a program that is started, or by a request to a URL."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol

from onec_twisted.delivery.client import SiteClient, address_of
from onec_twisted.delivery.program import program_environment
from onec_twisted.http.client import reason_of

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from onec_twisted.model.notice import Notice

__all__ = ["Notifier", "NotifyFailed", "make_notifier"]

NOTIFY_TIMEOUT = 60.0
"""Seconds that a program or a site has for a notice."""


class NotifyFailed(Exception):
    """A notice has not reached anybody; the message says why."""


class Notifier(Protocol):
    """Brings notices to somebody."""

    @property
    def name(self) -> str:
        """Return what the log calls it."""

    async def notify(self, notice: Notice) -> None:
        """Bring a notice. Raises ``NotifyFailed``."""


class _Run(ProcessProtocol):
    """A program that is given a notice on its standard input, and whose output is read and forgotten."""

    def __init__(self, notice: bytes) -> None:
        """Wait for the end of the program."""
        self._notice = notice
        self.ended: Deferred[None] = Deferred(lambda _: self._kill())

    transport: Any

    def connectionMade(self) -> None:
        """Write the notice."""
        self.transport.write(self._notice)
        self.transport.closeStdin()

    def _kill(self) -> None:
        self.transport.signalProcess("KILL")

    def processEnded(self, reason: Failure) -> None:
        """Report how it ended."""
        if self.ended.called:
            return
        if reason.check(ProcessDone):
            self.ended.callback(None)
        else:
            self.ended.errback(NotifyFailed(f"it ended with {getattr(reason.value, 'status', None) or reason.value}"))


@frozen(eq=False)
class ProgramNotifier:
    """Starts ``program`` for each notice, with the notice as JSON on its standard input, and in its environment."""

    reactor: Any
    program: str

    @property
    def name(self) -> str:
        """Return what the log calls it."""
        return f"exec:{self.program}"

    async def notify(self, notice: Notice) -> None:
        """Start the program, and wait for its end. Raises ``NotifyFailed``."""
        variables = program_environment(os.environ) | {
            "ONEC_EVENT": notice.event,
            "ONEC_SUBJECT": notice.subject,
            "ONEC_STATE": notice.state,
            "ONEC_USER": notice.user,
            "ONEC_WORDS": notice.words,
        }
        run = _Run(notice.as_json() + b"\n")
        try:
            self.reactor.spawnProcess(run, self.program, [self.program], env=variables)
        except OSError as error:
            raise NotifyFailed(f"it cannot be started: {error.strerror}") from error
        run.ended.addTimeout(NOTIFY_TIMEOUT, self.reactor)
        try:
            await run.ended
        except NotifyFailed:
            raise
        except Exception as error:
            raise NotifyFailed(f"it had not ended after {NOTIFY_TIMEOUT:.0f} s") from error


@frozen(eq=False)
class SiteNotifier:
    """Sends each notice as JSON to ``url`` by POST, signed as requests to the site are."""

    url: str
    name: str
    client: SiteClient

    async def notify(self, notice: Notice) -> None:
        """Send it. Raises ``NotifyFailed``."""
        headers = {"Content-Type": "application/json"}
        try:
            response = await self.client.ask("POST", self.url, NOTIFY_TIMEOUT, notice.as_json(), headers)
            await self.client.text_of(response, NOTIFY_TIMEOUT)
        except Exception as error:  # anything that a network, a name server, TLS or a broken site can raise
            raise NotifyFailed(reason_of(error)) from error
        if not 200 <= response.code < 300:
            raise NotifyFailed(f"it answered {response.code}")


def make_notifier(reactor: Any, description: str, secret: bytes) -> Notifier:
    """Return what ``--notify`` describes: ``exec:PROGRAM``, or a URL. Raises ``ValueError`` with words."""
    scheme, _, argument = description.partition(":")
    if scheme == "exec":
        if not argument.startswith("/") or not os.access(argument, os.X_OK):
            raise ValueError("write the whole path of a program that may be executed")
        return ProgramNotifier(reactor, argument)
    if scheme not in {"http", "https"}:
        raise ValueError("write exec:/path/to/program, http://... or https://...")
    address = address_of(scheme, argument)
    return SiteNotifier(address.url, address.url, SiteClient(reactor, secret, address.authorization))
