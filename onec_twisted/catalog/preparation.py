"""Prepare the database before the daemon starts; all functions block."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

from onec_twisted.catalog.sql.contents import epochs, lengths, moved
from onec_twisted.catalog.sql.schema import SCHEMA_VERSION, has_counts, script_from, version_of
from onec_twisted.catalog.sql.sessions import damage_files
from onec_twisted.catalog.sqlite import CatalogUnusable, opened, usable

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "copy_catalog",
    "create_catalog",
    "record_damage",
    "recorded_epochs",
    "recorded_folders",
    "recorded_lengths",
    "recorded_version",
]


def create_catalog(path: Path) -> None:
    """Create the database if it does not exist, with mode 0600, and check that it is usable.

    A database of an earlier version is migrated to this one, completely or not at all. Blocks; for the start of the
    daemon. Raises ``CatalogUnusable`` with a message for the administrator.
    """
    with usable(path):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        with closing(opened(path)) as connection:
            cursor = connection.cursor()
            version = version_of(cursor)
            if version > SCHEMA_VERSION:
                raise CatalogUnusable(
                    f"{path} was written by a later version of onec-exchange (schema {version}, "
                    f"this one supports {SCHEMA_VERSION}); install the version that wrote it"
                )
            if version < SCHEMA_VERSION:
                cursor.executescript(script_from(version, counts=has_counts(cursor)))


def recorded_version(path: Path) -> int | None:
    """Return the version of a database's schema, None if there is no database. Blocks.

    Raises ``CatalogUnusable``.
    """
    if not path.exists():
        return None
    with usable(path), closing(opened(path)) as connection:
        return version_of(connection.cursor()) or None


def recorded_lengths(path: Path) -> dict[str, dict[str, int]]:
    """Return the committed length of every file, in bytes, by sessid and name.

    Blocks; for the start of the daemon.
    """
    with usable(path), closing(opened(path)) as connection:
        return lengths(connection.cursor())


def recorded_folders(path: Path) -> dict[str, str]:
    """Return the names of folders that are not their session's sessid, by sessid. Blocks; for the start."""
    with usable(path), closing(opened(path)) as connection:
        return moved(connection.cursor())


def recorded_epochs(path: Path) -> dict[str, tuple[int, str]]:
    """Return the epoch of each session, and its folder if that is not its sessid. Blocks."""
    with usable(path), closing(opened(path)) as connection:
        return epochs(connection.cursor())


def copy_catalog(path: Path, to: Path) -> None:
    """Copy the database as it is at one moment, also while a daemon writes to it. Blocks."""
    with usable(path), closing(opened(path)) as connection:
        os.close(os.open(to, os.O_RDWR | os.O_CREAT, 0o600))
        with closing(opened(to)) as copy:
            connection.backup(copy)


def record_damage(path: Path, damaged: list[tuple[str, str]]) -> None:
    """Record files, by sessid and name, as damaged. Blocks; for the start of the daemon."""
    with usable(path), closing(opened(path)) as connection:
        cursor = connection.cursor()
        cursor.execute("BEGIN")
        damage_files(cursor, damaged)
        cursor.execute("COMMIT")
