"""A catalog for tests that have no daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onec_twisted.catalog.catalog import Catalog
from onec_twisted.catalog.recorder import Recorder
from onec_twisted.catalog.sqlite import Database
from onec_twisted.runtime.metrics import Metrics
from onec_twisted.testing import inline

if TYPE_CHECKING:
    from pathlib import Path

    from onec_twisted.runtime.workers import Workers


def make_catalog(
    path: Path, workers: Workers = inline, errands: Workers | None = None, metrics: Metrics | None = None
) -> Catalog:
    """Return the catalog of a database that is there."""
    return Catalog(Recorder(Database(path), workers, metrics or Metrics(), errands or workers))
