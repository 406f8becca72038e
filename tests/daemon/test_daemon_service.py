"""The daemon as a part of twistd; ``test_twistd`` runs it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from twisted.application.service import Application
from twisted.internet.task import Clock
from twisted.logger import FileLogObserver, ILogObserver, formatEvent

from onec_twisted.daemon.service import ExchangeService

if TYPE_CHECKING:
    from in_memory import InMemory


def service(exchange: InMemory, observer: FileLogObserver | None) -> ExchangeService:
    """Return a daemon around an exchange in memory."""
    parts = exchange.parts
    return ExchangeService(
        prepare=lambda: None,
        release=lambda: None,
        site=exchange.site,
        locks=parts.locks,
        proofs=parts.proofs,
        certificates=(),
        clock=Clock(),
        observer=observer,
    )


def test_its_observer_becomes_the_applications(exchange: InMemory) -> None:
    """twistd writes the log by it."""
    observer = FileLogObserver(io.StringIO(), formatEvent)
    application: Any = Application("onec-exchange")
    service(exchange, observer).setServiceParent(application)

    assert application.getComponent(ILogObserver) is observer


def test_without_one_twistd_writes_the_log(exchange: InMemory) -> None:
    """As it would for any program."""
    application: Any = Application("onec-exchange")
    service(exchange, None).setServiceParent(application)

    assert application.getComponent(ILogObserver) is None
