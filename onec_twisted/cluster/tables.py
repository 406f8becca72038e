"""The tables in PostgreSQL: those of ``catalog.sql.schema``, and what several daemons need besides.

Text is compared byte by byte, as SQLite does: the order of users and shops depends on it.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any

from onec_twisted.catalog.sql import schema
from onec_twisted.cluster.refusals import CannotUseCluster

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg import Connection

__all__ = [
    "LEASE_TIME",
    "MIGRATIONS",
    "OLDEST_VERSION",
    "check_server",
    "create_tables",
    "known_version",
    "leave_behind",
    "records_id",
]

OLDEST_VERSION = 6
"""The oldest version of the schema whose daemons may run beside those of this one."""

FIRST_VERSION = 6
"""The version of the first tables in PostgreSQL."""

MIGRATIONS: dict[int, str] = {7: schema.PROTOCOLS}
"""What makes tables of each version from those of the one before.

It may only add what daemons of the version before can ignore, for some of them still run; what is not needed any more
goes one version later, once ``OLDEST_VERSION`` has shut those out that need it.
"""

LEASE_TIME = 5.0
"""Seconds of PostgreSQL's clock after a heartbeat until others take a daemon for dead."""

SCHEMA_LOCK = 0x1C_EC
"""The key of the lock that a daemon holds while it makes or changes the tables."""

SHARED = """
ALTER TABLE files ADD COLUMN answer TEXT NOT NULL DEFAULT '';
ALTER TABLE files ADD COLUMN digest BYTEA NOT NULL DEFAULT '';
ALTER TABLE files SET (fillfactor = 50);
ALTER TABLE sessions ADD COLUMN doubtful INTEGER NOT NULL DEFAULT 0;
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
CREATE TABLE schema_version (
    version     INTEGER NOT NULL,
    oldest      INTEGER NOT NULL,
    timeline    TEXT NOT NULL DEFAULT '',
    synchronous INTEGER NOT NULL DEFAULT 0,
    id          TEXT NOT NULL
);
"""
"""``answer`` names the answer to a file's last piece that counts, ``digest`` is that of the piece. ``segments`` are
the objects that hold a file's bytes. ``runner`` is the daemon that delivers a hand-off, and ``claim`` the number of
its claim to it; ``due`` is when the next try may begin. ``claim`` of an upload is that of its newest request.
``daemons`` are those that run, ``knows`` the version of the schema that one knows. A session is ``doubtful`` that
may lack acknowledged pieces, see ``failover``.
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
    """Check that a server can take records.

    Raises ``CannotUseCluster`` for a standby, and for a database whose text is not UTF-8.
    """
    row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
    if row is not None and row[0]:
        raise CannotUseCluster("--catalog: this PostgreSQL is a standby; name the primary")
    row = connection.execute("SELECT current_setting('server_encoding')").fetchone()
    if row is not None and row[0] != "UTF8":
        raise CannotUseCluster(f"--catalog: the database's encoding is {row[0]}; create one with ENCODING 'UTF8'")


def records_id(connection: Connection[Any]) -> tuple[str, bool]:
    """Return what these records are known by, and whether there are no sessions yet."""
    row = connection.execute("SELECT id, NOT EXISTS (SELECT 1 FROM sessions) FROM schema_version").fetchone()
    return (row[0], row[1]) if row else ("", True)


def known_version(connection: Connection[Any], knows: int = schema.SCHEMA_VERSION) -> int | None:
    """Return the version of the tables, None if there are none; nothing is changed.

    ``knows`` is the version that this daemon knows. Raises ``CannotUseCluster`` for a standby, and for tables that a
    daemon of that version must not use.
    """
    check_server(connection)
    row = connection.execute("SELECT to_regclass('schema_version')").fetchone()
    if row is None or row[0] is None:
        return None
    version, oldest = connection.execute("SELECT version, oldest FROM schema_version").fetchone() or (0, 0)
    if oldest > knows:
        raise CannotUseCluster(
            f"--catalog: its tables need schema {oldest}, and this onec-exchange knows {knows}; "
            "install the version that the other daemons run"
        )
    if version < FIRST_VERSION:
        raise CannotUseCluster(f"--catalog: its tables have schema {version}, older than any release could have made")
    return int(version)


def create_tables(
    connection: Connection[Any], knows: int = schema.SCHEMA_VERSION, migrations: Mapping[int, str] = MIGRATIONS
) -> None:
    """Create the tables, or add to them what a later version needs, in one transaction.

    Daemons that start at once do it in turn. Raises ``CannotUseCluster`` as ``known_version`` does.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
        version = known_version(connection, knows)
        if version is None:
            whole = (
                *(schema.SCHEMA, schema.UPLOADS, schema.PROTOCOLS, schema.KEPT, schema.JOURNAL, schema.SHOPS),
                *(schema.INDEXES, SHARED),
            )
            connection.execute(CASEFOLD + "".join(_translated(part) for part in whole))
            connection.execute(
                "INSERT INTO schema_version (version, oldest, id) VALUES (%s, %s, %s)",
                (schema.SCHEMA_VERSION, OLDEST_VERSION, secrets.token_hex(16)),
            )
            return
        for number in range(version + 1, knows + 1):
            connection.execute(_translated(migrations[number]))
            connection.execute("UPDATE schema_version SET version = %s", (number,))


def leave_behind(connection: Connection[Any], oldest: int = OLDEST_VERSION) -> int:
    """Shut out daemons that know less than version ``oldest``, unless one of them runs.

    Return the version below which they are shut out now.
    """
    row = connection.execute(
        "UPDATE schema_version SET oldest = GREATEST(oldest, CASE WHEN EXISTS ("
        "SELECT 1 FROM daemons WHERE knows < %(oldest)s AND seen > now() - %(lease)s * interval '1 second')"
        " THEN 0 ELSE %(oldest)s END) RETURNING oldest",
        {"oldest": oldest, "lease": LEASE_TIME},
    ).fetchone()
    return int(row[0]) if row else 0
