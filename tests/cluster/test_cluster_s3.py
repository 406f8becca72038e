"""The few verbs that are asked of an object store."""

from __future__ import annotations

import re
import traceback
import urllib.request
from typing import TYPE_CHECKING

import pytest
from certificates import make_certificate
from fake_s3 import WRITTEN, FakeS3
from stores import KEYS, QUICK

from onec_twisted.cluster.location import Location
from onec_twisted.cluster.refusals import CannotUseCluster
from onec_twisted.cluster.s3 import S3, Found
from onec_twisted.model.errors import InsufficientStorage, StorageRemoved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MB = 1024 * 1024
STRANGE = "files/s/1/прайс #1 50%20 [x]*?&+=;'\"<>|~.xml"
SECRETS = re.compile(r"KEY-ID|SECRET-KEY|X-Amz|Signature|StringToSign|http:")

VERBS: dict[str, tuple[str, Callable[[S3], object]]] = {
    "put": ("PUT", lambda s3: s3.put("k", b"x")),
    "write": ("PUT", lambda s3: s3.write("k", [b"x"], 1)),
    "read": ("GET", lambda s3: s3.read("k", 0, 1)),
    "size": ("HEAD", lambda s3: s3.size("k")),
    "delete": ("DELETE", lambda s3: s3.delete(["k"])),
    "found": ("GET", lambda s3: list(s3.found("k"))),
    "folders": ("GET", lambda s3: s3.folders("k")),
}


def test_an_object_whatever_its_name(fake: FakeS3, s3: S3) -> None:
    """It is stored below the prefix, read in parts, listed, and removed."""
    s3.put(STRANGE, b"0123456789")
    assert fake.objects == {f"shop/{STRANGE}": b"0123456789"}
    assert s3.read(STRANGE, 2, 3) == (b"234", 10)
    assert s3.read(STRANGE, 8, 5) == (b"89", 10)
    assert s3.read(STRANGE, 10, 5) == (b"", 0)
    assert s3.size(STRANGE) == 10
    assert list(s3.found("files/s")) == [Found(STRANGE, 10, WRITTEN)]
    s3.delete([STRANGE, "none"])
    s3.delete([])

    assert fake.objects == {}


def test_bodies_are_signed(fake: FakeS3, s3: S3) -> None:
    """With their SHA-256, in one request; the secret key does not leave us."""
    s3.put("k", b"x" * 14 * MB)

    (call,) = fake.calls
    assert (call.method, call.headers["content-length"]) == ("PUT", str(14 * MB))
    assert re.fullmatch(r"[0-9a-f]{64}", call.headers["x-amz-content-sha256"])
    assert "KEY-ID" in call.headers["authorization"]
    assert KEYS.secret not in str(call)


def test_what_is_not_there(s3: S3) -> None:
    """The key is told."""
    for ask in (lambda: s3.read("none", 0, 1), lambda: s3.size("none")):
        with pytest.raises(FileNotFoundError, match="'none'"):
            ask()


def test_listings_have_pages(fake: FakeS3, s3: S3) -> None:
    """All are read; a prefix ends a part of a key, and folders are named once."""
    fake.page = 2
    for number in range(7):
        s3.put(f"segments/{number % 3}/{number}", b"x")
    s3.put("segments/33/1", b"x")
    s3.put("segments/alone", b"x")

    assert [one.key for one in s3.found("segments/0")] == ["segments/0/0", "segments/0/3", "segments/0/6"]
    assert len(list(s3.found("segments"))) == 9
    assert s3.folders("segments") == ["0", "1", "2", "33"]
    assert s3.folders("none") == []


@pytest.mark.parametrize("size", [0, 1, 3 * MB, 8 * MB, 20 * MB + 1])
def test_an_object_that_comes_in_blocks(fake: FakeS3, s3: S3, size: int) -> None:
    """It is there as a whole, in as many parts as it takes."""
    blocks = [bytes([place // MB]) * min(MB, size - place) for place in range(0, size, MB)]
    s3.write("k", blocks, size)

    assert fake.objects == {"shop/k": b"".join(blocks)}
    assert fake.uploads == {}


def test_a_very_large_object_has_larger_parts(fake: FakeS3, s3: S3) -> None:
    """S3 takes 10,000 of them: so none is sent before it is large enough."""
    s3.write("k", [bytes(MB)] * 12, 9000 * 10 * MB)

    sizes = {call.query["partNumber"]: call.headers["content-length"] for call in fake.calls if len(call.query) > 1}
    assert sizes == {"1": str(10 * MB), "2": str(2 * MB)}


def test_an_object_whose_blocks_fail(fake: FakeS3, s3: S3) -> None:
    """It is not there, not in part either; and the blocks may come from the same store."""
    s3.put("a", b"x" * MB)

    def blocks() -> Iterator[bytes]:
        for _ in range(12):
            yield s3.read("a", 0, MB)[0]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        s3.write("k", blocks(), 13 * MB)

    assert list(fake.objects) == ["shop/a"]


@pytest.mark.parametrize("status", [500, 503, 507])
def test_four_failures_do_not_show(fake: FakeS3, s3: S3, status: int) -> None:
    """The store may be busy for a while."""
    for name, (method, ask) in VERBS.items():
        fake.objects["shop/k"] = b"x"
        fault = fake.fault(method, times=4, status=status)
        ask(s3)
        assert fault.times == 0, name


@pytest.mark.parametrize("loses", ["request", "answer", "half"])
def test_four_lost_connections_do_not_show(fake: FakeS3, s3: S3, loses: str) -> None:
    """Nor is anything cut off."""
    fake.objects["shop/k"] = b"0123456789"
    fault = fake.fault("GET", times=4, loses=loses)
    assert s3.read("k", 0, 10) == (b"0123456789", 10)
    assert fault.times == 0
    fake.fault("PUT", times=4, loses="answer")
    s3.put("k", b"new")

    assert fake.objects == {"shop/k": b"new"}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 403}, {"loses": "request"}])
def test_a_store_that_fails(fake: FakeS3, s3: S3, verb: str, fault: dict[str, object]) -> None:
    """It is said in our words: nothing of a key, of a signature, or of an address."""
    method, ask = VERBS[verb]
    fake.objects["shop/k"] = b"x"
    fake.fault(method, times=99, **fault)
    with pytest.raises(OSError, match="the object store did not") as failed:
        ask(s3)

    assert not SECRETS.search("".join(traceback.format_exception(failed.value)))
    expected = {"status=500": "500", "status=403": "403", "loses=request": "the connection broke"}
    ((name, value),) = fault.items()
    assert expected[f"{name}={value}"] in str(failed.value)
    assert len(fake.calls) in ((1,) if fault.get("status") == 403 else (6, 12))


@pytest.mark.parametrize("fault", [{"status": 507}, {"status": 403, "code": "QuotaExceeded"}])
def test_a_store_without_room(fake: FakeS3, s3: S3, fault: dict[str, object]) -> None:
    """It is told as a full disk is."""
    fake.fault("PUT", times=99, **fault)
    with pytest.raises(InsufficientStorage):
        s3.put("k", b"x")


@pytest.mark.parametrize("verb", sorted({*VERBS} - {"size"}))
def test_a_bucket_that_is_gone(fake: FakeS3, s3: S3, verb: str) -> None:
    """It is not taken for an object that is gone; only a HEAD cannot tell."""
    fake.bucket = "another"
    with pytest.raises(StorageRemoved):
        VERBS[verb][1](s3)


def test_nobody_listens(s3: S3, fake: FakeS3) -> None:
    """The store is down."""
    fake.stop()
    with pytest.raises(OSError, match="no connection"):
        s3.put("k", b"x")
    fake.start()  # for the fixture to stop


def test_no_keys(fake: FakeS3, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither given, nor where a cloud has them: the line says what to do."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", fake.endpoint)
    with pytest.raises(OSError, match="needs keys; set AWS_ACCESS_KEY_ID"):
        S3(Location(fake.bucket, "", fake.endpoint), None, QUICK).put("k", b"x")


def test_keys_of_the_environment_are_found(fake: FakeS3, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the client itself, where none are given."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "FROM-ENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    S3(Location(fake.bucket, "", fake.endpoint, "eu-north-1"), None, QUICK).put("k", b"x")

    assert re.search(r"FROM-ENV/\d+/eu-north-1/s3/", fake.calls[0].headers["authorization"])


def test_an_address_to_read_from(s3: S3) -> None:
    """Anybody can use it, whatever the name; it has its end."""
    s3.put(STRANGE, b"content")
    url = s3.presigned(STRANGE, 90.0)
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"content"

    assert "X-Amz-Expires=90&" in url
    assert KEYS.secret not in url


def test_certificates(tmp_path: Path) -> None:
    """A store whose certificate nobody has signed is not trusted, unless it is named."""
    certificate = make_certificate(tmp_path)
    fake = FakeS3().start(certificate)
    try:
        with pytest.raises(OSError, match="its certificate is not trusted: UnknownIssuer"):
            S3(Location(fake.bucket, "", fake.endpoint), KEYS, QUICK).put("k", b"x")
        S3(Location(fake.bucket, "", fake.endpoint, ca=str(certificate.chain)), KEYS, QUICK).put("k", b"x")
        assert fake.objects == {"k": b"x"}
    finally:
        fake.stop()


@pytest.mark.parametrize(
    ("content", "words"), [(None, "cannot be read"), (b"x", "no certificate in PEM"), (b"broken", "no client")]
)
def test_certificates_that_are_none(tmp_path: Path, content: bytes | None, words: str) -> None:
    """The file is named when it is at fault."""
    path = tmp_path / "ca.pem"
    if content == b"broken":
        path.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(CannotUseCluster, match=words):
        S3(Location("bucket", "", "https://127.0.0.1:1", ca=str(path)), KEYS, QUICK)
