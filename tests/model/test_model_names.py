"""A filename as a node sends it, to a safe relative path."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onec_twisted.model.errors import InvalidFilename, MissingFilename
from onec_twisted.model.names import safe_name
from onec_twisted.model.segments import NAME_LIMIT, SEGMENT_LIMIT


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"import0_1.xml", "import0_1.xml"),
        (b"v8_1A76_155ae.zip", "v8_1A76_155ae.zip"),
        (b"import_files/ab/0f.jpg", "import_files/ab/0f.jpg"),
        (rb"import_files\ab\0f.jpg", "import_files/ab/0f.jpg"),
        (b"/tmp/v8_1.zip", "v8_1.zip"),
        (b"//tmp/v8_1.zip", "v8_1.zip"),
        (b"tmp/v8_1.zip", "tmp/v8_1.zip"),
        (b"/var/lib/webdata/000/import_files/x.jpg", "000/import_files/x.jpg"),
        (b"upload/1c/webdata/import_files/x.jpg", "import_files/x.jpg"),
        (rb"C:\Temp\a.xml", "Temp/a.xml"),
        (b"./a", "a"),
        (b".//./a", "a"),
        (
            "\\Reports\\Exchange_(Узел обмена)2026-11-22.zip".encode(),
            "Reports/Exchange_(Узел обмена)2026-11-22.zip",
        ),
        ("Обмен.zip".encode("cp1251"), "Обмен.zip"),
        (b"a b;c+d.xml", "a b;c+d.xml"),
        ("1\u00a0000.xml".encode(), "1\u00a0000.xml"),
        (b"a...b", "a...b"),
    ],
)
def test_names_of_real_clients(sent: bytes, kept: str) -> None:
    """What stands in front of a name on the node's machine is dropped; sub-folders stay."""
    assert str(safe_name(sent)) == kept


@pytest.mark.parametrize(
    "sent",
    [
        b"..",
        b"../a",
        b"a/../b",
        rb"a\..\b",
        b"/tmp/../a",
        b"C:../a",
        b"/webdata/../a",
        b".",
        b"/",
        b"a/",
        b"a//b",
        b".htaccess",
        b"a/.git/config",
        b"a\0b",
        b"a\nb",
        b"a\x7fb",
        "a\x85b".encode(),
        b"\x98",
        b"a" * (SEGMENT_LIMIT + 1),
        b"/".join([b"a" * 100] * 11),
        "я".encode() * 128,
    ],
)
def test_names_that_are_refused(sent: bytes) -> None:
    """They would leave the folder, hide in it, or not be written."""
    with pytest.raises(InvalidFilename):
        safe_name(sent)


@pytest.mark.parametrize("sent", [None, b""])
def test_no_name(sent: bytes | None) -> None:
    """None and empty are told apart from a bad one."""
    with pytest.raises(MissingFilename):
        safe_name(sent)


@given(st.one_of(st.binary(), st.text("./\\aC:~ \0tmpwebdat").map(str.encode)))
def test_no_name_leaves_its_folder(sent: bytes) -> None:
    """Whatever is sent stays below the folder that it is put in, and can be written there."""
    try:
        name = safe_name(sent)
    except (InvalidFilename, MissingFilename):
        return
    path = PurePosixPath("/root").joinpath(*name.segments)

    assert path.parts == ("/", "root", *name.segments)
    assert ".." not in path.parts
    assert not any("/" in segment or "\0" in segment or not segment for segment in name.segments)
    assert len(str(name).encode()) <= NAME_LIMIT


@given(st.binary())
def test_a_name_that_was_made_safe_is_safe(sent: bytes) -> None:
    """Sending a kept name again means the same file, unless it starts as a prefix does."""
    try:
        once = str(safe_name(sent))
        twice = str(safe_name(once.encode()))
    except (InvalidFilename, MissingFilename):
        return
    assert once.endswith(twice)
