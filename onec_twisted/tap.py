"""What ``twistd onec-exchange`` runs: ``Options`` and ``makeService``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from onec_twisted.daemon.assembly import (
    collect_seldom,
    make_daemon,
    make_means,
    run_evenly,
    wall_clock,
)
from onec_twisted.daemon.config import CannotStart
from onec_twisted.daemon.findings import FAIL, table
from onec_twisted.daemon.holdings import make_holdings
from onec_twisted.daemon.logs import log_of
from onec_twisted.daemon.options import Options
from onec_twisted.daemon.places import place_of
from onec_twisted.daemon.preflight import findings
from onec_twisted.daemon.service import ExchangeService, obey_signals

if TYPE_CHECKING:
    from onec_twisted.daemon.config import Config
    from onec_twisted.daemon.holdings import AnyHoldings
    from onec_twisted.daemon.parts import Means

__all__ = ["ExchangeService", "Options", "makeService"]


def makeService(options: Options, reactor: Any = None) -> ExchangeService:
    """Put the daemon together.

    ``options`` are already parsed; ``reactor`` is Twisted's, or a test's: then log and signals are left alone.
    Raises ``CannotStart`` with one line that says what to do. With ``--check`` it only tries all that can be tried
    without serving, prints that, and raises ``SystemExit``.
    """
    config = options.config()
    if options["check"]:
        found = list(findings(config, wall_clock()))
        sys.stdout.write(table(found))
        raise SystemExit(int(any(one.state == FAIL for one in found)))
    twistd_runs_it = reactor is None
    if twistd_runs_it:
        from twisted.internet import reactor

        run_evenly(reactor)
    holdings, means = _alone(config, reactor) if config.catalog is None else _among_several(config, reactor)
    observer, reopen = log_of(options.parent or {}, config.log_format) if twistd_runs_it else (None, None)
    daemon = make_daemon(config, holdings, means, observer, options.again)
    if twistd_runs_it:
        obey_signals(daemon, reactor, reopen)
        collect_seldom()
    return daemon


def _alone(config: Config, reactor: Any) -> tuple[AnyHoldings, Means]:
    """Return what a daemon uses that has its records and files for itself."""
    holdings = make_holdings(config, reactor)
    return holdings, make_means(reactor, holdings)


def _among_several(config: Config, reactor: Any) -> tuple[AnyHoldings, Means]:
    """Return what a daemon uses that shares its records and files. Raises ``CannotStart``."""
    try:
        from onec_twisted.daemon import several
    except ImportError as error:
        raise CannotStart(
            f"--catalog and --store need libraries ({error.name} is missing): pip install 'onec-twisted[cluster]'"
        ) from None
    place = place_of(config, os.environ)
    holdings = several.make_shared_holdings(place, config, reactor)
    return holdings, several.make_shared_means(reactor, place, config, holdings)
