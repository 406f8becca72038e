"""Where the object store is, and the keys to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from onec_twisted.cluster.location import Credentials, Location, credentials_in, parse_location, read_credentials
from onec_twisted.cluster.refusals import CannotUseCluster

if TYPE_CHECKING:
    from pathlib import Path

HERE = "endpoint=http://127.0.0.1:9000"


@pytest.mark.parametrize(
    ("text", "location"),
    [
        (f"s3://shop?{HERE}", Location("shop", "", "http://127.0.0.1:9000")),
        (f"s3://shop/?{HERE}/", Location("shop", "", "http://127.0.0.1:9000")),
        (
            "s3://a.b-c_1/one/two%20x/?endpoint=https://s3.example/v1&region=eu-central-1&ca=/etc/ca.pem",
            Location("a.b-c_1", "one/two x", "https://s3.example/v1", "eu-central-1", "/etc/ca.pem"),
        ),
        ("s3://shop?endpoint=https%3A%2F%2F%5B%3A%3A1%5D%3A9000", Location("shop", "", "https://[::1]:9000")),
    ],
)
def test_an_address_of_a_store(text: str, location: Location) -> None:
    """Has a bucket and an endpoint; the prefix, the region and certificates may be left out."""
    assert parse_location(text) == location


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no address of a store"),
        ("/var/media", "no address of a store"),
        (f"http://shop?{HERE}", "no address of a store"),
        (f"s3://shop?{HERE}#x", "no address of a store"),
        ("s3://[shop", "no address"),
        (f"s3://?{HERE}", "names no bucket"),
        (f"s3:///prefix?{HERE}", "names no bucket"),
        (f"s3://ab?{HERE}", "names no bucket"),
        (f"s3://shop:9000?{HERE}", "names no bucket"),
        (f"s3://AKIASECRET:hush@shop?{HERE}", "no keys belong"),
        ("s3://shop?endpoint=http://AKIASECRET:hush@s3.example", "no keys belong"),
        (f"s3://shop?{HERE}&secret_access_key=hush", "only endpoint, region, ca"),
        (f"s3://shop?{HERE}&hush", "only endpoint, region, ca"),
        ("s3://shop", "endpoint is missing"),
        ("s3://shop?endpoint=", "endpoint is missing"),
        ("s3://shop?endpoint=s3.example", "endpoint is no address"),
        ("s3://shop?endpoint=ftp://s3.example", "endpoint is no address"),
        ("s3://shop?endpoint=http://s3.example:99999", "endpoint is no address"),
        ("s3://shop?endpoint=http://s3.example/%3Fhush=1", "endpoint ends with its path"),
        (f"s3://shop?{HERE}&region=a%20b", "region is a word"),
        (f"s3://shop?{HERE}&region=", "region is a word"),
        (f"s3://shop?{HERE}&ca=", "name a file"),
        (f"s3://shop/a//b?{HERE}", "prefix has an empty part"),
        (f"s3://shop/a/../b?{HERE}", "prefix has an empty part"),
        (f"s3://shop/a%00?{HERE}", "cannot be printed"),
    ],
)
def test_an_address_that_is_refused(text: str, words: str) -> None:
    """In one line, which repeats nothing that could be a key."""
    with pytest.raises(CannotUseCluster, match=words) as refused:
        parse_location(text)

    message = str(refused.value)
    assert "\n" not in message
    assert "hush" not in message
    assert "AKIASECRET" not in message


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, None),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, None),
        ({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}, Credentials("a", "b")),
        (
            {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "c"},
            Credentials("a", "b", "c"),
        ),
    ],
)
def test_keys_in_the_environment(environment: dict[str, str], found: Credentials | None) -> None:
    """As the AWS SDKs name them; none is fine."""
    assert credentials_in(environment) == found


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_half_of_the_keys(name: str) -> None:
    """A key without its name, or the reverse, is a mistake."""
    with pytest.raises(CannotUseCluster, match="set both") as refused:
        credentials_in({name: "hush"})

    assert "hush" not in str(refused.value)


def test_keys_in_a_file(tmp_path: Path) -> None:
    """Two lines, which nobody else can read."""
    path = tmp_path / "keys"
    path.write_text("key-id\n secret/key+ \n")
    path.chmod(0o600)

    assert read_credentials(str(path)) == Credentials("key-id", "secret/key+")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610])
def test_keys_that_others_can_read(tmp_path: Path, mode: int) -> None:
    """Or change: the line says what to do."""
    path = tmp_path / "keys"
    path.write_text("key-id\nhush\n")
    path.chmod(mode)
    with pytest.raises(CannotUseCluster, match=f"run chmod 600 {path}"):
        read_credentials(str(path))


@pytest.mark.parametrize("content", [b"", b"key-id\n", b"key-id\n\n", b"a\nhush\nc\n", b"\nhush\n", b"\xff\n\xfe\n"])
def test_a_file_that_has_something_else(tmp_path: Path, content: bytes) -> None:
    """Nothing of it is repeated."""
    path = tmp_path / "keys"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(CannotUseCluster, match=r"two lines|no text") as refused:
        read_credentials(str(path))

    assert "hush" not in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """It is named."""
    with pytest.raises(CannotUseCluster, match="nowhere: cannot be read: No such file"):
        read_credentials(str(tmp_path / "nowhere"))


def test_keys_are_never_shown() -> None:
    """Not by who prints what has them."""
    shown = repr(Credentials("key-id", "hush", "token"))

    assert not any(word in shown for word in ("key-id", "hush", "token='", "'token"))
