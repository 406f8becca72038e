"""What ``--check`` tries of what daemons share: PostgreSQL, and the object store."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg

from onec_twisted.cluster.postgresql import PostgreSQL
from onec_twisted.cluster.refusals import CannotUseCluster
from onec_twisted.cluster.s3 import S3, Tries
from onec_twisted.cluster.tables import known_version
from onec_twisted.daemon.assembly import even_clock
from onec_twisted.daemon.config import CannotStart
from onec_twisted.daemon.findings import FAIL, OK, Finding
from onec_twisted.daemon.places import place_of, words_of_catalog, words_of_store
from onec_twisted.model.errors import CatalogBusy, InsufficientStorage, StorageRemoved

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from onec_twisted.daemon.config import Config
    from onec_twisted.daemon.places import Place

__all__ = ["shared_findings"]


def shared_findings(config: Config, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Try the server and the store that settings name; the tables are not made yet. Blocks."""
    try:
        place = place_of(config, environment)
    except CannotStart as cannot:
        yield Finding(FAIL, "store", str(cannot).removeprefix("onec-exchange: "))
        return
    yield _catalog(place)
    yield _store(place)


def _catalog(place: Place) -> Finding:
    database = PostgreSQL(place.catalog, even_clock)
    try:
        version = database.using(known_version)
    except CannotUseCluster as cannot:
        return Finding(FAIL, "catalog", str(cannot).removeprefix("--catalog: "))
    except CatalogBusy as error:
        return Finding(FAIL, "catalog", f"PostgreSQL cannot be used: {error}")
    except psycopg.Error as error:
        return Finding(FAIL, "catalog", words_of_catalog(error))
    finally:
        database.close()
    host = urlsplit(place.catalog).netloc.rpartition("@")[2] or "PostgreSQL"
    return Finding(
        OK, "catalog", f"{host}: {'its tables will be created' if version is None else f'schema {version}'}"
    )


def _store(place: Place) -> Finding:
    """Put, read and remove an object."""
    location = place.store
    try:
        s3 = S3(location, place.keys, Tries())
        s3.probe()
    except CannotUseCluster as cannot:
        return Finding(FAIL, "store", str(cannot))
    except (OSError, StorageRemoved, InsufficientStorage) as error:
        return Finding(FAIL, "store", words_of_store(error))
    return Finding(OK, "store", f"{location.endpoint}, {location.bucket}: an object was put, read and removed")
