"""Faults from the field: descriptors that run out, foreign files, 8-bit locales, and a media root that vanishes."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from administrator import Administrator
from daemon import SCRIPTS, Daemon
from line import Line, post
from records import session_of
from trade import ExchangeFailed, Trade

from onec_twisted.delivery import launch
from onec_twisted.delivery.keep import Keep
from onec_twisted.model.description import UploadedFile
from onec_twisted.model.errors import FileDamaged, FileInTheWay, InvalidFilename, StorageRemoved, SyncFailed
from onec_twisted.model.names import SafeName, safe_name
from onec_twisted.model.records import Written
from onec_twisted.model.segments import LOCK
from onec_twisted.runtime import presence
from onec_twisted.runtime.presence import Presence
from onec_twisted.storage.local import Store
from onec_twisted.testing import FakeImporter, inline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from in_memory import InMemory
    from twisted.internet.task import Clock

SESSID = "0123456789abcdef" * 2
A = SafeName(("a",))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A media root that is ready."""
    store = Store(tmp_path / "media")
    store.prepare()
    return store


def write(store: Store, committed: int | None, content: bytes, name: SafeName = A) -> Path:
    """Store one piece, and return its file's path."""
    file = store.open(session_of(SESSID), name, committed)
    file.write([content])
    file.finish()
    return Path(file.path)


def send(exchange: InMemory, session: tuple[str, str], name: str, body: bytes) -> Any:
    """Send one piece."""
    query = f"type=catalog&mode=file&filename={quote(name)}&sessid={session[1]}"
    return exchange.request("POST", query, body, Cookie=session[0])


def ask(exchange: InMemory, session: tuple[str, str], query: str) -> Any:
    """Ask something else in a session."""
    return exchange.request("GET", f"type=catalog&{query}&sessid={session[1]}", Cookie=session[0])


def failing(patch: pytest.MonkeyPatch, place: Any, call: str, code: int, *, when: Callable[[str], bool]) -> None:
    """Have a call of the system fail for some paths."""
    real = getattr(place, call)

    def fail(path: Any, *arguments: Any, **options: Any) -> Any:
        if when(str(path)):
            raise OSError(code, os.strerror(code), str(path))
        return real(path, *arguments, **options)

    patch.setattr(place, call, fail)


# Descriptors run out


PASSING = [errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EINTR]


@pytest.mark.parametrize("code", PASSING)
@pytest.mark.parametrize("query", ["mode=complete", "mode=import&filename=a"])
def test_a_session_that_cannot_be_synced_now_is_not_damaged(
    make_exchange: Callable[..., InMemory], monkeypatch: pytest.MonkeyPatch, code: int, query: str
) -> None:
    """With --durability=handoff: no descriptor to sync with is no damage; the node hears 503, and then success."""
    exchange = make_exchange(durability="handoff")
    session = exchange.checkauth()
    assert send(exchange, session, "a", b"12345").body == b"success"

    def unable(store: Any, sessid: str) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(type(exchange.store), "sync", unable)
        refused = ask(exchange, session, query)

    assert (refused.status, refused.body) == (503, b"failure\nStorage unavailable - retry later")
    assert ask(exchange, session, query).body == b"success"


@pytest.mark.parametrize("call", ["open", "fsync", "fdatasync"])
def test_only_the_sync_itself_tells_of_damage(store: Store, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """A folder or a file that cannot be opened to be synced is not damaged; one whose sync fails is."""
    write(store, None, b"x")

    def broken(*_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE if call == "open" else errno.EIO, "no")

    monkeypatch.setattr("onec_twisted.storage.file._sync_data" if call == "fdatasync" else f"os.{call}", broken)
    with pytest.raises(OSError, match="no") as raised:
        store.sync(SESSID)

    assert isinstance(raised.value, SyncFailed) is (call != "open")


def test_quiet_sessions_are_handed_off_when_there_are_descriptors_again(
    make_exchange: Callable[..., InMemory], monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """Nobody asks for them, so nobody hears 503: it is tried again."""
    importer = FakeImporter()
    exchange = make_exchange(durability="handoff", importer=importer)
    session = exchange.checkauth()
    send(exchange, session, "a", b"x")
    clock.advance(exchange.config.settle + 1)

    def unable(store: Any, sessid: str) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(type(exchange.store), "sync", unable)
        exchange.parts.handoffs.settle_quiet()
    assert importer.delivered == []
    exchange.parts.handoffs.settle_quiet()

    assert [one.event for one in importer.delivered] == ["settled"]


@pytest.mark.parametrize("code", PASSING)
def test_a_piece_that_finds_no_descriptor(
    exchange: InMemory, monkeypatch: pytest.MonkeyPatch, nothing_left_behind: list[dict[str, Any]], code: int
) -> None:
    """It hears 503 with words, nobody reads a traceback, and the next try is stored."""
    session = exchange.checkauth()
    assert send(exchange, session, "a", b"1").body == b"success"
    with monkeypatch.context() as patch:
        failing(patch, os, "open", code, when=lambda path: path.endswith("/b"))
        reply = send(exchange, session, "b", b"2")
    if code != errno.EACCES:
        assert reply.body == b"failure\nStorage unavailable - retry later"
    assert (reply.status, reply.headers["retry-after"] != "") == (503, True)
    assert not [event for event in nothing_left_behind if "log_failure" in event]
    assert any(os.strerror(code) in event.get("because", "") for event in nothing_left_behind)
    assert send(exchange, session, "b", b"2").body == b"success"


def limited(patch: pytest.MonkeyPatch, most: int) -> None:
    """Have the system give as many descriptors as that."""
    patch.setattr(resource, "getrlimit", lambda _: (most, most))


def test_the_last_descriptors_are_not_for_pieces(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that takes one of those is closed, and nothing of it stays; one that was there is left as it was."""
    path = write(store, None, b"12345")
    limited(monkeypatch, 4)
    for name, committed in ((A, 5), (SafeName(("new",)), None)):
        with pytest.raises(OSError, match="Too many open files"):
            store.open(session_of(SESSID), name, committed)

    assert [one.name for one in path.parent.iterdir()] == ["a"]
    assert path.read_bytes() == b"12345"
    limited(monkeypatch, resource.RLIM_INFINITY)
    assert write(store, 5, b"6").read_bytes() == b"123456"


@pytest.fixture
def room_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let so many connections be open at once, of which three of four descriptors are."""

    def limit(most: int) -> None:
        limited(monkeypatch, (most + 1) * 4 // 3)

    return limit


def test_who_rests_makes_room(exchange: InMemory, room_for: Callable[[int], None]) -> None:
    """When few descriptors are left, the connection that rests longest is closed, of the address that has most."""
    lonely = Line(exchange.site, "10.0.0.1")
    crowd = [Line(exchange.site, "10.0.0.2") for _ in range(3)]
    room_for(5)
    Line(exchange.site, "10.0.0.3")
    assert not any(one.transport.disconnected for one in (lonely, *crowd))
    newcomer = Line(exchange.site, "10.0.0.3")

    assert [one.transport.disconnected for one in (lonely, *crowd, newcomer)] == [False, True, False, False, False]


def test_who_is_at_work_is_let_alone(exchange: InMemory, room_for: Callable[[int], None]) -> None:
    """A body on its way is not broken off for a newcomer, who is turned away then; afterwards it rests as all do."""
    session = exchange.checkauth()
    exchange.site.server.newcomers._resting.clear()
    working = Line(exchange.site, "10.0.0.2")
    wire = post(session, "a", b"x" * 10)
    working.send(wire[:-1])
    room_for(exchange.site.server.connections.total)
    assert Line(exchange.site, "10.0.0.3").transport.disconnected
    assert not working.transport.disconnected
    room_for(1000)
    assert working.send(wire[-1:]).endswith(b"success")
    room_for(exchange.site.server.connections.total)
    assert not Line(exchange.site, "10.0.0.4").transport.disconnected
    assert working.transport.disconnected


def test_a_crowd_does_not_grow_at_the_cost_of_others(exchange: InMemory, room_for: Callable[[int], None]) -> None:
    """An address that has more than those that rest gets no more."""
    lonely = Line(exchange.site, "10.0.0.1")
    working = [Line(exchange.site, "10.0.0.2") for _ in range(2)]
    for one in working:
        exchange.site.server.newcomers.leaves(one.protocol)
    room_for(3)

    assert Line(exchange.site, "10.0.0.2").transport.disconnected
    assert not lonely.transport.disconnected


def test_a_crowd_is_told_once_a_minute(
    exchange: InMemory, room_for: Callable[[int], None], clock: Clock, nothing_left_behind: list[dict[str, Any]]
) -> None:
    """Not for each of thousands of connections."""
    room_for(2)
    for _ in range(5):
        Line(exchange.site)
    clock.advance(61)
    Line(exchange.site)

    assert len([event for event in nothing_left_behind if "connections" in event]) == 2


def test_a_socket_that_cannot_beduplicated_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last descriptors are not for moving bytes past the reactor, nor for asking what has arrived."""
    from onec_twisted.http.sockets import duplicate

    with socket.socket() as one:
        copy = duplicate(one.fileno())
        os.close(copy)
        limited(monkeypatch, 4)
        with pytest.raises(OSError, match="Too many open files"):
            duplicate(one.fileno())

    assert copy not in {int(name) for name in os.listdir("/proc/self/fd")} - {one.fileno()}


# Names, and what others put into our folders


@pytest.mark.parametrize(
    "name",
    [
        "manifest.json",
        "manifest.json/x.xml",
        "manifest.json/a/b",
        "./manifest.json/x.xml",
        "\\manifest.json\\x.xml",
        "/tmp/manifest.json/x.xml",
        "C:\\webdata\\manifest.json\\x.xml",
    ],
)
def test_no_name_takes_the_manifests_place(name: str) -> None:
    """Neither as a file nor as a folder: the hand-off could not be told then."""
    with pytest.raises(InvalidFilename):
        safe_name(name.encode())


def test_a_name_of_ours_below_a_folder_is_a_name(exchange: InMemory) -> None:
    """Nothing of ours lies there, and the hand-off succeeds."""
    session = exchange.checkauth()

    assert send(exchange, session, "import_files/manifest.json", b"{}").body == b"success"
    assert send(exchange, session, "manifest.json/x.xml", b"{}").body == b"failure\nInvalid filename"
    assert ask(exchange, session, "mode=complete").body == b"success"
    assert json.loads(exchange.files()[f"{session[1]}/manifest.json"])["files"]


def lay(kind: str, place: Path, outside: Path) -> None:
    """Put something foreign somewhere."""
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "socket":
        folder = os.open(place.parent, os.O_RDONLY)
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(f"/proc/self/fd/{folder}/{place.name}")  # the whole path is too long for one
        os.close(folder)
    elif kind == "link":
        place.symlink_to(outside)
    elif kind == "hard link":
        place.hardlink_to(outside)
    elif kind == "folder":
        place.mkdir()
        (place / "precious").write_bytes(b"")


KINDS = ["pipe", "socket", "link", "hard link", "folder"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_new", [True, False])
def test_what_is_foreign_is_not_written_to(
    exchange: InMemory, tmp_path: Path, nothing_left_behind: list[dict[str, Any]], kind: str, is_new: bool
) -> None:
    """The node hears so at once, the log names the place, and ``init`` cures it."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    session = exchange.checkauth()
    send(exchange, session, "a", b"precious")
    place = exchange.folder / "1c_temp" / session[1] / ("b" if is_new else "a")
    if not is_new:
        place.unlink()
    lay(kind, place, outside)
    reply = send(exchange, session, place.name, b"more")
    assert outside.read_bytes() == b"precious"
    if kind == "hard link" and is_new:
        assert reply.body == b"success", "the name was free: the link goes, and a file of ours is made"
        return
    assert reply.status in (400, 503)
    assert place.name.encode() in reply.body or reply.body == b"failure\nInvalid filename"
    assert any(str(place) in event.get("because", "") for event in nothing_left_behind)
    assert ask(exchange, session, "mode=init").status == 200
    assert send(exchange, session, place.name, b"more").body == b"success"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_foreign_does_not_keep_the_daemon_from_starting(store: Store, tmp_path: Path, kind: str) -> None:
    """Where it stands for a file on record that file is damaged; elsewhere it is removed, or named and left."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    for name in ("a", "b"):
        write(store, None, b"x", SafeName((name,))).unlink()
        lay(kind, store.temp / SESSID / name, outside)
    strange: list[OSError] = []
    damaged = store.recover({SESSID: {"a": 1}}, strange.append)

    assert damaged == [(SESSID, "a")]
    assert outside.read_bytes() == b"precious"


def test_a_hard_link_of_a_whole_file_is_no_damage(store: Store, tmp_path: Path) -> None:
    """A backup may have made it (``cp -al``): the file is as it was, but nothing is appended to it."""
    path = write(store, None, b"12345")
    (tmp_path / "backup").hardlink_to(path)
    assert store.recover({SESSID: {"a": 5}}) == []
    with pytest.raises(FileInTheWay, match="a"):
        store.open(session_of(SESSID), A, 5)

    assert (tmp_path / "backup").read_bytes() == b"12345"


@pytest.mark.parametrize("what", ["open", "unlink", "scandir"])
def test_what_we_have_no_rights_to_is_named_at_the_start(
    store: Store, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Another user's file, or folder, is left alone; what is on record elsewhere is as whole as ever."""
    write(store, None, b"x")
    write(store, None, b"x", SafeName(("theirs", "b")))
    recorded = {SESSID: {"a": 1}} if what == "unlink" else {SESSID: {"a": 1, "theirs/b": 1}}
    place = os if what != "unlink" else Path
    failing(monkeypatch, place, what, errno.EACCES, when=lambda path: "theirs" in path)
    if what == "scandir":
        failing(monkeypatch, Path, "lstat", errno.EACCES, when=lambda path: "theirs/" in path)
    strange: list[OSError] = []

    assert store.recover(recorded, strange.append) == []
    assert [Path(error.filename).name for error in strange] == {"open": [], "unlink": ["b"], "scandir": ["theirs"]}[
        what
    ]


def test_an_empty_folder_keeps_no_file_out_after_a_start(store: Store) -> None:
    """A piece that made it was on its way when the daemon was killed."""
    store.open(session_of(SESSID), SafeName(("a", "b", "c")), None)
    (store.temp / SESSID / "a" / "b" / "c").unlink()
    store.recover({SESSID: {}})

    assert write(store, None, b"x").read_bytes() == b"x"


@pytest.mark.parametrize("name", ["manifest.json", ".manifest.json"])
@pytest.mark.parametrize("kind", [*KINDS])
def test_no_manifest_is_written_through(
    make_exchange: Callable[..., InMemory], tmp_path: Path, clock: Clock, kind: str, name: str
) -> None:
    """What lies in its place, or beside it, is replaced; a folder is named in the error."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    exchange = make_exchange(importer=Keep(inline))
    session = exchange.checkauth()
    send(exchange, session, "a", b"x")
    folder = exchange.folder / "1c_temp" / session[1]
    lay(kind, folder / name, outside)
    reply = ask(exchange, session, "mode=complete")

    assert reply.body == b"success"
    assert outside.read_bytes() == b"precious"
    if kind == "folder":
        progress = " ".join(one.words for one in exchange.parts.relay.prospects().values())
        assert f"({name})" in progress or "(.manifest.json)" in progress
        for _ in range(3):
            clock.advance(600)
    else:
        assert [file["name"] for file in json.loads((folder / "manifest.json").read_bytes())["files"]] == ["a"]


def test_a_sessions_folder_that_is_none_is_moved_away(store: Store, tmp_path: Path) -> None:
    """A file or a link in its place goes with ``init``; nothing is left of it, and nothing behind it is touched."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_bytes(b"x")
    for lay_down in (lambda place: place.write_bytes(b"x"), lambda place: place.symlink_to(tmp_path / "outside")):
        lay_down(store.temp / SESSID)
        with pytest.raises(InvalidFilename):
            store.open(session_of(SESSID), A, None)
        store.discard(SESSID)
        assert list(store.temp.iterdir()) == []

    assert (tmp_path / "outside" / "precious").exists()


LAUNCH = Path(launch.__file__)


def launched(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program as the importer does."""
    line = [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), "/bin/true", str(folder), ""]
    return subprocess.run(line, capture_output=True, text=True, timeout=30, check=False)


def test_nobody_elses_lock_holds_an_import_up(tmp_path: Path) -> None:
    """Any user may lock a folder that it can read; ours is a file that nobody else may open."""
    fd = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    done = launched(tmp_path)
    os.close(fd)

    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / LOCK).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_lock_that_is_none_of_ours(tmp_path: Path, kind: str) -> None:
    """The import is tried again later, and the words name it; nothing is made where a link points."""
    lay(kind, tmp_path / LOCK, tmp_path / "outside")
    done = launched(tmp_path)

    assert done.returncode == os.EX_TEMPFAIL
    assert LOCK in done.stderr
    assert not (tmp_path / "outside").exists()


def test_the_importers_lock_outlives_a_start(store: Store) -> None:
    """The program of a daemon that has died holds it: its successor must find the same file."""
    write(store, None, b"x")
    lock = store.temp / SESSID / LOCK
    lock.write_bytes(b"")
    inode = lock.stat().st_ino
    store.recover({SESSID: {"a": 1}})

    assert lock.stat().st_ino == inode


# Locales of eight bits


@pytest.fixture(scope="module")
def cp1251(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The locale of old Russian systems."""
    folder = tmp_path_factory.mktemp("locales")
    if shutil.which("localedef") is None or not Path("/usr/share/i18n/locales/ru_RU").exists():
        pytest.skip("no locales can be made here")
    subprocess.run(["localedef", "-c", "-i", "ru_RU", "-f", "CP1251", str(folder / "ru_RU.CP1251")], check=False)
    return {"LOCPATH": str(folder), "LC_ALL": "ru_RU.CP1251", "PYTHONUTF8": "0"}


@pytest.fixture(params=["C", "cp1251"])
def locale(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A locale in which Python has no UTF-8 for names, for the processes that a test starts; its encoding."""
    variables = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    if request.param == "cp1251":
        variables = request.getfixturevalue("cp1251")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    told = subprocess.run(
        [sys.executable, "-c", "import sys; print(sys.getfilesystemencoding())"], capture_output=True, check=True
    )
    encoding = told.stdout.decode().strip()
    assert encoding in ("ascii", "cp1251")
    return encoding


NAME = "отчёт/日本 №1.xml"


def importer_at(folder: Path) -> Path:
    """Write a program that imports what it can open under its arguments, and notes what it was told."""
    program = folder / "import.sh"
    program.write_text('#!/bin/sh\ncat > "$0.json"\ncp "$1/$2" "$0.got" || exit 1\n')
    program.chmod(0o755)
    return program


def disk_of(folder: Path) -> set[bytes]:
    """Return the paths of all files, in the bytes of the disk."""
    return {
        os.path.relpath(os.path.join(place, name), os.fsencode(folder))
        for place, _, names in os.walk(os.fsencode(folder))
        for name in names
    }


@pytest.mark.executed("Python reads the locale when it starts")
def test_names_are_utf_8_on_the_disk(daemons: Callable[..., Daemon], tmp_path: Path, locale: str) -> None:
    """Whatever the locale: as pieces, for the importer's program, in its JSON, and after a start."""
    program = importer_at(tmp_path)
    daemon = daemons("--media-root=склад", f"--importer=exec:{program}", "--import-hold=30")
    node = Trade("127.0.0.1", daemon.port)
    node.checkauth()
    node.send_file(quote(NAME), b"12345")
    media = daemon.folder / "склад" / "1c_temp"
    assert f"{node.sessid}/{NAME}".encode() in disk_of(media)
    daemon.kill()
    with (media / node.sessid / NAME).open("ab") as file:
        file.write(b"torn")
    daemon = daemons("--media-root=склад", f"--importer=exec:{program}", "--import-hold=30")
    node.go_on_at(daemon.port)
    node.send_file(quote(NAME), b"67")
    assert node._ask(f"type=catalog&mode=import&filename={quote(NAME)}&sessid={node.sessid}") == "success"
    assert Path(f"{program}.got").read_bytes() == b"1234567"
    told = json.loads(Path(f"{program}.json").read_text(encoding="utf-8"))
    assert (told["filename"], told["folder"]) == (NAME, str(media / node.sessid))
    assert "Traceback" not in daemon.log
    node.close()


@pytest.mark.executed("Python reads the locale when it starts")
def test_a_manifest_in_an_8_bit_locale(daemons: Callable[..., Daemon], locale: str) -> None:
    """The importer ``keep`` finds the files, and writes their names in UTF-8."""
    daemon = daemons("--media-root=склад")
    node = Trade("127.0.0.1", daemon.port)
    node.checkauth()
    node.send_file(quote(NAME), b"12345")
    assert node._ask(f"type=catalog&mode=import&filename={quote(NAME)}&sessid={node.sessid}") == "success"
    node.close()
    manifest = json.loads((daemon.folder / "склад" / "1c_temp" / node.sessid / "manifest.json").read_bytes())

    assert [file["name"] for file in manifest["files"]] == [NAME]


@pytest.mark.executed("Python reads the locale when it starts")
@pytest.mark.parametrize("zipped", ["yes", "no"])
def test_onec_node_sends_the_names_of_the_disk(
    daemons: Callable[..., Daemon], tmp_path: Path, locale: str, zipped: str
) -> None:
    """In UTF-8, whatever its locale makes of them."""
    export = tmp_path / "выгрузка"
    (export / "import_files").mkdir(parents=True)
    (export / "товары №1.xml").write_text("<?xml version='1.0'?><a/>")
    (export / "import_files" / "фото.jpg").write_bytes(b"jpg")
    daemon = daemons(f"--zip={zipped}", "--importer=keep")
    url = f"http://127.0.0.1:{daemon.port}/1c_exchange.php"
    done = subprocess.run(
        [str(SCRIPTS / "onec-node"), "push", "--url", url, "--user", "shop", str(export)],
        env={**os.environ, "ONEC_PASSWORD": "secret"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr
    if zipped == "no":
        names = {path.partition(b"/")[2] for path in disk_of(daemon.temp)}
        assert {"товары №1.xml".encode(), "import_files/фото.jpg".encode()} <= names


# A media root that vanishes


REMOVED = b"failure\nStorage was removed from the server - tell its administrator"


def remove(what: str, media: Path) -> None:
    """Remove something that the daemon works in."""
    if what == "media":
        shutil.rmtree(media)
    elif what == "1c_temp":
        shutil.rmtree(media / "1c_temp")
    elif what == "replaced":
        media.rename(media.with_name("moved"))
        (media / "1c_temp").mkdir(parents=True)
    elif what == "lock":
        (media / "1c_temp" / LOCK).unlink()
    else:
        (media / "1c_temp" / what).unlink()


def health(administrator: Administrator) -> tuple[list[str], int]:
    """Return the reasons that /health has, and its status."""
    reply = administrator.ask("/health")
    return json.loads(reply.body)["reasons"], reply.status


@contextmanager
def locked(exchange: InMemory) -> Iterator[Store]:
    """Lock the media root as the real daemon does."""
    store = exchange.store.store
    assert isinstance(store, Store)
    store.lock()
    try:
        yield store
    finally:
        store.unlock()


@pytest.mark.parametrize("what", ["media", "1c_temp", "replaced", "exchange.sqlite3", "exchange.sqlite3-wal"])
def test_a_media_root_that_vanishes(
    exchange: InMemory, what: str, nothing_left_behind: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Nothing is acknowledged that the end of the daemon would take away: 503 with words, in /health too."""
    administrator = Administrator(exchange)
    with locked(exchange):
        session = exchange.checkauth()
        assert send(exchange, session, "a", b"1").body == b"success"
        assert health(administrator) == ([], 200)
        remove(what, exchange.folder)
        exchange.clock.advance(2)
        replies = [
            send(exchange, session, "b", b"2"),
            send(exchange, session, "a", b"2"),
            ask(exchange, session, "mode=complete"),
            exchange.request("GET", "type=catalog&mode=checkauth", Authorization="Basic c2hvcDpzZWNyZXQ="),
        ]
        exchange.parts.handoffs.settle_quiet()

        assert [(reply.status, reply.body) for reply in replies] == [(503, REMOVED)] * 4
        assert health(administrator) == ([presence.REMOVED], 503)
    assert not [event for event in nothing_left_behind if "log_failure" in event]


def test_a_media_root_that_comes_back(exchange: InMemory, nothing_left_behind: list[dict[str, Any]]) -> None:
    """As one that was moved, or mounted again: all goes on, and the log has told both, once."""
    with locked(exchange) as store:
        session = exchange.checkauth()
        send(exchange, session, "a", b"1")
        watch = Presence(store.check, inline)
        away = exchange.folder.with_name("away")
        watch.once()
        exchange.folder.rename(away)
        watch.once()
        watch.once()
        assert send(exchange, session, "a", b"2").status == 503
        away.rename(exchange.folder)
        watch.once()
        watch.once()

        assert send(exchange, session, "a", b"2").body == b"success"
    levels = [event["log_level"].name for event in nothing_left_behind if event["log_namespace"].endswith("Presence")]
    assert levels == ["critical", "info"]


def test_a_sessions_folder_that_vanishes(
    make_exchange: Callable[..., InMemory], nothing_left_behind: list[dict[str, Any]]
) -> None:
    """Other names may be sent, but nothing is handed off as if all were there; ``init`` begins anew."""
    importer = FakeImporter()
    exchange = make_exchange(importer=importer)
    session = exchange.checkauth()
    send(exchange, session, "a", b"1")
    shutil.rmtree(exchange.folder / "1c_temp" / session[1])
    assert send(exchange, session, "b", b"2").body == b"success"
    assert ask(exchange, session, "mode=complete").body == b"success"
    assert importer.delivered == []
    assert [event["name"] for event in nothing_left_behind if event["log_level"].name == "critical"] == ["a"]
    assert ask(exchange, session, "mode=complete").body == b"failure\nFile damaged"
    assert ask(exchange, session, "mode=init").status == 200
    assert send(exchange, session, "a", b"1").body == b"success"


def test_an_import_of_a_file_that_has_vanished(exchange: InMemory) -> None:
    """The importer is not sent to look for it."""
    session = exchange.checkauth()
    send(exchange, session, "a", b"1")
    (exchange.folder / "1c_temp" / session[1] / "a").unlink()

    assert ask(exchange, session, "mode=import&filename=a").body == b"failure\nFile damaged"


def test_a_real_daemon_without_its_media_root(daemons: Callable[..., Daemon]) -> None:
    """It says so in its log by itself, refuses with words, and a new one begins afresh."""
    daemon = daemons()
    node = Trade("127.0.0.1", daemon.port)
    node.checkauth()
    node.send_file("a", b"1")
    shutil.rmtree(daemon.folder / "media")
    with pytest.raises(ExchangeFailed, match="HTTP 503: failure\nStorage was removed"):
        node.send_file("b", b"2")
    daemon.wait_for("was removed or replaced")
    assert "Traceback" not in daemon.log
    daemon.stop()
    daemon = daemons()
    node.go_on_at(daemon.port)
    node.checkauth()
    node.send_file("a", b"1")
    node.close()


def test_a_file_that_is_damaged_is_not_made_anew(store: Store) -> None:
    """The folder of its session is gone: that is not taken for the whole media root."""
    path = write(store, None, b"12345")
    shutil.rmtree(path.parent)
    with pytest.raises(FileDamaged):
        store.open(session_of(SESSID), A, 5)
    shutil.rmtree(store.temp)
    with pytest.raises(StorageRemoved):
        store.open(session_of(SESSID), A, None)


@pytest.mark.parametrize("comes_back", [False, True])
def test_what_is_away_with_all_is_not_damaged(
    store: Store, monkeypatch: pytest.MonkeyPatch, comes_back: bool
) -> None:
    """Nor is what was away for a moment: a file that is called damaged is refused until ``init``."""
    write(store, None, b"12345")
    store.lock()
    away = store.media_root.with_name("away")
    looks: list[Callable[[], object]] = [
        lambda: store.open(session_of(SESSID), A, 5).finish(),
        lambda: store.lost(SESSID, [UploadedFile("a", 5)]),
    ]
    for look in looks:
        store.media_root.rename(away)
        if comes_back:
            monkeypatch.setattr(Store, "check", lambda _: away.rename(store.media_root))
            assert look() in (Written(5), [])
        else:
            for attempt in (look, partial(store.sync, SESSID)):
                with pytest.raises(StorageRemoved):
                    attempt()
            away.rename(store.media_root)
    store.unlock()


def test_a_file_in_place_of_the_media_root(exchange: InMemory, nothing_left_behind: list[dict[str, Any]]) -> None:
    """It is gone then, and not only a name in it wrong."""
    with locked(exchange):
        session = exchange.checkauth()
        send(exchange, session, "a", b"1")
        exchange.folder.rename(exchange.folder.with_name("away"))
        exchange.folder.write_bytes(b"")
        first = send(exchange, session, "a", b"2")
        exchange.clock.advance(2)
        replies = [
            first,
            send(exchange, session, "b", b"2"),
            exchange.request("GET", "type=catalog&mode=checkauth", Authorization="Basic c2hvcDpzZWNyZXQ="),
        ]

        assert [(reply.status, reply.body) for reply in replies] == [(503, REMOVED)] * 3
    assert not [event for event in nothing_left_behind if "log_failure" in event]
