"""Where settings say that daemons have what they share, and what is wrong with that place."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from attrs import field, frozen

from onec_twisted.cluster.location import check_catalog, credentials_in, parse_location, read_credentials
from onec_twisted.cluster.refusals import CannotUseCluster, first_line
from onec_twisted.daemon.config import CannotStart
from onec_twisted.model.errors import InsufficientStorage, StorageRemoved

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onec_twisted.cluster.location import Credentials, Location
    from onec_twisted.daemon.config import Config

__all__ = [
    "LONGEST_IMPORT",
    "Place",
    "check_import_timeouts",
    "place_given",
    "place_of",
    "words_of_catalog",
    "words_of_store",
]

LONGEST_IMPORT = 6 * 86400.0
"""Seconds of ``--import-timeout``: an address of a file is signed for that and some more, at most for a week."""


@frozen
class Place:
    """Where records and files are, and what this daemon is called, if it is; ``catalog`` is libpq's address."""

    catalog: str = field(repr=False)
    store: Location
    keys: Credentials | None
    name: str | None = None

    def name_now(self) -> str:
        """Return what people call this process."""
        return self.name or f"{socket.gethostname()}:{os.getpid()}"


def place_given(
    catalog: str, store: str, *, credentials: str | None, environment: Mapping[str, str], name: str | None = None
) -> Place:
    """Return the place that options name; keys are in the file ``credentials``, or in the environment. Blocks.

    ``name`` is what this daemon is called. Raises ``CannotUseCluster``, whose message begins with the option that is
    wrong, and has no secret in it.
    """
    option = "catalog"
    try:
        check_catalog(catalog)
        option = "store"
        location = parse_location(store)
        option = "store" if credentials is None else "store-credentials"
        keys = credentials_in(environment) if credentials is None else read_credentials(credentials)
    except CannotUseCluster as cannot:
        raise CannotUseCluster(f"--{option}: {cannot}") from None
    return Place(catalog, location, keys, name)


def place_of(config: Config, environment: Mapping[str, str]) -> Place:
    """Return where settings say that records and files are. Blocks. Raises ``CannotStart``."""
    if config.catalog is None or config.store is None:
        raise ValueError("a daemon alone has no such place")
    try:
        return place_given(
            config.catalog,
            config.store,
            credentials=config.store_credentials,
            environment=environment,
            name=config.name,
        )
    except CannotUseCluster as cannot:
        raise CannotStart(str(cannot)) from None


def check_import_timeouts(config: Config) -> None:
    """Check that sites have time to fetch files. Raises ``CannotStart``."""
    if config.import_timeout > LONGEST_IMPORT:
        raise CannotStart(
            f"--import-timeout={config.import_timeout:g}: must be 6d or less with --store, which signs addresses of"
            " files for a week at most"
        )


def words_of_catalog(error: Exception) -> str:
    """Return what PostgreSQL does not let us do, and what to do about it."""
    words = "the daemons' user has to own the database, and may need CREATE on its schema"
    return f"PostgreSQL refuses: {first_line(error)}; {words}"


def words_of_store(error: Exception) -> str:
    """Return what is wrong with the store, and what to do about it."""
    if isinstance(error, StorageRemoved):
        return "there is no such bucket; make it, or correct the address"
    if isinstance(error, InsufficientStorage):
        return "the store has no room for an object of one byte; make some"
    words = str(getattr(error, "strerror", None) or error)
    if "403" in words:
        return f"{words}; its key needs the right to put, get, list and delete objects in the bucket"
    return f"{words}; check the address, and that the store runs"
