"""What each mode answers, to the byte: treq over a pipe in memory."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from in_memory import NOW, PASSWORD, PATH, USER, InMemory, Reply, basic, flush_failures
from trade import packed
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from onec_twisted.auth.sessions import COOKIE
from onec_twisted.http.interfaces import IStreamingResource
from onec_twisted.ingest.space import Space
from onec_twisted.model.errors import InsufficientStorage, SyncFailed

if TYPE_CHECKING:
    from collections.abc import Callable

Session = tuple[str, str]


def piece(exchange: InMemory, session: Session, name: str, body: bytes, **headers: str) -> Reply:
    """Send one piece."""
    cookie, sessid = session
    query = f"type=catalog&mode=file&filename={name}&sessid={sessid}"
    return exchange.request("POST", query, body, Cookie=cookie, **headers)


def ask(exchange: InMemory, session: Session, query: str, method: str = "GET") -> Reply:
    """Send anything else."""
    cookie, sessid = session
    return exchange.request(method, f"{query}&sessid={sessid}", Cookie=cookie)


def test_the_exchange_is_what_it_says(exchange: InMemory) -> None:
    """The resource provides what the request asks of it."""
    assert verifyObject(IStreamingResource, exchange.site.resource.getStaticEntity(PATH[1:].encode()))


class TestCheckauth:
    def test_five_lines(self, exchange: InMemory) -> None:
        """A good login is answered with cookie, token, sessid and timestamp, and no line more."""
        reply = exchange.request("GET", "type=catalog&mode=checkauth", Authorization=basic(USER, PASSWORD))

        lines = reply.body.decode().split("\n")
        assert reply.status == 200
        assert lines[:2] == ["success", COOKIE]
        assert lines[3].startswith("sessid=")
        assert lines[4] == f"timestamp={int(NOW)}"
        assert len(lines) == 5
        assert set(lines[2]) <= set("0123456789abcdef")
        assert reply.headers["set-cookie"] == f"{COOKIE}={lines[2]}; HttpOnly; SameSite=Strict"
        assert reply.headers["content-type"] == "text/plain; charset=utf-8"

    def test_every_login_opens_a_session_of_its_own(self, exchange: InMemory) -> None:
        """Real nodes log in for every package; the packages do not mix."""
        assert exchange.checkauth()[1] != exchange.checkauth()[1]

    def test_no_credentials_and_wrong_ones_say_different_things(self, exchange: InMemory) -> None:
        """A proxy that drops the header is told from a mistyped password."""
        missing = exchange.request("GET", "type=catalog&mode=checkauth")
        wrong = exchange.request("GET", "type=catalog&mode=checkauth", Authorization=basic(USER, "guess"))

        assert (missing.status, missing.body) == (401, b"failure\nNo user name and password reached the server")
        assert (wrong.status, wrong.body) == (401, b"failure\nWrong user name or password")
        assert missing.headers["www-authenticate"].startswith("Basic realm=")
        assert wrong.headers["www-authenticate"].startswith("Basic realm=")

    def test_a_header_that_is_no_text(self, exchange: InMemory) -> None:
        """A stranger's nonsense is a missing login, not an error of ours."""
        protocol: Any = exchange.site.buildProtocol(None)
        transport = StringTransport()
        protocol.makeConnection(transport)
        protocol.dataReceived(
            f"GET {PATH}?type=catalog&mode=checkauth HTTP/1.1\r\nHost: x\r\nAuthorization: Basic ".encode()
            + b"\xff\r\n\r\n"
        )

        assert transport.value().startswith(b"HTTP/1.1 401 ")
        protocol.connectionLost(Failure(ConnectionDone()))

    def test_post_is_taken_too(self, exchange: InMemory) -> None:
        """Some configurations of 1C send checkauth and init by POST."""
        reply = exchange.request("POST", "type=catalog&mode=checkauth", Authorization=basic(USER, PASSWORD))

        assert reply.body.startswith(b"success\n")


class TestSession:
    def test_without_sessid(self, exchange: InMemory) -> None:
        """No sessid, or an empty one, is told to the byte."""
        cookie, _ = exchange.checkauth()
        for query in ("type=catalog&mode=file&filename=a", "type=catalog&mode=file&filename=a&sessid="):
            reply = exchange.request("POST", query, b"x", Cookie=cookie)

            assert (reply.status, reply.body) == (403, b"failure\nMissing sessid")
        assert exchange.files() == {}

    def test_wrong_sessid(self, exchange: InMemory) -> None:
        """A sessid that is not the session's is told to the byte, another session's included."""
        cookie, _ = exchange.checkauth()
        _, other = exchange.checkauth()
        for sessid in ("0" * 32, other, "..%2F..", "%FF"):
            query = f"type=catalog&mode=file&filename=a&sessid={sessid}"
            reply = exchange.request("POST", query, b"x", Cookie=cookie)

            assert (reply.status, reply.body) == (403, b"failure\nInvalid session")
        assert exchange.files() == {}

    @pytest.mark.parametrize("cookie", [None, f"{COOKIE}=0", f"{COOKIE}=", "other=1", f"{COOKIE}=\xff"])
    def test_wrong_cookie(self, exchange: InMemory, cookie: str | None) -> None:
        """A sessid without its cookie opens nothing, and neither does Basic alone."""
        _, sessid = exchange.checkauth()
        query = f"type=catalog&mode=init&sessid={sessid}"
        headers = {"Authorization": basic(USER, PASSWORD)} | ({"Cookie": cookie} if cookie else {})
        reply = exchange.request("GET", query, b"", **headers)

        assert (reply.status, reply.body) == (403, b"failure\nInvalid session")

    def test_the_token_is_a_sessid_too(self, exchange: InMemory) -> None:
        """A node that takes the cookie's value for the session key works, in the sessid's folder."""
        cookie, sessid = exchange.checkauth()
        token = cookie.partition("=")[2]

        assert piece(exchange, (cookie, token), "a", b"x").status == 200
        assert exchange.files() == {f"{sessid}/a": b"x"}

    def test_it_ends_when_nobody_touches_it(self, exchange: InMemory) -> None:
        """A session is refused after its time, and lives on while it is used."""
        session = exchange.checkauth()
        for _ in range(3):
            exchange.clock.advance(exchange.config.session_ttl - 1)
            assert piece(exchange, session, "a", b"x").status == 200
        exchange.clock.advance(exchange.config.session_ttl + 1)

        assert piece(exchange, session, "a", b"x").body == b"failure\nInvalid session"

    def test_optional_sessid(self, make_exchange: Callable[..., InMemory]) -> None:
        """Old nodes send the cookie alone; a sessid that is sent all the same must be right."""
        exchange = make_exchange(sessid="optional")
        cookie, sessid = exchange.checkauth()

        assert exchange.request("POST", "type=catalog&mode=file&filename=a", b"x", Cookie=cookie).status == 200
        assert exchange.files() == {f"{sessid}/a": b"x"}
        wrong = exchange.request("POST", "type=catalog&mode=file&filename=a&sessid=1", b"x", Cookie=cookie)
        assert wrong.body == b"failure\nInvalid session"
        assert exchange.request("POST", "type=catalog&mode=file&filename=a", b"x").status == 403


class TestInit:
    def test_exactly_two_lines(self, exchange: InMemory) -> None:
        """Real nodes count the lines."""
        reply = ask(exchange, exchange.checkauth(), "type=catalog&mode=init")

        assert (reply.status, reply.body) == (200, b"zip=yes\nfile_limit=1000")

    def test_four_lines_for_sale_with_a_version(self, exchange: InMemory) -> None:
        """The Bitrix module wants four lines, the last of which ends in a number of at least 2.08."""
        session = exchange.checkauth("sale")
        plain = ask(exchange, session, "type=sale&mode=init")
        versioned = ask(exchange, session, "type=sale&mode=init&version=3.1")

        assert plain.body == b"zip=yes\nfile_limit=1000"
        assert versioned.body == b"zip=yes\nfile_limit=1000\nsessid=%s\nversion=2.10" % session[1].encode()
        assert float(versioned.body[-4:]) >= 2.08

    def test_zip_no(self, make_exchange: Callable[..., InMemory]) -> None:
        """The first line is the administrator's choice."""
        exchange = make_exchange(zip=False)

        assert ask(exchange, exchange.checkauth(), "type=catalog&mode=init").body == b"zip=no\nfile_limit=1000"

    def test_a_retried_export_starts_clean(self, exchange: InMemory) -> None:
        """``init`` empties the session's folder, and no other's."""
        mine, other = exchange.checkauth(), exchange.checkauth()
        for session in (mine, other):
            piece(exchange, session, "import_files/ab/x.jpg", b"old")
        ask(exchange, mine, "type=catalog&mode=init")

        assert exchange.files() == {f"{other[1]}/import_files/ab/x.jpg": b"old"}
        assert not (exchange.folder / "1c_temp" / mine[1]).exists()
        piece(exchange, mine, "import_files/ab/x.jpg", b"new")
        assert exchange.files()[f"{mine[1]}/import_files/ab/x.jpg"] == b"new"

    def test_twice_is_fine(self, exchange: InMemory) -> None:
        """A node may repeat it."""
        session = exchange.checkauth()
        answers = [ask(exchange, session, "type=catalog&mode=init", method) for method in ("GET", "POST", "GET")]

        assert [reply.status for reply in answers] == [200, 200, 200]


class TestFile:
    def test_pieces_add_up(self, exchange: InMemory) -> None:
        """Pieces under one name are appended; each answer is ``success``, one line, and tells the offset."""
        session = exchange.checkauth()
        replies = [piece(exchange, session, "import.zip", part) for part in (b"PK" * 400, b"\0" * 800, b"z")]

        assert [reply.body for reply in replies] == [b"success"] * 3
        assert [reply.headers["upload-offset"] for reply in replies] == ["800", "1600", "1601"]
        assert exchange.files() == {f"{session[1]}/import.zip": b"PK" * 400 + b"\0" * 800 + b"z"}

    def test_the_file_is_opened_once_per_request(self, exchange: InMemory) -> None:
        """One open file for one piece."""
        session = exchange.checkauth()
        for count in (1, 2, 3):
            piece(exchange, session, "import.zip", b"x" * 900)

            assert exchange.store.opened == count

    def test_an_empty_piece_makes_an_empty_file(self, exchange: InMemory) -> None:
        """An empty picture is legal."""
        session = exchange.checkauth()

        assert piece(exchange, session, "empty.jpg", b"").body == b"success"
        assert piece(exchange, session, "empty.jpg", b"").body == b"success"
        assert exchange.files() == {f"{session[1]}/empty.jpg": b""}

    @pytest.mark.parametrize(
        "content_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/xml"]
    )
    def test_any_content_type_is_raw_bytes(self, exchange: InMemory, content_type: str) -> None:
        """A body is never parsed as a form."""
        session = exchange.checkauth()
        body = b"--x\r\na=1&b=%20\r\n--x--"
        reply = piece(exchange, session, "a", body, Content_Type=content_type)

        assert reply.body == b"success"
        assert exchange.files() == {f"{session[1]}/a": body}

    def test_modes_do_not_depend_on_the_umask(self, exchange: InMemory) -> None:
        """The site reads the files as another user: 0644, folders 0755."""
        session = exchange.checkauth()
        umask = os.umask(0o077)
        try:
            piece(exchange, session, "import_files/ab/x.jpg", b"x")
        finally:
            os.umask(umask)
        folder = exchange.folder / "1c_temp" / session[1]
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}

        assert modes == {session[1]: 0o755, "import_files": 0o755, "ab": 0o755, "x.jpg": 0o644}

    def test_get_is_not_allowed(self, exchange: InMemory) -> None:
        """A piece comes by POST; another method is told so, and what is allowed."""
        reply = ask(exchange, exchange.checkauth(), "type=catalog&mode=file&filename=a")

        assert (reply.status, reply.body) == (405, b"failure\nMethod not allowed")
        assert reply.headers["allow"] == "POST, HEAD"

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("", b"Missing filename"),
            ("..%2F..%2Fetc%2Fpasswd", b"Invalid filename"),
            ("a%00b", b"Invalid filename"),
            (".htaccess", b"Invalid filename"),
            ("x" * 300, b"Invalid filename"),
        ],
    )
    def test_names_that_cannot_be(self, exchange: InMemory, name: str, words: bytes) -> None:
        """A name that leads out of the folder, or nowhere, is refused before a byte is stored."""
        reply = piece(exchange, exchange.checkauth(), name, b"x")

        assert (reply.status, reply.body) == (400, b"failure\n" + words)
        assert exchange.files() == {}

    def test_a_name_that_is_a_folder_already(self, exchange: InMemory) -> None:
        """A file cannot take the place of a folder, nor lie in a file."""
        session = exchange.checkauth()
        piece(exchange, session, "a/b", b"1")

        assert piece(exchange, session, "a", b"2").body == b"failure\nInvalid filename"
        assert piece(exchange, session, "a/b/c", b"3").body == b"failure\nInvalid filename"
        assert exchange.files() == {f"{session[1]}/a/b": b"1"}

    @pytest.mark.parametrize("place", ["a", "a/b"])
    def test_no_symbolic_link_is_followed(self, exchange: InMemory, place: str) -> None:
        """Neither as a file nor as a folder above one."""
        session = exchange.checkauth()
        piece(exchange, session, "first", b"")
        outside = exchange.folder / "outside"
        outside.mkdir()
        (exchange.folder / "1c_temp" / session[1] / "a").symlink_to(outside)

        assert piece(exchange, session, place, b"x").body == b"failure\nInvalid filename"
        assert list(outside.iterdir()) == []

    def test_over_the_limit(self, exchange: InMemory) -> None:
        """A body over the limit is refused and leaves nothing; one of exactly the limit is taken."""
        session = exchange.checkauth()
        reply = piece(exchange, session, "a", b"x" * 5001)

        assert (reply.status, reply.body) == (413, b"failure\nFile too large")
        assert exchange.files() == {}
        assert piece(exchange, session, "a", b"x" * 5000).body == b"success"

    def test_over_the_quota(self, exchange: InMemory) -> None:
        """A session holds no more than its quota; ``init`` makes room."""
        session = exchange.checkauth()
        for number in range(4):
            assert piece(exchange, session, f"{number}", b"x" * 5000).body == b"success"
        reply = piece(exchange, session, "one more", b"x")

        assert (reply.status, reply.body) == (507, b"failure\nInsufficient storage")
        assert len(exchange.files()) == 4
        ask(exchange, session, "type=catalog&mode=init")
        assert piece(exchange, session, "one more", b"x").body == b"success"

    def test_the_quota_is_exact_when_it_is_recorded(
        self, make_exchange: Callable[..., InMemory], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A piece that two requests were promised room for is rolled back by the one that comes second."""
        exchange = make_exchange(session_quota=100)
        session = exchange.checkauth()
        promise = Space.promise

        def generous(space: Space, sessid: str, left: int, *args: Any, **options: Any) -> Any:
            return promise(space, sessid, 1000, *args, **options)

        monkeypatch.setattr(Space, "promise", generous)
        piece(exchange, session, "a", b"x" * 60)
        reply = piece(exchange, session, "a", b"y" * 60)

        assert reply.body == b"failure\nInsufficient storage"
        assert exchange.files() == {f"{session[1]}/a": b"x" * 60}
        assert piece(exchange, session, "a", b"z" * 40).headers["upload-offset"] == "100"

    def test_too_little_left_on_the_disk(self, exchange: InMemory) -> None:
        """The coming bytes are counted: a piece that would leave less than ``--min-free`` is refused unread."""
        session = exchange.checkauth()
        exchange.store.free_bytes = 1000 + 50
        refused = piece(exchange, session, "a", b"x" * 51)
        exchange.clock.advance(1)
        taken = piece(exchange, session, "a", b"x" * 50)

        assert refused.body == b"failure\nInsufficient storage"
        assert taken.body == b"success"

    @pytest.mark.parametrize("step", ["on_write", "on_finish"])
    @pytest.mark.parametrize("before", [b"", b"first"])
    def test_a_full_disk_rolls_the_piece_back(self, exchange: InMemory, step: str, before: bytes) -> None:
        """What does not fit leaves nothing behind, and the next piece finds the file as it was."""
        session = exchange.checkauth()
        expected = {}
        if before:
            piece(exchange, session, "a", before)
            expected = {f"{session[1]}/a": before}
        setattr(exchange.store, step, InsufficientStorage())
        reply = piece(exchange, session, "a", b"lost" * 100)

        assert (reply.status, reply.body) == (507, b"failure\nInsufficient storage")
        assert exchange.files() == expected
        setattr(exchange.store, step, None)
        assert piece(exchange, session, "a", b"second").headers["upload-offset"] == str(len(before) + 6)

    def test_an_unforeseen_error_says_nothing_internal(
        self, exchange: InMemory, nothing_left_behind: list[dict[str, Any]]
    ) -> None:
        """The node hears three words; the log has the traceback."""
        session = exchange.checkauth()
        exchange.store.on_write = OSError(errno.EIO, "the disk is on fire")
        reply = piece(exchange, session, "a", b"x")

        assert (reply.status, reply.body) == (500, b"failure\nInternal server error")
        assert flush_failures(nothing_left_behind) == [exchange.store.on_write]
        assert exchange.files() == {}

    def test_a_file_shorter_than_acknowledged_is_damaged_until_init(self, exchange: InMemory) -> None:
        """Bytes that were acknowledged and are gone are never papered over."""
        session = exchange.checkauth()
        piece(exchange, session, "a", b"12345")
        (exchange.folder / "1c_temp" / session[1] / "a").write_bytes(b"123")
        damaged = piece(exchange, session, "a", b"6")
        (exchange.folder / "1c_temp" / session[1] / "a").unlink()
        gone = piece(exchange, session, "a", b"6")

        assert (damaged.status, damaged.body) == (500, b"failure\nFile damaged")
        assert gone.body == b"failure\nFile damaged"
        ask(exchange, session, "type=catalog&mode=init")
        assert piece(exchange, session, "a", b"6").body == b"success"

    def test_head_tells_the_length(self, exchange: InMemory) -> None:
        """A file that has not begun is at 0; a running piece is neither waited for nor counted."""
        cookie, sessid = session = exchange.checkauth()
        query = f"type=catalog&mode=file&filename=a&sessid={sessid}"
        empty = exchange.request("HEAD", query, Cookie=cookie)
        piece(exchange, session, "a", b"12345")
        reply = exchange.request("HEAD", query, Cookie=cookie)

        assert (empty.status, empty.headers["upload-offset"]) == (200, "0")
        assert (reply.status, reply.headers["upload-offset"], reply.body) == (200, "5", b"")
        assert reply.headers["cache-control"] == "no-store"

    def test_a_piece_that_tells_its_place(self, exchange: InMemory) -> None:
        """At the end it is appended; what is held already is confirmed unwritten; anything else is told the place."""
        session = exchange.checkauth()
        assert piece(exchange, session, "a", b"01234", Upload_Offset="0").headers["upload-offset"] == "5"
        assert piece(exchange, session, "a", b"56789", Content_Range="bytes 5-9/*").headers["upload-offset"] == "10"
        for body, offset in ((b"56789", "5"), (b"01234", "0"), (b"345678", "3"), (b"", "3")):
            repeated = piece(exchange, session, "a", body, Upload_Offset=offset)

            assert (repeated.body, repeated.headers["upload-offset"]) == (b"success", "10")
        for body, offset in ((b"x", "11"), (b"3456x", "3"), (b"9x", "9"), (b"x" * 3000, "1")):
            refused = piece(exchange, session, "a", body, Upload_Offset=offset)

            assert (refused.status, refused.body) == (409, b"failure\nExpected offset 10")
            assert refused.headers["upload-offset"] == "10"
        assert exchange.files() == {f"{session[1]}/a": b"0123456789"}

    @pytest.mark.parametrize(
        "headers",
        [
            {"Upload_Offset": "x"},
            {"Upload_Offset": "-1"},
            {"Content_Range": "bytes */5"},
            {"Content_Range": "bytes 0-5/*"},
            {"Content_Range": "bytes 0-4/4"},
            {"Upload_Offset": "1", "Content_Range": "bytes 0-4/5"},
        ],
    )
    def test_offsets_that_make_no_sense(self, exchange: InMemory, headers: dict[str, str]) -> None:
        """Nonsense, and two headers that disagree."""
        session = exchange.checkauth()
        reply = piece(exchange, session, "a", b"01234", **headers)

        assert (reply.status, reply.body) == (400, b"failure\nInvalid offset")
        assert exchange.files() == {}

    def test_every_refusal_of_a_piece_tells_the_length(self, exchange: InMemory) -> None:
        """So that a node that can goes on from there."""
        session = exchange.checkauth()
        piece(exchange, session, "a", b"12345")
        reply = piece(exchange, session, "a", b"x" * 5001)

        assert (reply.status, reply.headers["upload-offset"]) == (413, "5")

    def test_a_failed_sync_damages_what_was_there(
        self, exchange: InMemory, nothing_left_behind: list[dict[str, Any]]
    ) -> None:
        """The kernel may have dropped pages that hold acknowledged bytes: refused until ``init``, logged loudly."""
        session = exchange.checkauth()
        piece(exchange, session, "a", b"12345")
        exchange.store.on_finish = SyncFailed(errno.EIO, "Input/output error")
        failed = piece(exchange, session, "a", b"6")
        exchange.store.on_finish = None
        refused = piece(exchange, session, "a", b"6")

        assert failed.body == b"failure\nInternal server error"
        assert refused.body == b"failure\nFile damaged"
        assert any(event["log_level"].name == "critical" for event in nothing_left_behind if "name" in event)
        assert len(flush_failures(nothing_left_behind)) == 1
        ask(exchange, session, "type=catalog&mode=init")
        assert piece(exchange, session, "a", b"6").body == b"success"

    def test_bytes_that_were_never_acknowledged_are_cut_off(self, exchange: InMemory) -> None:
        """What a crash left behind the committed length does not become part of the file."""
        session = exchange.checkauth()
        piece(exchange, session, "a", b"12345")
        with (exchange.folder / "1c_temp" / session[1] / "a").open("ab") as file:
            file.write(b"torn")
        piece(exchange, session, "a", b"6")

        assert exchange.files() == {f"{session[1]}/a": b"123456"}

    def test_what_is_stored_and_dropped_is_logged(
        self, exchange: InMemory, nothing_left_behind: list[dict[str, Any]]
    ) -> None:
        """Sessid, user, name, sizes and seconds are fields; the token is in none."""
        session = exchange.checkauth()
        piece(exchange, session, "a", b"12345")
        exchange.store.on_write = InsufficientStorage()
        piece(exchange, session, "a", b"678")

        stored = next(event for event in nothing_left_behind if "committed" in event)
        dropped = next(event for event in nothing_left_behind if "reason" in event)
        fields = ("sessid", "user", "name", "size", "committed")
        assert [stored[field] for field in fields] == [session[1], USER, "a", 5, 5]
        assert stored["seconds"] == 0
        assert [dropped[field] for field in ("sessid", "name", "received", "reason")] == [
            session[1],
            "a",
            3,
            "Insufficient storage",
        ]
        token = session[0].partition("=")[2]
        assert token not in repr([event.items() for event in nothing_left_behind])


class TestOtherModes:
    def test_import_of_what_came(self, exchange: InMemory) -> None:
        """A name that was uploaded is confirmed; one that was not is told by name."""
        session = exchange.checkauth()
        piece(exchange, session, "import0_1.xml", b"<?xml")

        assert ask(exchange, session, "type=catalog&mode=import&filename=import0_1.xml").body == b"success"
        missing = ask(exchange, session, "type=catalog&mode=import&filename=%3Cb%3Eoffers.xml")
        assert (missing.status, missing.body) == (200, b"failure\nFile not found:  b offers.xml")

    def test_import_of_what_lies_in_an_archive(self, exchange: InMemory) -> None:
        """With zip=yes the name asked for was never a filename of a piece."""
        session = exchange.checkauth()
        piece(exchange, session, "v8_1A76_155ae.ZIP", packed({"import0_1.xml": b"<?xml"}))

        assert ask(exchange, session, "type=catalog&mode=import&filename=import0_1.xml").body == b"success"

    def test_a_handoff_whose_sync_fails(
        self,
        make_exchange: Callable[..., InMemory],
        monkeypatch: pytest.MonkeyPatch,
        nothing_left_behind: list[dict[str, Any]],
    ) -> None:
        """The system tells it once: the session is refused from then on, until ``init``."""
        exchange = make_exchange(durability="handoff")
        session = exchange.checkauth()
        piece(exchange, session, "a", b"x")
        piece(exchange, session, "b", b"x")
        assert ask(exchange, session, "type=catalog&mode=import&filename=a").body == b"success"

        def broken(store: Any, sessid: str) -> None:
            raise SyncFailed(errno.EIO, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(type(exchange.store), "sync", broken)
            failed = ask(exchange, session, "type=catalog&mode=complete")
        again = ask(exchange, session, "type=catalog&mode=import&filename=b")

        assert (failed.body, again.body) == (b"failure\nFile damaged", b"failure\nFile damaged")
        assert any(event["log_level"].name == "critical" for event in nothing_left_behind if "error" in event)
        ask(exchange, session, "type=catalog&mode=init")
        assert ask(exchange, session, "type=catalog&mode=complete").body == b"success"

    def test_import_without_a_name(self, exchange: InMemory) -> None:
        """The name is asked for."""
        reply = ask(exchange, exchange.checkauth(), "type=catalog&mode=import")

        assert (reply.status, reply.body) == (400, b"failure\nMissing filename")

    @pytest.mark.parametrize(
        "query",
        [
            "type=catalog&mode=complete",
            "type=catalog&mode=deactivate&timestamp=1",
            "type=sale&mode=success",
            "type=sale&mode=complete",
        ],
    )
    def test_what_only_wants_a_confirmation(self, exchange: InMemory, query: str) -> None:
        """Without ``init`` as well: they come in sessions of their own."""
        assert ask(exchange, exchange.checkauth(), query).body == b"success"

    def test_orders_are_an_empty_document(self, exchange: InMemory) -> None:
        """A node wants a complete CommerceML document even if there are no orders."""
        reply = ask(exchange, exchange.checkauth(), "type=sale&mode=query")

        assert reply.body.startswith(b"<?xml")
        root = ET.fromstring(reply.body)
        assert root.tag == "КоммерческаяИнформация"
        assert root.get("ВерсияСхемы") == "2.10"
        assert list(root) == []
        assert reply.headers["content-type"] == "application/xml; charset=utf-8"

    def test_info_is_an_empty_directory(self, exchange: InMemory) -> None:
        """UNF looks for statuses, payment systems and delivery services."""
        root = ET.fromstring(ask(exchange, exchange.checkauth(), "type=sale&mode=info").body)

        assert [child.tag for child in root] == ["\u0043татусы", "ПлатежныеСистемы", "СлужбыДоставки"]

    @pytest.mark.parametrize("query", ["type=listen", "type=listen&version=2.1", "type=listen&mode=init"])
    def test_listen_is_always_304(self, make_exchange: Callable[..., InMemory], query: str) -> None:
        """A 200 would start an exchange in a loop; no session is asked for, and no option changes it."""
        reply = make_exchange(status_codes="ok").request("GET", query)

        assert (reply.status, reply.body) == (304, b"")

    @pytest.mark.parametrize("query", ["", "type=catalog", "mode=init", "type=moon&mode=init", "type=sale&mode=x"])
    def test_unknown_modes(self, exchange: InMemory, query: str) -> None:
        """They are told before any session is looked at."""
        reply = exchange.request("GET", query)

        assert (reply.status, reply.body) == (400, b"failure\nUnknown mode")

    @pytest.mark.parametrize("kind", ["reference", "get_catalog", "crm", "CATALOG", "sale"])
    def test_kinds_of_catalogs(self, exchange: InMemory, kind: str) -> None:
        """Types that Bitrix knows are answered."""
        assert ask(exchange, exchange.checkauth(kind), f"type={kind}&mode=INIT").status == 200

    def test_another_path(self, exchange: InMemory) -> None:
        """Anything that is not the exchange is 404 in the protocol's words, below the exchange as well."""
        for path in ("/", "/1c_exchange.php/x", "/1c_exchange", "/media/1c_temp/"):
            waiting = exchange.client.request("GET", f"http://shop.example{path}?type=catalog&mode=checkauth")
            reply = exchange.reply(waiting)

            assert (reply.status, reply.body) == (404, b"failure\nNo exchange at this address")

    def test_status_codes_ok(self, make_exchange: Callable[..., InMemory]) -> None:
        """Platforms that drop the body of other answers hear 200 and the reason."""
        exchange = make_exchange(status_codes="ok")
        session = exchange.checkauth()
        replies = [
            exchange.request("GET", "type=catalog&mode=checkauth"),
            exchange.request("GET", "type=catalog&mode=init"),
            piece(exchange, session, "..", b"x"),
            piece(exchange, session, "a", b"x" * 5001),
            exchange.reply(exchange.client.request("GET", "http://shop.example/elsewhere")),
        ]

        assert {reply.status for reply in replies} == {200}
        assert all(reply.body.startswith(b"failure\n") for reply in replies)
