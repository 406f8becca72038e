"""Whether a server keeps to RUFH (draft-ietf-httpbis-resumable-upload), clause by clause, by what its wire shows.

``ONEC_RUFH_URL`` names the server to ask, as in ``http://user:password@host/files/``; without it, that is our own
daemon. All clauses are asked in each interop version. ``ONEC_RUFH_TABLE`` names the file to write the results to.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import os
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import pytest
from attrs import evolve
from certificates import make_certificate
from daemon import Daemon, start
from rufh_clauses import all_were_tested, clause, page
from rufh_client import PARTIAL, VERSIONS, Server, complete_of, fate, limits_of
from tus_server import NotAnnounced, must
from tus_server import Server as TusServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rufh_client import Headers, Line
    from tus_server import Answer

URL = os.environ.get("ONEC_RUFH_URL", "")
TABLE = os.environ.get("ONEC_RUFH_TABLE", "")
DOCUMENT = Path(__file__).parents[2] / "docs" / "rufh-conformance.md"

KB = 1024
CONTENT = bytes(range(256)) * 4 * 64
"""64 KiB to send."""

LARGE = 40 * 2**20
"""Bytes after which a server has had time to report progress."""

RECORDED_IN = 20.0
"""Seconds in which a server on a busy machine has put on record what it has, and reports it."""

SOON = 0.2
"""Seconds in which a newer request is to have an upload that an older one holds."""

PROBLEMS = "https://iana.org/assignments/http-problem-types#"

NO_NUMBERS = ("", "-1", "1.0", "?0", '"0"', "many", "0 0", "1000000000000000", ("0", "0"))
"""What is no non-negative Integer, or not one."""

NO_BOOLEANS = ("", "1", "0", "?2", '"?1"', "true", ("?1", "?1"), ("?0", "?1"))
"""What is no Boolean, or not one."""


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give the server that is asked."""
    if URL:
        yield Server.at(URL)
        return
    daemon = start(tmp_path_factory.mktemp("rufh") / "daemon", "--min-free=1M")
    try:
        yield Server(f"http://127.0.0.1:{daemon.port}/files/", "shop:secret")
    finally:
        daemon.stop()


@pytest.fixture(params=VERSIONS)
def rufh(request: pytest.FixtureRequest, asked: Server) -> Server:
    """Give it for clients of each version."""
    return asked.speaking(request.param)


def sha256_of(data: bytes) -> str:
    """Return a digest as clients send it."""
    return f"sha-256=:{b64encode(hashlib.sha256(data).digest()).decode()}:"


def must_succeed(answer: Answer) -> None:
    """Raise ``Broken`` for an answer that is no success."""
    must(200 <= answer.status < 300, str(answer.status))


def largest(rufh: Server) -> int:
    """Return how large an upload may be. Raises ``NotAnnounced`` without a limit."""
    told = limits_of(rufh.options())
    if "max-size" not in told:
        raise NotAnnounced
    return told["max-size"]


def must_be_soon(rufh: Server, ask: Callable[[str], object], sent: bytes = b"") -> None:
    """Raise ``Broken`` unless a request is soon answered while a PATCH whose sender has stopped has its upload."""
    for _ in range(3):  # the machine may be busy with something else
        url = rufh.make()
        with rufh.stalled(url, sent):
            began = time.monotonic()
            ask(url)
            seconds = time.monotonic() - began
        if not SOON <= seconds < 10 * SOON:
            break
    must(seconds < SOON, "later")


def told_first(line: Line) -> Answer:
    """Return the interim answer to a creation. Raises ``NotAnnounced`` if the server sends none: it is a SHOULD."""
    told = line.told()
    if told is None:
        raise NotAnnounced
    return told


# --- fields ----------------------------------------------------------------------------------------------------


@clause("Upload-Offset-1", "MUST")
def test_an_offset_is_an_integer(rufh: Server) -> None:
    """A PATCH whose Upload-Offset is missing, or no non-negative Integer, is refused, and stores nothing."""
    url = rufh.make()
    for offset in (None, *NO_NUMBERS):
        answer = rufh.patch(url, offset, "?0", b"bytes")
        must(400 <= answer.status < 500, f'"{offset}": {answer.status}')
    rufh.must_stay(url, 0)


@clause("Upload-Offset-2", "MUST")
def test_an_offset_never_goes_back(rufh: Server) -> None:
    """Upload-Offset is never smaller than one that was reported before, whatever breaks off in between."""
    url = rufh.make()
    told = 0
    for is_reset in (False, True, False, True):
        with rufh.begin_patch(url, told, "?0", 2**20) as line:
            line.send(CONTENT)
            if is_reset:
                line.reset()
            else:
                line.end()
        found = rufh.offset(url)
        must(found >= told, f"from {told} to {found}")
        told = found


@clause("Upload-Offset-3", "MUST", 6)
def test_each_answer_reports_the_offset(rufh: Server) -> None:
    """Each answer about an upload that is active reports Upload-Offset: to POST, to PATCH, and 409."""
    made = rufh.post("?0", b"bytes")
    url = rufh.located(made)
    seen = made.offset, rufh.patch(url, 5, "?0", b"more").offset, rufh.patch(url, 0, "?0", b"x").offset
    must(seen == (5, 9, 9), f"offsets {seen}")


@clause("Upload-Complete-1", "MUST")
def test_creation_asks_by_a_boolean(rufh: Server) -> None:
    """A POST whose Upload-Complete is anything but one Boolean makes no upload: there is no 104, and no Location."""
    for complete in NO_BOOLEANS:
        answer = rufh.post(complete, b"bytes")
        must(not answer.told, f'"{complete}": 104')
        must(answer.header("Location") is None, f'"{complete}": Location')


@clause("Upload-Complete-2", "MUST")
def test_an_append_says_whether_it_is_the_last(rufh: Server) -> None:
    """A PATCH whose Upload-Complete is missing, or anything but one Boolean, is refused, and stores nothing."""
    url = rufh.make()
    for complete in (None, *NO_BOOLEANS):
        answer = rufh.patch(url, 0, complete, b"bytes")
        must(400 <= answer.status < 500, f'"{complete}": {answer.status}')
    rufh.must_stay(url, 0)


@clause("Upload-Complete-3", "MUST")
def test_only_a_request_completes(rufh: Server) -> None:
    """An upload with all its bytes is not complete before a request says ?1, though its offset is its length."""
    url = rufh.make(5)
    rufh.append(url, 0, "?0", b"bytes")
    rufh.must_stay(url, 5)
    must(complete_of(rufh.append(url, 5, "?1")) is True, "not ?1")


@clause("Upload-Length-1", "MUST")
def test_a_length_is_an_integer(rufh: Server) -> None:
    """An Upload-Length that is anything but one non-negative Integer is passed over, or refused: it never counts."""
    for length in NO_NUMBERS:
        made = rufh.post("?0", b"", {"Upload-Length": length})
        if 200 <= made.status < 300:
            found = rufh.found(rufh.located(made))
            must(found.header("Upload-Length") is None, f'"{length}" counts')
        else:
            must(400 <= made.status < 500, f'"{length}": {made.status}')


@clause("Upload-Length-2", "MUST")
def test_a_length_is_recorded(rufh: Server) -> None:
    """The length in Upload-Length is recorded, whether POST or PATCH tells it: another one is refused then."""
    early, late = rufh.make(9), rufh.make()
    rufh.append(late, 0, "?0", b"bytes", {"Upload-Length": 9})
    for url, offset in ((early, 0), (late, 5)):
        rufh.patch(url, offset, "?0", b"x", {"Upload-Length": 10}).must_refuse()
        rufh.must_stay(url, offset)


@clause("Upload-Length-3", "MUST")
def test_a_length_is_derived(rufh: Server) -> None:
    """?1 and Content-Length tell the length as well: after a break another one is refused, and that one completes."""
    url = rufh.make()
    with rufh.begin_patch(url, 0, "?1", 9) as line:
        line.send(b"bytes")
        line.end()
    rufh.patch(url, 5, "?1", b"moreover").must_refuse()
    rufh.must_stay(url, 5)
    must(complete_of(rufh.append(url, 5, "?1", b"more")) is True, "not ?1")


@clause("Upload-Length-4", "MUST")
def test_indicators_agree(rufh: Server) -> None:
    """A POST or PATCH whose own indicators of the length differ is refused, and completes nothing."""
    made = rufh.post("?1", b"bytes", {"Upload-Length": 6})
    must(400 <= made.status < 500, f"POST: {made.status}")
    url = rufh.make()
    answer = rufh.patch(url, 0, "?1", b"bytes", {"Upload-Length": 6})
    must(400 <= answer.status < 500, f"PATCH: {answer.status}")
    rufh.must_stay(url, 0)


@clause("Upload-Length-5", "MUST")
def test_the_end_is_not_before_the_length(rufh: Server) -> None:
    """A PATCH with ?1 that ends before the length completes nothing, by Content-Length and by its last chunk."""
    url = rufh.make(9)
    rufh.patch(url, 0, "?1", b"bytes").must_refuse()
    must(not complete_of(rufh.found(url)), "complete")
    with rufh.begin_patch(url, rufh.offset(url), "?1", None) as line:
        line.send_chunks([b"bytes"])
        line.answer().must_refuse()
    must(not complete_of(rufh.found(url)), "complete")


def _over_the_length(rufh: Server, chunks: bool) -> tuple[str, Answer]:
    """Send more than an upload has, and return its URL, and the answer that comes before the end of the request."""
    url = rufh.make(10 * KB)
    rufh.append(url, 0, "?0", CONTENT[: 5 * KB])
    with rufh.begin_patch(url, 5 * KB, "?0", None if chunks else 10 * KB) as line:
        if chunks:
            line.send_chunks([CONTENT[: 5 * KB]] * 2, all_of_it=False)
        return url, line.answer()


@clause("Upload-Length-6", "MUST")
def test_too_much_is_refused_by_its_head(rufh: Server) -> None:
    """A PATCH whose Content-Length is beyond the length is refused by its head, and never completes the upload."""
    url, answer = _over_the_length(rufh, chunks=False)
    answer.must_refuse()
    _must_not_be_over(rufh, url)


@clause("Upload-Length-7", "MUST")
def test_too_much_is_refused_at_once(rufh: Server) -> None:
    """An append in chunks is refused as soon as it is over the length, before its last chunk."""
    url, answer = _over_the_length(rufh, chunks=True)
    answer.must_refuse()
    _must_not_be_over(rufh, url)


def _must_not_be_over(rufh: Server, url: str) -> None:
    """Raise ``Broken`` if an upload of 10 KiB has more, or is complete."""
    found = rufh.head(url)
    if 200 <= found.status < 300:
        must(found.offset <= 10 * KB, "beyond the length")
        must(not complete_of(found), "complete")


@clause("Upload-Length-8", "MUST", 8, 9)
def test_too_much_is_the_end(rufh: Server) -> None:
    """After an append that was over the length, the upload takes nothing any more, not even the right bytes."""
    for chunks in (False, True):
        url, _ = _over_the_length(rufh, chunks)
        rufh.must_be_gone(url)


@clause("Upload-Length-9", "MUST", 6)
def test_too_much_gets_400(rufh: Server) -> None:
    """An append that is over the length gets 400."""
    for chunks in (False, True):
        _over_the_length(rufh, chunks)[1].must_be(400)


@clause("Upload-Length-10", "MUST")
def test_a_creation_is_not_over_its_length(rufh: Server) -> None:
    """A POST that sends more than its own Upload-Length is refused, by Content-Length and by chunks."""
    rufh.post("?0", CONTENT, {"Upload-Length": 10 * KB}).must_refuse()
    with rufh.begin_post("?0", None, {"Upload-Length": 10 * KB}) as line:
        line.send_chunks([CONTENT], all_of_it=False)
        answer = line.reply()
    answer.must_refuse()
    for told in answer.told:
        if told.header("Location"):
            _must_not_be_over(rufh, rufh.located(told))


@clause("Upload-Limit-1", "MUST")
def test_limits_are_integers(rufh: Server) -> None:
    """Upload-Limit is a Dictionary, and the values of the limits that the draft has are Integers, in every answer."""
    url = rufh.make()
    for answer in (rufh.options(), rufh.post("?0"), rufh.head(url), rufh.append(url, 0, "?0", b"bytes")):
        if answer.header("Upload-Limit") is not None:
            must(min(limits_of(answer).values()) >= 0, "below 0")


@clause("Upload-Limit-2", "MUST", 8, 9)
def test_limits_are_told(rufh: Server) -> None:
    """A server with limits tells them in 104 with the address, in the answer to a POST with ?0, and to HEAD."""
    limits = limits_of(rufh.options()).keys() - {"min-size"}
    if not limits:
        raise NotAnnounced
    with rufh.begin_post("?0", 5) as line:
        told = told_first(line)
        line.send(b"bytes")
        made = line.answer()
    for name, answer in {"104": told, "POST": made, "HEAD": rufh.head(rufh.located(made))}.items():
        must(limits <= limits_of(answer).keys(), f"{name}: not all")


@clause("Upload-Limit-3", "MUST")
def test_413_tells_the_limits(rufh: Server) -> None:
    """A POST whose length is over max-size is refused; 413 has Upload-Limit."""
    answer = rufh.post("?0", b"", {"Upload-Length": largest(rufh) + 1}).must_refuse()
    must(answer.header("Location") is None, "Location")
    if answer.status == 413:
        must(limits_of(answer)["max-size"] == largest(rufh), "another limit")


@clause("Upload-Limit-4", "MUST")
def test_a_later_length_is_limited(rufh: Server) -> None:
    """An append that tells a length over max-size is refused, and the length stays open."""
    url = rufh.make()
    rufh.patch(url, 0, "?0", b"", {"Upload-Length": largest(rufh) + 1}).must_refuse()
    must(rufh.found(url).header("Upload-Length") is None, "a length")


@clause("Upload-Limit-5", "SHOULD")
def test_limits_do_not_tighten(rufh: Server) -> None:
    """The limits of an upload are not tighter than those that OPTIONS told, nor than they were before."""
    limits = limits_of(rufh.options())
    url = rufh.make()
    for offset in (0, 5):
        now = limits_of(rufh.found(url))
        for name in limits.keys() & now.keys():
            is_tighter = now[name] < limits[name] if name.startswith("max") else now[name] > limits[name]
            must(name == "max-age" or not is_tighter, name)
        limits = now
        rufh.append(url, offset, "?0", b"bytes")


@clause("Upload-Limit-6", "SHOULD", 8, 9)
def test_the_end_of_life_does_not_come_nearer(rufh: Server) -> None:
    """The time at which an upload ends by its max-age does not come nearer, neither by waiting nor by an append."""
    url = rufh.make()
    ends = []
    for offset in (0, 5, 10):
        ends.append(time.monotonic() + _age(rufh, url))
        time.sleep(0.1)
        ends.append(time.monotonic() + _age(rufh, url))
        rufh.append(url, offset, "?0", b"bytes")
    must(all(later > sooner - 1.5 for sooner, later in itertools.pairwise(ends)), "nearer")


def _age(rufh: Server, url: str) -> int:
    limits = limits_of(rufh.found(url))
    if "max-age" not in limits:
        raise NotAnnounced
    return limits["max-age"]


@clause("Structured-Fields-1", "MUST")
def test_parameters_are_passed_over(rufh: Server) -> None:
    """Parameters of Upload-Complete, Upload-Offset, Upload-Length and the version are passed over."""
    with rufh.begin_post(
        "?0;a", 0, {"Upload-Length": "5;b=1", "Upload-Draft-Interop-Version": f"{rufh.version};c"}
    ) as line:
        made = line.reply()
    must_succeed(made)
    url = rufh.located(made)
    must_succeed(rufh.patch(url, "0;a=?0", '?1;b="x"', b"bytes"))
    must(rufh.found(url).offset == 5, "nothing came")


# --- versions, interim answers, discovery ----------------------------------------------------------------------


def _versions_that_are_none(rufh: Server) -> tuple[str | tuple[str, ...] | None, ...]:
    number = str(rufh.version)
    return (None, "0", "99", f'"{number}"', f"{number}.0", "?1", "", (number, number))


@clause("Version-1", "MUST")
def test_no_interim_answer_without_a_version(rufh: Server) -> None:
    """No 104 is sent when Upload-Draft-Interop-Version is missing, not an Integer, told twice, or of no version."""
    for version in _versions_that_are_none(rufh):
        answer = rufh.post("?1", b"bytes", {"Upload-Draft-Interop-Version": version})
        must(not answer.told, f'104 for "{version}"')


@clause("Version-2", "MUST")
def test_interim_answers_repeat_the_version(rufh: Server) -> None:
    """Each 104 repeats the version of the request: that with the address, and those of progress."""
    told = [*_told_while_much_comes(rufh), *rufh.post("?1", b"bytes").told]
    if not told:
        raise NotAnnounced
    for one in told:
        version = one.header("Upload-Draft-Interop-Version")
        must(version == str(rufh.version), f"version {version}")


@clause("104-1", "MUST")
def test_http_1_0_gets_no_interim_answers(rufh: Server) -> None:
    """A client that speaks HTTP/1.0 gets no interim answer (RFC 9110, 15.2), neither to POST nor to PATCH."""
    made = rufh.ask("POST", rufh.url, {"Upload-Complete": "?0"}, b"bytes", "HTTP/1.0")
    must(not made.interim, "to POST")
    told: Headers = {"Upload-Complete": "?1", "Upload-Offset": 5, "Content-Type": PARTIAL, "Expect": "100-continue"}
    answer = rufh.ask("PATCH", rufh.located(made), told, CONTENT, "HTTP/1.0")
    must(not answer.interim, "to PATCH")
    must_succeed(answer)


@clause("104-2", "MUST")
def test_100_follows_104(rufh: Server) -> None:
    """A POST with Expect: 100-continue gets 100 although 104 was sent, before a byte of its body has come."""
    with rufh.begin_post("?1", 5, {"Expect": "100-continue"}) as line:
        statuses = []
        while (told := line.told()) is not None:
            statuses.append(told.status)
            if told.status == 100:
                line.send(b"bytes")
                break
        must(statuses[-1:] == [100], f"{statuses}, no 100")
        must_succeed(line.answer())


@clause("Discovery-1", "MUST")
def test_options_tell_limits(rufh: Server) -> None:
    """OPTIONS where uploads are made gets Upload-Limit, min-size=0 if there are none."""
    answer = rufh.options()
    must_succeed(answer)
    must(bool(limits_of(answer)), "no limit, and no min-size=0")


@clause("Discovery-2", "MUST", 8)
def test_options_tell_the_media_type(rufh: Server) -> None:
    """OPTIONS where uploads are made gets Accept-Patch with application/partial-upload."""
    must(PARTIAL in (rufh.options().header("Accept-Patch") or ""), "no Accept-Patch")


@clause("Discovery-3", "SHOULD")
def test_options_of_all_promise_no_more_than_holds(rufh: Server) -> None:
    """OPTIONS * tells of uploads only if all resources make them: / does so as well."""
    told = rufh.options_of_all()
    if told is None:
        return
    if told.header("Upload-Limit") is not None or PARTIAL in (told.header("Accept-Patch") or ""):
        everywhere = evolve(rufh, url=urljoin(rufh.url, "/"))
        must(bool(everywhere.post("?0").header("Location")), "/ makes none")


# --- creation --------------------------------------------------------------------------------------------------


@clause("Creation-1", "SHOULD")
def test_the_address_comes_first(rufh: Server) -> None:
    """A POST gets 104 with Location before a byte of its body has come, with ?0 and with ?1, in chunks or not."""
    for complete in ("?0", "?1"):
        for length in (5, None):
            with rufh.begin_post(complete, length) as line:
                told = line.told()
                must(told is not None, f"no 104 for {complete}")
                assert told is not None
                must(told.status == 104, f"{told.status} for {complete}")
                rufh.located(told)


@clause("Creation-2", "MUST")
def test_the_address_leads_to_the_upload(rufh: Server) -> None:
    """The Location in 104 leads to the upload: after a break, HEAD there reports what has come."""
    with rufh.begin_post("?1", 2**20) as line:
        url = rufh.located(told_first(line))
        line.send(CONTENT)
        line.end()
    rufh.must_stay(url, len(CONTENT))


@clause("Creation-3", "MUST")
def test_the_address_is_one(rufh: Server) -> None:
    """Location is the same in 104 and in the final answer with ?0."""
    with rufh.begin_post("?0", 5) as line:
        told = told_first(line)
        line.send(b"bytes")
        made = line.answer()
    must(made.header("Location") == told.header("Location"), "another Location")


@clause("Creation-4", "SHOULD")
def test_a_whole_file_at_once(rufh: Server) -> None:
    """A POST with ?1 whose content came whole gets the target's answer, a success with Upload-Complete: ?1."""
    made = rufh.post("?1", b"bytes")
    must_succeed(made)
    must(complete_of(made) is True, "not ?1")


@clause("Creation-5", "SHOULD")
def test_a_whole_file_in_chunks(rufh: Server) -> None:
    """The same holds for a POST in chunks: its last chunk ends the upload."""
    with rufh.begin_post("?1", None) as line:
        line.send_chunks([b"by", b"tes"])
        made = line.answer()
    must_succeed(made)
    must(complete_of(made) is True, "not ?1")


@clause("Creation-6", "MUST")
def test_a_first_part_gets_the_address(rufh: Server) -> None:
    """A POST with ?0 whose content came whole gets a Location that leads to an upload with its bytes."""
    made = rufh.post("?0", b"bytes")
    must_succeed(made)
    rufh.must_stay(rufh.located(made), 5)


@clause("Creation-7", "SHOULD")
def test_a_first_part_gets_201(rufh: Server) -> None:
    """That answer is 201."""
    rufh.post("?0", b"bytes").must_be(201)


@clause("Creation-8", "SHOULD")
def test_a_first_part_is_not_the_last(rufh: Server) -> None:
    """That answer has Upload-Complete: ?0."""
    must(complete_of(rufh.post("?0", b"bytes")) is False, "not ?0")


@clause("Creation-9", "MUST")
def test_careful_creation(rufh: Server) -> None:
    """A POST with ?0 and without content makes an upload without bytes, with or without a length."""
    for length in (None, 5):
        url = rufh.make(length)
        rufh.must_stay(url, 0)
        must(complete_of(rufh.append(url, 0, "?1", b"bytes")) is True, "not ?1")


@clause("Creation-10", "MUST")
def test_an_empty_file(rufh: Server) -> None:
    """A POST with ?1 and without content is an empty file, and complete."""
    made = rufh.post("?1", b"")
    must_succeed(made)
    must(complete_of(made) is not False, "?0")


def _broken_creation(
    rufh: Server, break_off: Callable[[Line], None], length: int | None, complete: str = "?1"
) -> str:
    """Begin an upload, break off, and return its URL."""
    with rufh.begin_post(complete, length, {"Upload-Length": 2 * len(CONTENT)}) as line:
        url = rufh.located(told_first(line))
        if length is None:
            line.send_chunks([CONTENT[:1000], CONTENT[1000:]], all_of_it=False)
        else:
            line.send(CONTENT)
        break_off(line)
    return url


@clause("Creation-11", "SHOULD")
def test_a_broken_creation_keeps_what_came(rufh: Server) -> None:
    """When the connection is closed in the middle of a POST, what has come is kept, of chunks as well."""
    for length in (2 * len(CONTENT), None):
        for complete in ("?0", "?1"):
            rufh.must_stay(_broken_creation(rufh, type_of_end("end"), length, complete), len(CONTENT))


@clause("Creation-12", "MUST")
def test_a_broken_creation_continues(rufh: Server) -> None:
    """After a reset in the middle of a POST, the upload continues from the offset in HEAD until it is complete."""
    url = _broken_creation(rufh, type_of_end("reset"), 2 * len(CONTENT))
    offset = rufh.offset(url)
    must(complete_of(rufh.append(url, offset, "?1", (CONTENT + CONTENT)[offset:])) is True, "not ?1")
    must(rufh.offset(url) == 2 * len(CONTENT), "another offset")


@clause("Creation-13", "MUST")
def test_a_broken_creation_is_not_complete(rufh: Server) -> None:
    """A POST with ?1 whose last chunk never came is not complete, although all bytes of its Upload-Length did."""
    with rufh.begin_post("?1", None, {"Upload-Length": 5}) as line:
        url = rufh.located(told_first(line))
        line.send_chunks([b"bytes"], all_of_it=False)
        line.end()
    rufh.must_stay(url, 5)
    must(complete_of(rufh.append(url, 5, "?1")) is True, "not ?1")


@clause("Creation-14", "MUST")
def test_malformed_chunks_complete_nothing(rufh: Server) -> None:
    """A POST with ?1 whose chunks cannot be read is refused, or cut off, and is not complete."""
    with rufh.begin_post("?1", None) as line:
        url = rufh.located(told_first(line))
        line.send(b"5\r\nbytes\r\nno number\r\n")
        end = fate(line)
    must(end[0] == "4" or end == "closed", end)
    found = rufh.head(url)
    must(found.status in {404, 410} or not complete_of(found), "complete")


def type_of_end(name: str) -> Callable[[Line], None]:
    """Return how a connection breaks off: by ``end`` or by ``reset``."""
    return lambda line: getattr(line, name)()


# --- offset retrieval ------------------------------------------------------------------------------------------


@clause("Offset-Retrieval-1", "MUST")
def test_head_reports_the_offset(rufh: Server) -> None:
    """HEAD is a success, and reports Upload-Offset of an upload that is new, that has bytes, that is complete."""
    url = rufh.make()
    must(rufh.offset(url) == 0, "not 0")
    rufh.append(url, 0, "?0", b"bytes")
    must(rufh.offset(url) == 5, "not 5")
    rufh.append(url, 5, "?1", b"more")
    must(rufh.offset(url) == 9, "not 9")


@clause("Offset-Retrieval-2", "MUST", 6, 8)
def test_head_reports_completeness(rufh: Server) -> None:
    """HEAD reports Upload-Complete: ?0 until a request with ?1 has come whole, then ?1."""
    url = rufh.make(5)
    rufh.append(url, 0, "?0", b"bytes")
    must(complete_of(rufh.found(url)) is False, "not ?0")
    rufh.append(url, 5, "?1")
    must(complete_of(rufh.found(url)) is True, "not ?1")


@clause("Offset-Retrieval-3", "MUST", 6, 8)
def test_head_reports_the_length(rufh: Server) -> None:
    """HEAD reports Upload-Length if a request told it, by Upload-Length or by ?1 and Content-Length."""
    url = rufh.make()
    with rufh.begin_patch(url, 0, "?1", 9) as line:
        line.send(b"bytes")
        line.end()
    seen = rufh.found(rufh.make(5)).length, rufh.found(url).length
    must(seen == (5, 9), f"lengths {seen}")


@clause("Offset-Retrieval-4", "SHOULD")
def test_no_cache_keeps_an_offset(rufh: Server) -> None:
    """HEAD is answered with Cache-Control: no-store."""
    must("no-store" in (rufh.found(rufh.make()).header("Cache-Control") or ""), "no no-store")


@clause("Offset-Retrieval-5", "MUST")
def test_a_told_offset_is_taken(rufh: Server) -> None:
    """The offset in HEAD is taken by the next PATCH, although an older request for the upload still runs."""
    url = rufh.make()
    with rufh.stalled(url, CONTENT) as line:
        offset = rufh.offset(url)
        line.send(CONTENT)
        rufh.append(url, offset, "?0", b"bytes")
    rufh.must_stay(url, offset + 5)


@clause("Offset-Retrieval-6", "SHOULD")
def test_head_does_not_redirect(rufh: Server) -> None:
    """HEAD is never answered with 301 or 302, whether or not the upload is there."""
    for url in (rufh.make(), rufh.nowhere()):
        must(rufh.head(url).status not in {301, 302}, "a redirect")


@clause("Offset-Retrieval-7", "MUST")
def test_what_is_not_there_is_not_found(rufh: Server) -> None:
    """HEAD and PATCH of an upload that is not there get 404 or 410."""
    rufh.must_be_gone(rufh.nowhere())


@clause("Offset-Retrieval-8", "MUST", 6)
def test_what_was_there_gets_404(rufh: Server) -> None:
    """HEAD, PATCH and DELETE of an upload that is not active any more get 404."""
    url = rufh.make()
    must_succeed(rufh.ask("DELETE", url))
    for answer in (rufh.head(url), rufh.patch(url, 0, "?1", b"bytes"), rufh.ask("DELETE", url)):
        answer.must_be(404)


@clause("Offset-Retrieval-9", "MUST", 6)
def test_head_tells_nothing(rufh: Server) -> None:
    """HEAD with Upload-Offset, Upload-Complete or Upload-Length gets 400."""
    url = rufh.make()
    for name, value in {"Upload-Offset": "0", "Upload-Complete": "?0", "Upload-Length": "5"}.items():
        answer = rufh.head(url, {name: value})
        must(answer.status == 400, f"{name}: {answer.status}")


# --- append ----------------------------------------------------------------------------------------------------


@clause("Append-1", "MUST")
def test_a_part_is_acknowledged(rufh: Server) -> None:
    """A PATCH with ?0 whose content came whole is a success with Upload-Complete: ?0; the offset follows it."""
    url = rufh.make()
    for offset, part in ((0, b"bytes"), (5, b"more"), (9, b"")):
        must(complete_of(rufh.append(url, offset, "?0", part)) is False, "not ?0")
        rufh.must_stay(url, offset + len(part))


@clause("Append-2", "MUST", 6)
def test_a_part_gets_201(rufh: Server) -> None:
    """A PATCH with ?0 whose content came whole gets 201."""
    rufh.patch(rufh.make(), 0, "?0", b"bytes").must_be(201)


@clause("Append-3", "MUST")
def test_the_last_part_completes(rufh: Server) -> None:
    """A PATCH with ?1 whose content came whole completes the upload: its answer has Upload-Complete: ?1."""
    url = rufh.make()
    rufh.append(url, 0, "?0", b"bytes")
    must(complete_of(rufh.append(url, 5, "?1", b"more")) is True, "not ?1")


@clause("Append-4", "SHOULD")
def test_the_last_answer_is_the_targets(rufh: Server) -> None:
    """The answer to the last PATCH is the one that a POST of the whole file gets: the same status and media type."""
    url = rufh.make()
    last, once = rufh.append(url, 0, "?1", b"bytes"), rufh.post("?1", b"bytes")
    must(last.status == once.status, f"{last.status}, not {once.status}")
    must(last.header("Content-Type") == once.header("Content-Type"), "another Content-Type")


@clause("Append-5", "MUST")
def test_the_end_may_come_alone(rufh: Server) -> None:
    """A PATCH with ?1 and without content completes an upload, of a length that was told or not."""
    for length in (5, None):
        url = rufh.make(length)
        rufh.append(url, 0, "?0", b"bytes")
        must(complete_of(rufh.append(url, 5, "?1")) is True, "not ?1")


@clause("Append-6", "MUST")
def test_the_media_type_is_demanded(rufh: Server) -> None:
    """A PATCH that is no application/partial-upload, or has no Content-Type, is refused, and stores nothing."""
    url = rufh.make()
    for content_type in (None, "application/octet-stream", "application/offset+octet-stream", "text/plain"):
        rufh.patch(url, 0, "?0", b"bytes", {"Content-Type": content_type}).must_refuse()
    rufh.must_stay(url, 0)


@clause("Append-7", "MUST")
def test_another_offset_gets_409(rufh: Server) -> None:
    """A PATCH at another offset than the upload's gets 409, and changes nothing, also if the length differs."""
    for length in (None, 9):  # in the second, the end that ?1 and Content-Length tell is not the length either
        url = rufh.make(length)
        rufh.append(url, 0, "?0", b"bytes")
        for offset in (0, 4, 6, 999999999999000):
            rufh.patch(url, offset, "?1", b"more").must_be(409)
        rufh.must_stay(url, 5)


@clause("Append-8", "MUST")
def test_409_reports_the_offset(rufh: Server) -> None:
    """That 409 reports the right Upload-Offset, from which a PATCH is taken."""
    url = rufh.make()
    rufh.append(url, 0, "?0", b"bytes")
    must(rufh.patch(url, 0, "?1", b"bytes").must_be(409).offset == 5, "another offset")
    rufh.append(url, 5, "?0", b"more")


@clause("Append-9", "MUST")
def test_409_is_not_the_end(rufh: Server) -> None:
    """That 409 has Upload-Complete: ?0, which tells its client to go on."""
    must(complete_of(rufh.patch(rufh.make(), 5, "?1", b"bytes").must_be(409)) is False, "not ?0")


@clause("Append-10", "MUST")
def test_an_append_may_come_in_chunks(rufh: Server) -> None:
    """A PATCH may come in chunks, with ?0 and with ?1."""
    url = rufh.make()
    for offset, complete in ((0, "?0"), (9, "?1")):
        with rufh.begin_patch(url, offset, complete, None) as line:
            line.send_chunks([b"bytes", b"more"])
            must_succeed(line.answer())
    found = rufh.found(url)
    must(found.offset == 18, f"offset {found.offset}, not 18")


@clause("Append-11", "SHOULD")
def test_a_broken_append_keeps_what_came(rufh: Server) -> None:
    """When the connection is closed in the middle of a PATCH, what has come is kept, of chunks as well."""
    for length in (2**20, None):
        url = rufh.make()
        with rufh.begin_patch(url, 0, "?0", length) as line:
            if length is None:
                line.send_chunks([CONTENT[:1000], CONTENT[1000:]], all_of_it=False)
            else:
                line.send(CONTENT)
            line.end()
        rufh.must_stay(url, len(CONTENT))


@clause("Append-12", "MUST")
def test_a_broken_append_is_not_complete(rufh: Server) -> None:
    """A PATCH with ?1 whose last chunk never came completes nothing, although all bytes of the length did."""
    url = rufh.make(9)
    rufh.append(url, 0, "?0", b"bytes")
    with rufh.begin_patch(url, 5, "?1", None) as line:
        line.send_chunks([b"more"], all_of_it=False)
        line.end()
    rufh.must_stay(url, 9)


@clause("Append-13", "MUST")
def test_what_is_kept_has_no_gaps(rufh: Server) -> None:
    """What a PATCH that was reset leaves is its beginning, without gaps: with the rest, the whole has its digest."""
    whole = CONTENT + CONTENT[::-1]
    url = rufh.make(headers={"Repr-Digest": sha256_of(whole)})
    with rufh.begin_patch(url, 0, "?1", len(whole)) as line:
        line.send(whole[: len(CONTENT) + 777])
        line.reset()
    offset = rufh.offset(url)
    must(complete_of(rufh.append(url, offset, "?1", whole[offset:])) is True, "not ?1")


def _told_while_much_comes(rufh: Server) -> tuple[Answer, ...]:
    """Append so much that a server has time to tell its progress, and return what it told."""
    url = rufh.make()
    with rufh.begin_patch(url, 0, "?0", LARGE) as line:
        for _ in range(LARGE // len(CONTENT) - 1):
            line.send(CONTENT)
        line.told(RECORDED_IN)  # before the end: after it the answer tells
        line.send(CONTENT)
        answer = line.reply()
    must_succeed(answer)
    must(rufh.offset(url) == LARGE, "another offset")
    return answer.told


@clause("Append-14", "SHOULD", 8, 9)
def test_progress_is_told(rufh: Server) -> None:
    """While a large PATCH comes, 104 reports Upload-Offset, which grows, and is never more than has been sent."""
    told = [one.offset for one in _told_while_much_comes(rufh)]
    must(bool(told), "no 104")
    must(told == sorted(told), "smaller")
    must(told[-1] <= LARGE, "more than was sent")


@clause("Append-15", "MUST")
def test_progress_has_no_address(rufh: Server) -> None:
    """104 in answer to a PATCH has no Location."""
    for told in _told_while_much_comes(rufh):
        must(told.header("Location") is None, "Location")


@clause("Append-16", "MUST")
def test_told_progress_stands(rufh: Server) -> None:
    """What 104 reported of a PATCH that is then reset is not taken back: HEAD reports no less."""
    url = rufh.make()
    with rufh.begin_patch(url, 0, "?1", 2 * LARGE) as line:
        for _ in range(LARGE // len(CONTENT)):
            line.send(CONTENT)
        told = told_first(line)
        line.reset()
    found = rufh.offset(url)
    must(found >= told.offset, f"from {told.offset} to {found}")


@clause("Append-17", "MUST")
def test_a_complete_upload_takes_no_more(rufh: Server) -> None:
    """A PATCH with bytes for a complete upload is refused, with ?0 and with ?1, and the upload stays as it is."""
    url = rufh.make()
    rufh.append(url, 0, "?1", b"bytes")
    for complete in ("?0", "?1"):
        must(complete_of(rufh.patch(url, 5, complete, b"more").must_refuse()) is not True, "?1")
    with rufh.begin_patch(url, 5, "?1", None) as line:
        line.send_chunks([b"more"])
        line.answer().must_refuse()
    must(rufh.offset(url) == 5, "another offset")


@clause("Append-18", "MAY", 9)
def test_the_final_answer_comes_again(rufh: Server) -> None:
    """A PATCH with ?1 and no bytes at the end of a complete upload gets the final answer again."""
    for length in (5, None):
        url = rufh.make()
        with rufh.begin_patch(url, 0, "?1", length) as line:
            line.send_chunks([b"bytes"]) if length is None else line.send(b"bytes")
            first = line.answer()
        for _ in range(2):
            again = rufh.patch(url, 5, "?1")
            if 400 <= again.status < 500:
                raise NotAnnounced
            seen = again.status, again.body, complete_of(again)
            must(seen == (first.status, first.body, True), "another answer")


# --- cancellation ----------------------------------------------------------------------------------------------


@clause("Cancellation-1", "SHOULD", 8, 9)
def test_delete_is_a_success(rufh: Server) -> None:
    """DELETE of an upload that is not complete is a success."""
    must_succeed(rufh.ask("DELETE", rufh.make()))


@clause("Cancellation-2", "MUST", 6)
def test_delete_gets_204(rufh: Server) -> None:
    """DELETE of an upload that is not complete gets 204."""
    rufh.ask("DELETE", rufh.make()).must_be(204)


@clause("Cancellation-3", "SHOULD")
def test_a_cancelled_upload_is_gone(rufh: Server) -> None:
    """An upload that was cancelled answers 404 or 410 to HEAD, PATCH and DELETE."""
    url = rufh.make()
    rufh.append(url, 0, "?0", b"bytes")
    must_succeed(rufh.ask("DELETE", url))
    rufh.must_be_gone(url)
    rufh.patch(url, 5, "?1", b"more").must_be(404, 410)
    rufh.ask("DELETE", url).must_be(404, 410)


@clause("Cancellation-4", "SHOULD")
def test_delete_ends_what_runs(rufh: Server) -> None:
    """DELETE ends a request that runs: its sender gets an error, or is cut off, and its late bytes make nothing."""
    url = rufh.make()
    with rufh.stalled(url, CONTENT) as line:
        must_succeed(rufh.ask("DELETE", url))
        line.send(CONTENT)
        end = fate(line)
    must(end == "closed" or end[0] in "45", end)
    rufh.must_be_gone(url)


@clause("Cancellation-5", "SHOULD")
def test_delete_does_not_redirect(rufh: Server) -> None:
    """DELETE is never answered with 301 or 302, whether or not the upload is there."""
    for url in (rufh.make(), rufh.nowhere()):
        must(rufh.ask("DELETE", url).status not in {301, 302}, "a redirect")


@clause("Cancellation-6", "MUST", 6)
def test_delete_tells_nothing(rufh: Server) -> None:
    """DELETE with Upload-Offset or Upload-Complete gets 400, and ends nothing."""
    url = rufh.make()
    for name, value in {"Upload-Offset": "0", "Upload-Complete": "?0"}.items():
        answer = rufh.ask("DELETE", url, {name: value})
        must(answer.status == 400, f"{name}: {answer.status}")
    rufh.must_stay(url, 0)


# --- concurrency -----------------------------------------------------------------------------------------------


@clause("Concurrency-1", "SHOULD")
def test_head_ends_an_older_request(rufh: Server) -> None:
    """HEAD gets the offset within 200 ms though a PATCH whose sender has stopped holds the upload."""
    must_be_soon(rufh, rufh.offset, CONTENT)


@clause("Concurrency-2", "SHOULD")
def test_patch_ends_an_older_request(rufh: Server) -> None:
    """A PATCH at the right offset is taken within 200 ms though one whose sender has stopped holds the upload."""
    must_be_soon(rufh, lambda url: rufh.append(url, 0, "?1", b"bytes"))


@clause("Concurrency-3", "SHOULD")
def test_delete_ends_an_older_request(rufh: Server) -> None:
    """DELETE is a success within 200 ms though a PATCH whose sender has stopped holds the upload."""
    must_be_soon(rufh, lambda url: must_succeed(rufh.ask("DELETE", url)), CONTENT)


@clause("Concurrency-4", "MUST")
def test_late_bytes_never_land(rufh: Server) -> None:
    """What an older PATCH sends after a newer one was taken is not added, and its sender gets no success."""
    url = rufh.make()
    with rufh.stalled(url) as line:
        rufh.append(url, 0, "?0", b"bytes")
        line.send(CONTENT)
        end = fate(line)
    must(end == "closed" or end[0] in "45", end)
    rufh.must_stay(url, 5)


@clause("Concurrency-5", "MUST")
def test_a_creation_is_ended_as_well(rufh: Server) -> None:
    """HEAD at the address in 104 ends the POST that still runs: its late bytes are not added, a PATCH is taken."""
    with rufh.begin_post("?1", 2**20) as line:
        url = rufh.located(told_first(line))
        line.send(CONTENT)
        offset = rufh.offset(url)
        line.send(CONTENT)
        end = fate(line)
        rufh.append(url, offset, "?0", b"bytes")
    must(end == "closed" or end[0] in "45", end)
    rufh.must_stay(url, offset + 5)


@clause("Concurrency-6", "MUST")
def test_equal_appends_count_once(rufh: Server) -> None:
    """Of several PATCHes for one offset at once only one counts; the others are refused, or cut off."""
    url = rufh.make()

    def send(_: int) -> str:
        """Send all that the others send, and return what comes of it."""
        with rufh.begin_patch(url, 0, "?0", len(CONTENT)) as line:
            line.send(CONTENT)
            return fate(line)

    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(send, range(4)))
    taken = [end for end in ends if end[0] == "2"]
    must(len(taken) <= 1, "taken twice")
    must(all(end == "closed" or end[0] in "245" for end in ends), ", ".join(ends))
    found = rufh.offset(url)
    must(found <= len(CONTENT), "counted twice")
    must(not taken or found == len(CONTENT), "a success for less")


# --- problems, codings, security -------------------------------------------------------------------------------


def _problem_of(answer: Answer) -> dict[str, object]:
    """Return the problem in an answer. Raises ``NotAnnounced`` if there is none: it is a MAY."""
    if "application/problem+json" not in (answer.header("Content-Type") or ""):
        raise NotAnnounced
    problem: dict[str, object] = json.loads(answer.body)
    return problem


@clause("Problem-Types-1", "SHOULD")
def test_another_offset_is_a_problem(rufh: Server) -> None:
    """A 409 that is a problem has the type mismatching-upload-offset, expected-offset and provided-offset."""
    url = rufh.make()
    rufh.append(url, 0, "?0", b"bytes")
    problem = _problem_of(rufh.patch(url, 3, "?0", b"x"))
    must(problem.get("type") == PROBLEMS + "mismatching-upload-offset", "another type")
    seen = problem.get("expected-offset"), problem.get("provided-offset")
    must(seen == (5, 3), f"offsets {seen}")


@clause("Problem-Types-2", "SHOULD")
def test_another_length_is_a_problem(rufh: Server) -> None:
    """A refusal for lengths that differ that is a problem has the type inconsistent-upload-length, and is 400."""
    answer = rufh.post("?1", b"bytes", {"Upload-Length": 6})
    must(_problem_of(answer).get("type") == PROBLEMS + "inconsistent-upload-length", "another type")
    answer.must_be(400)


@clause("Codings-1", "MUST")
def test_coded_bytes_count(rufh: Server) -> None:
    """With Content-Encoding, offsets and lengths count the coded bytes: they are stored as they are sent."""
    coded = gzip.compress(CONTENT)
    url = rufh.make(len(coded), {"Content-Encoding": "gzip"})
    rufh.append(url, 0, "?0", coded[:100])
    must(rufh.offset(url) == 100, "another offset")
    must(complete_of(rufh.append(url, 100, "?1", coded[100:])) is True, "not ?1")
    must(rufh.offset(url) == len(coded), "another offset")


@clause("Codings-2", "MUST")
def test_the_bytes_of_chunks_count(rufh: Server) -> None:
    """With Transfer-Encoding, offsets count what is in the chunks, not the chunks themselves."""
    url = rufh.make(9)
    with rufh.begin_patch(url, 0, "?1", None) as line:
        line.send_chunks([b"b", b"yt", b"es", b"more"])
        must(complete_of(line.answer()) is True, "not ?1")
    must(rufh.offset(url) == 9, "another offset")


@clause("Security-1", "SHOULD")
def test_an_upload_is_for_its_client(rufh: Server) -> None:
    """Without the password of its client, HEAD, PATCH and DELETE of an upload are refused, and change nothing."""
    if not rufh.login:
        raise NotAnnounced
    url, nobody = rufh.make(), evolve(rufh, login="")
    for answer in (
        nobody.head(url),
        nobody.patch(url, 0, "?1", b"bytes"),
        nobody.ask("DELETE", url),
        nobody.post("?0"),
    ):
        must(answer.status in {401, 403, 404}, str(answer.status))
        must(not answer.interim, "an interim answer")
    rufh.must_stay(url, 0)


@clause("Security-2", "SHOULD")
def test_an_address_cannot_be_guessed(rufh: Server) -> None:
    """The last part of an upload's address has 16 characters or more, and all differ in most of them."""
    names = [rufh.make().rstrip("/").rpartition("/")[2] for _ in range(4)]
    must(min(map(len, names)) >= 16, "short")
    for one, other in itertools.pairwise(names):
        same = sum(mine == theirs for mine, theirs in zip(one, other, strict=False))
        must(same < len(one) / 2, "alike")


@clause("Security-3", "MUST")
def test_names_are_not_trusted(rufh: Server) -> None:
    """A name in Content-Disposition that leads elsewhere, or cannot be read, never makes the server fail."""
    for name in ("../../x", "/etc/x", "a\\\\..\\\\b", "", ".", "x" * 5000, 'a"b', "a\x01b"):
        answer = rufh.post("?1", b"bytes", {"Content-Disposition": f'inline; filename="{name}"'})
        must(answer.status < 500, f"{name[:9]}: {answer.status}")
    answer = rufh.post("?1", b"bytes", {"Content-Disposition": "inline; filename*=UTF-8''%2e%2e%2fx%00%ff"})
    must(answer.status < 500, str(answer.status))


# --- good practice ---------------------------------------------------------------------------------------------


@clause("Practice-1", "SHOULD")
def test_a_client_without_a_version_uploads(rufh: Server) -> None:
    """A client without Upload-Draft-Interop-Version uploads all the same: by careful creation, HEAD and PATCH."""
    none: Headers = {"Upload-Draft-Interop-Version": None}
    url = rufh.make(9, none)
    rufh.append(url, 0, "?0", b"bytes", none)
    must(rufh.head(url, none).offset == 5, "not 5")
    must(complete_of(rufh.append(url, 5, "?1", b"more", none)) is True, "not ?1")


@clause("Practice-2", "SHOULD")
def test_final_answers_report_the_offset(rufh: Server) -> None:
    """Upload-Offset is in the final answers to POST and PATCH, and Location in that to POST (tus-js-client)."""
    once = rufh.post("?1", b"bytes")
    rufh.located(once)
    url = rufh.make()
    part, last = rufh.append(url, 0, "?0", b"bytes"), rufh.append(url, 5, "?1", b"more")
    seen = once.offset, part.offset, last.offset
    must(seen == (5, 5, 9), f"offsets {seen}")


@clause("Practice-3", "SHOULD")
def test_get_reports_what_head_does(rufh: Server) -> None:
    """GET of an upload reports the same fields as HEAD, for clients that cannot send HEAD."""
    url = rufh.make(9)
    rufh.append(url, 0, "?0", b"bytes")
    asked, got = rufh.found(url), rufh.ask("GET", url)
    for name in ("Upload-Offset", "Upload-Complete", "Upload-Length", "Cache-Control"):
        must(asked.header(name) == got.header(name), name)


@clause("Practice-4", "SHOULD")
def test_head_reports_all(rufh: Server) -> None:
    """HEAD reports Upload-Complete, and Upload-Length if it is known, in all versions."""
    found = rufh.found(rufh.make(5))
    must((complete_of(found), found.length) == (False, 5), "not all")


@clause("Practice-5", "SHOULD")
def test_a_refusal_needs_no_body(rufh: Server) -> None:
    """A PATCH with Expect: 100-continue that will be refused is refused before its body is requested."""
    with rufh.begin_patch(rufh.make(), 5, "?1", 2**20, {"Expect": "100-continue"}) as line:
        must(line.told() is None, "100")
        line.answer().must_be(409)


@clause("Practice-6", "SHOULD")
def test_refusals_are_not_final(rufh: Server) -> None:
    """A refusal of a PATCH never has Upload-Complete: ?1, which would tell its client that the upload is over."""
    url = rufh.make(9)
    for answer in (
        rufh.patch(url, 5, "?1", b"more"),
        rufh.patch(url, None, "?1", b"bytes"),
        rufh.patch(url, 0, "?1", b"bytes", {"Content-Type": "text/plain"}),
        rufh.patch(url, 0, "?1", b"bytes"),
        rufh.patch(rufh.nowhere(), 0, "?1", b"bytes"),
    ):
        must(complete_of(answer.must_refuse()) is not True, "?1")


@clause("Practice-7", "SHOULD")
def test_a_connection_serves_on(rufh: Server) -> None:
    """After a POST with interim answers its connection serves the next request."""
    stays: Headers = {"Upload-Complete": "?1", "Content-Length": 5, "Connection": "keep-alive"}
    with rufh.begin("POST", rufh.url, stays, b"bytes") as line:
        must_succeed(line.answer())
        target = rufh.url.partition("://")[2].partition("/")
        line.send(f"OPTIONS /{target[2]} HTTP/1.1\r\nHost: {target[0]}\r\nConnection: close\r\n\r\n".encode())
        must_succeed(line.answer())


@clause("Practice-8", "SHOULD")
def test_a_media_type_may_have_parameters(rufh: Server) -> None:
    """The media type of an append may have parameters, and capitals (RFC 9110, 8.3.1)."""
    told: Headers = {"Content-Type": "Application/Partial-Upload; charset=x"}
    rufh.append(rufh.make(), 0, "?1", b"bytes", told)


@clause("Practice-9", "SHOULD")
def test_the_digest_of_the_content(rufh: Server) -> None:
    """Content-Digest (RFC 9530) that does not match is refused, and its bytes are not kept; the right are taken."""
    url = rufh.make()
    answer = rufh.patch(url, 0, "?0", b"bytes", {"Content-Digest": sha256_of(b"other")}).must_refuse()
    must(complete_of(answer) is not True, "?1")
    rufh.must_stay(url, 0)
    rufh.append(url, 0, "?1", b"bytes", {"Content-Digest": sha256_of(b"bytes")})


@clause("Practice-10", "SHOULD")
def test_the_digest_of_the_whole(rufh: Server) -> None:
    """Repr-Digest (RFC 9530) of the POST is verified when the upload ends, by whatever requests it came."""
    right = rufh.make(headers={"Repr-Digest": sha256_of(b"bytesmore")})
    rufh.append(right, 0, "?0", b"bytes")
    must(complete_of(rufh.append(right, 5, "?1", b"more")) is True, "not ?1")
    wrong = rufh.make(headers={"Repr-Digest": sha256_of(b"other")})
    rufh.append(wrong, 0, "?0", b"bytes")
    answer = rufh.patch(wrong, 5, "?1", b"more").must_refuse()
    must(complete_of(answer) is True, "not ?1: sending the rest again would not help")
    rufh.must_be_gone(wrong)


@clause("Practice-11", "MUST")
def test_part_of_what_has_a_digest_is_not_kept(rufh: Server) -> None:
    """A PATCH with Content-Digest that breaks off stores nothing: it cannot be verified."""
    url = rufh.make()
    with rufh.begin_patch(url, 0, "?0", 2**20, {"Content-Digest": sha256_of(b"other")}) as line:
        line.send(CONTENT)
        line.end()
    rufh.must_stay(url, 0)


@clause("Practice-12", "SHOULD")
def test_a_complete_upload_can_be_removed(rufh: Server) -> None:
    """DELETE of a complete upload is a success, and it is gone."""
    url = rufh.make()
    rufh.append(url, 0, "?1", b"bytes")
    must_succeed(rufh.ask("DELETE", url))
    rufh.must_be_gone(url)


@clause("Practice-13", "SHOULD")
def test_another_version_may_continue(rufh: Server) -> None:
    """An upload that was begun in one version can be continued in another."""
    url = rufh.make(9 * len(VERSIONS))
    offset = 0
    for version in VERSIONS:
        rufh.speaking(version).append(url, offset, "?0", b"bytesmore")
        offset += 9
    must(complete_of(rufh.append(url, offset, "?1")) is True, "not ?1")


def _by_tus(rufh: Server) -> TusServer:
    """Return the same server for clients of tus. Raises ``NotAnnounced`` if it does not speak it there."""
    if not rufh.url.startswith("http://") or rufh.options().header("Tus-Version") is None:
        raise NotAnnounced
    return TusServer("the same", rufh.url, rufh.login)


@clause("Practice-14", "MUST")
def test_tus_does_not_complete_it(rufh: Server) -> None:
    """A client of tus finds no upload of RUFH, and its PATCH to the full length does not complete one."""
    tus, url = _by_tus(rufh), rufh.make(5)
    tus.head(url).must_refuse()
    tus.patch(url, 0, b"bytes").must_refuse()
    tus.ask("DELETE", url).must_refuse()
    rufh.must_stay(url, 0)


@clause("Practice-15", "MUST")
def test_it_does_not_complete_tus(rufh: Server) -> None:
    """A client of RUFH cannot continue, complete or remove an upload of tus."""
    tus = _by_tus(rufh)
    url = tus.make(5)
    rufh.head(url).must_refuse()
    rufh.patch(url, 0, "?1", b"bytes").must_refuse()
    rufh.ask("DELETE", url).must_refuse()
    must(tus.offset(url) == 0, "another offset")


# --- beside the clauses ----------------------------------------------------------------------------------------


def test_the_page_is_what_was_seen() -> None:
    """docs/rufh-conformance.md tells what was seen of our daemon just now."""
    if not all_were_tested():
        pytest.skip("not all clauses were tested")
    if TABLE:
        Path(TABLE).write_text(page(), encoding="utf-8")
    elif URL:
        pytest.skip("the page is about our daemon")
    else:
        hint = "ONEC_RUFH_TABLE=docs/rufh-conformance.md pytest tests/system/test_rufh_conformance.py mends it"
        assert DOCUMENT.read_text(encoding="utf-8") == page(), hint


def test_the_same_over_tls(daemons: Callable[..., Daemon], tmp_path: Path) -> None:
    """104 comes first, then 100, a break keeps what came, and the rest completes the upload."""
    certificate = make_certificate(tmp_path)
    listen = f"ssl:0:interface=127.0.0.1:privateKey={certificate.key}:certKey={certificate.chain}"
    daemon = daemons("--min-free=1M", listen=(listen,))
    rufh = Server(f"https://127.0.0.1:{daemon.port}/files/", "shop:secret", trusted=certificate.trusted())

    with rufh.begin_post("?1", 2 * len(CONTENT), {"Expect": "100-continue"}) as line:
        first, second = line.told(), line.told()
        assert first is not None
        assert second is not None
        line.send(CONTENT)
        line.end()
    url = rufh.located(first)
    offset = rufh.offset(url)
    last = rufh.append(url, offset, "?1", (2 * CONTENT)[offset:])

    assert (first.status, second.status, url.startswith("https://")) == (104, 100, True)
    assert (offset, complete_of(last), last.offset) == (len(CONTENT), True, 2 * len(CONTENT))
