"""Whether an upload is there, and whose it is: decisions of values."""

from __future__ import annotations

import pytest
from attrs import evolve

from onec_twisted.model.errors import FileDamaged, FileSealed, UploadGone, UploadNotFound
from onec_twisted.model.records import FileRecord, Session
from onec_twisted.model.uploads import COMPLETE, GONE, Found, UploadRecord

UPLOAD = UploadRecord("id", "shop", "s", "a/b.xml", 10, "", own=True)
SESSION = Session("s", "shop", 1, 3, touched=100.0)
FOUND = Found(UPLOAD, SESSION, FileRecord(3, 0))


def test_one_that_is_there() -> None:
    """While its session is in use."""
    assert FOUND.live(100.0, busy=False) == SESSION
    assert FOUND.live(101.0, busy=True) == SESSION
    assert FOUND.committed == 3
    assert evolve(FOUND, file=None).committed == 0
    assert UPLOAD.safe_name.segments == ("a", "b.xml")


@pytest.mark.parametrize(
    "found",
    [
        evolve(FOUND, upload=evolve(UPLOAD, state=GONE)),
        evolve(FOUND, session=None),
        evolve(FOUND, file=FileRecord(3, 0, damaged=True)),
        evolve(FOUND, file=FileRecord(11, 0)),
        evolve(FOUND, session=evolve(SESSION, touched=99.0)),
    ],
)
def test_one_that_is_gone(found: Found) -> None:
    """Terminated, discarded, damaged, outgrown, expired."""
    with pytest.raises(UploadGone):
        found.live(100.0, busy=False)


def test_a_complete_one_is_there() -> None:
    """Its client may ask."""
    found = evolve(FOUND, upload=evolve(UPLOAD, state=COMPLETE), file=FileRecord(10, 3, sealed=True))
    assert found.live(100.0, busy=False) == SESSION


def test_whose_it_is() -> None:
    """Others are told that there is none."""
    FOUND.check_owner("shop")
    with pytest.raises(UploadNotFound):
        FOUND.check_owner("other")


def test_a_file_that_a_new_upload_may_go_on_with() -> None:
    """It is sound, and was not handed off."""
    FOUND.check_file()
    evolve(FOUND, file=None).check_file()
    with pytest.raises(FileDamaged):
        evolve(FOUND, file=FileRecord(3, 0, damaged=True)).check_file()
    with pytest.raises(FileSealed):
        evolve(FOUND, file=FileRecord(3, 0, sealed=True)).check_file()
