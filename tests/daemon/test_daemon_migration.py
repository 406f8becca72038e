"""The move of a media root to where several daemons share records and files."""

from __future__ import annotations

import itertools
import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from zope.interface import implementer

pytest.importorskip("psycopg", reason="tox -e cluster has it")
pytest.importorskip("obstore", reason="tox -e cluster has it")

from records import session_of
from stores import KEYS, fake
from tus_in_memory import metadata

from onec_twisted.catalog.sql import sessions as statements
from onec_twisted.catalog.sql.journal import add_refusals, note_minute
from onec_twisted.cluster import carrying, segments
from onec_twisted.cluster.contents import segments_of
from onec_twisted.cluster.location import Location
from onec_twisted.cluster.objects import ObjectStore
from onec_twisted.cluster.postgresql import PostgreSQL
from onec_twisted.cluster.putters import Putters
from onec_twisted.cluster.reading import FileReader
from onec_twisted.cluster.s3 import S3, Tries
from onec_twisted.daemon import migration
from onec_twisted.daemon.backup import BackupFailed
from onec_twisted.daemon.migration import Moved, migrate
from onec_twisted.daemon.places import Place
from onec_twisted.delivery.interfaces import IImporter, ImportInterrupted
from onec_twisted.model.journal import Minute, RefusalLine
from onec_twisted.model.names import SafeName
from onec_twisted.storage.local import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fake_s3 import FakeS3
    from in_memory import InMemory
    from postgres import Server
    from tus_in_memory import TusInMemory

    from onec_twisted.model.description import Description

__all__ = ["fake"]


@pytest.fixture
def url(postgresql: Server) -> Iterator[str]:
    """A database without tables."""
    with postgresql.database() as url:
        yield url


@pytest.fixture
def place(url: str, fake: FakeS3) -> Place:
    """Where records and files go, each empty."""
    return Place(url, Location(fake.bucket, "", fake.endpoint), KEYS)


@pytest.fixture
def target(place: Place) -> Iterator[PostgreSQL]:
    """The records."""
    database = PostgreSQL(place.catalog, time.monotonic)
    yield database
    database.close()


@implementer(IImporter)
class Away:
    """An importer whose site is away, except for some documents."""

    called = "a site"

    async def deliver(self, description: Description, _progress: Callable[[str], None]) -> None:
        """Take no document of another name."""
        if description.filename != "import.xml":
            raise ImportInterrupted("The site is away")


def sent(exchange: InMemory, session: tuple[str, str], name: str, *pieces: bytes) -> None:
    """Send pieces of a file."""
    cookie, sessid = session
    for piece in pieces:
        query = f"type=catalog&mode=file&filename={name}&sessid={sessid}"
        assert exchange.request("POST", query, piece, Cookie=cookie).body == b"success"


def imported(exchange: InMemory, session: tuple[str, str], name: str) -> bytes:
    """Ask for an import; return the answer."""
    cookie, sessid = session
    query = f"type=catalog&mode=import&filename={name}&sessid={sessid}"
    return exchange.request("GET", query, Cookie=cookie).body


def note_others(cursor: Any) -> None:
    """Write what belongs to no session."""
    add_refusals(
        cursor, [RefusalLine(0, 1.0, 2.0, 3, "shop", "192.0.2.1", "", 403, "wrong", "No\0body", "mode=file")]
    )
    note_minute(cursor, Minute(60, 1, 2, 3, 4, 5, 6, 7), 0)


@pytest.fixture
def used(make_tus: Callable[..., TusInMemory], monkeypatch: pytest.MonkeyPatch) -> TusInMemory:
    """A media root with all there is: imported, waiting, growing, empty, of tus, and ended; cuts are small."""
    monkeypatch.setattr(segments, "SEGMENT_SIZE", 800)
    monkeypatch.setattr(segments, "LEAST_SEGMENT", 500)
    tus = make_tus(importer=Away(), import_hold=1.0)
    exchange = tus.exchange
    done = exchange.checkauth()
    sent(exchange, done, "import.xml", b"<a>", b"</a>")
    assert imported(exchange, done, "import.xml") == b"success"
    waits = exchange.checkauth()
    sent(exchange, waits, "offers.xml", b"<b/>")
    sent(exchange, waits, "import_files/ab/Рисунок.jpg", os.urandom(1000), os.urandom(1000), os.urandom(1000))
    sent(exchange, waits, "empty.txt", b"")
    cookie, sessid = waits
    exchange.send("GET", f"type=catalog&mode=import&filename=offers.xml&sessid={sessid}", Cookie=cookie)
    over = exchange.checkauth()
    sent(exchange, over, "gone.xml", b"gone")
    database = exchange.catalog.recorder.database
    for step, args in ((statements.end_session, (over[1],)), (note_others, ())):
        (outcome,) = database.record([(step, args)])
        assert outcome is None
    path = tus.made(5000, Upload_Metadata=metadata(filename="half.zip"))
    assert tus.patch(path, 0, b"h" * 2000).offset == 2000
    states = [state for _, _, state in tus.handoffs()]
    assert sorted(states) == ["succeeded", "waiting"]
    return tus


def rows(database: Any, statement: str) -> list[tuple[Any, ...]]:
    """Return what a question finds."""

    def ask(cursor: Any) -> list[tuple[Any, ...]]:
        cursor.execute(statement)
        return [tuple(row) for row in cursor.fetchall()]

    found: list[tuple[Any, ...]] = database.read(ask)
    return found


def on_record(tus: TusInMemory) -> Any:
    """Return the database of the media root."""
    return tus.exchange.catalog.recorder.database


def content(place: Place, database: PostgreSQL, sessid: str, name: str) -> bytes:
    """Return a file as a daemon of several reads it."""
    s3 = S3(place.store, place.keys, Tries())
    (size,) = rows(database, f"SELECT committed FROM files WHERE sessid = '{sessid}' AND name = '{name}'")[0]
    return b"".join(FileReader(s3, lambda: database.read(segments_of, sessid, name), size).blocks())


def test_all_of_it(used: TusInMemory, place: Place, target: PostgreSQL) -> None:
    """Every row and every byte is there, under the keys of their epochs; the media root stays as it was."""
    exchange = used.exchange
    told: list[str] = []
    before = exchange.files()
    moved = migrate(exchange.folder, place, told.append)

    sessids = {sessid for (sessid,) in rows(on_record(used), "SELECT sessid FROM sessions")}
    expected = {path: data for path, data in before.items() if path.partition("/")[0] in sessids}
    size = sum(map(len, expected.values()))
    assert moved == Moved(3, 5, size, 2, 0, 0, ())
    assert exchange.files() == before
    assert told == ["everything is moved, and is compared now"]
    for path, data in expected.items():
        sessid, _, name = path.partition("/")
        assert content(place, target, sessid, name) == data
    for question in (
        "SELECT username, epoch, held, touched, owed, begun, token_hash FROM sessions ORDER BY sessid",
        "SELECT number, id, event, state, files, words, documents FROM handoffs ORDER BY number",
        "SELECT id, state, brought, length, metadata FROM uploads ORDER BY id",
        "SELECT number, sessid, state, live, files, started, ended, shop FROM exchanges ORDER BY number",
        "SELECT exchange, name, size FROM exchange_files ORDER BY exchange, place",
        "SELECT id, exchange, state FROM imports ORDER BY id",
        "SELECT import, number, outcome, words FROM tries ORDER BY import, number",
        "SELECT * FROM minutes",
    ):
        ours = rows(on_record(used), question)
        assert ours
        assert rows(target, question) == ours
    assert rows(target, "SELECT count, username, words FROM refusals") == [
        (3, "shop", "No\N{REPLACEMENT CHARACTER}body")
    ]


def test_new_rows_have_new_numbers(used: TusInMemory, place: Place, target: PostgreSQL) -> None:
    """Numbers go on behind those that were moved."""
    migrate(used.exchange.folder, place)
    for table in ("handoffs", "exchanges", "refusals"):
        ((highest,),) = rows(target, f"SELECT MAX(number) FROM {table}")
        assert highest
        ask = f"SELECT nextval('{table}_number_seq')"
        assert target.using(lambda connection, ask=ask: connection.execute(ask).fetchone()) == (highest + 1,)


def test_a_piece_that_is_repeated_after_the_move(
    used: TusInMemory, place: Place, target: PostgreSQL, tmp_path: Path
) -> None:
    """It is known by the digest on record, and another one is not; the next is appended behind it."""
    exchange = used.exchange
    ((sessid, name),) = rows(on_record(used), "SELECT sessid, name FROM files WHERE name LIKE '%.jpg'")
    data = exchange.files()[f"{sessid}/{name}"]
    migrate(exchange.folder, place)
    s3 = S3(place.store, place.keys, Tries())
    store = ObjectStore(s3, Putters(s3), str(tmp_path), lambda *_: [], lambda _: None)
    session, safe = session_of(sessid), SafeName(tuple(name.split("/")))
    record = target.read(statements.file, sessid, name)
    repeated, other = (store.open(session, safe, record.committed) for _ in range(2))
    repeated.write([data[2000:]])
    other.write([os.urandom(1000)])

    assert repeated.repeats(record)
    assert not other.repeats(record)
    written = other.finish()
    args = session, name, record.committed, written, 10**6, 1.0, "catalog", "answer"
    assert target.record([(statements.commit, args)]) == [None]
    assert len(content(place, target, sessid, name)) == 4000
    store.stop()


def test_once_more(used: TusInMemory, place: Place, fake: FakeS3) -> None:
    """What is there is not put again, and is compared again."""
    first = migrate(used.exchange.folder, place)
    put = fake.count("PUT", "segments/")
    again = migrate(used.exchange.folder, place)

    assert again == first
    assert put == fake.count("PUT", "segments/")


@pytest.mark.parametrize("number", range(8))
def test_a_store_that_fails(used: TusInMemory, place: Place, fake: FakeS3, number: int) -> None:
    """It is said in one line with what to do; the next run goes on, and nothing is missing."""
    put = S3.put
    calls = itertools.count()

    def failing(self: S3, key: str, body: bytes) -> None:
        if "segments" in key and next(calls) == number:
            fake.fault("PUT", part="segments", status=403)
        put(self, key, body)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(S3, "put", failing)
        with pytest.raises(BackupFailed, match=r"^--store: .*403 .*; then run this again$"):
            migrate(used.exchange.folder, place)
    moved = migrate(used.exchange.folder, place)

    assert (moved.sessions, moved.files, moved.differences) == (3, 5, ())


def test_a_break_at_any_transaction(used: TusInMemory, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it or after it: the next run goes on, and nothing is missing."""
    record = PostgreSQL.record

    class Broken(BaseException):
        pass

    for number in range(30):
        calls = itertools.count()

        def breaking(self: PostgreSQL, steps: list[Any], at: int = number, calls: Any = calls) -> list[Any]:
            call = next(calls)
            if call == at // 2 and at % 2:
                raise Broken
            outcomes = record(self, steps)
            if call == at // 2:
                raise Broken
            return outcomes

        monkeypatch.setattr(PostgreSQL, "record", breaking)
        try:
            moved = migrate(used.exchange.folder, place)
        except Broken:
            continue
        break

    assert number > 10
    assert (moved.sessions, moved.files, moved.handoffs, moved.differences) == (3, 5, 2, ())


def test_bytes_that_are_missing(used: TusInMemory, place: Place, target: PostgreSQL) -> None:
    """What is there is moved, and the file is damaged, as the daemon would have it at its next start."""
    exchange = used.exchange
    names = {name: sessid for sessid, name in rows(on_record(used), "SELECT sessid, name FROM files")}
    temp = Store(exchange.folder).temp
    picture = next(name for name in names if name.endswith(".jpg"))
    os.truncate(temp / names[picture] / picture, 1500)
    (temp / names["half.zip"] / "half.zip").unlink()
    moved = migrate(exchange.folder, place)

    assert (moved.files, moved.damaged, moved.differences) == (5, 2, ())
    damaged = rows(target, "SELECT name FROM files WHERE damaged <> 0 ORDER BY name")
    assert damaged == [("half.zip",), (picture,)]
    assert [row[0] for row in rows(target, "SELECT SUM(length) FROM segments WHERE name LIKE '%.jpg'")] == [1500]
    assert rows(on_record(used), "SELECT COUNT(*) FROM files WHERE damaged <> 0") == [(0,)]
    assert migrate(exchange.folder, place) == moved


def test_wrong_bytes_in_the_store(used: TusInMemory, place: Place, fake: FakeS3, target: PostgreSQL) -> None:
    """Each is found: another byte, a missing object, one that is too long, a record that is gone or another."""
    folder = used.exchange.folder
    migrate(folder, place)
    keys = sorted(key for key in fake.objects if key.startswith("segments/"))
    changed, missing, longer = keys[:3]
    fake.objects[changed] = bytes([fake.objects[changed][0] ^ 1]) + fake.objects[changed][1:]
    del fake.objects[missing]
    fake.objects[longer] += b"x"
    differences = migrate(folder, place).differences

    assert len(differences) == 3
    for key, words in (
        (changed, "has others than the file"),
        (missing, "is not in"),
        (longer, "bytes in the object"),
    ):
        assert any(key in one and words in one for one in differences)
    target.record([(execute, ("DELETE FROM segments WHERE object = ?", keys[3]))])
    target.record([(execute, ("UPDATE files SET digest = ? WHERE name = 'empty.txt'", b"x"))])
    words = " / ".join(migrate(folder, place).differences)
    assert "its segments on record are not its" in words
    assert "empty.txt: the digest of its last piece on record is another" in words


def execute(cursor: Any, statement: str, *values: Any) -> None:
    """Change records."""
    cursor.execute(statement, values)


def test_differences_are_told_up_to_a_number(
    used: TusInMemory, place: Place, fake: FakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody reads a thousand lines."""
    monkeypatch.setattr(migration, "MOST_DIFFERENCES", 2)
    migrate(used.exchange.folder, place)
    for key in [key for key in fake.objects if key.startswith("segments/")]:
        del fake.objects[key]
    assert len(migrate(used.exchange.folder, place).differences) == 2


def test_a_manifest(exchange: InMemory, place: Place, fake: FakeS3) -> None:
    """What the importer ``keep`` has written is there as well, and its loss is noticed."""
    session = exchange.checkauth()
    sent(exchange, session, "import.xml", b"<a/>")
    imported(exchange, session, "import.xml")
    migrate(exchange.folder, place)

    key = f"files/{session[1]}/manifest.json"
    assert fake.objects.pop(key) == exchange.files()[f"{session[1]}/manifest.json"]
    (words,) = migrate(exchange.folder, place).differences
    assert words == f"{session[1]}: its manifest is not in the object store, or is another"


def test_folders_of_earlier_imports_stay(exchange: InMemory, place: Place, target: PostgreSQL) -> None:
    """They are counted, and neither on record nor in the store; the session's present files are moved."""
    session = exchange.checkauth()
    cookie, sessid = session
    sent(exchange, session, "import.xml", b"<a/>")
    imported(exchange, session, "import.xml")
    assert exchange.request("GET", f"type=catalog&mode=init&sessid={sessid}", Cookie=cookie).status == 200
    sent(exchange, session, "import.xml", b"<b></b>")
    moved = migrate(exchange.folder, place)

    assert (moved.files, moved.kept, moved.differences) == (1, 1, ())
    assert content(place, target, sessid, "import.xml") == b"<b></b>"
    assert rows(target, "SELECT object LIKE 'segments/%/2/%' FROM segments") == [(True,)]
    assert rows(target, "SELECT COUNT(*) FROM kept") == [(0,)]


def test_a_daemon_that_runs(used: TusInMemory, place: Place, fake: FakeS3) -> None:
    """Nothing is moved while one uses the media root."""
    running = Store(used.exchange.folder)
    running.lock()
    with pytest.raises(BackupFailed, match=f"a daemon is using {used.exchange.folder}: stop it first"):
        migrate(used.exchange.folder, place)
    running.unlock()
    assert fake.calls == []


def test_daemons_that_run_on_the_target(used: TusInMemory, place: Place, target: PostgreSQL, fake: FakeS3) -> None:
    """Nothing is moved beneath them; one that has not been seen for a while does not count."""
    migrate(used.exchange.folder, place)
    statement = "INSERT INTO daemons (id, name, version, knows) VALUES ('1', 'host:7', '1', 6)"
    target.record([(execute, (statement,))])
    with pytest.raises(BackupFailed, match=r"--catalog: daemons use this database \(host:7\): stop them first"):
        migrate(used.exchange.folder, place)
    target.record([(execute, ("UPDATE daemons SET seen = now() - interval '6 seconds'",))])
    assert migrate(used.exchange.folder, place).differences == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE sessions SET epoch = epoch + 1", r"sessions \w{32} is another one in the database"),
        ("UPDATE sessions SET sessid = 'f' || substr(sessid, 2)", r"sessions \w{32} is in the database only"),
        ("UPDATE files SET committed = committed + 1", r"files \w{32}/\S+ is another one in the database"),
        ("UPDATE handoffs SET state = 'failed', tries = 99", r"handoffs \d is another one in the database"),
        ("UPDATE refusals SET number = 77", "refusals 77 is in the database only"),
    ],
)
def test_a_database_that_has_others(
    used: TusInMemory, place: Place, target: PostgreSQL, fake: FakeS3, change: str, words: str
) -> None:
    """Nothing is put, and nothing of theirs is touched."""
    migrate(used.exchange.folder, place)
    target.record([(execute, (change,))])
    put = fake.count("PUT", "segments/")
    with pytest.raises(BackupFailed, match=f"^--catalog: {words}; name an empty database, and run this again$"):
        migrate(used.exchange.folder, place)
    assert fake.count("PUT", "segments/") == put


def test_no_media_root(tmp_path: Path, place: Place) -> None:
    """A folder without records is none."""
    with pytest.raises(BackupFailed, match="is no media root"):
        migrate(tmp_path, place)


def test_no_server_and_no_store(used: TusInMemory, place: Place, url: str) -> None:
    """Each is one line, with what to do."""
    nowhere = Place("postgresql://onec@127.0.0.1:1/onec", place.store, KEYS)
    with pytest.raises(BackupFailed, match=r"--catalog: PostgreSQL cannot be used: .*; then run this again"):
        migrate(used.exchange.folder, nowhere)
    bucket = Place(url, Location("nothing", "", place.store.endpoint), KEYS)
    with pytest.raises(BackupFailed, match="--store: there is no such bucket; make it, or correct the address"):
        migrate(used.exchange.folder, bucket)


def test_a_server_that_does_not_take_it(used: TusInMemory, place: Place, target: PostgreSQL) -> None:
    """A user without rights, or a table of somebody else's: one line."""
    target.using(lambda connection: connection.execute("CREATE TABLE sessions (x int)"))
    with pytest.raises(
        BackupFailed, match='--catalog: PostgreSQL does not take it: relation "sessions" already exists'
    ):
        migrate(used.exchange.folder, place)


def test_a_catalog_that_cannot_be_read(used: TusInMemory, place: Place) -> None:
    """It is said of which file."""
    with on_record(used)._records.turn:
        on_record(used)._records.cursor().execute("ALTER TABLE minutes RENAME TO hours")
    with pytest.raises(BackupFailed, match=r"exchange.sqlite3 cannot be read: no such table: minutes"):
        migrate(used.exchange.folder, place)


def test_a_large_file_with_holes(exchange: InMemory, place: Place, fake: FakeS3, target: PostgreSQL) -> None:
    """It is read bit by bit, and is as many segments as by the rule of cuts; progress is told."""
    size, last = 300 * 2**20 + 12345, 100 * 2**20
    session = exchange.checkauth()
    sent(exchange, session, "large.zip", b"x")
    os.truncate(Store(exchange.folder).temp / session[1] / "large.zip", size)
    database = exchange.catalog.recorder.database
    for table, column in (("files", "committed"), ("sessions", "held")):
        assert database.record([(execute, (f"UPDATE {table} SET {column} = {size}",))]) == [None]
    database.record([(execute, (f"UPDATE files SET last_start = {last}",))])
    told: list[str] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(migration, "TOLD_EVERY", 100 * 2**20)
        moved = migrate(exchange.folder, place, told.append)

    assert (moved.size, moved.differences) == (size, ())
    assert told[:2] == ["100M of 300M", "204M of 300M"]
    starts = [row[0] for row in rows(target, "SELECT start FROM segments ORDER BY start")]
    assert len(starts) == len(segments.cuts(last)) + len(segments.cuts(size - last))
    assert last in starts
    assert fake.most_open <= carrying.CARRIED_AT_ONCE
