"""A catalog with its database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from records import make_catalog

from onec_twisted.catalog.preparation import create_catalog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from onec_twisted.catalog.catalog import Catalog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database that is ready."""
    path = tmp_path / "catalog.sqlite3"
    create_catalog(path)
    return path


@pytest.fixture
def catalog(path: Path) -> Iterator[Catalog]:
    """A catalog without its thread."""
    catalog = make_catalog(path)
    yield catalog
    catalog.recorder.close()
