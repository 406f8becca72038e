"""Hand-offs that are made ready: with addresses for a site, in a folder for a program."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import pytest
from attrs import define
from cluster_relays import SESSID, came
from stores import KEYS, QUICK
from twisted.internet.task import Clock

from onec_twisted.catalog.cache import NothingKnown
from onec_twisted.catalog.catalog import Catalog
from onec_twisted.catalog.recorder import Recorder
from onec_twisted.catalog.sql import sessions as steps
from onec_twisted.cluster.contents import all_segments_of, epochs_of, segments_of
from onec_twisted.cluster.fetching import Fetched
from onec_twisted.cluster.located import LocatedDescription
from onec_twisted.cluster.location import Location
from onec_twisted.cluster.objects import ObjectStore
from onec_twisted.cluster.postgresql import PostgreSQL
from onec_twisted.cluster.publishing import Publishing
from onec_twisted.cluster.putters import Putters
from onec_twisted.cluster.reading import FileReader
from onec_twisted.cluster.s3 import S3
from onec_twisted.delivery.checking import Checking
from onec_twisted.delivery.destinations import Destination
from onec_twisted.delivery.interfaces import ImportFailed, ImportInterrupted
from onec_twisted.delivery.preparation import Preparation
from onec_twisted.ingest.space import Space
from onec_twisted.model.names import SafeName
from onec_twisted.runtime.metrics import Metrics
from onec_twisted.testing import FakeImporter, check_inline, inline, prepare_inline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fake_s3 import FakeS3

    from onec_twisted.model.description import Description
    from onec_twisted.model.records import Handoff, Session

QUOTA = 10**9


class Site(FakeImporter):
    """An importer that wants addresses."""

    takes_urls = True


@define(eq=False)
class Place:
    """Records, a store in memory, and what makes hand-offs ready."""

    database: PostgreSQL
    catalog: Catalog
    store: ObjectStore
    fetched: Fetched
    publishing: Publishing
    free: int = 10**9

    @property
    def session(self) -> Session:
        """Return the session."""
        found: Session = self.database.read(steps.session, "hash", 0)[0]
        return found

    def put(self, name: str, *pieces: bytes) -> None:
        """Store a file in pieces."""
        for number, piece in enumerate(pieces):
            known = self.database.read(steps.file, SESSID, name)
            before = known.committed if known is not None else None
            file = self.store.open(self.session, SafeName(tuple(name.split("/"))), before)
            file.write([piece])
            step = self.catalog.files.commit(self.session, name, before, file.finish, QUOTA, 2.0, answer=f"{number}")
            came(step)

    def asked(self, name: str, archive: str = "") -> Handoff:
        """Hand a file off."""
        size = self.database.read(steps.file, SESSID, archive or name).committed
        records = self.catalog.handoffs
        handoff: Handoff = came(records.import_requested(self.session, "catalog", name, archive, size, 3.0))
        return handoff

    def ready(self, handoff: Handoff, importer: Any, *, unpacks: bool = False, checks: bool = False) -> Description:
        """Return the description of a hand-off for an importer."""
        limits = (10**9, 10**6, 200, 20) if unpacks else None
        destination = Destination(
            importer=importer, unpack_limits=limits, check_documents=checks, session_quota=QUOTA, settle=60.0
        )
        description: Description = came(self.publishing(handoff, destination, lambda _: None))
        return description

    def objects(self) -> list[str]:
        """Return the keys of the segments of a file."""
        return [one.object for one in self.database.read(segments_of, SESSID, "a.xml")]


@pytest.fixture
def place(database: PostgreSQL, fake: FakeS3, tmp_path: Path) -> Iterator[Place]:
    """A session without files."""
    recorder = Recorder(database, inline, Metrics(), inline, known=NothingKnown())
    catalog = Catalog(recorder)
    s3 = S3(Location(fake.bucket, "", fake.endpoint), KEYS, QUICK)

    def rows(sessid: str, name: str) -> Any:
        return database.read(segments_of, sessid, name)

    store = ObjectStore(
        s3=s3,
        putters=Putters(s3),
        scratch=str(tmp_path / "scratch"),
        segments_of=rows,
        epochs_of=lambda sessid: database.read(epochs_of, sessid),
    )
    store.prepare()
    fetched = Fetched(
        str(tmp_path / "imports"),
        lambda sessid, name, size: FileReader(s3, lambda: rows(sessid, name), size).blocks(),
    )
    fetched.prepare()
    clock = Clock()
    space = Space(lambda: inline(lambda: made.free), clock.seconds, 0)
    unpacking = Preparation(
        files=catalog.files,
        records=catalog.handoffs,
        store=fetched,
        space=space,
        workers=inline,
        prepare=prepare_inline,
    )
    checking = Checking(
        prepare=unpacking, records=catalog.handoffs, workers=inline, check=check_inline, metrics=Metrics()
    )
    publishing = Publishing(
        records=catalog.handoffs,
        database=database,
        store=store,
        fetched=fetched,
        space=space,
        workers=inline,
        prepare=checking,
        import_timeout=60.0,
    )
    made = Place(database, catalog, store, fetched, publishing)
    database.record([(steps.open_session, (SESSID, "hash", "shop", 1.0))])
    yield made
    store.stop()


def get(url: str) -> bytes:
    """Return what is at an address."""
    with urllib.request.urlopen(url) as answer:
        return bytes(answer.read())


def test_a_site_gets_addresses(place: Place) -> None:
    """Of the file that was asked for, and, by the manifest, of all files of the session; nothing is fetched."""
    place.put("a.xml", b"first ", b"second")
    place.put("import_files/x.jpg", b"jpg")
    place.put("empty", b"")
    description = place.ready(place.asked("a.xml"), Site())

    assert isinstance(description, LocatedDescription)
    told = description.as_dict()
    assert [(file["name"], file["size"], get(file["url"])) for file in told["files"]] == [
        ("a.xml", 12, b"first second")
    ]
    manifest = json.loads(get(told["manifest"]))
    assert {file["name"]: get(file["url"]) for file in manifest["files"]} == {
        "a.xml": b"first second",
        "import_files/x.jpg": b"jpg",
        "empty": b"",
    }
    assert not Path(place.fetched.folder(SESSID)).exists()


def test_a_sealed_file_becomes_one_object(place: Place) -> None:
    """Its segments go; one that may still grow keeps them, and one of a single segment needs nothing."""
    place.put("a.xml", b"first ", b"second")
    place.put("b.xml", b"more ", b"to come")
    segments = place.objects()
    handoff = place.asked("a.xml")
    place.ready(handoff, Site())
    (joined,) = place.objects()
    assert joined.startswith(f"files/{SESSID}/1/")
    for key in segments:
        with pytest.raises(FileNotFoundError):
            place.store.s3.size(key)
    assert len(place.database.read(segments_of, SESSID, "b.xml")) == 2
    place.put("b.xml", b" still")
    again = place.ready(handoff, Site())
    assert get(again.as_dict()["files"][0]["url"]) == b"first second"
    assert place.objects() == [joined]
    fd = place.store.open_archive(SESSID, SafeName(("a.xml",)))
    with open(fd, "rb") as file:
        assert file.read() == b"first second"


def test_a_piece_that_comes_meanwhile(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """To another file of the session: that one is told of as it was."""
    place.put("a.xml", b"first")
    place.put("b.xml", b"one")
    handoff, read = place.asked("a.xml"), PostgreSQL.read

    def late(database: PostgreSQL, question: Any, *args: Any) -> Any:
        if question is all_segments_of:
            place.put("b.xml", b"two")
        return read(database, question, *args)

    monkeypatch.setattr(PostgreSQL, "read", late)
    manifest = json.loads(get(place.ready(handoff, Site()).as_dict()["manifest"]))
    assert {file["name"]: get(file["url"]) for file in manifest["files"]} == {"a.xml": b"first", "b.xml": b"one"}


def test_another_daemon_joins_the_same_file(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its daemon was replaced, and is done first: what it has joined is used."""
    place.put("a.xml", b"first ", b"second")
    handoff, join, others = place.asked("a.xml"), ObjectStore.join, [True]

    def late(store: ObjectStore, *args: Any) -> str:
        if others:
            others.pop()
            place.ready(handoff, Site())
        return join(store, *args)

    monkeypatch.setattr(ObjectStore, "join", late)
    description = place.ready(handoff, Site())
    assert get(description.as_dict()["files"][0]["url"]) == b"first second"
    assert len(place.objects()) == 1


def test_a_program_gets_a_folder(place: Place) -> None:
    """With all files of the session: pictures are beside their document."""
    place.put("a.xml", b"first ", b"second")
    place.put("import_files/x.jpg", b"jpg")
    description = place.ready(place.asked("a.xml"), FakeImporter())
    folder = Path(description.folder)
    assert folder == Path(place.fetched.folder(SESSID))
    assert (folder / "a.xml").read_bytes() == b"first second"
    assert (folder / "import_files" / "x.jpg").read_bytes() == b"jpg"


def archive(tmp_path: Path) -> bytes:
    """Return an archive with a document."""
    with ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr("import.xml", "<document/>")
        made.writestr("import_files/x.jpg", "jpg")
    return (tmp_path / "a.zip").read_bytes()


@pytest.mark.parametrize("is_site", [False, True])
def test_archives_are_unpacked(place: Place, tmp_path: Path, is_site: bool) -> None:
    """On the scratch disk; a site gets the address of what came of it."""
    place.put("a.zip", archive(tmp_path))
    importer = Site() if is_site else FakeImporter()
    description = place.ready(place.asked("import.xml", "a.zip"), importer, unpacks=True)
    assert [file.name for file in description.files] == ["import.xml"]
    assert description.unpacked == "a.zip"
    if is_site:
        told = description.as_dict()
        assert get(told["files"][0]["url"]) == b"<document/>"
        manifest = json.loads(get(told["manifest"]))
        found = {one["name"]: (one["size"], get(one["url"])) for one in manifest["files"]}
        assert found["import.xml"] == (11, b"<document/>")
        assert found["import_files/x.jpg"] == (3, b"jpg"), "pictures of an archive have addresses as well"
        assert "a.zip" in found
    else:
        assert (Path(description.folder) / "import.xml").read_bytes() == b"<document/>"


def test_what_a_site_needs_is_fetched(place: Place, tmp_path: Path) -> None:
    """Archives, and the document asked for; what came beside them has the address that it had."""
    place.put("a.zip", archive(tmp_path))
    place.put("beside.jpg", b"beside")
    place.put("offers.xml", b"<offers/>")
    told = place.ready(place.asked("import.xml", "a.zip"), Site(), unpacks=True).as_dict()
    here = [path for path in Path(place.fetched.folder(SESSID)).iterdir() if path.is_file()]
    assert {path.name for path in here if path.stat().st_size} == {"a.zip"}
    found = {one["name"]: one for one in json.loads(get(told["manifest"]))["files"]}
    assert get(found["beside.jpg"]["url"]) == b"beside"
    assert "/unpacked/" not in found["beside.jpg"]["url"]
    assert "/unpacked/" in found["import.xml"]["url"]

    place.put("late.jpg", b"late")
    told = place.ready(place.asked("offers.xml", "a.zip"), Site(), unpacks=True).as_dict()
    assert [(one["name"], one["size"], get(one["url"])) for one in told["files"]] == [("offers.xml", 9, b"<offers/>")]
    found = {one["name"]: one for one in json.loads(get(told["manifest"]))["files"]}
    assert get(found["late.jpg"]["url"]) == b"late"
    assert get(found["import_files/x.jpg"]["url"]) == b"jpg"


def test_a_document_that_is_fetched_later(place: Place, tmp_path: Path) -> None:
    """What came beside an archive keeps its size and address after it was fetched to be checked."""
    with ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr("import.xml", "<a/>")
        made.writestr("offers.xml", "<a/>")
    place.put("a.zip", (tmp_path / "a.zip").read_bytes())
    place.put("rests.xml", b"<rests/>")
    for handoff in (place.asked("import.xml", "a.zip"), place.asked("rests.xml"), place.asked("offers.xml", "a.zip")):
        told = place.ready(handoff, Site(), unpacks=True, checks=True).as_dict()
    found = {one["name"]: one for one in json.loads(get(told["manifest"]))["files"]}
    assert (found["rests.xml"]["size"], get(found["rests.xml"]["url"])) == (8, b"<rests/>")


def test_nothing_is_fetched_for_a_site_without_archives(place: Place) -> None:
    """Though it wants archives to be unpacked: there are none."""
    place.put("a.xml", b"<document/>")
    place.ready(place.asked("a.xml"), Site(), unpacks=True)
    assert not Path(place.fetched.folder(SESSID)).exists()


def test_checked_documents_are_fetched_for_a_site(place: Place) -> None:
    """But no picture: that it has come is known."""
    content = "<КоммерческаяИнформация><Картинка>import_files/{}.jpg</Картинка></КоммерческаяИнформация>"
    for name in ("x", "y"):
        place.put(f"{name}.xml", content.format(name).encode())
    place.put("import_files/x.jpg", b"jpg")
    for name, missing in (("x", 0), ("y", 1)):
        description = place.ready(place.asked(f"{name}.xml"), Site(), checks=True)
        assert description.documents is not None
        assert [(one.pictures, one.missing) for one in description.documents] == [(1, missing)]
    folder = Path(place.fetched.folder(SESSID))
    assert (folder / "import_files" / "x.jpg").stat().st_size == 0
    assert (folder / "x.xml").stat().st_size


@pytest.mark.parametrize("importer", [Site(), FakeImporter()])
def test_a_file_whose_bytes_are_gone(place: Place, importer: Any) -> None:
    """Fails for good: it is damaged."""
    place.put("a.xml", b"first ", b"second")
    place.store.s3.delete(place.objects()[:1])
    with pytest.raises(ImportFailed, match="damaged"):
        place.ready(place.asked("a.xml"), importer)


def test_a_store_that_is_away(place: Place, fake: FakeS3) -> None:
    """Is asked again later."""
    place.put("a.xml", b"first ", b"second")
    handoff = place.asked("a.xml")
    fake.stop()
    with pytest.raises(ImportInterrupted, match="object store"):
        place.ready(handoff, Site())


def test_a_scratch_disk_that_is_full(place: Place) -> None:
    """Has room later."""
    place.put("a.xml", b"first")
    place.free = 3
    with pytest.raises(ImportInterrupted, match="no room"):
        place.ready(place.asked("a.xml"), FakeImporter())


def test_epochs_that_stay(place: Place) -> None:
    """The present one, and those in the folders that are kept; none of a session that is off the record."""
    database = place.database
    assert database.read(epochs_of, SESSID) == frozenset({1})
    for folder in (SESSID, f"{SESSID}.3"):
        database.using(
            lambda connection, folder=folder: connection.execute(
                "INSERT INTO kept (folder, sessid, size, changed) VALUES (%s, %s, 5, 1.0)", (folder, SESSID)
            )
        )
    database.using(
        lambda connection: connection.execute("UPDATE sessions SET epoch = 8, folder = %s", (f"{SESSID}.6",))
    )
    assert database.read(epochs_of, SESSID) == frozenset({1, 2, 3, 4, 5, 8})
    database.using(lambda connection: connection.execute("DELETE FROM sessions"))
    assert database.read(epochs_of, SESSID) == frozenset({1, 2, 3})
    database.using(lambda connection: connection.execute("DELETE FROM kept"))
    assert database.read(epochs_of, SESSID) is None
