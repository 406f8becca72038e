"""The tables of the catalog's database, and the migrations from older versions.

The modules of ``catalog.sql`` hold the only SQL. Except for pragmas and ``WITHOUT ROWID``, it is valid for PostgreSQL
too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite3 import Cursor

__all__ = ["LOCK_PATIENCE", "MIGRATIONS", "SCHEMA_VERSION", "has_counts", "script_from", "version_of"]

SCHEMA_VERSION = 7

SCHEMA = """
CREATE TABLE sessions (
    sessid     TEXT PRIMARY KEY,
    token_hash TEXT NOT NULL UNIQUE,
    username   TEXT NOT NULL,
    epoch      INTEGER NOT NULL,
    held       INTEGER NOT NULL,
    touched    DOUBLE PRECISION NOT NULL,
    owed       INTEGER NOT NULL,
    begun      INTEGER NOT NULL DEFAULT 0,
    folder     TEXT NOT NULL DEFAULT ''
);
CREATE TABLE files (
    sessid    TEXT NOT NULL,
    name      TEXT NOT NULL,
    committed INTEGER NOT NULL,
    last_start INTEGER NOT NULL,
    proven    INTEGER NOT NULL,
    damaged   INTEGER NOT NULL,
    type      TEXT NOT NULL,
    sealed    INTEGER NOT NULL,
    by_node   INTEGER NOT NULL DEFAULT 1,
    place     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (sessid, name)
) WITHOUT ROWID;
CREATE TABLE handoffs (
    number    INTEGER PRIMARY KEY,
    id        TEXT NOT NULL UNIQUE,
    sessid    TEXT NOT NULL,
    username  TEXT NOT NULL,
    event     TEXT NOT NULL,
    type      TEXT NOT NULL,
    filename  TEXT NOT NULL,
    archive   TEXT NOT NULL,
    timestamp TEXT NOT NULL,
    files     TEXT NOT NULL,
    created   DOUBLE PRECISION NOT NULL,
    state     TEXT NOT NULL,
    changed   DOUBLE PRECISION NOT NULL,
    tries     INTEGER NOT NULL,
    words     TEXT NOT NULL,
    told      INTEGER NOT NULL,
    count     INTEGER NOT NULL DEFAULT 0,
    metadata  TEXT NOT NULL DEFAULT '',
    checked   TEXT NOT NULL DEFAULT '',
    documents TEXT NOT NULL DEFAULT '[]',
    superseded INTEGER NOT NULL DEFAULT 0,
    begun     INTEGER NOT NULL DEFAULT 0
);
"""

UPLOADS = """
CREATE TABLE uploads (
    id       TEXT PRIMARY KEY,
    username TEXT NOT NULL,
    sessid   TEXT NOT NULL,
    name     TEXT NOT NULL,
    length   INTEGER,
    metadata TEXT NOT NULL,
    own      INTEGER NOT NULL,
    brought  INTEGER NOT NULL,
    state    TEXT NOT NULL,
    changed  DOUBLE PRECISION NOT NULL
);
CREATE INDEX uploads_of_session ON uploads (sessid, name);
CREATE INDEX uploads_of_user ON uploads (username, state, changed);
CREATE INDEX uploads_open ON uploads (changed) WHERE state = 'open';
CREATE INDEX uploads_gone ON uploads (changed) WHERE state = 'gone';
"""

PROTOCOLS = """
ALTER TABLE uploads ADD COLUMN protocol TEXT NOT NULL DEFAULT 'tus';
ALTER TABLE uploads ADD COLUMN whole_digest TEXT NOT NULL DEFAULT '';
"""

KEPT = """
CREATE TABLE kept (
    folder  TEXT PRIMARY KEY,
    sessid  TEXT NOT NULL,
    size    INTEGER NOT NULL,
    changed DOUBLE PRECISION NOT NULL
);
CREATE INDEX kept_of_session ON kept (sessid);
CREATE INDEX kept_since ON kept (changed);
"""

JOURNAL = """
CREATE TABLE exchanges (
    number   INTEGER PRIMARY KEY,
    sessid   TEXT NOT NULL,
    username TEXT NOT NULL,
    address  TEXT NOT NULL,
    agent    TEXT NOT NULL,
    started  DOUBLE PRECISION NOT NULL,
    ended    DOUBLE PRECISION,
    state    TEXT NOT NULL,
    live     INTEGER NOT NULL DEFAULT 1,
    files    INTEGER NOT NULL DEFAULT 0,
    size     INTEGER NOT NULL DEFAULT 0,
    imports  INTEGER NOT NULL DEFAULT 0,
    words    TEXT NOT NULL DEFAULT '',
    seconds  DOUBLE PRECISION NOT NULL DEFAULT 0
);
CREATE INDEX exchanges_of_session ON exchanges (sessid, number);
CREATE INDEX exchanges_of_user ON exchanges (username, number);
CREATE INDEX exchanges_in_state ON exchanges (state, number);
CREATE TABLE exchange_files (
    exchange INTEGER NOT NULL,
    place    INTEGER NOT NULL,
    name     TEXT NOT NULL,
    folded   TEXT NOT NULL,
    size     INTEGER NOT NULL,
    type     TEXT NOT NULL,
    PRIMARY KEY (exchange, place)
) WITHOUT ROWID;
CREATE TABLE imports (
    id       TEXT PRIMARY KEY,
    exchange INTEGER,
    event    TEXT NOT NULL,
    type     TEXT NOT NULL,
    filename TEXT NOT NULL,
    created  DOUBLE PRECISION NOT NULL,
    ended    DOUBLE PRECISION,
    state    TEXT NOT NULL,
    words    TEXT NOT NULL DEFAULT '',
    checked  TEXT NOT NULL DEFAULT ''
);
CREATE INDEX imports_of_exchange ON imports (exchange, state);
CREATE TABLE tries (
    import  TEXT NOT NULL,
    number  INTEGER NOT NULL,
    begun   DOUBLE PRECISION NOT NULL,
    ended   DOUBLE PRECISION NOT NULL,
    outcome TEXT NOT NULL,
    words   TEXT NOT NULL,
    PRIMARY KEY (import, number)
) WITHOUT ROWID;
CREATE TABLE refusals (
    number   INTEGER PRIMARY KEY,
    first    DOUBLE PRECISION NOT NULL,
    last     DOUBLE PRECISION NOT NULL,
    count    INTEGER NOT NULL,
    username TEXT NOT NULL,
    address  TEXT NOT NULL,
    sessid   TEXT NOT NULL,
    status   INTEGER NOT NULL,
    code     TEXT NOT NULL,
    words    TEXT NOT NULL,
    asked    TEXT NOT NULL
);
CREATE INDEX refusals_alike ON refusals (username, address, code);
CREATE INDEX refusals_of_session ON refusals (sessid);
CREATE INDEX refusals_latest ON refusals (last);
CREATE TABLE minutes (
    minute    INTEGER PRIMARY KEY,
    received  INTEGER NOT NULL,
    accepted  INTEGER NOT NULL,
    discarded INTEGER NOT NULL,
    refusals  INTEGER NOT NULL,
    imports   INTEGER NOT NULL,
    failures  INTEGER NOT NULL,
    free      INTEGER NOT NULL
);
"""

SHOPS = """
ALTER TABLE exchanges ADD COLUMN shop TEXT NOT NULL DEFAULT 'default';
ALTER TABLE refusals ADD COLUMN shop TEXT NOT NULL DEFAULT 'default';
CREATE INDEX exchanges_of_shop ON exchanges (shop, number);
CREATE INDEX exchanges_ended ON exchanges (shop, ended) WHERE live = 0;
CREATE INDEX refusals_of_shop ON refusals (shop, last);
"""
"""What version 6 has given the journal. Before it, every user was in the default shop."""

FIRST_EXCHANGES = """
INSERT INTO exchanges (sessid, username, address, agent, started, ended, state, imports, words)
SELECT sessid, username, '', '', touched,
    CASE WHEN EXISTS (SELECT 1 FROM handoffs WHERE handoffs.sessid = sessions.sessid AND state = 'waiting')
        THEN NULL ELSE (SELECT MAX(changed) FROM handoffs WHERE handoffs.sessid = sessions.sessid) END,
    COALESCE((SELECT CASE WHEN SUM(state = 'waiting') THEN 'importing' WHEN SUM(state = 'failed') THEN 'failed'
        WHEN COUNT(*) THEN 'succeeded' END FROM handoffs WHERE handoffs.sessid = sessions.sessid), 'running'),
    (SELECT COUNT(*) FROM handoffs WHERE handoffs.sessid = sessions.sessid),
    COALESCE((SELECT words FROM handoffs WHERE handoffs.sessid = sessions.sessid AND state = 'failed'
        ORDER BY changed DESC LIMIT 1), '')
FROM sessions ORDER BY touched;
INSERT INTO imports (id, exchange, event, type, filename, created, ended, state, words, checked)
SELECT id, (SELECT number FROM exchanges WHERE exchanges.sessid = handoffs.sessid), event, type, filename, created,
    CASE WHEN state = 'waiting' THEN NULL ELSE changed END, state, words, checked
FROM handoffs;
"""
"""What the journal knows of sessions that are older than itself."""

INDEXES = """
CREATE INDEX handoffs_of_session ON handoffs (sessid, state);
CREATE INDEX handoffs_in_state ON handoffs (state);
CREATE INDEX handoffs_of_user ON handoffs (username, type, state, number);
CREATE INDEX sessions_of_user ON sessions (username);
CREATE INDEX damaged_files ON files (sessid, name) WHERE damaged <> 0;
"""
"""``held`` is the sum of the session's committed bytes; ``touched``, like all times, is in seconds since 1970;
``owed`` means that something has arrived since the last hand-off; ``begun`` is how many files the session has begun;
``folder`` is the name of its folder, empty if that is its sessid.

``last_start`` is where a file's last piece begins; ``proven`` means that the answer to it is known to have arrived;
``damaged``, that acknowledged bytes are missing or doubtful. ``sealed`` is 0 for a file that was not handed off,
else the ``number`` of the hand-off that settled it, or -1 if it has a hand-off of its own, or none any more.
``by_node`` means that a node has sent part of it, if only an empty piece; a file sent by tus alone is handed off when
it is complete. ``place`` is the order in which the files of a session were begun.

``handoffs`` is the outbox: what is to be delivered to the site, and the outcome. ``number`` is the order; ``files``
is a JSON list of names and lengths, empty where the files' ``sealed`` refers to its ``number``; ``count`` is the
number of files; ``told`` means that a failure was reported to the node; ``metadata`` is what a tus client sent with
its file, as JSON; ``checked`` is what was found in its documents, as JSON, empty if nothing was yet; ``documents`` is
a JSON list of the names of its documents, as of its last try; ``superseded`` means that a newer hand-off has brought
one of them to the site; ``begun`` is that of its session when it was last asked for.

``kept`` are the folders of earlier epochs in which something was imported: ``size`` is what the session held then, in
bytes, ``changed`` when the last import succeeded.

``exchanges``, ``exchange_files``, ``imports`` and ``tries`` are the journal (``model.journal``), which outlives
sessions: ``live`` means that the session goes on with it; until then ``files`` and ``size`` are 0, because its files
are in ``files``. ``folded`` is a name for searches, whatever its case; ``checked`` is that of the hand-off.
``refusals`` are requests that were refused, ``minutes`` totals by the minute. ``shop`` is that of the user
(``model.shops``).

``uploads`` are the resumable ones, of the ``protocol`` that has begun them: ``length`` is NULL until it is known,
``metadata`` is what the client said of its file, packed as tus does; ``own`` means that the session was made for the
upload alone; ``brought`` is how many bytes of its file the upload has received; ``state`` is ``open``, ``complete``,
or ``gone``, which is remembered for a while; ``whole_digest`` is what all of it has to match when it is complete,
empty if the client has sent none.
"""

COUNTS = """
ALTER TABLE handoffs ADD COLUMN count INTEGER NOT NULL DEFAULT 0;
UPDATE handoffs SET count = json_array_length(files);
UPDATE files SET sealed = -1 WHERE sealed = 1;
"""
"""A part of version 3 that its first databases lack."""

MIGRATIONS = {
    1: """
DROP INDEX handoffs_of_session;
CREATE INDEX handoffs_of_session ON handoffs (sessid, state);
CREATE INDEX sessions_of_user ON sessions (username);
CREATE INDEX damaged_files ON files (sessid, name) WHERE damaged <> 0;
""",
    2: COUNTS
    + """
ALTER TABLE handoffs ADD COLUMN metadata TEXT NOT NULL DEFAULT '';
ALTER TABLE files ADD COLUMN by_node INTEGER NOT NULL DEFAULT 1;
"""
    + UPLOADS,
    3: """
ALTER TABLE handoffs ADD COLUMN checked TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN begun INTEGER NOT NULL DEFAULT 0;
ALTER TABLE files ADD COLUMN place INTEGER NOT NULL DEFAULT 0;
ALTER TABLE handoffs ADD COLUMN documents TEXT NOT NULL DEFAULT '[]';
UPDATE handoffs SET documents = json_array(filename) WHERE event = 'import';
ALTER TABLE handoffs ADD COLUMN superseded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE handoffs ADD COLUMN begun INTEGER NOT NULL DEFAULT 0;
CREATE INDEX handoffs_of_user ON handoffs (username, type, state, number);
ALTER TABLE sessions ADD COLUMN folder TEXT NOT NULL DEFAULT '';
"""
    + KEPT,
    4: JOURNAL + "CREATE INDEX exchanges_ended ON exchanges (ended) WHERE live = 0;" + FIRST_EXCHANGES,
    5: "DROP INDEX exchanges_ended;" + SHOPS,
    6: PROTOCOLS,
}
"""The migration from each version to the next."""

LOCK_PATIENCE = 3.0
"""Seconds that another process may keep the database locked before recording fails with ``CatalogBusy``.

A backup of the database, or a statement typed in a shell, takes less; a node waits longer (docs/protocol.md, N12).
"""


def version_of(cursor: Cursor) -> int:
    """Return the version of a database's schema, 0 for an empty database."""
    cursor.execute("PRAGMA user_version")
    return int(cursor.fetchone()[0])


def has_counts(cursor: Cursor) -> bool:
    """Return whether the hand-offs of a database have counts."""
    cursor.execute("PRAGMA table_info(handoffs)")
    return any(name == "count" for _, name, *_ in cursor.fetchall())


def script_from(version: int, *, counts: bool = True) -> str:
    """Return the script that migrates a database of a version, 0 for an empty one, to this version atomically.

    ``counts`` is whether its hand-offs have counts, which version 3 has had since its second day.
    """
    whole = [SCHEMA, UPLOADS, PROTOCOLS, KEPT, JOURNAL, SHOPS, INDEXES]
    steps = [MIGRATIONS[old] for old in range(version, SCHEMA_VERSION)] if version else whole
    if version == 3 and not counts:
        steps.insert(0, COUNTS)
    return f"BEGIN; {''.join(steps)} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
