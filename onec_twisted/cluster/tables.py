"""The tables in PostgreSQL: those of ``catalog.sql.schema``, and what several daemons need besides.

Text is compared byte by byte, as SQLite does: the order of users and shops depends on it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from onec_twisted.catalog.sql import schema
from onec_twisted.cluster.refusals import CannotUseCluster

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["OLDEST_VERSION", "check_server", "create_tables"]

OLDEST_VERSION = schema.SCHEMA_VERSION
"""The oldest version of the schema whose daemons may run beside those of this one."""

SCHEMA_LOCK = 0x1C_EC
"""The key of the lock that a daemon holds while it makes or changes the tables."""

SHARED = """
ALTER TABLE files ADD COLUMN answer TEXT NOT NULL DEFAULT '';
ALTER TABLE files ADD COLUMN digest BYTEA NOT NULL DEFAULT '';
ALTER TABLE files SET (fillfactor = 50);
ALTER TABLE sessions SET (fillfactor = 50);
CREATE TABLE segments (
    sessid TEXT NOT NULL,
    name   TEXT NOT NULL,
    epoch  INTEGER NOT NULL,
    start  INTEGER NOT NULL,
    length INTEGER NOT NULL,
    object TEXT NOT NULL UNIQUE,
    digest BYTEA NOT NULL,
    PRIMARY KEY (sessid, name, epoch, start)
);
ALTER TABLE handoffs ADD COLUMN runner TEXT NOT NULL DEFAULT '';
ALTER TABLE handoffs ADD COLUMN claim INTEGER NOT NULL DEFAULT 0;
ALTER TABLE handoffs ADD COLUMN due TIMESTAMPTZ NOT NULL DEFAULT now();
ALTER TABLE handoffs ADD COLUMN progress TEXT NOT NULL DEFAULT '';
ALTER TABLE uploads ADD COLUMN claim INTEGER NOT NULL DEFAULT 0;
CREATE TABLE daemons (
    id      TEXT PRIMARY KEY,
    name    TEXT NOT NULL,
    version TEXT NOT NULL,
    knows   INTEGER NOT NULL,
    started TIMESTAMPTZ NOT NULL DEFAULT now(),
    seen    TIMESTAMPTZ NOT NULL DEFAULT now(),
    state   TEXT NOT NULL DEFAULT '{}'
);
CREATE TABLE schema_version (version INTEGER NOT NULL, oldest INTEGER NOT NULL, timeline TEXT NOT NULL DEFAULT '');
"""
"""``answer`` names the answer to a file's last piece that counts, ``digest`` is that of the piece. ``segments`` are
the objects that hold a file's bytes. ``runner`` is the daemon that delivers a hand-off, and ``claim`` the number of
its claim to it; ``due`` is when the next try may begin. ``claim`` of an upload is that of its newest request.
``daemons`` are those that run, ``knows`` the version of the schema that one knows.
"""

CASEFOLD = """
CREATE FUNCTION casefold(TEXT) RETURNS TEXT LANGUAGE sql IMMUTABLE AS 'SELECT lower($1 COLLATE "und-x-icu")';
"""
"""What names are searched by; the function that SQLite is given knows a few more letters."""


def _translated(script: str) -> str:
    """Return the definition of tables for PostgreSQL."""
    for old, new in (
        ("number    INTEGER PRIMARY KEY", "number BIGSERIAL PRIMARY KEY"),
        ("number   INTEGER PRIMARY KEY", "number BIGSERIAL PRIMARY KEY"),
        (" WITHOUT ROWID", ""),
        (" INTEGER", " BIGINT"),
    ):
        script = script.replace(old, new)
    return re.sub(r" TEXT\b(?! COLLATE)", ' TEXT COLLATE "C"', script)


def check_server(connection: Connection[Any]) -> None:
    """Check that a server can take records. Raises ``CannotUseCluster`` for a standby."""
    row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
    if row is not None and row[0]:
        raise CannotUseCluster("--catalog: this PostgreSQL is a standby; name the primary")


def known_version(connection: Connection[Any]) -> int | None:
    """Return the version of the tables, None if there are none; nothing is changed.

    Raises ``CannotUseCluster`` for a standby, and for tables that are too new, or too old.
    """
    check_server(connection)
    row = connection.execute("SELECT to_regclass('schema_version')").fetchone()
    if row is None or row[0] is None:
        return None
    version, oldest = connection.execute("SELECT version, oldest FROM schema_version").fetchone() or (0, 0)
    if oldest > schema.SCHEMA_VERSION:
        raise CannotUseCluster(
            f"--catalog: its tables need schema {oldest}, and this onec-exchange knows {schema.SCHEMA_VERSION}; "
            "install the version that the other daemons run"
        )
    if version < schema.SCHEMA_VERSION:
        raise CannotUseCluster(f"--catalog: its tables have schema {version}, older than any release could have made")
    return int(version)


def create_tables(connection: Connection[Any]) -> None:
    """Create the tables, unless they are there, in one transaction; daemons that start at once do it in turn.

    Raises ``CannotUseCluster`` as ``known_version`` does.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
        if known_version(connection) is not None:
            return
        whole = (schema.SCHEMA, schema.UPLOADS, schema.KEPT, schema.JOURNAL, schema.SHOPS, schema.INDEXES, SHARED)
        connection.execute(CASEFOLD + "".join(_translated(part) for part in whole))
        connection.execute(
            "INSERT INTO schema_version (version, oldest) VALUES (%s, %s)", (schema.SCHEMA_VERSION, OLDEST_VERSION)
        )
