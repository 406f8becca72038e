"""What the text of an option becomes, and what is said of a wrong one."""

from __future__ import annotations

import pytest

from onec_twisted.daemon.parameters import PARAMETERS
from onec_twisted.daemon.values import Wrong, check_paths, one_of_several, tus_path_of, value_of


@pytest.mark.parametrize(("name", "default"), [(name, default) for name, _, default, *_ in PARAMETERS if default])
def test_every_default_is_a_value(name: str, default: str) -> None:
    """The table of options holds nothing that its own checks reject."""
    if name == "tus-path":
        assert tus_path_of(default) == default
    else:
        assert value_of(name, default) is not None


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("file-limit", "2M", 2 * 2**20),
        ("settle", "1.5h", 5400.0),
        ("min-rate", "1K", 1024),
        ("import-tries", "3", 3),
        ("language", "ru", "ru"),
        ("importer", "exec:/bin/true", "exec:/bin/true"),
    ],
)
def test_each_kind_of_value(name: str, text: str, value: object) -> None:
    """Bytes, seconds, numbers, and texts."""
    assert value_of(name, text) == value


def test_a_wrong_value_says_its_name_and_the_cure() -> None:
    """In parts, so that whoever read it can say where it stands."""
    with pytest.raises(Wrong) as caught:
        value_of("file-limit", "10X")
    assert (caught.value.name, caught.value.value) == ("file-limit", "10X")
    assert "as in 100M" in caught.value.words
    assert str(caught.value) == f"--file-limit=10X: {caught.value.words}"


def test_numbers_are_written_in_digits_that_all_know() -> None:
    """Python takes others, too."""
    with pytest.raises(Wrong, match="must be a number"):
        value_of("max-uploads", "٣")


def test_one_value_of_several() -> None:
    """A header has the form in which it is compared."""
    assert one_of_several("cors-header", "X-Shop") == b"X-Shop"
    assert one_of_several("notify", "exec:/bin/true") == "exec:/bin/true"
    with pytest.raises(Wrong, match="write a path as in"):
        one_of_several("path", "exchange")


def test_paths_keep_clear_of_each_other() -> None:
    """So that each request has one place to go to."""
    check_paths(["/a", "/ab"], "/files/")
    check_paths(["/a"], None)
    with pytest.raises(Wrong, match="is above another --path"):
        check_paths(["/a/b", "/a"], None)
    with pytest.raises(Wrong, match="must not be at, above or below --path=/a"):
        check_paths(["/a"], "/a/files/")
