"""The daemon as a service: its start, and its stop without loss of data."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized

from onec_twisted.catalog.preparation import create_catalog, record_damage, recorded_folders, recorded_lengths
from onec_twisted.catalog.sqlite import CatalogUnusable
from onec_twisted.daemon.config import CannotStart
from onec_twisted.model.errors import ShuttingDown
from onec_twisted.storage.local import MediaRootTaken

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from twisted.internet.interfaces import IReactorTime
    from twisted.logger import FileLogObserver

    from onec_twisted.daemon.listening import Certificate
    from onec_twisted.http.site import ExchangeSite
    from onec_twisted.ingest.locks import FileLocks
    from onec_twisted.ingest.proofs import Proofs
    from onec_twisted.storage.ending import Ending
    from onec_twisted.storage.local import Store

__all__ = ["ExchangeService", "cannot_be_written", "obey_signals", "prepare"]

ANSWER_LINGER = 0.2
"""Seconds for the last answers to be sent."""

STOP_GRACE = 30.0
"""Seconds that pieces in transfer get to finish when the daemon stops."""


class ExchangeService(MultiService):
    """The whole daemon: its children listen and sweep.

    ``prepare`` makes the media root ready; it runs after twistd has dropped its privileges. If a resource is not
    available, the start ends with one line. ``release`` ends the threads at the end; both block. ``observer`` writes
    the log; None leaves that to twistd.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        prepare: Callable[[], None],
        release: Callable[[], None],
        site: ExchangeSite,
        locks: FileLocks,
        proofs: Proofs,
        certificates: Sequence[Certificate],
        clock: IReactorTime,
        observer: FileLogObserver | None = None,
    ) -> None:
        """Run nothing yet."""
        super().__init__()
        self._prepare = prepare
        self._release = release
        self.site = site
        self._locks = locks
        self._proofs = proofs
        self._certificates = certificates
        self._clock = clock
        self._observer = observer
        self.reload_settings: Callable[[], Any] = _do_nothing
        self.at_start: Callable[[], None] = _do_nothing
        self.at_stop: Callable[[], None] = _do_nothing
        self.at_end: Sequence[Callable[[], Deferred[None]]] = ()
        """What is still to be recorded when everything else has stopped."""

    def setServiceParent(self, parent: Any) -> None:
        """Join the application, and make our observer its log."""
        super().setServiceParent(parent)
        if self._observer is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._observer)

    def privilegedStartService(self) -> None:
        """Listen. Raises ``CannotStart``."""
        try:
            super().privilegedStartService()
        except Exception as error:
            raise _on_standard_error(
                f"{str(error).rstrip('.')}; choose another --listen or --admin, or stop the program that uses it"
            ) from None

    def startService(self) -> None:
        """Make the media root ready, and start. Raises ``CannotStart``."""
        try:
            self._prepare()
        except CannotStart as cannot:
            raise _on_standard_error(str(cannot.code)) from None
        super().startService()
        self.at_start()

    def reload(self) -> None:
        """Reload certificates and settings: what is wrong with them is logged."""
        self.reload_certificates()
        self.reload_settings()

    def reload_certificates(self) -> None:
        """Reload renewed certificates."""
        for certificate in self._certificates:
            certificate.reload()

    def stopService(self) -> Deferred[None]:
        """Stop listening, wait for pieces in transfer, drop those that do not finish, and stop."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self.at_stop()
        self._locks.close()
        self.site.server.closing = True
        late = self._clock.callLater(STOP_GRACE, self._locks.drop_all, ShuttingDown)
        idle = self._locks.idle()
        if not idle.called:
            self._log.info("waiting up to {seconds} s for pieces in flight", seconds=STOP_GRACE)
        await maybeDeferred(super().stopService)
        await idle
        if late.active():
            late.cancel()
        await deferLater(self._clock, ANSWER_LINGER)  # to answer the latest connections as well
        await self._proofs.settle(ANSWER_LINGER)
        for record in self.at_end:
            await record()
        self._release()


def _do_nothing() -> None:
    """Log nothing at the start, or leave the second signal to twistd."""


def _on_standard_error(words: str) -> CannotStart:
    """Return the reason why the daemon cannot start, and print it: twistd redirects ``sys.stderr`` to the log."""
    cannot = CannotStart(words.removeprefix("onec-exchange: "))
    if sys.stderr is not sys.__stderr__:
        print(cannot, file=sys.__stderr__)
    return cannot


def _log_strange(error: OSError) -> None:
    """Log a foreign item in a session's folder."""
    Logger(namespace=__name__).error(
        "a session's folder contains something foreign, which is left in place: {what} ({reason})",
        what=str(error.filename or ""),
        reason=error.strerror or str(error),
    )


def cannot_be_written(error: OSError) -> str:
    """Return what is wrong with a folder, and what to do."""
    return f"cannot be written ({error.strerror}); use a folder that the daemon's user owns"


def prepare(store: Store, named: str, ending: Ending) -> None:
    """Make the media root ready: lock it, create the catalog, and truncate bytes that were never acknowledged.

    ``named`` is the media root as the administrator wrote it. ``ending`` notes that this daemon runs; if the one
    before it was killed, the log says so. Blocks. Raises ``CannotStart`` with one line that says what to do.
    """
    try:
        store.prepare()
        store.lock()
        create_catalog(store.database)
        for sessid, folder in recorded_folders(store.database).items():
            store.move(sessid, folder)
        cut: list[Path] = []
        damaged = store.recover(recorded_lengths(store.database), _log_strange, cut.append)
        record_damage(store.database, damaged)
        was_broken_off = ending.begin()
    except MediaRootTaken:
        raise CannotStart(
            f"--media-root={named}: another onec-exchange is using it; stop that one, or use another folder"
        ) from None
    except CatalogUnusable as error:
        raise CannotStart(str(error)) from None
    except OSError as error:
        raise CannotStart(f"--media-root={named}: {cannot_be_written(error)}") from None
    if was_broken_off:
        Logger(namespace=__name__).info(
            "the last run did not end by itself (kill -9, a crash or a power cut): {outcome}; "
            "{cut} files had bytes that were never acknowledged, and they are gone",
            outcome=_outcome(len(damaged), is_synced=store.synced),
            cut=len(cut),
        )
    for sessid, name in damaged:
        Logger(namespace=__name__).critical(
            "{sessid}: {name} has lost acknowledged bytes on the disk; it is refused until init",
            sessid=sessid,
            name=name,
        )


def _outcome(damaged: int, *, is_synced: bool) -> str:
    """Return what has become of what was acknowledged before the last run broke off."""
    if damaged:
        return f"{damaged} files have lost bytes that were acknowledged"
    if is_synced:
        return "nothing that was acknowledged is lost"
    return "nothing that was acknowledged is lost, unless the power failed (see --durability)"


def obey_signals(daemon: ExchangeService, reactor: Any, reopen: Callable[[], None] | None) -> None:
    """Reload on SIGHUP, reopen the log on SIGUSR1, and end at once on a second SIGTERM or Ctrl-C.

    If ``reopen`` is None, SIGUSR1 is left to twistd.
    """
    signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(daemon.reload))
    if reopen is not None:
        signal.signal(signal.SIGUSR1, lambda *_: reactor.callFromThread(reopen))
    daemon.at_stop = _end_at_the_next_signal


def _end_at_the_next_signal() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
