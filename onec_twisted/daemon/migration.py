"""Takes the media root of a daemon that is stopped to where several daemons share records and files. Blocks.

Objects come first, then the records of a session in one transaction: what breaks off leaves objects that nothing
names, and the next run continues with the next session. The database must have nothing else. At the end both sides
are compared: each row, and each byte as it comes back from the store.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import psycopg
from attrs import define, field, frozen
from twisted.python.failure import Failure

from onec_twisted.catalog.database import Database
from onec_twisted.catalog.preparation import create_catalog, recorded_folders
from onec_twisted.catalog.sqlite import EngineError
from onec_twisted.cluster.carrying import Carrier, HeldFile, StoreFailed, digest_of
from onec_twisted.cluster.contents import all_segments_of
from onec_twisted.cluster.migrating import (
    OF_SESSION,
    TABLES,
    add,
    add_session,
    columns_of,
    count_from,
    digests_of,
    is_there,
    kept_folders,
    rows_of,
    rows_of_session,
    running,
    sizes,
)
from onec_twisted.cluster.postgresql import PostgreSQL
from onec_twisted.cluster.refusals import CannotUseCluster, first_line
from onec_twisted.cluster.s3 import S3, Tries
from onec_twisted.cluster.tables import create_tables
from onec_twisted.daemon.assembly import even_clock
from onec_twisted.daemon.backup import BackupFailed
from onec_twisted.daemon.places import words_of_store
from onec_twisted.daemon.reports import size as shown_size
from onec_twisted.model.errors import CatalogBusy, InsufficientStorage, StorageRemoved
from onec_twisted.storage.local import MediaRootTaken, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from onec_twisted.cluster.migrating import Row
    from onec_twisted.daemon.places import Place

__all__ = ["Moved", "migrate"]

MOST_DIFFERENCES = 20
"""Differences that are told."""

TOLD_EVERY = 1 << 30
"""Bytes after which progress is reported again."""

ADDED_AT_ONCE = 1000
"""Rows that belong to no session, of one transaction."""

MISSING, FOREIGN, OTHER = "is missing in the database", "is in the database only", "is another one in the database"


@frozen
class Moved:
    """What was moved: numbers, and bytes. ``damaged`` files had lost bytes before; ``kept`` folders were left behind.

    ``differences`` are what the comparison has found, in words, the first of them.
    """

    sessions: int
    files: int
    size: int
    handoffs: int
    damaged: int
    kept: int
    differences: tuple[str, ...]


def migrate(media_root: Path, place: Place, report: Callable[[str], None] = lambda _: None) -> Moved:
    """Move a media root whose daemon is stopped, or what is still missing of it; nothing is removed from it.

    ``report`` is called with progress in words. A catalog of an older version is migrated to this one before, as the
    daemon does. Raises ``BackupFailed``, ``CatalogUnusable`` and ``OSError``.
    """
    store = Store(media_root)
    if not store.database.is_file():
        raise BackupFailed(f"{media_root} is no media root: {store.database} is missing")
    try:
        store.lock()
    except MediaRootTaken:
        raise BackupFailed(f"a daemon is using {media_root}: stop it first") from None
    try:
        create_catalog(store.database)
        for sessid, folder in recorded_folders(store.database).items():
            store.move(sessid, folder)
        with _in_words(store):
            return _moved(store, place, report)
    finally:
        store.unlock()


def _moved(store: Store, place: Place, report: Callable[[str], None]) -> Moved:
    """Move what is in a locked media root."""
    source, target = Database(store.database), PostgreSQL(place.catalog, even_clock)
    carrier = Carrier(store, S3(place.store, place.keys, Tries()))
    try:
        target.using(create_tables)
        carrier.probe()
        columns = {table: source.read(columns_of, table) for table in TABLES}
        return _Move(source, target, carrier, report, columns).whole()
    finally:
        carrier.stop()
        source.close()
        target.close()


@contextmanager
def _in_words(store: Store) -> Iterator[None]:
    """Say what to do about a server, a store or a database that fails."""
    try:
        yield
    except CannotUseCluster as cannot:
        raise BackupFailed(str(cannot)) from None
    except CatalogBusy as error:
        raise BackupFailed(f"--catalog: PostgreSQL cannot be used: {error}; then run this again") from None
    except psycopg.Error as error:
        raise BackupFailed(f"--catalog: PostgreSQL does not take it: {first_line(error)}") from None
    except EngineError as error:
        raise BackupFailed(f"{store.database} cannot be read: {error}") from None
    except StoreFailed as failed:
        raise BackupFailed(f"--store: {words_of_store(failed)}; then run this again") from None
    except (StorageRemoved, InsufficientStorage) as error:
        raise BackupFailed(f"--store: {words_of_store(error)}") from None


@define(eq=False)
class _Move:
    """A move on its way."""

    source: Database
    target: PostgreSQL
    carrier: Carrier
    report: Callable[[str], None]
    columns: Mapping[str, tuple[str, ...]]
    _total: int = field(default=0, init=False)
    """Bytes of all sessions."""
    _sent: int = field(default=0, init=False)
    """Bytes that were put, or were there."""
    _told: int = field(default=0, init=False)
    _counts: dict[str, int] = field(factory=lambda: dict.fromkeys((*TABLES, "bytes", "damaged"), 0), init=False)
    """Rows by table, and bytes and damaged files, as the comparison counts them."""

    def whole(self) -> Moved:
        """Move and compare."""
        self._check_target()
        count, self._total = self.source.survey(sizes)
        for row in rows_of(self.source, "sessions", self.columns["sessions"]):
            self._move_session(self._named("sessions", row))
        self._add_others()
        self.report("everything is moved, and is compared now")
        differences = tuple(islice(self._differences(), MOST_DIFFERENCES))
        self._check_nobody_runs()
        counts = self._counts
        return Moved(
            sessions=count,
            files=counts["files"],
            size=counts["bytes"],
            handoffs=counts["handoffs"],
            damaged=counts["damaged"],
            kept=self.source.read(kept_folders),
            differences=differences,
        )

    def _check_nobody_runs(self) -> None:
        """Raise ``BackupFailed`` while daemons use the database."""
        names = self.target.read(running)
        if names:
            raise BackupFailed(f"--catalog: daemons use this database ({', '.join(names)}): stop them first")

    def _check_target(self) -> None:
        """Check that nobody uses the database, and that it has nothing but what an earlier run has moved."""
        self._check_nobody_runs()
        for table in TABLES:
            for words in self._compared(table, is_complete=False):
                raise BackupFailed(f"--catalog: {words}; name an empty database, and run this again")

    def _named(self, table: str, row: Row) -> dict[str, Any]:
        """Return the values of a row by the names of its columns."""
        return dict(zip(self.columns[table], row, strict=True))

    def _move_session(self, session: dict[str, Any]) -> None:
        """Put the files of a session, then record it with all that belongs to it; unless it is there."""
        sessid, epoch = session["sessid"], session["epoch"]
        if self.target.read(is_there, sessid):
            self._note(session["held"])
            return
        rows = {table: self.source.read(rows_of_session, table, self.columns[table], sessid) for table in OF_SESSION}
        files = [self._held(row, epoch) for row in rows["files"]]
        segments = []
        for name, segment in self.carrier.put(files):
            segments.append((name, segment))
            self._note(segment.length)
        self.carrier.put_manifest(sessid)
        of_files: dict[str, list[Any]] = {file.name: [] for file in files}
        for name, segment in segments:
            of_files[name].append(segment)
        tables: dict[str, tuple[Sequence[str], Sequence[Row]]] = {
            table: (self.columns[table], rows[table]) for table in OF_SESSION
        }
        tables["files"] = (
            (*self.columns["files"], "digest"),
            [
                (*self._judged(row, file), digest_of(file, of_files[file.name]))
                for row, file in zip(rows["files"], files, strict=True)
            ],
        )
        self._record(add_session, sessid, epoch, tables, segments)

    def _judged(self, row: Row, held: HeldFile) -> Row:
        """Return a row of ``files`` as the daemon would have it at its next start: damaged if bytes are missing."""
        file = self._named("files", row)
        return tuple({**file, "damaged": 1 if held.length < file["committed"] else file["damaged"]}.values())

    def _held(self, row: Row, epoch: int) -> HeldFile:
        """Return what is there of a file, by its row."""
        file = self._named("files", row)
        length = self.carrier.length(file["sessid"], file["name"], file["committed"])
        return HeldFile(file["sessid"], epoch, file["name"], length, file["last_start"])

    def _record(self, step: Callable[..., Any], *args: Any) -> None:
        """Take a step, in a transaction."""
        (outcome,) = self.target.record([(step, args)])
        if isinstance(outcome, Failure):
            outcome.raiseException()

    def _add_others(self) -> None:
        """Record what belongs to no session, above all the journal, bit by bit; new rows are numbered behind."""
        for table in TABLES:
            if table in ("sessions", "files"):
                continue
            rows = rows_of(self.source, table, self.columns[table])
            while some := list(islice(rows, ADDED_AT_ONCE)):
                self._record(add, table, self.columns[table], some)
        self._record(count_from)

    def _note(self, size: int) -> None:
        """Report progress now and then."""
        self._sent += size
        if self._sent - self._told >= TOLD_EVERY:
            self._told = self._sent
            self.report(f"{shown_size(self._sent)} of {shown_size(self._total)}")

    def _compared(self, table: str, *, is_complete: bool) -> Iterator[str]:
        """Yield how the rows of a table differ; if it need not be complete, only what the database has too much."""
        columns, keys = self.columns[table], TABLES[table]
        ours: Iterable[Row] = rows_of(self.source, table, columns)
        if table == "files":
            ours = (self._judged(row, self._held(row, 0)) for row in ours)
        theirs = rows_of(self.target, table, columns)
        places = [columns.index(key) for key in keys]
        for key, words in _differing(iter(ours), theirs, places, is_complete=is_complete):
            yield f"{table} {'/'.join(map(str, key))} {words}"

    def _differences(self) -> Iterator[str]:
        """Yield what is not the same on both sides, and count what is compared."""
        for table in TABLES:
            yield from self._compared(table, is_complete=True)
        for row in rows_of(self.source, "sessions", self.columns["sessions"]):
            yield from self._session_differences(self._named("sessions", row))

    def _session_differences(self, session: dict[str, Any]) -> Iterator[str]:
        """Yield what is not the same of a session's files."""
        sessid, columns = session["sessid"], self.columns
        rows = self.source.read(rows_of_session, "files", columns["files"], sessid)
        files = [self._held(row, session["epoch"]) for row in rows]
        self._counts["files"] += len(files)
        self._counts["bytes"] += sum(file.length for file in files)
        self._counts["handoffs"] += len(self.source.read(rows_of_session, "handoffs", columns["handoffs"], sessid))
        place = columns["files"].index("damaged")
        self._counts["damaged"] += sum(self._judged(*both)[place] for both in zip(rows, files, strict=True))
        segments = self.target.read(all_segments_of, sessid)
        digests = self.target.read(digests_of, sessid)
        yield from filter(None, self.carrier.differences((file, segments.get(file.name, [])) for file in files))
        for file in files:
            if digests.get(file.name) != digest_of(file, segments.get(file.name, [])):
                yield f"{sessid}: {file.name}: the digest of its last piece on record is another"
        if not self.carrier.has_manifest(sessid):
            yield f"{sessid}: its manifest is not in the object store, or is another"


def _differing(
    ours: Iterator[Row], theirs: Iterator[Row], places: Sequence[int], *, is_complete: bool
) -> Iterator[tuple[Row, str]]:
    """Yield the keys of rows that differ, with what is wrong; both sides are in the order of keys.

    If theirs need not be complete, that one of ours is missing is no difference.
    """

    def key(row: Row) -> Row:
        return tuple(row[place] for place in places)

    one, other = next(ours, None), next(theirs, None)
    while other is not None or (is_complete and one is not None):
        if other is None or (one is not None and key(one) < key(other)):
            if is_complete and one is not None:
                yield key(one), MISSING
            one = next(ours, None)
        elif one is None or key(other) < key(one):
            yield key(other), FOREIGN
            other = next(theirs, None)
        else:
            if one != other:
                yield key(one), OTHER
            one, other = next(ours, None), next(theirs, None)
