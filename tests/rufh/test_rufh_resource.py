"""What each method of RUFH answers, and what is on the disk and on record then; by sections of the draft."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest
from in_memory import SESSION_QUOTA, TUS_PATH
from line import post
from rufh_in_memory import PARTIAL, RufhInMemory, all_heard, path_of
from tus_in_memory import Heard, TusInMemory, heard, metadata
from zope.interface.verify import verifyObject

from onec_twisted.http.interfaces import IStreamingResource
from onec_twisted.ingest import checkpoints
from onec_twisted.testing import FakeImporter

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.task import Clock

TTL = 3600
"""Seconds that an upload lives."""

NAMED = {"Content_Disposition": 'attachment; filename="a.xml"'}
PROBLEMS = "https://iana.org/assignments/http-problem-types#"


def sha256_field(data: bytes) -> str:
    """Return a digest as clients send it."""
    return f"sha-256=:{b64encode(hashlib.sha256(data).digest()).decode()}:"


def final(answers: list[Heard]) -> Heard:
    """Return the last of the answers, which is not an interim one."""
    assert answers[-1].status >= 200
    return answers[-1]


def state_of(answer: Heard) -> tuple[int, str | None, int | None]:
    """Return status, ``Upload-Complete`` and ``Upload-Offset`` of an answer."""
    return answer.status, answer.headers.get("upload-complete"), answer.offset


def with_session(rufh: RufhInMemory) -> tuple[str, str]:
    """Log in as a node does, and let the client use the session's cookie; return cookie and sessid."""
    session = rufh.exchange.checkauth()
    rufh.cookie = session[0]
    return session


class TestCreation:
    def test_the_whole_file_at_once(self, make_rufh: Callable[..., RufhInMemory]) -> None:
        """104 tells the address before the body, the final answer is ours, and the file is handed off."""
        importer = FakeImporter()
        rufh = make_rufh(importer=importer)
        line = rufh.begin_post(5, "?1", b"", **NAMED)
        (told,) = all_heard(line.answered)
        assert (told.status, told.headers["upload-draft-interop-version"]) == (104, "9")
        assert told.headers["upload-limit"] == f"max-size={SESSION_QUOTA}, max-age={TTL}"
        _, answer = all_heard(line.send(b"hello"))

        assert state_of(answer) == (200, "?1", 5)
        assert answer.headers["location"] == told.headers["location"]
        assert json.loads(answer.body) == {"name": "a.xml", "size": 5, "sessid": importer.delivered[0].sessid}
        assert rufh.stored() == {"a.xml": b"hello"}
        assert rufh.handoffs() == [("upload", "a.xml", "succeeded")]
        assert importer.delivered[0].metadata == {"filename": "a.xml"}

    @pytest.mark.parametrize("version", [6, 8, 9])
    def test_each_version_is_repeated(self, rufh: RufhInMemory, version: int) -> None:
        """Interim answers are for clients that name a version that is known."""
        rufh.version = version
        told, _ = rufh.post(b"x", "?1")
        assert told.headers["upload-draft-interop-version"] == str(version)

    @pytest.mark.parametrize("version", [None, 3, 5, 7, 10])
    def test_other_versions_get_no_interim_answers(self, rufh: RufhInMemory, version: int | None) -> None:
        """But all the rest."""
        rufh.version = version
        (answer,) = rufh.post(b"hello", "?1")
        assert state_of(answer) == (200, "?1", 5)

    @pytest.mark.parametrize(
        ("policy", "via", "told"),
        [("direct", "", 2), ("direct", "1.1 x", 1), ("always", "1.1 x", 2), ("never", "", 1)],
    )
    def test_who_gets_interim_answers(
        self, make_rufh: Callable[..., RufhInMemory], policy: str, via: str, told: int
    ) -> None:
        """As ``--interim-responses`` says: some proxies take them for final ones."""
        rufh = make_rufh(interim_responses=policy)
        assert len(rufh.post(b"hello", "?1", Via=via)) == told

    def test_careful_creation(self, rufh: RufhInMemory) -> None:
        """An empty body makes an upload whose bytes follow."""
        told, answer = rufh.post(b"", "?0", Upload_Length="5", **NAMED)
        assert told.status == 104
        assert state_of(answer) == (201, "?0", 0)
        assert answer.headers["upload-limit"] == f"max-size={SESSION_QUOTA}, max-age={TTL}"
        assert rufh.stored() == {}
        assert state_of(rufh.look(path_of(answer))) == (204, "?0", 0)
        assert rufh.look(path_of(answer)).headers["upload-length"] == "5"

    def test_a_first_part(self, rufh: RufhInMemory) -> None:
        """The answer to one that is not the last is 201, with the offset."""
        answer = final(rufh.post(b"hel", "?0"))
        assert state_of(answer) == (201, "?0", 3)
        assert state_of(rufh.look(path_of(answer))) == (204, "?0", 3)
        assert rufh.handoffs() == []

    def test_an_empty_file(self, rufh: RufhInMemory) -> None:
        """Is one, if its client says that it is the end."""
        assert state_of(final(rufh.post(b"", "?1", **NAMED))) == (200, "?1", 0)
        assert rufh.stored() == {"a.xml": b""}
        assert rufh.handoffs() == [("upload", "a.xml", "succeeded")]

    @pytest.mark.parametrize("length", [5, "chunked"])
    def test_one_that_breaks_off_is_kept_when_its_address_was_told(
        self, rufh: RufhInMemory, length: int | str
    ) -> None:
        """All that came, also when that was all of it: nobody said that the message ended."""
        body = b"hello"[:4] if length == 5 else b"5\r\nhello\r\n"
        line = rufh.begin_post(length, "?1", body, **NAMED)
        (told,) = all_heard(line.answered)
        line.lose()
        rufh.lines.remove(line)
        kept = 4 if length == 5 else 5
        assert state_of(rufh.look(path_of(told))) == (204, "?0", kept)
        assert rufh.handoffs() == []
        answer = final(rufh.add(path_of(told), kept, b"hello"[kept:], "?1"))
        assert state_of(answer) == (200, "?1", 5)
        assert rufh.stored() == {"a.xml": b"hello"}

    def test_one_that_breaks_off_goes_when_nobody_can_know_it(self, rufh: RufhInMemory) -> None:
        """A client without a version was told nothing: nothing is left."""
        rufh.version = None
        line = rufh.begin_post(5, "?1", b"hell")
        line.lose()
        rufh.lines.remove(line)
        assert rufh.stored() == {}
        assert rufh.rows("SELECT state, metadata FROM uploads") == [("gone", "")]

    def test_lengths_that_differ(self, rufh: RufhInMemory) -> None:
        """Of the header and of the content: nothing is made."""
        answer = final(rufh.post(b"hello", "?1", Upload_Length="6"))
        assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
        assert json.loads(answer.body)["type"] == PROBLEMS + "inconsistent-upload-length"
        assert answer.headers["upload-complete"] == "?0"

    @pytest.mark.parametrize("length", [6, "chunked"])
    def test_more_than_its_length(self, rufh: RufhInMemory, length: int | str) -> None:
        """Is refused at once: by its head, which makes nothing, or as soon as it has come, which is the end of it."""
        line = rufh.begin_post(length, "?0", b"hello!" if length == 6 else b"6\r\nhello!\r\n", Upload_Length="5")
        *told, answer = all_heard(line.answered)
        assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
        assert [rufh.look(path_of(one)).status for one in told] == ([] if length == 6 else [410])
        assert rufh.stored() == {}

    @pytest.mark.parametrize("complete", ["1", "?2", "?1, ?1", '"?1"'])
    def test_a_field_of_another_type(self, rufh: RufhInMemory, complete: str) -> None:
        """Counts as absent, and it must not be."""
        assert final(rufh.post(b"hello", complete)).status == 400

    def test_more_than_may_be(self, rufh: RufhInMemory) -> None:
        """413 comes with the limits."""
        answer = final(rufh.post(b"", "?0", Upload_Length=str(SESSION_QUOTA + 1)))
        assert answer.status == 413
        assert answer.headers["upload-limit"] == f"max-size={SESSION_QUOTA}"

    def test_what_the_file_is(self, make_rufh: Callable[..., RufhInMemory]) -> None:
        """Importers hear its name and its media type, as those of tus."""
        importer = FakeImporter()
        rufh = make_rufh(importer=importer)
        named = "inline; filename=\"x\"; filename*=UTF-8''%D1%84.xml"
        rufh.post(b"<a/>", "?1", Content_Disposition=named, Content_Type="text/xml; charset=utf-8")
        assert importer.delivered[0].metadata == {"filename": "ф.xml", "filetype": "text/xml; charset=utf-8"}
        assert rufh.stored() == {"ф.xml": b"<a/>"}

    def test_the_media_type_of_appends(self, make_rufh: Callable[..., RufhInMemory]) -> None:
        """Says nothing of the file: a client that sends it with the creation as well tells no type."""
        importer = FakeImporter()
        make_rufh(importer=importer).post(b"<a/>", "?1", Content_Type=PARTIAL, **NAMED)
        assert importer.delivered[0].metadata == {"filename": "a.xml"}

    @pytest.mark.parametrize("name", ["../a.xml", ".hidden", "a\\..\\b"])
    def test_a_name_that_leads_elsewhere(self, rufh: RufhInMemory, name: str) -> None:
        """Is refused as a node's is."""
        quoted = name.replace("\\", "\\\\")
        assert final(rufh.post(b"x", "?1", Content_Disposition=f'inline; filename="{quoted}"')).status == 400
        assert rufh.stored() == {}

    def test_in_the_session_of_a_node(self, rufh: RufhInMemory) -> None:
        """A file that has bytes already cannot be begun again: 409 without the field stops the client."""
        session = with_session(rufh)
        assert b"success" in heard(rufh.open().send(post(session, "a.xml", b"node"))).body
        answer = final(rufh.post(b"hello", "?1", **NAMED))
        assert (answer.status, answer.headers.get("upload-complete")) == (409, None)
        assert rufh.stored() == {"a.xml": b"node"}
        assert state_of(final(rufh.post(b"hello", "?1", Content_Disposition="inline; filename=b.xml"))) == (
            200,
            "?1",
            5,
        )


class TestAppend:
    def test_part_by_part(self, rufh: RufhInMemory) -> None:
        """Until one says that it is the last."""
        path = rufh.careful(**NAMED)
        assert state_of(final(rufh.add(path, 0, b"hel", "?0"))) == (204, "?0", 3)
        assert state_of(final(rufh.add(path, 3, b"lo", "?1"))) == (200, "?1", 5)
        assert rufh.stored() == {"a.xml": b"hello"}
        assert rufh.handoffs() == [("upload", "a.xml", "succeeded")]

    def test_version_6_has_201(self, rufh: RufhInMemory) -> None:
        """Its clients demand it."""
        path = rufh.careful()
        rufh.version = 6
        assert state_of(final(rufh.add(path, 0, b"hel", "?0"))) == (201, "?0", 3)

    def test_the_end_may_come_alone(self, rufh: RufhInMemory) -> None:
        """An empty append completes what is there; a length that is reached does not."""
        path = rufh.careful(Upload_Length="5", **NAMED)
        assert state_of(final(rufh.add(path, 0, b"hello", "?0"))) == (204, "?0", 5)
        assert rufh.handoffs() == []
        assert state_of(final(rufh.add(path, 5, b"", "?1"))) == (200, "?1", 5)
        assert rufh.handoffs() == [("upload", "a.xml", "succeeded")]

    def test_the_final_answer_comes_again(self, rufh: RufhInMemory) -> None:
        """Who lost it asks with an empty append: nothing is handed off twice."""
        path = rufh.careful(**NAMED)
        first = final(rufh.add(path, 0, b"hello", "?1"))
        again = final(rufh.add(path, 0, b"hello", "?1"))
        assert (state_of(again), again.headers["content-type"]) == ((409, "?0", 5), "application/problem+json")
        assert json.loads(again.body)["expected-offset"] == 5
        repeated = final(rufh.add(path, 5, b"", "?1"))
        assert (state_of(repeated), repeated.body) == (state_of(first), first.body)
        assert len(rufh.handoffs()) == 1
        for complete, body in (("?1", b"more"), ("?0", b"")):
            assert state_of(final(rufh.add(path, 5, body, complete)))[:2] == (400, "?0")
        assert rufh.stored() == {"a.xml": b"hello"}

    def test_elsewhere_than_at_the_end(self, rufh: RufhInMemory) -> None:
        """409 tells where, for programs as well."""
        path = rufh.careful()
        rufh.add(path, 0, b"hel", "?0")
        answer = final(rufh.add(path, 1, b"x", "?0"))
        assert state_of(answer) == (409, "?0", 3)
        told = json.loads(answer.body)
        assert told["type"] == PROBLEMS + "mismatching-upload-offset"
        assert (told["expected-offset"], told["provided-offset"]) == (3, 1)

    @pytest.mark.parametrize("complete", ["?0", "?1"])
    def test_elsewhere_and_of_another_length(self, rufh: RufhInMemory, complete: str) -> None:
        """The offset comes first: 409 tells where to go on; of a complete upload, too."""
        path = rufh.careful(Upload_Length="5")
        rufh.add(path, 0, b"hel", "?0")
        assert state_of(final(rufh.add(path, 1, b"x", complete))) == (409, "?0", 3)
        rufh.add(path, 3, b"lo", "?1")
        assert state_of(final(rufh.add(path, 1, b"x", complete))) == (409, "?0", 5)

    def test_the_final_answer_of_another_length(self, rufh: RufhInMemory) -> None:
        """Does not come again: the request is about another file."""
        path = rufh.careful()
        rufh.add(path, 0, b"hello", "?1")
        assert final(rufh.add(path, 5, b"", "?1", Upload_Length="6")).status == 400
        assert state_of(final(rufh.add(path, 5, b"", "?1", Upload_Length="5"))) == (200, "?1", 5)

    @pytest.mark.parametrize("chunked", [False, True])
    def test_more_than_the_length(self, rufh: RufhInMemory, chunked: bool) -> None:
        """Is refused at once, and the upload is over: nobody knows what it was meant to be."""
        path = rufh.careful(Upload_Length="5", **NAMED)
        rufh.add(path, 0, b"hel", "?0")
        if chunked:
            told = {"Upload_Offset": "3", "Upload_Complete": "?0", "Content_Type": PARTIAL}
            line = rufh.open()
            answers = all_heard(line.send(rufh.head("PATCH", path, "chunked", **told) + b"3\r\nlo!\r\n0\r\n\r\n"))
        else:
            answers = rufh.add(path, 3, b"lo!", "?0")
        assert (final(answers).status, final(answers).headers["content-type"]) == (400, "application/problem+json")
        assert json.loads(final(answers).body)["type"] == PROBLEMS + "inconsistent-upload-length"
        assert final(answers).headers["upload-complete"] == "?0"
        assert rufh.look(path).status == 410
        assert final(rufh.add(path, 3, b"lo", "?1")).status in (404, 410)
        assert rufh.stored() == {}

    def test_a_complete_upload_with_its_length(self, rufh: RufhInMemory) -> None:
        """More for it is refused as that, not as a length that differs."""
        path = rufh.careful(Upload_Length="5")
        rufh.add(path, 0, b"hello", "?1")
        told = {"Upload_Offset": "5", "Upload_Complete": "?1", "Content_Type": PARTIAL}
        answers = all_heard(rufh.open().send(rufh.head("PATCH", path, "chunked", **told) + b"1\r\n!\r\n0\r\n\r\n"))
        assert final(answers).body == b"The upload is complete already\n"

    def test_more_than_may_be_in_all(self, make_rufh: Callable[..., RufhInMemory]) -> None:
        """Without a length it is 413 with the limit: a smaller file may come."""
        rufh = make_rufh(session_quota=5)
        path = rufh.careful()
        told = {"Upload_Offset": "0", "Upload_Complete": "?1", "Content_Type": PARTIAL}
        chunks = b"6\r\nhello!\r\n0\r\n\r\n"
        for answers in (
            rufh.add(path, 0, b"hello!", "?1"),
            all_heard(rufh.open().send(rufh.head("PATCH", path, "chunked", **told) + chunks)),
        ):
            assert (final(answers).status, final(answers).headers["upload-limit"]) == (413, "max-size=5")
        assert rufh.handoffs() == []

    def test_the_end_before_the_length(self, rufh: RufhInMemory) -> None:
        """Is inconsistent: not complete, and the upload lives."""
        path = rufh.careful(Upload_Length="5")
        answer = final(rufh.add(path, 0, b"hel", "?1"))
        assert (answer.status, answer.headers["upload-complete"]) == (400, "?0")
        told = {"Upload_Offset": "0", "Upload_Complete": "?1", "Content_Type": PARTIAL}
        answers = all_heard(rufh.open().send(rufh.head("PATCH", path, "chunked", **told) + b"3\r\nhel\r\n0\r\n\r\n"))
        assert (final(answers).status, final(answers).offset) == (400, 3)
        assert state_of(rufh.look(path)) == (204, "?0", 3)
        assert rufh.handoffs() == []

    def test_a_length_that_comes_late(self, rufh: RufhInMemory) -> None:
        """Counts from then on; another one later is inconsistent."""
        path = rufh.careful()
        rufh.add(path, 0, b"he", "?0", Upload_Length="5")
        assert rufh.look(path).headers["upload-length"] == "5"
        assert final(rufh.add(path, 2, b"l", "?0", Upload_Length="6")).status == 400
        assert state_of(final(rufh.add(path, 2, b"llo", "?1", Upload_Length="5"))) == (200, "?1", 5)

    def test_another_media_type(self, rufh: RufhInMemory) -> None:
        """415 tells the one that there is."""
        answer = final(rufh.add(rufh.careful(), 0, b"x", "?0", Content_Type="text/plain"))
        assert (answer.status, answer.headers["accept-patch"]) == (415, PARTIAL)

    @pytest.mark.parametrize("offset", ["", "-1", "?1", "1.0", "1, 1", "1000000000000000"])
    def test_an_offset_that_is_none(self, rufh: RufhInMemory, offset: str) -> None:
        """The append has to say where it begins."""
        assert final(rufh.add(rufh.careful(), 0, b"x", "?0", Upload_Offset=offset)).status == 400

    def test_progress(self, make_rufh: Callable[..., RufhInMemory], monkeypatch: pytest.MonkeyPatch) -> None:
        """Tells what is on record, and nothing else; no address comes with it."""
        rufh = make_rufh(session_quota=900_000)
        monkeypatch.setattr(checkpoints, "CHECKPOINT_SIZE", 300_000)
        path = rufh.careful()
        told = {"Upload_Offset": "0", "Upload_Complete": "?1", "Content_Type": PARTIAL}
        line = rufh.open()
        line.send(rufh.head("PATCH", path, 800_000, **told))
        heard_so_far: list[int] = []
        for _ in range(7):
            answers = all_heard(line.send(b"x" * 100_000))
            heard_so_far = [int(one.headers["upload-offset"]) for one in answers]
            assert {one.status for one in answers} <= {104}
            assert all("location" not in one.headers for one in answers)
            if heard_so_far:
                (on_record,) = rufh.rows("SELECT committed FROM files")[0]
                assert heard_so_far[-1] == on_record
        assert heard_so_far == sorted(heard_so_far)
        assert len(heard_so_far) > 1
        line.lose()
        rufh.lines.remove(line)
        assert rufh.look(path).offset == 700_000

    def test_a_newer_request_takes_over(self, rufh: RufhInMemory) -> None:
        """The older one is ended, and goes on from what it hears if it still listens; its late bytes do not land."""
        path = rufh.careful()
        told = {"Upload_Offset": "0", "Upload_Complete": "?1", "Content_Type": PARTIAL}
        line = rufh.open()
        line.send(rufh.head("PATCH", path, 5, **told) + b"he")
        assert rufh.look(path).offset == 2
        assert state_of(final(all_heard(line.answered))) == (409, "?0", 2)
        line.send(b"llo")
        assert rufh.look(path).offset == 2
        assert state_of(final(rufh.add(path, 2, b"llo", "?1"))) == (200, "?1", 5)


class TestDigests:
    def test_of_the_content(self, rufh: RufhInMemory) -> None:
        """All or nothing: what does not match is not kept, and the upload goes on."""
        path = rufh.careful()
        answer = final(rufh.add(path, 0, b"hel", "?0", Content_Digest=sha256_field(b"other")))
        assert state_of(answer) == (400, "?0", 0)
        assert rufh.look(path).offset == 0
        assert state_of(final(rufh.add(path, 0, b"hel", "?0", Content_Digest=sha256_field(b"hel")))) == (204, "?0", 3)
        sha512 = f"sha-512=:{b64encode(hashlib.sha512(b'lo').digest()).decode()}:"
        assert state_of(final(rufh.add(path, 3, b"lo", "?1", Content_Digest=sha512))) == (200, "?1", 5)

    def test_of_the_whole_file(self, rufh: RufhInMemory) -> None:
        """It is verified before the hand-off, whichever request brought which part."""
        path = rufh.careful(Repr_Digest=sha256_field(b"hello"), **NAMED)
        rufh.add(path, 0, b"hel", "?0")
        assert state_of(final(rufh.add(path, 3, b"lo", "?1"))) == (200, "?1", 5)
        assert rufh.handoffs() == [("upload", "a.xml", "succeeded")]
        assert state_of(final(rufh.add(path, 5, b"", "?1"))) == (200, "?1", 5)

    def test_of_another_file(self, rufh: RufhInMemory) -> None:
        """The answer is final, the upload is over, and nothing is handed off."""
        path = rufh.careful(Repr_Digest=sha256_field(b"other"), **NAMED)
        rufh.add(path, 0, b"hel", "?0")
        answer = final(rufh.add(path, 3, b"lo", "?1"))
        assert (answer.status, answer.headers["upload-complete"]) == (400, "?1")
        assert rufh.look(path).status in (404, 410)
        assert rufh.stored() == {}
        assert rufh.handoffs() == []

    def test_one_that_cannot_be(self, rufh: RufhInMemory) -> None:
        """Is refused, not passed over."""
        assert final(rufh.post(b"x", "?1", Content_Digest="sha-256=:YQ==:")).status == 400
        assert state_of(final(rufh.post(b"x", "?1", Content_Digest="md5=:YQ==:"))) == (200, "?1", 1)


class TestRetrievalAndCancellation:
    @pytest.mark.parametrize("method", ["HEAD", "GET"])
    def test_where_to_go_on(self, rufh: RufhInMemory, method: str) -> None:
        """Nothing between may keep the answer; it also tells limits and what is known of the length."""
        path = rufh.careful(Upload_Length="5")
        rufh.add(path, 0, b"hel", "?0")
        answer = rufh.look(path, method)
        assert state_of(answer) == (204, "?0", 3)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["upload-length"] == "5"
        assert answer.headers["upload-limit"] == f"max-size={SESSION_QUOTA}, max-age={TTL}"

    def test_one_that_is_complete(self, rufh: RufhInMemory) -> None:
        """Says so."""
        path = path_of(final(rufh.post(b"hello", "?1")))
        assert state_of(rufh.look(path)) == (204, "?1", 5)

    def test_the_time_that_is_left(self, rufh: RufhInMemory, clock: Clock) -> None:
        """Shrinks as long as nothing comes; after that the upload is gone."""
        path = rufh.careful()
        clock.advance(TTL - 10)
        assert rufh.look(path).headers["upload-limit"].endswith("max-age=10")
        clock.advance(11)
        assert rufh.look(path).status == 410

    def test_the_end(self, rufh: RufhInMemory) -> None:
        """Its bytes are gone, and its address."""
        path = rufh.careful(**NAMED)
        rufh.add(path, 0, b"hel", "?0")
        (answer,) = rufh.ask("DELETE", path)
        assert answer.status == 204
        assert rufh.look(path).status == 410
        assert rufh.stored() == {}

    def test_version_6_has_404_for_what_is_gone(self, rufh: RufhInMemory) -> None:
        """Its drafts know no other status for it."""
        path = rufh.careful()
        rufh.ask("DELETE", path)
        rufh.version = 6
        for answers in ([rufh.look(path)], rufh.add(path, 0, b"x", "?1"), rufh.ask("DELETE", path)):
            assert final(answers).status == 404

    @pytest.mark.parametrize(
        ("method", "name", "status"),
        [
            ("HEAD", "Upload_Offset", 400),
            ("HEAD", "Upload_Complete", 400),
            ("HEAD", "Upload_Length", 400),
            ("GET", "Upload_Offset", 204),
            ("DELETE", "Upload_Offset", 400),
            ("DELETE", "Upload_Complete", 400),
            ("DELETE", "Upload_Length", 204),
        ],
    )
    def test_version_6_has_no_fields_without_content(
        self, rufh: RufhInMemory, method: str, name: str, status: int
    ) -> None:
        """Its drafts have them refused; newer ones pass them over."""
        path = rufh.careful()
        rufh.version = 6
        assert final(rufh.ask(method, path, None, **{name: "0"})).status == status
        rufh.version = 9
        again = rufh.careful()
        assert final(rufh.ask(method, again, None, **{name: "0"})).status == 204

    def test_others_uploads(self, rufh: RufhInMemory) -> None:
        """Are not found, whoever asks."""
        path = rufh.careful()
        rufh.user = "other"
        for answers in ([rufh.look(path)], rufh.add(path, 0, b"x", "?1"), rufh.ask("DELETE", path)):
            assert final(answers).status == 404

    def test_without_a_password(self, rufh: RufhInMemory) -> None:
        """Nothing is told but that one is needed; no interim answer either."""
        path = rufh.careful()
        rufh.user = ""
        for answers in (rufh.post(b"x", "?1"), [rufh.look(path)], rufh.add(path, 0, b"x", "?1")):
            assert [one.status for one in answers] == [401]

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [("PUT", "/files/x", "GET, HEAD, PATCH, DELETE, OPTIONS"), ("GET", "/files", "POST, OPTIONS")],
    )
    def test_other_methods(self, rufh: RufhInMemory, method: str, path: str, allowed: str) -> None:
        """405 tells those that there are."""
        answer = final(rufh.ask(method, path, b"", Upload_Complete="?1"))
        assert (answer.status, answer.headers["allow"]) == (405, allowed)


class TestTheMorningAfter:
    def test_what_people_see(self, rufh: RufhInMemory) -> None:
        """The journal, the counters and the log have an upload as those of tus: who, what, how much."""
        path = rufh.careful(User_Agent="an iPhone", **NAMED)
        rufh.add(path, 0, b"hello", "?1")
        columns = "username, address, agent, state, imports"
        assert rufh.rows(f"SELECT {columns} FROM exchanges") == [("shop", "192.168.1.1", "an iPhone", "succeeded", 1)]
        assert rufh.rows("SELECT event, filename, state FROM imports") == [("upload", "a.xml", "succeeded")]
        assert rufh.exchange.metric("onec_received_bytes_total") == 5

    def test_what_was_refused(self, rufh: RufhInMemory) -> None:
        """Is on record, and counted by its reason."""
        path = rufh.careful()
        rufh.add(path, 3, b"x", "?0")
        assert rufh.exchange.metric("onec_refusals_total", reason="mismatching_offset") == 1
        rufh.exchange.parts.refused.flush()
        assert ("shop", 409) in rufh.rows("SELECT username, status FROM refusals")

    def test_unfinished_uploads(self, rufh: RufhInMemory) -> None:
        """Are counted."""
        rufh.careful()
        assert rufh.rows("SELECT state, protocol FROM uploads") == [("open", "rufh")]


class TestBesideTus:
    def test_what_is_on_offer(self, rufh: RufhInMemory) -> None:
        """One answer tells of both."""
        rufh.user = ""
        (answer,) = rufh.ask("OPTIONS", "/files")
        assert answer.headers["upload-limit"] == f"max-size={SESSION_QUOTA}"
        assert answer.headers["accept-patch"] == PARTIAL
        assert answer.headers["tus-version"] == "1.0.0"

    def test_neither_completes_the_others(self, rufh: RufhInMemory) -> None:
        """An upload belongs to the protocol that has begun it."""
        tus = TusInMemory(rufh.exchange)
        ours, theirs = rufh.careful(Upload_Length="3"), tus.made(3, Upload_Metadata=metadata(filename="t"))
        assert tus.request("HEAD", ours).status == 404
        assert tus.patch(ours, 0, b"abc").status == 404
        assert tus.request("DELETE", ours).status == 404
        for answers in ([rufh.look(theirs)], rufh.add(theirs, 0, b"abc", "?1"), rufh.ask("DELETE", theirs)):
            assert (final(answers).status, final(answers).headers["tus-version"]) == (412, "1.0.0")
        assert (rufh.look(ours).offset, tus.offset(theirs)) == (0, 0)
        tus.close()

    def test_it_is_what_it_says(self, rufh: RufhInMemory) -> None:
        """The resource provides what the request asks of it."""
        assert verifyObject(IStreamingResource, rufh.exchange.site.resource.getStaticEntity(TUS_PATH[1:].encode()))
