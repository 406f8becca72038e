"""What an importer needs lies in one folder, whole, whatever ends in between."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from odd_archives import DOCUMENT, IMPORT, Odd, archive_of
from trade import packed

from onec_twisted.storage import whole
from onec_twisted.storage.gathering import Job, folder_of, gather, key_of, links_of, names_of
from onec_twisted.storage.unpacking import NoRoom, Unfit

if TYPE_CHECKING:
    from pathlib import Path

LIMITS = 2**30, 10_000, 200, 32
PICTURE, OTHER = b"\xff\xd8jpeg", b"\xff\xd8another"


def job_of(session: Path, top: str = "v8_1.zip", wanted: str = "import0_1.xml", **changes: Any) -> Job:
    """Return the job for a hand-off of what lies in a session's folder."""
    archives = {path.name: path.stat().st_size for path in session.glob("*.zip")}
    told = {
        "view": key_of(top, archives[top]) if top else "id",
        "top": top,
        "wanted": wanted,
        "archives": archives,
        "needed": [top] if top else [],
        "stamp": str(sum(path.stat().st_size for path in session.rglob("*") if path.is_file())),
        "quota": 2**30,
        "floor": 0,
        "limits": LIMITS,
    }
    return Job(**{**told, **changes})


def gathered(session: Path, **changes: Any) -> dict[str, bytes]:
    """Gather, and return what an importer would find."""
    job = job_of(session, **changes)
    gather(str(session), job, lambda _: None)
    folder = session / folder_of(str(session), job.view)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """A session's folder with one archive."""
    (tmp_path / "v8_1.zip").write_bytes(packed({"import0_1.xml": DOCUMENT, "import_files/x.jpg": PICTURE}))
    return tmp_path


def sent_later(path: Path, content: bytes, by: int) -> None:
    """Write a file that is so many seconds younger than the session's first archive."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    now = (path.parent / "v8_1.zip").stat().st_mtime
    os.utime(path, (now + by, now + by))


def test_a_job_is_passed_on_as_a_line(session: Path) -> None:
    """Of JSON, whatever names have."""
    job = job_of(session, wanted="им\nпорт.xml")

    assert "\n" not in job.as_json()
    again = Job.from_json(job.as_json())
    assert all(getattr(again, name) == getattr(job, name) for name in Job.__slots__ if name != "limits")


def test_what_an_archive_holds(session: Path) -> None:
    """Under the names that 1C means; the archive itself stays beside it."""
    assert gathered(session) == {"import0_1.xml": DOCUMENT, "import_files/x.jpg": PICTURE}


def test_it_is_unpacked_once(session: Path) -> None:
    """The next document of it finds the folder as it is."""
    reported: list[dict[str, Any]] = []
    assert gather(str(session), job_of(session), reported.append) == len(DOCUMENT)
    size = 4096 * (-(-len(DOCUMENT) // 4096) + 1)
    assert reported[0] == {"archive": "v8_1.zip", "files": 2, "size": size}
    assert reported[-1] == {"archive": "v8_1.zip", "done": 2, "of": 2, "written": len(DOCUMENT) + len(PICTURE)}
    del reported[:]
    assert gather(str(session), job_of(session), reported.append) == len(DOCUMENT)

    assert reported == []


def test_pictures_that_were_uploaded_by_themselves(session: Path) -> None:
    """Before the first hand-off, or between two; what a hidden file or a link is stays out."""
    (session / "import_files").mkdir()
    (session / "import_files/y.jpg").write_bytes(OTHER)
    (session / "manifest.json").write_bytes(b"{}")
    (session / ".lock").write_bytes(b"")
    (session / "link.jpg").symlink_to("/etc/passwd")
    assert gathered(session).keys() == {"import0_1.xml", "import_files/x.jpg", "import_files/y.jpg"}
    (session / "import_files/z.jpg").write_bytes(OTHER)

    assert gathered(session).keys() == {
        "import0_1.xml",
        "import_files/x.jpg",
        "import_files/y.jpg",
        "import_files/z.jpg",
    }


def test_an_upload_that_has_been_replaced(session: Path) -> None:
    """Its new bytes are there, and not the old ones."""
    (session / "y.jpg").write_bytes(PICTURE)
    assert gathered(session)["y.jpg"] == PICTURE
    (session / "y.jpg").unlink()
    (session / "y.jpg").write_bytes(OTHER)

    assert gathered(session)["y.jpg"] == OTHER


def test_which_of_two_files_is_meant(session: Path) -> None:
    """That of the requested archive, then one uploaded by itself, then that of the archive sent last."""
    sent_later(session / "old.zip", packed({"import0_1.xml": b"old", "a.jpg": b"old", "b.jpg": b"old"}), -9)
    sent_later(session / "new.zip", packed({"import0_1.xml": b"new", "a.jpg": b"new", "c.jpg": b"new"}), 9)
    (session / "c.jpg").write_bytes(b"alone")
    (session / "import0_1.xml").write_bytes(b"alone")

    found = gathered(session)
    assert found == {
        "import0_1.xml": DOCUMENT,
        "import_files/x.jpg": PICTURE,
        "a.jpg": b"new",
        "b.jpg": b"old",
        "c.jpg": b"alone",
    }


def test_two_archives_with_one_document(session: Path) -> None:
    """Each has its own folder: what the first import was given does not change."""
    sent_later(session / "v8_2.zip", packed({"import0_1.xml": b"second"}), 9)
    assert gathered(session)["import0_1.xml"] == DOCUMENT
    assert gathered(session, top="v8_2.zip")["import0_1.xml"] == b"second"

    assert gathered(session)["import0_1.xml"] == DOCUMENT


def test_a_document_beside_its_archive(session: Path) -> None:
    """It lies together with the pictures in the archive."""
    (session / "offers0_1.xml").write_bytes(b"offers")

    found = gathered(session, top="", wanted="offers0_1.xml", needed=[])
    assert found == {"import0_1.xml": DOCUMENT, "import_files/x.jpg": PICTURE, "offers0_1.xml": b"offers"}


def test_an_archive_that_is_requested_itself(session: Path) -> None:
    """It is there, beside what it holds."""
    assert gathered(session, wanted="v8_1.zip").keys() == {"v8_1.zip", "import0_1.xml", "import_files/x.jpg"}


def test_what_several_archives_hold_is_listed(session: Path) -> None:
    """For a hand-off that nobody asked for: each name once, and no file that was not its own."""
    sent_later(session / "v8_2.zip", packed({"import0_1.xml": b"second", "a.jpg": b"new"}), 9)
    sent_later(session / "others.zip", packed({"b.jpg": b"others"}), 9)
    found = gathered(session, top="", wanted="", needed=["v8_1.zip", "v8_2.zip"])

    assert found["import0_1.xml"] == b"second"
    assert found.keys() == {"import0_1.xml", "import_files/x.jpg", "a.jpg", "b.jpg"}
    listed = dict(names_of(str(session), "id"))
    assert listed == {"import0_1.xml": 6, "import_files/x.jpg": len(PICTURE), "a.jpg": 3}


def test_a_document_by_another_of_its_spellings(session: Path) -> None:
    """A node may ask for it as it reads it; then it is there under both."""
    name = "Цены.xml"
    content = archive_of(Odd(b"x/" + "картинка".encode("cp866")), Odd(name.encode("cp1251"), DOCUMENT))
    (session / "v8_1.zip").write_bytes(content)

    assert gathered(session, wanted=name)[name] == DOCUMENT


def test_a_document_that_is_not_there(session: Path) -> None:
    """Hidden from importers, for example: the words name it."""
    (session / "v8_1.zip").write_bytes(archive_of(IMPORT, Odd(b".x/offers0_1.xml")))
    with pytest.raises(Unfit, match=r"Archive v8_1.zip has no \.x/offers0_1\.xml"):
        gathered(session, wanted=".x/offers0_1.xml")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (packed({"import0_1.xml": DOCUMENT})[:-9], "Archive v8_1.zip is damaged: it is cut off, or no archive"),
        (archive_of(IMPORT, IMPORT), "Archive v8_1.zip cannot be unpacked: two entries are named import0_1.xml"),
    ],
)
def test_an_archive_that_cannot_be_unpacked(session: Path, content: bytes, words: str) -> None:
    """Nothing of it stays."""
    (session / "v8_1.zip").write_bytes(content)
    with pytest.raises(Unfit, match=words):
        gathered(session)

    assert [path.name for path in (session / ".unpacked").iterdir()] == [".lock"]


def test_another_archive_that_cannot_be_unpacked(session: Path) -> None:
    """It is left out, and reported: it may still be growing."""
    (session / "v8_2.zip").write_bytes(b"PK")
    reported: list[dict[str, Any]] = []
    gather(str(session), job_of(session), reported.append)

    (left_out,) = [one for one in reported if "why" in one]
    assert left_out == {"archive": "v8_2.zip", "why": "Archive v8_2.zip is damaged: it is cut off, or no archive"}
    assert (session / ".unpacked" / job_of(session).view / "files/import0_1.xml").exists()


def test_a_session_that_is_full(session: Path) -> None:
    """What was unpacked before counts as well; nothing is written."""
    sent_later(session / "v8_2.zip", packed({"offers0_1.xml": DOCUMENT}), -9)
    assert gathered(session, archives={"v8_1.zip": (session / "v8_1.zip").stat().st_size}, quota=8192)
    with pytest.raises(Unfit, match=r"its 4096 bytes do not fit into the session \(--session-quota\)"):
        gathered(session, top="v8_2.zip", wanted="offers0_1.xml", quota=12_287)

    assert gathered(session, top="v8_2.zip", wanted="offers0_1.xml", quota=12_288)


def test_a_full_disk(session: Path) -> None:
    """It is tried again later, and nothing stays until then."""
    with pytest.raises(NoRoom):
        gathered(session, floor=2**62)

    assert [path.name for path in (session / ".unpacked").iterdir()] == [".lock"]


def test_what_a_crash_has_left(session: Path) -> None:
    """Is removed, and made again."""
    half = session / ".unpacked" / f".new-{job_of(session).view}"
    half.mkdir(parents=True)
    (half / "files").mkdir()
    (half / "files/import0_1.xml").write_bytes(b"half")

    assert gathered(session)["import0_1.xml"] == DOCUMENT
    assert not half.exists()


def test_what_a_power_cut_has_left(session: Path) -> None:
    """A folder whose list of names is empty, or broken, is no whole one."""
    for content in ("", "{", "null"):
        gathered(session)
        view = session / ".unpacked" / job_of(session).view
        (view / "names").write_text(content)
        (view / "files/import0_1.xml").unlink()

        assert gathered(session)["import0_1.xml"] == DOCUMENT


def test_another_archive_of_the_same_name_and_size(session: Path) -> None:
    """One that was removed and sent again: what the first one held is not taken for its content."""
    first = archive_of(Odd(b"import0_1.xml", b"first!"))
    (session / "v8_1.zip").write_bytes(first)
    gathered(session)
    (session / "v8_1.zip").unlink()
    (session / "v8_1.zip").write_bytes(archive_of(Odd(b"import0_1.xml", b"second")))

    assert gathered(session)["import0_1.xml"] == b"second"


def test_something_in_the_way(session: Path) -> None:
    """Of others, who may write here: links are not followed."""
    (session / "elsewhere").mkdir()
    (session / ".unpacked").symlink_to(session / "elsewhere")
    with pytest.raises(NotADirectoryError):
        gathered(session)

    assert list((session / "elsewhere").iterdir()) == []


def test_an_archive_behind_a_link(session: Path) -> None:
    """It is not opened."""
    content = (session / "v8_1.zip").read_bytes()
    (session / "elsewhere").write_bytes(content)
    (session / "v8_1.zip").unlink()
    (session / "v8_1.zip").symlink_to(session / "elsewhere")
    with pytest.raises(Unfit, match=r"Archive v8_1\.zip is damaged: it is missing"):
        gathered(session, archives={"v8_1.zip": len(content)}, view="x")


def test_its_links_to_an_upload_are_known(session: Path) -> None:
    """So that another link to it can be told from them."""
    (session / "y.jpg").write_bytes(PICTURE)
    gathered(session)
    status = (session / "y.jpg").stat()

    assert status.st_nlink == 2
    assert links_of(str(session), "y.jpg", status.st_ino) == 1
    assert links_of(str(session), "z.jpg", status.st_ino) == 0
    assert links_of(str(session / "nowhere"), "y.jpg", status.st_ino) == 0


@pytest.mark.parametrize("few", [0, 100])
def test_it_is_on_the_disk_before_it_has_its_name(session: Path, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    """So that half of it is never taken for whole after a power cut: few files one by one, many by one sync."""
    order: list[str] = []
    rename, fsync = os.rename, os.fsync

    def note_rename(source: str, target: str) -> None:
        rename(source, target)
        order.append("rename")

    def note_sync(fd: int) -> None:
        order.append("sync " + os.readlink(f"/proc/self/fd/{fd}").rpartition("/")[2])
        fsync(fd)

    monkeypatch.setattr(os, "rename", note_rename)
    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(whole, "FEW_FILES", few)
    monkeypatch.setattr(whole, "_sync_disk", lambda _: order.append("disk"))
    gathered(session)

    before = order[: order.index("rename")]
    assert order[-1] == "sync .unpacked"
    if few:
        assert {"sync import0_1.xml", "sync x.jpg", "sync names", "sync files", "sync import_files"} <= set(before)
    else:
        assert before == ["disk"]


def test_the_disk_can_be_synced(tmp_path: Path) -> None:
    """Whatever that takes."""
    whole._sync_disk(str(tmp_path))


def test_names_are_read_back(session: Path) -> None:
    """Whatever they are."""
    name = "кар\u2028тинка ☃.jpg"
    (session / "v8_1.zip").write_bytes(packed({"import0_1.xml": DOCUMENT, name: PICTURE}))
    gathered(session)

    view = job_of(session).view
    assert dict(names_of(str(session), view)) == {"import0_1.xml": len(DOCUMENT), name: len(PICTURE)}
    head = json.loads((session / ".unpacked" / view / "names").read_text().splitlines()[0])
    assert head["size"] == 8192
