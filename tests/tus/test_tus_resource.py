"""What each method of tus answers, and what is on the disk and on record then."""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64encode
from typing import TYPE_CHECKING
from zipfile import ZIP_STORED

import pytest
from in_memory import NOW, ORIGIN, SESSION_QUOTA, TUS_PATH, flush_failures
from line import post
from trade import packed
from tus_in_memory import CHUNK, TusInMemory, heard, metadata
from twisted.web.http import stringToDatetime
from zope.interface.verify import verifyObject

from onec_twisted.catalog.sql import uploads as statements
from onec_twisted.catalog.sql.overview import summary
from onec_twisted.daemon.sweep import Lifetimes, Sweep
from onec_twisted.http.interfaces import IStreamingResource
from onec_twisted.model.errors import InsufficientStorage, SyncFailed
from onec_twisted.testing import FakeImporter, LateWorkers

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from twisted.internet.task import Clock

TTL = 3600
"""Seconds that an upload lives."""


def with_session(tus: TusInMemory) -> tuple[str, str]:
    """Log in as a node does, and let the client use the session's cookie; return cookie and sessid."""
    session = tus.exchange.checkauth()
    tus.cookie = session[0]
    return session


def piece(tus: TusInMemory, session: tuple[str, str], name: str, body: bytes) -> bytes:
    """Send a piece as 1C does; return the answer."""
    return heard(tus.open().send(post(session, name, body))).body


def test_it_is_what_it_says(tus: TusInMemory) -> None:
    """The resource provides what the request asks of it."""
    assert verifyObject(IStreamingResource, tus.exchange.site.resource.getStaticEntity(TUS_PATH[1:].encode()))


class TestDiscovery:
    def test_what_is_on_offer(self, tus: TusInMemory) -> None:
        """Without a password, and at every path: a browser asks first."""
        tus.user = ""
        for path in ("/files", "/files/", "/files/unknown"):
            answer = tus.request("OPTIONS", path, Tus_Resumable="")
            assert (answer.status, answer.body) == (204, b"")
            assert answer.headers["tus-version"] == "1.0.0"
            assert answer.headers["tus-max-size"] == str(SESSION_QUOTA)
            assert answer.headers["tus-checksum-algorithm"] == "sha1,sha256,crc32,md5"
            assert set(answer.headers["tus-extension"].split(",")) == {
                "creation",
                "creation-with-upload",
                "creation-defer-length",
                "expiration",
                "checksum",
                "termination",
            }
            assert "content-length" not in answer.headers

    @pytest.mark.parametrize("version", ["", "0.2.2", "1.0.1"])
    @pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE"])
    def test_another_version(self, tus: TusInMemory, method: str, version: str) -> None:
        """Is not carried out; the answer tells which we speak."""
        path = tus.made(3)
        answer = tus.request(method, path if method != "POST" else TUS_PATH, b"", Tus_Resumable=version)

        assert answer.status == 412
        assert answer.headers["tus-version"] == "1.0.0"
        assert answer.headers["tus-resumable"] == "1.0.0"
        assert tus.offset(path) == 0

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("GET", "/files/", "POST, OPTIONS"),
            ("PATCH", "/files", "POST, OPTIONS"),
            ("GET", "/files/x", "HEAD, PATCH, DELETE, OPTIONS"),
            ("POST", "/files/x", "HEAD, PATCH, DELETE, OPTIONS"),
        ],
    )
    def test_other_methods(self, tus: TusInMemory, method: str, path: str, allowed: str) -> None:
        """Are not allowed; the answer tells which are. There is no download."""
        answer = tus.request(method, path, b"")

        assert answer.status == 405
        assert answer.headers["allow"] == allowed

    def test_the_methods_that_a_proxy_lets_through(self, tus: TusInMemory) -> None:
        """X-HTTP-Method-Override says what is meant."""
        path = tus.made(6)
        override = {"Upload_Offset": "0", "Content_Type": CHUNK, "X_HTTP_Method_Override": "PATCH"}
        assert tus.request("POST", path, b"abc", **override).status == 204
        answer = tus.request("POST", path, b"", X_HTTP_Method_Override="HEAD")
        assert (answer.status, answer.offset) == (200, 3)
        assert tus.request("GET", path, X_HTTP_Method_Override="delete").status == 204
        assert tus.request("HEAD", path).status == 410


class TestWho:
    def test_nobody(self, tus: TusInMemory) -> None:
        """Is asked for a password."""
        tus.user = ""
        answer = tus.create(3)

        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Basic")

    def test_another_user(self, tus: TusInMemory) -> None:
        """Learns nothing: a foreign upload and one that never was look alike."""
        path = tus.made(3)
        tus.user = "other"
        for method in ("HEAD", "PATCH", "DELETE"):
            foreign = tus.request(method, path, b"abc", Upload_Offset="0", Content_Type=CHUNK)
            unknown = tus.request(method, f"{TUS_PATH}/{'0' * 32}", b"abc", Upload_Offset="0", Content_Type=CHUNK)
            assert foreign.status == unknown.status == 404
            assert foreign.body == unknown.body
            assert foreign.offset is unknown.offset is None
        tus.user = "shop"
        assert tus.offset(path) == 0

    def test_a_session_that_is_over(self, tus: TusInMemory, clock: Clock) -> None:
        """Opens nothing."""
        with_session(tus)
        clock.advance(TTL + 1)

        assert tus.create(3, Upload_Metadata=metadata(filename="a")).status == 401


class TestCreation:
    def test_an_upload_has_a_url_of_its_own(self, tus: TusInMemory) -> None:
        """And tells what is known of it."""
        told = metadata(filename="цены.xml", empty="")
        answer = tus.create(11, Upload_Metadata=told)
        assert answer.status == 201
        assert answer.offset is None
        assert answer.headers["location"].startswith("http://shop.example/files/")
        path = answer.headers["location"].removeprefix("http://shop.example")
        assert stringToDatetime(answer.headers["upload-expires"].encode()) == NOW + TTL
        answer = tus.request("HEAD", path)

        assert (answer.status, answer.body, answer.offset) == (200, b"", 0)
        assert answer.headers["upload-length"] == "11"
        assert answer.headers["upload-metadata"] == told
        assert answer.headers["cache-control"] == "no-store"
        assert "upload-defer-length" not in answer.headers
        assert tus.made(11) != path

    def test_the_name_of_the_file(self, tus: TusInMemory) -> None:
        """Is what the metadata says, by the rules that hold for nodes."""
        for told, name in (
            (metadata(filename="import_files/ab/x.jpg"), "import_files/ab/x.jpg"),
            (metadata(filename="C:\\1c\\offers.xml"), "1c/offers.xml"),
            (metadata(name="uppy.xml"), "uppy.xml"),
            (metadata(filetype="text/xml"), "upload"),
            ("", "upload"),
        ):
            path = tus.made(1, Upload_Metadata=told)
            assert tus.patch(path, 0, b"x").status == 204
            assert name in tus.stored()

    @pytest.mark.parametrize("name", ["../x", "a/../../x", ".hidden", "manifest.json", "x\0y", "a" * 300])
    def test_a_name_that_cannot_be(self, tus: TusInMemory, name: str) -> None:
        """Makes no upload."""
        assert tus.create(1, Upload_Metadata=metadata(filename=name)).status == 400
        assert tus.exchange.files() == {}

    @pytest.mark.parametrize("told", ["a", "-1", "1.5", "", "+3", "9" * 101])
    def test_a_length_that_is_none(self, tus: TusInMemory, told: str) -> None:
        """Makes no upload."""
        assert tus.request("POST", TUS_PATH, b"", Upload_Length=told).status == 400

    @pytest.mark.parametrize("told", ["0", "2", "true"])
    def test_a_length_that_is_deferred_otherwise(self, tus: TusInMemory, told: str) -> None:
        """The only word for it is 1."""
        assert tus.request("POST", TUS_PATH, b"", Upload_Defer_Length=told).status == 400

    def test_a_length_that_is_told_and_deferred(self, tus: TusInMemory) -> None:
        """One of the two is wrong."""
        assert tus.request("POST", TUS_PATH, b"", Upload_Defer_Length="1", Upload_Length="3").status == 400

    @pytest.mark.parametrize("told", ["filename", "a ?", "a YQ==,a Yg==", ",", "a YQ==,,b Yg==", "ключ YQ=="])
    def test_metadata_that_cannot_be_read(self, tus: TusInMemory, told: str) -> None:
        """Makes no upload, except a key without a value, which is an empty one."""
        told = told.encode().decode("latin-1")
        expected = 201 if told == "filename" else 400
        assert tus.request("POST", TUS_PATH, b"", Upload_Length="3", Upload_Metadata=told).status == expected

    def test_more_than_there_may_be(self, tus: TusInMemory) -> None:
        """Is refused before it comes."""
        assert tus.create(SESSION_QUOTA).status == 201
        assert tus.create(SESSION_QUOTA + 1).status == 413
        assert tus.create(10**30).status == 413

    def test_more_than_the_disk_has(self, tus: TusInMemory) -> None:
        """Is refused before it comes."""
        tus.exchange.store.free_bytes = 1500
        assert tus.create(501).status == 507
        assert tus.create(500).status == 201

    def test_nothing_is_complete_at_once(self, tus: TusInMemory) -> None:
        """An empty file is handed off when it is made; sending nothing more does not do so again."""
        answer = tus.create(0, Upload_Metadata=metadata(filename="empty"))
        path = answer.headers["location"].removeprefix("http://shop.example")
        assert (answer.status, answer.offset) == (201, 0)
        assert "upload-expires" not in answer.headers
        assert tus.stored() == {"empty": b""}
        assert tus.handoffs() == [("upload", "empty", "succeeded")]
        assert tus.patch(path, 0, b"").status == 204
        assert tus.offset(path) == 0
        assert len(tus.handoffs()) == 1

    def test_many_sessions(self, make_tus: Callable[..., TusInMemory]) -> None:
        """An upload without a session counts as one of its user's."""
        tus = make_tus(sessions_per_user=2)
        assert [tus.create(1).status for _ in range(3)] == [201, 201, 429]

    def test_where_it_is_behind_a_proxy(self, make_tus: Callable[..., TusInMemory]) -> None:
        """Only one that is trusted may say."""
        tus = make_tus(trusted_proxy=["192.168.1.1"])
        told = {
            "X_Forwarded_For": "203.0.113.9",
            "X_Forwarded_Proto": "https",
            "X_Forwarded_Host": "shop.example",
            "X_Forwarded_Prefix": "/upload/",
        }
        assert tus.create(1, **told).headers["location"].startswith("https://shop.example/upload/files/")
        told["X_Forwarded_Host"] = ""
        assert tus.create(1, **told).headers["location"].startswith("https://shop.example/upload/files/")
        line = tus.open("192.168.1.2")
        answer = heard(line.send(tus.head("POST", TUS_PATH, 0, Upload_Length="1", **told)))
        assert answer.headers["location"].startswith("/files/")

    @pytest.mark.parametrize("told", ["partial", "final;/files/a /files/b"])
    def test_parts_of_a_file(self, tus: TusInMemory, told: str) -> None:
        """Are not taken for whole ones."""
        assert tus.create(3, Upload_Concat=told).status == 400


class TestCreationWithUpload:
    def test_all_of_it(self, tus: TusInMemory) -> None:
        """One request, and the file is there and handed off."""
        answer = tus.request(
            "POST", TUS_PATH, b"hello", Upload_Length="5", Content_Type=CHUNK, Upload_Metadata=metadata(filename="a")
        )

        assert (answer.status, answer.offset) == (201, 5)
        assert tus.stored() == {"a": b"hello"}
        assert tus.handoffs() == [("upload", "a", "succeeded")]

    def test_a_part_of_it(self, tus: TusInMemory) -> None:
        """The rest comes by PATCH."""
        answer = tus.request("POST", TUS_PATH, b"hel", Upload_Length="5", Content_Type=CHUNK)
        assert (answer.status, answer.offset) == (201, 3)
        path = answer.headers["location"].removeprefix("http://shop.example")
        assert tus.patch(path, 3, b"lo").offset == 5
        assert tus.stored() == {"upload": b"hello"}

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"Upload_Length": "2", "Content_Type": CHUNK}, 413),
            ({"Upload_Length": "5", "Content_Type": "text/plain"}, 415),
            ({"Upload_Length": "5"}, 415),
            ({"Upload_Length": "5", "Content_Type": CHUNK, "Upload_Checksum": "sha1 " + "A" * 27 + "="}, 460),
            ({"Upload_Length": "5", "Content_Type": CHUNK, "Upload_Checksum": "sha3 YQ=="}, 400),
        ],
    )
    def test_what_is_not_made_leaves_nothing(self, tus: TusInMemory, headers: dict[str, str], status: int) -> None:
        """Nobody knows where it would be."""
        assert tus.request("POST", TUS_PATH, b"hello", **headers).status == status
        assert tus.exchange.files() == {}
        assert tus.request("POST", TUS_PATH, b"hello", Upload_Length="5", Content_Type=CHUNK).status == 201

    def test_a_body_that_breaks_off_leaves_nothing(self, tus: TusInMemory) -> None:
        """Its sender never heard where the upload is."""
        line = tus.open()
        line.send(tus.head("POST", TUS_PATH, 5, Upload_Length="5", Content_Type=CHUNK) + b"hel")
        read = tus.exchange.catalog.recorder.database.read
        assert read(summary).unfinished == 1
        line.lose()
        tus.lines.remove(line)

        assert tus.exchange.files() == {}
        assert read(summary).unfinished == 0


class TestDeferredLength:
    def test_it_is_told_later(self, tus: TusInMemory) -> None:
        """With the bytes that end it, or before."""
        path = tus.made(None, Upload_Metadata=metadata(filename="a"))
        head = tus.request("HEAD", path)
        assert head.headers["upload-defer-length"] == "1"
        assert "upload-length" not in head.headers
        assert tus.patch(path, 0, b"abc").offset == 3
        assert tus.patch(path, 3, b"def", Upload_Length="8").offset == 6
        head = tus.request("HEAD", path)
        assert head.headers["upload-length"] == "8"
        assert "upload-defer-length" not in head.headers
        assert tus.handoffs() == []
        assert tus.patch(path, 6, b"gh", Upload_Length="8").offset == 8
        assert tus.handoffs() == [("upload", "a", "succeeded")]

    def test_it_is_told_when_all_is_there(self, tus: TusInMemory) -> None:
        """An empty request with the length completes the upload."""
        path = tus.made(None, Upload_Metadata=metadata(filename="a"))
        tus.patch(path, 0, b"abc")
        assert tus.patch(path, 3, b"", Upload_Length="3").status == 204
        assert tus.handoffs() == [("upload", "a", "succeeded")]

    @pytest.mark.parametrize("told", ["2", "x", "-3"])
    def test_one_that_cannot_be(self, tus: TusInMemory, told: str) -> None:
        """It stays unknown."""
        path = tus.made(None)
        tus.patch(path, 0, b"abc")
        assert tus.patch(path, 3, b"d", Upload_Length=told).status == 400
        assert tus.request("HEAD", path).headers["upload-defer-length"] == "1"

    def test_one_that_is_refused_stays_unknown(self, tus: TusInMemory) -> None:
        """With bytes that are too many, or wrong; it may be told otherwise then."""
        path = tus.made(None)
        wrong = {"Upload_Checksum": "crc32 AAAAAA=="}
        assert tus.patch(path, 0, b"abc", Upload_Length=str(SESSION_QUOTA + 1)).status == 413
        assert tus.patch(path, 0, b"abc", Upload_Length="2").status == 413
        assert tus.patch(path, 0, b"abc", Upload_Length="3", **wrong).status == 460
        assert tus.request("HEAD", path).headers["upload-defer-length"] == "1"
        assert tus.patch(path, 0, b"abc", Upload_Length="4").status == 204
        assert tus.request("HEAD", path).headers["upload-length"] == "4"

    def test_it_does_not_change(self, tus: TusInMemory) -> None:
        """Once it is known."""
        path = tus.made(5)
        assert tus.patch(path, 0, b"abc", Upload_Length="6").status == 400
        assert tus.request("HEAD", path).headers["upload-length"] == "5"
        assert tus.offset(path) == 0

    def test_more_than_there_may_be(self, tus: TusInMemory) -> None:
        """The session's quota bounds it."""
        path = tus.made(None)
        assert tus.patch(path, 0, b"x" * (SESSION_QUOTA + 1)).status == 413
        assert tus.patch(path, 0, b"x" * SESSION_QUOTA).status == 204


class TestPatch:
    def test_piece_by_piece(self, tus: TusInMemory, clock: Clock) -> None:
        """Each answer tells the new offset, and each prolongs the upload's life."""
        path = tus.made(6, Upload_Metadata=metadata(filename="a", product="42"))
        clock.advance(10)
        answer = tus.patch(path, 0, b"abc")
        assert (answer.status, answer.body, answer.offset) == (204, b"", 3)
        assert stringToDatetime(answer.headers["upload-expires"].encode()) == NOW + 10 + TTL
        assert tus.handoffs() == []
        answer = tus.patch(path, 3, b"def")
        assert (answer.status, answer.offset) == (204, 6)
        assert "upload-expires" not in answer.headers
        assert tus.stored() == {"a": b"abcdef"}
        assert tus.handoffs() == [("upload", "a", "succeeded")]
        assert tus.request("HEAD", path).offset == 6

    def test_what_the_importer_is_told(self, make_tus: Callable[..., TusInMemory]) -> None:
        """The metadata as well."""
        importer = FakeImporter()
        tus = make_tus(importer=importer)
        path = tus.made(1, Upload_Metadata=metadata(filename="a", product="42"))
        tus.patch(path, 0, b"x")
        (description,) = importer.delivered
        assert (description.event, description.filename, description.user) == ("upload", "a", "shop")
        assert description.metadata == {"filename": "a", "product": "42"}
        assert [(file.name, file.size) for file in description.files] == [("a", 1)]

    @pytest.mark.parametrize("offset", [0, 2, 4, 10**30])
    def test_another_place(self, tus: TusInMemory, offset: int) -> None:
        """Is refused, and told the right one; nothing changes."""
        path = tus.made(6)
        tus.patch(path, 0, b"abc")
        answer = tus.patch(path, offset, b"def")

        assert (answer.status, answer.offset) == (409, 3)
        assert tus.stored() == {"upload": b"abc"}

    @pytest.mark.parametrize("told", ["", "-1", "x", "1.0", "\xb2", "9" * 101])
    def test_no_place(self, tus: TusInMemory, told: str) -> None:
        """Is refused."""
        path = tus.made(3)
        assert tus.request("PATCH", path, b"abc", Upload_Offset=told, Content_Type=CHUNK).status == 400
        assert tus.offset(path) == 0

    @pytest.mark.parametrize("kind", ["", "application/octet-stream", "application/x-www-form-urlencoded"])
    def test_another_type(self, tus: TusInMemory, kind: str) -> None:
        """Is refused."""
        path = tus.made(3)
        assert tus.request("PATCH", path, b"abc", Upload_Offset="0", Content_Type=kind).status == 415
        assert tus.offset(path) == 0

    def test_nothing(self, tus: TusInMemory) -> None:
        """Is as well: the offset stays."""
        path = tus.made(3)
        assert tus.patch(path, 0, b"").offset == 0
        assert tus.patch(path, 0, b"ab").offset == 2
        assert tus.patch(path, 2, b"").offset == 2
        assert tus.handoffs() == []

    def test_too_much(self, tus: TusInMemory) -> None:
        """Is refused before it is read, and nothing of it is kept."""
        path = tus.made(3)
        answer = heard(tus.begin(path, 0, 4).answered)
        assert (answer.status, answer.offset) == (413, 0)
        assert tus.stored() == {}

    def test_too_much_in_chunks(self, tus: TusInMemory) -> None:
        """Never completes the upload: nobody knows what it was meant to be."""
        path = tus.made(3)
        line = tus.begin(path, 0, "chunked", b"3\r\nabc\r\n")
        answer = heard(line.send(b"1\r\nd\r\n0\r\n\r\n"))
        assert (answer.status, answer.offset) == (413, 0)
        assert tus.stored() == {}
        assert tus.handoffs() == []
        assert heard(tus.begin(path, 0, "chunked", b"3\r\nabc\r\n0\r\n\r\n").answered).offset == 3
        assert tus.handoffs() == [("upload", "upload", "succeeded")]

    def test_after_the_end(self, tus: TusInMemory) -> None:
        """A repeat is told where the upload is; it is not handed off again, whatever comes."""
        path = tus.made(3)
        tus.patch(path, 0, b"abc")
        assert tus.patch(path, 0, b"abc").offset == 3
        assert tus.patch(path, 0, b"abc").status == 409
        assert tus.patch(path, 3, b"").status == 204
        assert tus.patch(path, 3, b"", Upload_Checksum="crc32 AAAAAA==").status == 204
        assert tus.patch(path, 3, b"", Upload_Checksum="crc32 AAAAAQ==").status == 460
        assert tus.patch(path, 3, b"d").status == 413
        assert tus.stored() == {"upload": b"abc"}
        assert len(tus.handoffs()) == 1

    def test_a_full_disk(self, tus: TusInMemory) -> None:
        """What had come stays, to the byte that is on record; the rest may come when there is room."""
        path = tus.made(200_000 % SESSION_QUOTA or 10_000)
        tus.exchange.store.on_write = InsufficientStorage()
        answer = tus.patch(path, 0, b"x" * 10_000)
        assert (answer.status, answer.offset) == (507, 0)
        tus.exchange.store.on_write = None
        assert tus.patch(path, 0, b"x" * 10_000).offset == 10_000

    def test_a_disk_that_loses(self, tus: TusInMemory, nothing_left_behind: list[dict[str, Any]]) -> None:
        """The upload is gone for good: nothing may be built on what is doubtful."""
        path = tus.made(6)
        tus.patch(path, 0, b"abc")
        tus.exchange.store.on_finish = SyncFailed("no")
        assert tus.patch(path, 3, b"def").status == 500
        assert [type(failure) for failure in flush_failures(nothing_left_behind)] == [SyncFailed]
        tus.exchange.store.on_finish = None
        assert tus.request("HEAD", path).status == 410
        assert tus.patch(path, 3, b"def").status == 410
        assert tus.handoffs() == []


class TestBreaks:
    def test_what_came_before_anybody_wanted_it_is_kept(self, make_tus: Callable[..., TusInMemory]) -> None:
        """A few bytes and the end of the connection may come with the headers."""
        workers = LateWorkers()
        tus = make_tus(workers=workers)
        path = tus.made(10)
        first = tus.begin(path, 0, 1, b"a")
        line = tus.begin(path, 1, 5, b"bc")
        line.lose()
        tus.lines.remove(line)
        while workers.waiting:
            workers.run()
        assert heard(first.answered).offset == 1
        assert tus.stored() == {"upload": b"abc"}

    def test_what_came_is_kept(self, tus: TusInMemory) -> None:
        """To the last byte."""
        path = tus.made(10)
        line = tus.begin(path, 0, 10, b"abcdefg")
        line.lose()
        tus.lines.remove(line)
        assert tus.stored() == {"upload": b"abcdefg"}
        assert tus.offset(path) == 7
        assert tus.patch(path, 7, b"hij").offset == 10
        assert tus.handoffs() == [("upload", "upload", "succeeded")]

    def test_a_silent_sender(self, tus: TusInMemory, clock: Clock) -> None:
        """Is told the offset of what it has brought, and loses the connection."""
        path = tus.made(10)
        line = tus.begin(path, 0, 10, b"abc")
        clock.pump([30, 31])
        answer = heard(line.answered)
        assert (answer.status, answer.offset) == (503, 3)
        assert answer.headers["connection"] == "close"
        assert tus.offset(path) == 3

    def test_with_a_checksum_nothing_is_kept(self, tus: TusInMemory) -> None:
        """It is of all or of nothing."""
        path = tus.made(10)
        digest = b64encode(hashlib.sha1(b"abcdefghij", usedforsecurity=False).digest()).decode()
        line = tus.begin(path, 0, 10, b"abcdefg", Upload_Checksum=f"sha1 {digest}")
        line.lose()
        tus.lines.remove(line)
        assert tus.stored() == {}
        assert tus.offset(path) == 0

    def test_all_of_it_in_chunks_without_an_end(self, tus: TusInMemory) -> None:
        """Every byte is there: it is complete, or its sender would think so and nobody would hand it off."""
        path = tus.made(3)
        line = tus.begin(path, 0, "chunked", b"3\r\nabc\r\n")
        line.lose()
        tus.lines.remove(line)
        assert tus.offset(path) == 3
        assert tus.handoffs() == [("upload", "upload", "succeeded")]


class TestTakingOver:
    @pytest.mark.parametrize("method", ["HEAD", "PATCH"])
    def test_a_newer_request_has_the_upload(self, tus: TusInMemory, method: str) -> None:
        """At once; what came before is kept, and its sender hears where it stands."""
        path = tus.made(10)
        old = tus.begin(path, 0, 10, b"abc")
        assert old.answered == b""
        answer = tus.request(method, path, b"" if method == "PATCH" else None, Upload_Offset="3", Content_Type=CHUNK)
        assert (answer.status, answer.offset) == (200 if method == "HEAD" else 204, 3)
        told = heard(old.answered)
        assert (told.status, told.offset) == (409, 3)
        assert told.headers["connection"] == "close"
        old.send(b"defghij")
        assert tus.offset(path) == 3
        assert tus.patch(path, 3, b"defghij").offset == 10
        assert tus.stored() == {"upload": b"abcdefghij"}

    def test_termination_as_well(self, tus: TusInMemory) -> None:
        """The older sender hears that it is over."""
        path = tus.made(10)
        old = tus.begin(path, 0, 10, b"abc")
        assert tus.request("DELETE", path).status == 204
        assert heard(old.answered).status in {409, 410}
        assert tus.exchange.files() == {}

    def test_the_status_page_does_not(self, tus: TusInMemory) -> None:
        """Who only looks disturbs nobody."""
        path = tus.made(10)
        old = tus.begin(path, 0, 10, b"abc")
        (running,) = tus.exchange.parts.ingest.transfers.all()
        assert (running.name, running.body.received, running.body.length) == ("upload", 3, 10)
        assert tus.exchange.metric("onec_pieces_total", outcome="stored") == 0
        old.send(b"defghij")
        assert heard(old.answered).offset == 10


class TestChecksums:
    @pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5", "crc32"])
    def test_right_and_wrong(self, tus: TusInMemory, algorithm: str) -> None:
        """The right one is kept; after a wrong one it is as if nothing had come."""

        def checksum(data: bytes) -> str:
            if algorithm == "crc32":
                digest = zlib.crc32(data).to_bytes(4, "big")
            else:
                digest = hashlib.new(algorithm, data, usedforsecurity=False).digest()
            return f"{algorithm} {b64encode(digest).decode()}"

        path = tus.made(6)
        assert tus.patch(path, 0, b"abc", Upload_Checksum=checksum(b"abc")).offset == 3
        answer = tus.patch(path, 3, b"def", Upload_Checksum=checksum(b"abc"))
        assert (answer.status, answer.offset) == (460, 3)
        assert tus.stored() == {"upload": b"abc"}
        assert tus.offset(path) == 3
        assert tus.patch(path, 3, b"def", Upload_Checksum=checksum(b"def")).offset == 6
        assert tus.handoffs() == [("upload", "upload", "succeeded")]

    @pytest.mark.parametrize("told", ["sha512 YQ==", "sha1", "sha1 YQ==", "sha1 !", "SHA1 " + "A" * 27 + "="])
    def test_one_that_cannot_be_checked(self, tus: TusInMemory, told: str) -> None:
        """Is refused, and so are its bytes."""
        path = tus.made(3)
        assert tus.patch(path, 0, b"abc", Upload_Checksum=told).status == 400
        assert tus.offset(path) == 0


class TestExpiration:
    def test_it_slides_and_ends(self, tus: TusInMemory, clock: Clock) -> None:
        """One that is over is told from one that never was."""
        path = tus.made(3)
        clock.advance(TTL - 1)
        assert tus.patch(path, 0, b"ab").status == 204
        clock.advance(TTL - 1)
        assert tus.offset(path) == 2
        clock.advance(2)
        assert tus.request("HEAD", path).status == 410
        assert tus.patch(path, 2, b"c").status == 410

    def test_one_that_runs_does_not(self, tus: TusInMemory, clock: Clock) -> None:
        """A body on its way is use enough."""
        path = tus.made(100)
        line = tus.begin(path, 0, 100)
        for _ in range(100):
            clock.advance(50)
            assert line.answered == b""
            line.send(b"x")
        assert heard(line.answered).offset == 100

    def test_one_that_records_only_at_its_end(self, tus: TusInMemory, clock: Clock) -> None:
        """Is in use as long as it comes, however often is swept meanwhile."""
        body, means, parts = b"x" * 100, tus.exchange.means, tus.exchange.parts
        sweep = Sweep(
            recorder=means.catalog.recorder,
            sessions=means.catalog.sessions,
            store=means.store,
            locks=parts.locks,
            workers=means.workers,
            session_ttl=TTL,
            journal=means.catalog.journal,
            lifetimes=lambda: Lifetimes(600, 86400.0),
            now=means.now,
        )
        path = tus.made(100)
        told = f"sha1 {b64encode(hashlib.sha1(body).digest()).decode()}"
        line = tus.begin(path, 0, 100, Upload_Checksum=told)
        for _ in range(100):
            clock.advance(50)
            sweep.once()
            line.send(b"x")
        assert heard(line.answered).status == 204

    def test_one_that_is_complete_stays_as_long_as_its_session(self, tus: TusInMemory, clock: Clock) -> None:
        """It can still be asked about, and ended."""
        path = tus.made(3)
        tus.patch(path, 0, b"abc")
        clock.advance(TTL + 1)
        assert tus.offset(path) == 3
        assert tus.request("DELETE", path).status == 204
        assert tus.exchange.files() == {}

    def test_one_that_is_complete_does_not_wake_its_session(self, tus: TusInMemory, clock: Clock) -> None:
        """Whatever its client sends: the cookie is over, and so are the session's other uploads."""
        with_session(tus)
        path = tus.made(3, Upload_Metadata=metadata(filename="a"))
        tus.patch(path, 0, b"abc")
        other = tus.made(3, Upload_Metadata=metadata(filename="b"))
        clock.advance(TTL + 1)
        cookie, tus.cookie = tus.cookie, None
        assert tus.patch(path, 0, b"abc").status == 409
        assert tus.patch(path, 3, b"d").status == 413
        assert tus.patch(path, 3, b"").status == 204
        assert tus.request("HEAD", other).status == 410
        tus.cookie, tus.user = cookie, ""
        assert tus.request("HEAD", path).status == 401


class TestTermination:
    def test_an_unfinished_one(self, tus: TusInMemory) -> None:
        """It is gone, and so are its bytes."""
        path = tus.made(3)
        tus.patch(path, 0, b"ab")
        answer = tus.request("DELETE", path)
        assert (answer.status, answer.body) == (204, b"")
        assert tus.exchange.files() == {}
        for method in ("HEAD", "PATCH", "DELETE"):
            gone = tus.request(method, path, b"c", Upload_Offset="2", Content_Type=CHUNK)
            assert (gone.status, gone.offset) == (410, None)

    def test_a_finished_one(self, tus: TusInMemory) -> None:
        """The site has it by then."""
        path = tus.made(3)
        tus.patch(path, 0, b"abc")
        assert tus.request("DELETE", path).status == 204
        assert tus.exchange.files() == {}

    def test_one_that_is_being_imported(self, make_tus: Callable[..., TusInMemory], clock: Clock) -> None:
        """Waits for that, a limited time: the site's hands are on it."""
        importer = FakeImporter(patient=True)
        tus = make_tus(importer=importer)
        path = tus.made(3)
        tus.patch(path, 0, b"abc")
        line = tus.open()
        line.send(tus.head("DELETE", path))
        assert line.answered == b""
        clock.advance(31)
        assert heard(line.answered).status == 503
        assert tus.stored() == {"upload": b"abc"}
        importer.end()
        assert tus.request("DELETE", path).status == 204

    def test_two_that_wait(self, make_tus: Callable[..., TusInMemory]) -> None:
        """The one that comes too late finds it gone."""
        importer = FakeImporter(patient=True)
        tus = make_tus(importer=importer)
        path = tus.made(3)
        tus.patch(path, 0, b"abc")
        first, second = tus.open(), tus.open()
        for line in (first, second):
            line.send(tus.head("DELETE", path))
        importer.end()
        assert [heard(line.answered).status for line in (first, second)] == [204, 410]

    def test_a_session_that_does_not_come_free(self, make_tus: Callable[..., TusInMemory], clock: Clock) -> None:
        """Is busy, a limited time."""
        workers = LateWorkers()
        tus = make_tus(workers=workers, session_quota=1_000_000)
        path = tus.made(100_000)
        writing = tus.begin(path, 0, 70_000, b"x" * 70_000)
        line = tus.open()
        line.send(tus.head("DELETE", path))
        clock.advance(31)
        assert heard(line.answered).status == 423
        while workers.waiting:
            workers.run()
        assert heard(writing.answered).offset == 70_000


class TestWithASession:
    def test_the_file_goes_to_its_folder(self, tus: TusInMemory) -> None:
        """Under its name, which it must have."""
        _, sessid = with_session(tus)
        path = tus.made(3, Upload_Metadata=metadata(filename="a.xml"))
        tus.patch(path, 0, b"abc")

        assert tus.exchange.files()[f"{sessid}/a.xml"] == b"abc"
        assert tus.create(3).status == 400

    def test_1c_begins_and_tus_ends(self, tus: TusInMemory) -> None:
        """The upload goes on where the file is; it is handed off once, whoever asks."""
        session = with_session(tus)
        assert piece(tus, session, "a.xml", b"abc") == b"success"
        answer = tus.create(6, Upload_Metadata=metadata(filename="a.xml"))
        assert (answer.status, answer.offset) == (201, 3)
        path = answer.headers["location"].removeprefix("http://shop.example")
        assert tus.offset(path) == 3
        assert tus.patch(path, 3, b"def").offset == 6
        assert tus.stored() == {"a.xml": b"abcdef"}
        assert tus.handoffs() == [("upload", "a.xml", "succeeded")]
        reply = tus.exchange.request(
            "GET", f"type=catalog&mode=import&filename=a.xml&sessid={session[1]}", Cookie=session[0]
        )
        assert reply.body == b"success"
        assert tus.handoffs() == [("upload", "a.xml", "succeeded")]

    def test_tus_begins_and_1c_ends(self, tus: TusInMemory) -> None:
        """A piece goes to the end of what tus has brought."""
        session = with_session(tus)
        path = tus.made(6, Upload_Metadata=metadata(filename="a.xml"))
        tus.patch(path, 0, b"abc")
        assert piece(tus, session, "a.xml", b"abc") == b"success"
        assert tus.stored() == {"a.xml": b"abcabc"}
        assert tus.offset(path) == 6
        reply = tus.exchange.request(
            "GET", f"type=catalog&mode=import&filename=a.xml&sessid={session[1]}", Cookie=session[0]
        )
        assert reply.body == b"success"
        assert tus.handoffs() == [("import", "a.xml", "succeeded")]
        assert tus.patch(path, 6, b"").status == 409
        assert len(tus.handoffs()) == 1

    def test_1c_goes_beyond_the_end(self, tus: TusInMemory) -> None:
        """The file is another than the upload was to be."""
        session = with_session(tus)
        path = tus.made(4, Upload_Metadata=metadata(filename="a.xml"))
        tus.patch(path, 0, b"abc")
        assert piece(tus, session, "a.xml", b"def") == b"success"
        assert tus.request("HEAD", path).status == 410
        assert tus.handoffs() == []

    def test_a_quiet_session_hands_off_no_half_upload(self, tus: TusInMemory, clock: Clock) -> None:
        """What 1C has left is; what tus has not ended waits for its end."""
        session = with_session(tus)
        path = tus.made(6, Upload_Metadata=metadata(filename="half.xml"))
        tus.patch(path, 0, b"abc")
        piece(tus, session, "whole.xml", b"x")
        clock.advance(301)
        tus.exchange.parts.handoffs.settle_quiet()
        assert tus.handoffs() == [("settled", "", "succeeded")]
        assert tus.patch(path, 3, b"def").offset == 6
        assert tus.handoffs()[1:] == [("upload", "half.xml", "succeeded")]

    def test_init(self, tus: TusInMemory) -> None:
        """Starts the session afresh: its uploads are gone."""
        session = with_session(tus)
        path = tus.made(6, Upload_Metadata=metadata(filename="a"))
        tus.patch(path, 0, b"abc")
        old = tus.begin(path, 3, 3, b"d")
        tus.exchange.request("GET", f"type=catalog&mode=init&sessid={session[1]}", Cookie=session[0])
        assert heard(old.answered).status == 409
        assert tus.request("HEAD", path).status == 410
        assert tus.exchange.files() == {}

    def test_two_uploads_of_one_name(self, tus: TusInMemory) -> None:
        """Do not mix: the second is refused once the first has brought something, and replaces it before that."""
        with_session(tus)
        told = metadata(filename="a")
        forgotten = tus.made(6, Upload_Metadata=told)
        first = tus.made(6, Upload_Metadata=told)
        assert tus.request("HEAD", forgotten).status == 404
        tus.patch(first, 0, b"abc")
        assert tus.create(6, Upload_Metadata=told).status == 409
        assert tus.request("DELETE", first).status == 204
        assert tus.made(6, Upload_Metadata=told)

    def test_termination_leaves_the_others(self, tus: TusInMemory) -> None:
        """Only its own file goes, and its quota is free again."""
        session = with_session(tus)
        piece(tus, session, "b", b"xyz")
        path = tus.made(SESSION_QUOTA - 3, Upload_Metadata=metadata(filename="a"))
        tus.patch(path, 0, b"x" * 10_000)
        assert tus.create(SESSION_QUOTA, Upload_Metadata=metadata(filename="c")).status == 413
        assert tus.request("DELETE", path).status == 204
        assert tus.stored() == {"b": b"xyz"}
        assert tus.create(SESSION_QUOTA - 3, Upload_Metadata=metadata(filename="c")).status == 201

    def test_termination_leaves_what_the_node_has_sent(self, tus: TusInMemory) -> None:
        """It was told that this is there, and goes on behind it."""
        session = with_session(tus)
        piece(tus, session, "a.xml", b"AAA")
        path = tus.made(9, Upload_Metadata=metadata(filename="a.xml"))
        tus.patch(path, 3, b"ttt")
        assert tus.request("DELETE", path).status == 204
        assert tus.request("HEAD", path).status == 410
        piece(tus, session, "a.xml", b"BBB")
        assert tus.stored() == {"a.xml": b"AAAtttBBB"}

    def test_a_new_file_of_the_same_name_is_imported_anew(self, tus: TusInMemory) -> None:
        """What became of the one that was removed is forgotten with it."""
        session = with_session(tus)
        path = tus.made(3, Upload_Metadata=metadata(filename="a.xml"))
        tus.patch(path, 0, b"old")
        assert tus.request("DELETE", path).status == 204
        assert tus.handoffs() == []
        piece(tus, session, "a.xml", b"new")
        query = f"type=catalog&mode=import&filename=a.xml&sessid={session[1]}"
        assert tus.exchange.request("GET", query, Cookie=session[0]).body == b"success"
        assert tus.handoffs() == [("import", "a.xml", "succeeded")]

    def test_a_new_archive_of_the_same_name_is_read_anew(self, tus: TusInMemory) -> None:
        """Though it is as large as the one that was removed: 1C is not told what was wrong with that."""
        session = with_session(tus)
        sound = packed({"import.xml": b"<a/>"}, ZIP_STORED)
        at = sound.index(b"<a/>")
        query = f"type=catalog&mode=import&filename=import.xml&sessid={session[1]}"
        heard_by_1c = []
        for archive in (sound[:at] + b"<b" + sound[at + 2 :], sound):
            path = tus.made(len(archive), Upload_Metadata=metadata(filename="a.zip"))
            tus.patch(path, 0, archive)
            heard_by_1c.append(tus.exchange.request("GET", query, Cookie=session[0]).body)
            tus.request("DELETE", path)
        assert heard_by_1c[0].startswith(b"failure\nArchive a.zip is damaged")
        assert heard_by_1c[1] == b"success"

    def test_room_for_what_is_still_to_come(self, tus: TusInMemory) -> None:
        """Is all that is needed."""
        session = with_session(tus)
        piece(tus, session, "a", b"x" * 900)
        tus.exchange.store.free_bytes = 1500
        tus.exchange.parts.ingest.space.seconds = lambda: 1e10
        assert tus.create(1401, Upload_Metadata=metadata(filename="a")).status == 507
        assert tus.create(1400, Upload_Metadata=metadata(filename="a")).status == 201

    def test_a_file_that_is_whole_already(self, tus: TusInMemory) -> None:
        """Is complete as soon as somebody says how long it is to be."""
        session = with_session(tus)
        piece(tus, session, "a.jpg", b"abc")
        answer = tus.create(3, Upload_Metadata=metadata(filename="a.jpg"))
        assert (answer.status, answer.offset) == (201, 3)
        assert "upload-expires" not in answer.headers
        assert tus.handoffs() == [("upload", "a.jpg", "succeeded")]

    def test_a_name_that_is_a_folder(self, tus: TusInMemory) -> None:
        """Takes no bytes, and can be ended."""
        session = with_session(tus)
        piece(tus, session, "a/b", b"x")
        path = tus.made(3, Upload_Metadata=metadata(filename="a"))
        assert tus.patch(path, 0, b"abc").status == 400
        assert tus.request("DELETE", path).status == 204
        assert tus.stored() == {"a/b": b"x"}

    def test_who_asks_while_the_session_is_busy(self, tus: TusInMemory) -> None:
        """Hears that it is locked for now: clients take 409 for the end of the upload."""
        session = with_session(tus)
        path = tus.made(3, Upload_Metadata=metadata(filename="a"))
        node = tus.open()
        node.send(post(session, "a", b"abc")[:-1])
        line = tus.open()
        line.send(tus.head("HEAD", path))
        tus.exchange.request("GET", f"type=catalog&mode=complete&sessid={session[1]}", Cookie=session[0])
        assert heard(line.answered).status == 423

    def test_a_file_that_was_handed_off(self, tus: TusInMemory) -> None:
        """Does not change any more."""
        with_session(tus)
        path = tus.made(3, Upload_Metadata=metadata(filename="a"))
        tus.patch(path, 0, b"abc")
        assert tus.create(6, Upload_Metadata=metadata(filename="a")).status == 409

    def test_a_node_that_writes(self, tus: TusInMemory, clock: Clock) -> None:
        """Is waited for, a limited time: its piece is whole or nothing."""
        session = with_session(tus)
        path = tus.made(6, Upload_Metadata=metadata(filename="a"))
        node = tus.open()
        node.send(post(session, "a", b"abc")[:-2])
        line = tus.open()
        line.send(tus.head("HEAD", path))
        assert line.answered == b""
        node.send(b"bc")
        assert heard(node.answered).body == b"success"
        assert heard(line.answered).offset == 3


class TestPages:
    def test_of_an_origin_that_is_allowed(self, tus: TusInMemory) -> None:
        """May ask first, send, and read what they are told."""
        origin = ORIGIN.decode()
        tus.user = ""
        asked = tus.request(
            "OPTIONS", "/files/", Origin=origin, Access_Control_Request_Method="POST", Tus_Resumable=""
        )
        assert asked.status == 204
        assert asked.headers["access-control-allow-origin"] == origin
        assert "PATCH" in asked.headers["access-control-allow-methods"]
        assert "Upload-Offset" in asked.headers["access-control-allow-headers"]
        refused = tus.create(3, Origin=origin)
        assert refused.status == 401
        assert refused.headers["access-control-allow-origin"] == origin
        tus.user = "shop"
        made = tus.create(3, Origin=origin)
        assert made.headers["access-control-allow-origin"] == origin
        assert "Location" in made.headers["access-control-expose-headers"]
        assert made.headers["vary"] == "Origin"

    @pytest.mark.parametrize("origin", ["https://evil.example", "https://shop.example.evil", "null", ""])
    def test_of_others(self, tus: TusInMemory, origin: str) -> None:
        """A browser hears nothing that would let them."""
        answer = tus.create(3, Origin=origin)
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert answer.headers["vary"] == "Origin"


class TestCounting:
    def test_bytes_and_outcomes(self, tus: TusInMemory) -> None:
        """They add up as those of pieces do."""
        path = tus.made(10)
        tus.patch(path, 0, b"abc")
        line = tus.begin(path, 3, 7, b"de")
        line.lose()
        tus.lines.remove(line)
        tus.patch(path, 0, b"xyz")
        exchange = tus.exchange
        assert exchange.metric("onec_pieces_total", outcome="stored") == 1
        assert exchange.metric("onec_pieces_total", outcome="partial") == 1
        assert exchange.metric("onec_pieces_total", outcome="refused") == 1
        assert exchange.metric("onec_received_bytes_total") == 8
        assert exchange.metric("onec_accepted_bytes_total") == 5
        assert exchange.metric("onec_discarded_bytes_total") == 3
        assert exchange.metric("onec_refusals_total", reason="wrong_offset") == 1
        line = tus.open()
        line.send(tus.head("POST", TUS_PATH, 5, Upload_Length="5", Content_Type=CHUNK) + b"hel")
        line.lose()
        tus.lines.remove(line)
        assert exchange.metric("onec_pieces_total", outcome="broken") == 1
        assert exchange.metric("onec_discarded_bytes_total") == 6
        assert len(exchange.parts.ingest.transfers) == 0

    def test_many_at_once(self, make_tus: Callable[..., TusInMemory]) -> None:
        """The limit is the same as for pieces."""
        tus = make_tus(max_uploads=1)
        first, second = tus.made(3), tus.made(3)
        line = tus.begin(first, 0, 3, b"a")
        answer = tus.patch(second, 0, b"abc")
        assert (answer.status, answer.offset) == (503, 0)
        line.send(b"bc")
        assert tus.patch(second, 0, b"abc").status == 204


@pytest.mark.parametrize("always_ok", [False, True])
def test_one_connection_too_many(make_tus: Callable[..., TusInMemory], always_ok: bool) -> None:
    """Is refused as tus refuses, whatever nodes are answered: who reads 2xx takes the bytes for stored."""
    tus = make_tus(connections_per_address=1, status_codes="ok" if always_ok else "http")
    path = tus.made(3)
    tus.close()
    tus.lines.clear()
    tus.open()
    answer = tus.patch(path, 0, b"abc", Origin=ORIGIN.decode())
    assert answer.status == 429
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert answer.headers["access-control-allow-origin"] == ORIGIN.decode()
    assert tus.stored() == {}


def test_a_failure_that_nobody_thought_of(
    tus: TusInMemory, monkeypatch: pytest.MonkeyPatch, nothing_left_behind: list[dict[str, Any]]
) -> None:
    """Is told in one line, and the traceback is in the log."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    path = tus.made(3)
    monkeypatch.setattr(statements, "find", fail)
    answer = tus.request("HEAD", path)
    monkeypatch.undo()
    assert answer.status == 500
    assert [type(failure) for failure in flush_failures(nothing_left_behind)] == [ZeroDivisionError]
