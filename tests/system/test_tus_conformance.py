"""Whether a server keeps to tus 1.0.0, clause by clause, by what can be seen on its wire.

``ONEC_TUS_URL`` names the server to ask, ``ONEC_TUS_USER`` is ``user:password`` if it wants Basic. Without a URL it
is our own daemon, and in ``tox -e deploy`` @tus/server as well: what does not hold there is written down but fails
nothing.
``ONEC_TUS_TABLE`` names the file to write the table of results to.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import re
import time
import zlib
from base64 import b64decode, b64encode
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import frozen
from daemon import start
from npm import wanted
from tus_server import CHUNK, NODE, VERSION, Answer, Broken, NotAnnounced, Server, fact_of, fate, must, peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tus_server import Headers

URL = os.environ.get("ONEC_TUS_URL", "")
DEPLOY = "ONEC_TEST_DEPLOY" in os.environ
TABLE = os.environ.get("ONEC_TUS_TABLE", "")
DOCUMENT = Path(__file__).parents[2] / "docs" / "tus-conformance.md"

OURS, PEER = "onec-exchange", "@tus/server"
ASKED = [URL] if URL else [OURS, PEER] if DEPLOY else [OURS]

KB = 1024
CONTENT = bytes(range(256)) * 4 * 64
"""64 KiB to send."""

SOON = 0.2
"""Seconds in which a newer request is to have an upload that an older one holds."""

PRACTICE = "Practice"
"""How the clauses begin that are not in the specification, but what its clients have come to rely on."""


@frozen
class Clause:
    """Something that a server should do; ``holds`` is a sentence that says what."""

    name: str
    strength: str
    holds: str


CLAUSES: dict[str, Clause] = {}
RESULTS: dict[str, dict[str, str]] = {}
"""By the names of servers, and of clauses: what was seen."""


def clause(
    name: str, strength: str, *extensions: str
) -> Callable[[Callable[[Server], None]], Callable[[Server], None]]:
    """Let a test stand for a clause, which holds for servers that announce these extensions."""

    def register(test: Callable[[Server], None]) -> Callable[[Server], None]:
        """Write down what the clause says, and let the test write down what it sees."""
        assert name not in CLAUSES
        CLAUSES[name] = Clause(name, strength, (inspect.getdoc(test) or "").partition("\n")[0])

        @functools.wraps(test)
        def run(tus: Server) -> None:
            """Run the test."""
            seen = RESULTS.setdefault(tus.name, {})
            try:
                tus.must_announce(*extensions)
                test(tus)
            except NotAnnounced:
                seen[name] = "–"
                pytest.skip("not announced")
            except (Broken, TimeoutError, ConnectionError) as error:
                fact = fact_of(error)
                seen[name] = f"✗ {fact}"
                words = f"{name} ({strength}) does not hold: {fact}"
                if tus.must_pass:
                    raise Broken(words) from error
                pytest.xfail(words)
            seen[name] = "✓"

        return run

    return register


@pytest.fixture(scope="module", params=ASKED)
def tus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give each server that is asked."""
    folder = tmp_path_factory.mktemp("tus")
    if URL:
        yield Server(URL, URL, os.environ.get("ONEC_TUS_USER", ""))
    elif request.param == PEER:
        with peer(folder / "files") as server:
            yield server
    else:
        daemon = start(folder / "daemon", "--min-free=1M")
        try:
            yield Server(OURS, f"http://127.0.0.1:{daemon.port}/files/", "shop:secret")
        finally:
            daemon.stop()


def must_stay(tus: Server, url: str, offset: int) -> None:
    """Raise ``Broken`` when an upload is elsewhere."""
    found = tus.offset(url)
    must(found == offset, f"offset {found}, not {offset}")


def must_be_soon(tus: Server, ask: Callable[[str], object], sent: bytes = b"") -> None:
    """Raise ``Broken`` unless a request is soon answered while a PATCH whose sender has stopped has its upload."""
    for _ in range(3):  # the machine may be busy with something else
        url = tus.make(2**20)
        with tus.stalled(url, 0, sent):
            began = time.monotonic()
            ask(url)
            seconds = time.monotonic() - began
        if not SOON <= seconds < 10 * SOON:
            break
    must(seconds < SOON, "later")


def encoded(value: bytes) -> str:
    """Return Base64."""
    return b64encode(value).decode("ascii")


def unpacked(metadata: str | None) -> dict[str, bytes]:
    """Return what an ``Upload-Metadata`` says."""
    pairs = (pair.strip().partition(" ") for pair in (metadata or "").split(",") if pair.strip())
    return {key: b64decode(value) for key, _, value in pairs}


def checksum(algorithm: str, data: bytes) -> str | None:
    """Return an ``Upload-Checksum``, None for an algorithm that we do not know."""
    if algorithm == "crc32":
        return f"crc32 {encoded(zlib.crc32(data).to_bytes(4, 'big'))}"
    if algorithm not in hashlib.algorithms_guaranteed or algorithm.startswith("shake"):
        return None
    return f"{algorithm} {encoded(hashlib.new(algorithm, data).digest())}"


def algorithms(tus: Server) -> list[str]:
    """Return the algorithms that a server announces, and that we know."""
    found = [name for name in tus.listed("Tus-Checksum-Algorithm") if checksum(name, b"")]
    must(bool(found), "no Tus-Checksum-Algorithm")
    return found


def not_numbers() -> tuple[str, ...]:
    """Return what is not a non-negative integer."""
    return "-1", "1.5", "many", "0x10", ""


# --- Core: headers ---------------------------------------------------------------------------------------------


@clause("Tus-Resumable-1", "MUST")
def test_every_answer_names_the_version(tus: Server) -> None:
    """Every answer names the version in Tus-Resumable, whether it is a success or a refusal."""
    made = tus.post({"Upload-Length": 5})
    url = tus.located(made)
    asked = {
        "POST": made,
        "HEAD": tus.head(url),
        "PATCH": tus.patch(url, 0, b"bytes"),
        "409": tus.patch(url, 1, b"bytes"),
        "404": tus.head(tus.nowhere()),
    }
    for name, answer in asked.items():
        must(answer.header("Tus-Resumable") == VERSION, f"{name} does not")


def _in_another_version(tus: Server, url: str) -> dict[str, Answer]:
    other = {"Tus-Resumable": "0.2.2"}
    return {
        "POST": tus.post({"Upload-Length": 5, **other}),
        "HEAD": tus.ask("HEAD", url, other),
        "PATCH": tus.patch(url, 0, b"bytes", other),
        "DELETE": tus.ask("DELETE", url, other),
    }


@clause("Tus-Resumable-2", "MUST")
def test_another_version_is_refused(tus: Server) -> None:
    """A request in a version that the server does not speak gets 412."""
    for answer in _in_another_version(tus, tus.make(5)).values():
        answer.must_be(412)


@clause("Tus-Resumable-3", "MUST")
def test_a_refused_version_hears_which_are_spoken(tus: Server) -> None:
    """The refusal of a version lists in Tus-Version those that are spoken."""
    for method, answer in _in_another_version(tus, tus.make(5)).items():
        must(VERSION in (answer.header("Tus-Version") or ""), f"{method}: no Tus-Version")


@clause("Tus-Resumable-4", "MUST")
def test_another_version_does_nothing(tus: Server) -> None:
    """A request in a version that the server does not speak neither makes, changes nor removes an upload."""
    url = tus.make(5)
    answers = _in_another_version(tus, url)
    must(answers["POST"].header("Location") is None, "POST made one")
    must_stay(tus, url, 0)


@clause("Upload-Offset-1", "MUST")
def test_an_offset_is_a_number(tus: Server) -> None:
    """A PATCH whose Upload-Offset is not a non-negative integer is refused, and stores nothing."""
    url = tus.make(20)
    for offset in not_numbers():
        try:
            tus.patch(url, offset, b"bytes").must_refuse()
        except Broken as broken:
            raise Broken(f'"{offset}": {broken}') from None
    must_stay(tus, url, 0)


@clause("Upload-Offset-2", "MUST")
def test_an_offset_has_to_be_told(tus: Server) -> None:
    """A PATCH without Upload-Offset is refused, and stores nothing."""
    url = tus.make(20)
    tus.patch(url, None, b"bytes").must_refuse()
    must_stay(tus, url, 0)


@clause("Upload-Offset-3", "MUST")
def test_an_offset_is_ascii(tus: Server) -> None:
    """A PATCH whose Upload-Offset has a byte beyond ASCII is refused as well: the mistake is the client's."""
    url = tus.make(20)
    tus.patch(url, "\xb2", b"bytes").must_refuse()
    must_stay(tus, url, 0)


@clause("Upload-Length-1", "MUST")
def test_a_length_is_a_number(tus: Server) -> None:
    """No upload is made with an Upload-Length that is not a non-negative integer."""
    for length in not_numbers():
        answer = tus.post({"Upload-Length": length})
        must(400 <= answer.status < 500 and answer.header("Location") is None, f'"{length}": {answer.status}')


@clause("Upload-Length-2", "MUST")
def test_a_length_stays(tus: Server) -> None:
    """The length of an upload does not change when a PATCH names another."""
    url = tus.make(20)
    tus.patch(url, 0, b"bytes", {"Upload-Length": 30})
    found = tus.head(url).must_be(200, 204)
    must(found.length == 20, f"length {found.length}, not 20")


@clause("Upload-Length-3", "MUST")
def test_no_offset_is_beyond_the_length(tus: Server) -> None:
    """An upload never has more bytes than Upload-Length, though a PATCH sent more, by its Content-Length."""
    url = tus.make(10 * KB)
    tus.patch(url, 0, CONTENT[: 15 * KB])
    must(tus.offset(url) <= 10 * KB, "offset beyond the length")


@clause("Upload-Length-4", "MUST")
def test_no_offset_is_beyond_the_length_by_chunks(tus: Server) -> None:
    """An upload never has more bytes than Upload-Length, though a PATCH in chunks sent more."""
    url = tus.make(10 * KB)
    with tus.begin_patch(url, 0, None) as line:
        line.send_chunks([CONTENT[: 5 * KB]] * 3)
        fate(line)
    must(tus.offset(url) <= 10 * KB, "offset beyond the length")


@clause("X-HTTP-Method-Override-1", "MUST")
def test_patch_may_come_as_post(tus: Server) -> None:
    """A POST with X-HTTP-Method-Override: PATCH is a PATCH."""
    url = tus.make(5)
    headers: Headers = {"X-HTTP-Method-Override": "PATCH", "Upload-Offset": 0, "Content-Type": CHUNK}
    tus.ask("POST", url, headers, b"bytes").must_be(204)
    must_stay(tus, url, 5)


@clause("X-HTTP-Method-Override-2", "MUST", "termination")
def test_delete_may_come_as_post(tus: Server) -> None:
    """A POST with X-HTTP-Method-Override: DELETE is a DELETE."""
    url = tus.make(5)
    tus.ask("POST", url, {"X-HTTP-Method-Override": "DELETE"}).must_be(204)
    tus.head(url).must_be(404, 410)


@clause("X-HTTP-Method-Override-3", "MUST")
def test_head_may_come_as_post(tus: Server) -> None:
    """A POST with X-HTTP-Method-Override: HEAD is a HEAD."""
    answer = tus.ask("POST", tus.make(5), {"X-HTTP-Method-Override": "HEAD"}).must_be(200, 204)
    must((answer.offset, answer.length) == (0, 5), f"offset {answer.offset}, length {answer.length}")


@clause("X-HTTP-Method-Override-4", "MUST")
def test_the_method_on_the_wire_does_not_count(tus: Server) -> None:
    """The method of the request itself is ignored: a PATCH with X-HTTP-Method-Override: HEAD stores nothing."""
    url = tus.make(5)
    tus.patch(url, 0, b"bytes", {"X-HTTP-Method-Override": "HEAD"})
    must_stay(tus, url, 0)


# --- Core: OPTIONS ---------------------------------------------------------------------------------------------


@clause("OPTIONS-1", "MUST")
def test_options_tell_the_versions(tus: Server) -> None:
    """OPTIONS gets 204 or 200, and the versions in Tus-Version."""
    answer = tus.options().must_be(200, 204)
    must(VERSION in (answer.header("Tus-Version") or ""), "no Tus-Version")


@clause("OPTIONS-2", "MUST")
def test_options_ask_for_no_version(tus: Server) -> None:
    """A Tus-Resumable in OPTIONS does not count, even of a version that the server does not speak."""
    tus.ask("OPTIONS", tus.url, {"Tus-Resumable": "0.2.2"}).must_be(200, 204)


@clause("Tus-Extension-1", "MUST")
def test_a_list_of_extensions_is_not_empty(tus: Server) -> None:
    """Tus-Extension lists extensions by their names, or is not there at all."""
    told = tus.options().header("Tus-Extension")
    must(told is None or re.fullmatch(r"[a-z-]+( *, *[a-z-]+)*", told) is not None, f'"{told}"')


@clause("Tus-Extension-2", "MUST")
def test_what_is_announced_is_there(tus: Server) -> None:
    """Each extension that is announced does something: there is none that is a name alone."""
    url = tus.make(9)
    brought = tus.patch(url, 0, b"bytes").must_be(204)
    works: dict[str, Callable[[], bool]] = {
        "creation": lambda: True,
        "creation-defer-length": lambda: tus.post({"Upload-Defer-Length": 1}).status == 201,
        "creation-with-upload": lambda: (
            tus.post({"Upload-Length": 9, "Content-Type": CHUNK}, b"bytes").header("Upload-Offset") == "5"
        ),
        "expiration": lambda: brought.header("Upload-Expires") is not None,
        "checksum": lambda: tus.patch(url, 5, b"more", {"Upload-Checksum": checksum("sha1", b"less")}).status == 460,
        "concatenation": lambda: tus.post({"Upload-Length": 9, "Upload-Concat": "partial"}).status == 201,
        "termination": lambda: tus.ask("DELETE", url).status == 204,
    }
    for name in tus.listed("Tus-Extension"):
        must(works.get(name, lambda: True)(), f"{name} does not")


@clause("Tus-Max-Size-1", "MUST")
def test_the_largest_size_is_a_number(tus: Server) -> None:
    """Tus-Max-Size, when it is given, is a non-negative integer."""
    _largest(tus)


def _largest(tus: Server) -> int:
    told = tus.options().header("Tus-Max-Size")
    if told is None:
        raise NotAnnounced
    must(told.isascii() and told.isdigit(), f'"{told}"')
    return int(told)


# --- Core: HEAD ------------------------------------------------------------------------------------------------


@clause("HEAD-1", "SHOULD")
def test_head_is_a_success(tus: Server) -> None:
    """HEAD gets 200 or 204 while an upload is there."""
    tus.head(tus.make(5)).must_be(200, 204)


@clause("HEAD-2", "MUST")
def test_head_tells_that_nothing_came(tus: Server) -> None:
    """HEAD reports Upload-Offset: 0 for an upload that is new."""
    must_stay(tus, tus.make(5), 0)


@clause("HEAD-3", "MUST")
def test_head_tells_how_much_came(tus: Server) -> None:
    """HEAD reports in Upload-Offset how many bytes have come."""
    url = tus.make(9)
    tus.patch(url, 0, b"bytes").must_be(204)
    must_stay(tus, url, 5)


@clause("HEAD-4", "MUST")
def test_head_tells_that_all_came(tus: Server) -> None:
    """HEAD reports Upload-Offset for an upload that is complete as well."""
    url = tus.make(5)
    tus.patch(url, 0, b"bytes").must_be(204)
    must_stay(tus, url, 5)


@clause("HEAD-5", "MUST")
def test_head_tells_the_length(tus: Server) -> None:
    """HEAD reports Upload-Length when it is known, before and after the bytes."""
    url = tus.make(5)
    for body in (b"bytes", b""):
        length = tus.head(url).length
        must(length == 5, f"length {length}, not 5")
        tus.patch(url, 0, body)


@clause("HEAD-6", "MUST")
def test_head_is_not_stored(tus: Server) -> None:
    """No cache keeps the answer to HEAD: Cache-Control is no-store."""
    told = tus.head(tus.make(5)).header("Cache-Control") or ""
    must("no-store" in told, f'"{told}"')


@clause("HEAD-7", "SHOULD")
def test_head_of_no_upload(tus: Server) -> None:
    """HEAD of an upload that is not there gets 404, 410 or 403."""
    tus.head(tus.nowhere()).must_be(404, 410, 403)


@clause("HEAD-8", "SHOULD")
def test_head_of_no_upload_tells_no_offset(tus: Server) -> None:
    """HEAD of an upload that is not there reports no Upload-Offset."""
    must(tus.head(tus.nowhere()).header("Upload-Offset") is None, "Upload-Offset")


# --- Core: PATCH -----------------------------------------------------------------------------------------------


@clause("PATCH-1", "MUST")
def test_bytes_at_the_offset_are_taken(tus: Server) -> None:
    """PATCH at the offset that the upload has gets 204."""
    tus.patch(tus.make(5), 0, b"bytes").must_be(204)


@clause("PATCH-2", "MUST")
def test_patch_tells_the_new_offset(tus: Server) -> None:
    """The answer to PATCH reports the offset that follows its bytes, for one after the other."""
    url = tus.make(9)
    for offset, body in ((0, b"bytes"), (5, b"more")):
        found = tus.patch(url, offset, body).must_be(204).offset
        must(found == offset + len(body), f"offset {found}, not {offset + len(body)}")


@clause("PATCH-3", "MUST")
def test_chunks_are_taken(tus: Server) -> None:
    """PATCH may come in chunks, without Content-Length."""
    url = tus.make(9)
    with tus.begin_patch(url, 0, None) as line:
        line.send_chunks([b"bytes", b"more"])
        must(line.answer().must_be(204).offset == 9, "another offset")


@clause("PATCH-4", "MUST")
def test_another_offset_is_refused(tus: Server) -> None:
    """PATCH at an offset that the upload does not have, smaller or larger, gets 409."""
    url = tus.make(20)
    tus.patch(url, 0, b"bytes").must_be(204)
    for offset in (0, 4, 6, 20, 10**12):
        tus.patch(url, offset, b"x").must_be(409)


@clause("PATCH-5", "MUST")
def test_another_offset_changes_nothing(tus: Server) -> None:
    """PATCH at an offset that the upload does not have changes nothing."""
    url = tus.make(20)
    tus.patch(url, 0, b"bytes").must_be(204)
    for offset in (0, 4, 6):
        tus.patch(url, offset, b"other")
    must_stay(tus, url, 5)


@clause("PATCH-6", "SHOULD")
def test_another_content_type_is_refused(tus: Server) -> None:
    """PATCH with another Content-Type than that of tus, or with none, gets 415 and changes nothing."""
    url = tus.make(20)
    for told in ("application/octet-stream", "text/plain", None):
        tus.patch(url, 0, b"bytes", {"Content-Type": told}).must_be(415)
    must_stay(tus, url, 0)


@clause("PATCH-7", "SHOULD")
def test_bytes_for_no_upload(tus: Server) -> None:
    """PATCH of an upload that is not there gets 404 or 410."""
    tus.patch(tus.nowhere(), 0, b"bytes").must_be(404, 410)


@clause("PATCH-8", "MUST")
def test_no_bytes_are_fine(tus: Server) -> None:
    """PATCH without a body gets 204, and the offset stays as it is."""
    url = tus.make(9)
    tus.patch(url, 0, b"bytes").must_be(204)
    must(tus.patch(url, 5, b"").must_be(204).offset == 5, "another offset")
    must_stay(tus, url, 5)


@clause("PATCH-9", "SHOULD")
def test_what_came_is_kept(tus: Server) -> None:
    """When the connection is closed in the middle of a PATCH, the bytes that have come are kept."""
    url = tus.make(2**20)
    with tus.begin_patch(url, 0, 2**20) as line:
        line.send(CONTENT)
        line.end()
    must_stay(tus, url, len(CONTENT))


@clause("PATCH-10", "SHOULD")
def test_what_came_in_chunks_is_kept(tus: Server) -> None:
    """When the connection is closed in the middle of a PATCH in chunks, the bytes that have come are kept."""
    url = tus.make(2**20)
    with tus.begin_patch(url, 0, None) as line:
        line.send_chunks([CONTENT], all_of_it=False)
        line.end()
    must_stay(tus, url, len(CONTENT))


@clause("PATCH-11", "SHOULD")
def test_what_came_before_a_reset_is_kept(tus: Server) -> None:
    """When the connection is reset in the middle of a PATCH, bytes that the server had read are kept."""
    for patience in (0.1, 0.5, 2):  # how long a server takes to read cannot be seen
        url = tus.make(2**20)
        with tus.begin_patch(url, 0, 2**20) as line:
            line.send(CONTENT)
            time.sleep(patience)
            line.reset()
        found = _offset_in_the_end(tus, url, 1)
        if found:
            must(found <= len(CONTENT), f"offset {found} of {len(CONTENT)} that were sent")
            return
    raise Broken("offset 0")


def _offset_in_the_end(tus: Server, url: str, least: int) -> int:
    """Return how far an upload is, once it is so far, or after a moment."""
    deadline = time.monotonic() + 0.5
    while (found := tus.offset(url)) < least and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


@clause("PATCH-12", "MUST")
def test_a_broken_upload_goes_on(tus: Server) -> None:
    """After a break an upload continues from the offset that HEAD reports, until it is complete."""
    whole = 3 * CONTENT
    url = tus.make(len(whole))
    with tus.begin_patch(url, 0, len(whole)) as line:
        line.send(whole[: 100 * KB])
        line.end()
    offset = tus.offset(url)
    must(tus.patch(url, offset, whole[offset:]).must_be(204).offset == len(whole), "another offset")
    must_stay(tus, url, len(whole))


@clause("PATCH-13", "SHOULD")
def test_the_little_that_came_is_kept(tus: Server) -> None:
    """When few bytes come, right behind the head of a PATCH, and then the end of the connection, they are kept."""
    url = tus.make(2**20)
    with tus.begin_patch(url, 0, 2**20) as line:
        line.send(CONTENT[: 10 * KB])
        line.end()
    must_stay(tus, url, 10 * KB)


@clause("PATCH-14", "MUST")
def test_an_immense_offset_is_another_one(tus: Server) -> None:
    """PATCH at an offset of many digits gets 409 as for any other that the upload does not have."""
    tus.patch(tus.make(20), 10**20, b"x").must_be(409)


# --- Creation --------------------------------------------------------------------------------------------------


@clause("Creation-1", "MUST", "creation")
def test_an_upload_is_made(tus: Server) -> None:
    """POST with Upload-Length gets 201."""
    tus.post({"Upload-Length": 5}).must_be(201)


@clause("Creation-2", "MUST", "creation")
def test_an_upload_has_a_url(tus: Server) -> None:
    """POST gets a Location, absolute or relative, that leads to the upload."""
    answer = tus.head(tus.located(tus.post({"Upload-Length": 5}))).must_be(200, 204)
    must((answer.offset, answer.length) == (0, 5), f"offset {answer.offset}, length {answer.length}")


@clause("Creation-3", "MUST", "creation")
def test_each_upload_has_a_url_of_its_own(tus: Server) -> None:
    """Two POSTs make two uploads, and the bytes of one are not those of the other."""
    one, other = tus.make(5), tus.make(5)
    must(one != other, "one URL")
    tus.patch(one, 0, b"bytes").must_be(204)
    must_stay(tus, other, 0)


@clause("Creation-4", "MUST", "creation")
def test_an_upload_may_be_too_large(tus: Server) -> None:
    """POST with an Upload-Length over Tus-Max-Size gets 413."""
    tus.post({"Upload-Length": _largest(tus) + 1}).must_be(413)


@clause("Creation-5", "MUST", "creation")
def test_nothing_is_complete_at_once(tus: Server) -> None:
    """An upload with Upload-Length: 0 is complete when it is made."""
    answer = tus.head(tus.make(0)).must_be(200, 204)
    must((answer.offset, answer.length) == (0, 0), f"offset {answer.offset}, length {answer.length}")


@clause("Creation-6", "MUST", "creation")
def test_a_length_has_to_be_told(tus: Server) -> None:
    """POST with neither Upload-Length nor Upload-Defer-Length is refused."""
    tus.post({}).must_refuse()


@clause("Creation-7", "MUST", "creation")
def test_an_upload_may_be_immense(tus: Server) -> None:
    """POST with an Upload-Length of many digits gets 413 as for any other over Tus-Max-Size."""
    _largest(tus)
    tus.post({"Upload-Length": 10**20}).must_be(413)


@clause("Upload-Metadata-1", "MUST", "creation")
def test_metadata_come_back(tus: Server) -> None:
    """HEAD reports the metadata that POST sent, whatever their values are."""
    told = {"filename": "Каталог товаров.xml".encode(), "note": b"a, b", "raw": b"\x00\xff"}
    url = tus.make(5, ",".join(f"{key} {encoded(value)}" for key, value in told.items()))
    found = unpacked(tus.head(url).header("Upload-Metadata"))
    for key, value in told.items():
        must(found.get(key) == value, f"{key} is another")
    must(len(found) == len(told), "more than that")


@clause("Upload-Metadata-2", "MUST", "creation")
def test_metadata_may_be_empty(tus: Server) -> None:
    """A value of the metadata may be empty, with a blank behind its key or without."""
    for told in ("filename YQ==,empty ", "empty,filename YQ=="):
        found = tus.head(tus.make(5, told)).header("Upload-Metadata")
        must(unpacked(found) == {"filename": b"a", "empty": b""}, f'"{found}"')


@clause("Upload-Defer-Length-1", "MUST", "creation", "creation-defer-length")
def test_a_length_may_come_later(tus: Server) -> None:
    """POST with Upload-Defer-Length: 1 gets 201 and a Location."""
    tus.located(tus.post({"Upload-Defer-Length": 1}))


@clause("Upload-Defer-Length-2", "MUST", "creation", "creation-defer-length")
def test_head_tells_that_the_length_comes_later(tus: Server) -> None:
    """HEAD reports Upload-Defer-Length: 1 and no Upload-Length until the length is known."""
    url = tus.make()
    tus.patch(url, 0, b"bytes").must_be(204)
    answer = tus.head(url).must_be(200, 204)
    must(answer.header("Upload-Defer-Length") == "1", "no Upload-Defer-Length")
    must(answer.header("Upload-Length") is None, "Upload-Length")
    must(answer.offset == 5, f"offset {answer.offset}, not 5")


@clause("Upload-Defer-Length-3", "MUST", "creation", "creation-defer-length")
def test_a_length_comes_with_a_patch(tus: Server) -> None:
    """A later PATCH may give the length, and HEAD reports it from then on, without Upload-Defer-Length."""
    url = tus.make()
    tus.patch(url, 0, b"bytes").must_be(204)
    tus.patch(url, 5, b"more", {"Upload-Length": 20}).must_be(204)
    answer = tus.head(url).must_be(200, 204)
    must((answer.offset, answer.length) == (9, 20), f"offset {answer.offset}, length {answer.length}")
    must(answer.header("Upload-Defer-Length") is None, "Upload-Defer-Length")


@clause("Upload-Defer-Length-4", "MUST", "creation", "creation-defer-length")
def test_a_length_that_came_later_stays(tus: Server) -> None:
    """A length that a PATCH gave is not changed by another PATCH."""
    url = tus.make()
    tus.patch(url, 0, b"bytes", {"Upload-Length": 20}).must_be(204)
    tus.patch(url, 5, b"more", {"Upload-Length": 30})
    found = tus.head(url).length
    must(found == 20, f"length {found}, not 20")


@clause("Upload-Defer-Length-5", "MUST", "creation")
def test_a_length_comes_later_or_not(tus: Server) -> None:
    """Upload-Defer-Length with any value but 1 gets 400."""
    for told in ("0", "2", "true", ""):
        answer = tus.post({"Upload-Defer-Length": told})
        must(answer.status == 400, f'"{told}": {answer.status}')


@clause("Upload-Defer-Length-6", "MUST", "creation")
def test_a_known_length_is_not_deferred(tus: Server) -> None:
    """HEAD reports no Upload-Defer-Length for an upload whose length POST gave."""
    must(tus.head(tus.make(5)).header("Upload-Defer-Length") is None, "Upload-Defer-Length")


@clause("Upload-Defer-Length-7", "MUST", "creation", "creation-defer-length")
def test_a_length_is_not_told_and_deferred(tus: Server) -> None:
    """POST with both Upload-Length and Upload-Defer-Length is refused."""
    tus.post({"Upload-Length": 5, "Upload-Defer-Length": 1}).must_refuse()


@clause("Upload-Defer-Length-8", "MUST", "creation", "creation-defer-length")
def test_a_length_may_come_last(tus: Server) -> None:
    """A PATCH without a body may declare the length of what has already arrived."""
    url = tus.make()
    tus.patch(url, 0, b"bytes").must_be(204)
    tus.patch(url, 5, b"", {"Upload-Length": 5}).must_be(204)
    answer = tus.head(url).must_be(200, 204)
    must((answer.offset, answer.length) == (5, 5), f"offset {answer.offset}, length {answer.length}")


# --- Creation With Upload --------------------------------------------------------------------------------------


@clause("Creation-With-Upload-1", "MUST", "creation-with-upload")
def test_a_post_may_bring_all(tus: Server) -> None:
    """POST may send all of an upload: it gets 201, and the Upload-Offset that follows the bytes."""
    answer = tus.post({"Upload-Length": 5, "Content-Type": CHUNK}, b"bytes")
    url = tus.located(answer)
    must(answer.offset == 5, f"offset {answer.offset}, not 5")
    must_stay(tus, url, 5)


@clause("Creation-With-Upload-2", "MUST", "creation-with-upload")
def test_a_post_may_bring_part(tus: Server) -> None:
    """POST may send the first bytes of an upload, and PATCH the others."""
    answer = tus.post({"Upload-Length": 9, "Content-Type": CHUNK}, b"bytes")
    url = tus.located(answer)
    must(answer.offset == 5, f"offset {answer.offset}, not 5")
    must(tus.patch(url, 5, b"more").must_be(204).offset == 9, "another offset")


@clause("Creation-With-Upload-3", "MUST", "creation-with-upload", "creation-defer-length")
def test_a_post_may_bring_part_of_who_knows(tus: Server) -> None:
    """POST may send bytes of an upload whose length is given later."""
    answer = tus.post({"Upload-Defer-Length": 1, "Content-Type": CHUNK}, b"bytes")
    url = tus.located(answer)
    must(answer.offset == 5, f"offset {answer.offset}, not 5")
    must_stay(tus, url, 5)


@clause("Creation-With-Upload-4", "MUST", "creation-with-upload")
def test_a_post_may_bring_chunks(tus: Server) -> None:
    """POST may send its bytes in chunks."""
    headers: Headers = {"Upload-Length": 9, "Content-Type": CHUNK, "Transfer-Encoding": "chunked"}
    with tus.begin("POST", tus.url, headers) as line:
        line.send_chunks([b"bytes", b"more"])
        answer = line.answer().must_be(201)
    must(answer.offset == 9, f"offset {answer.offset}, not 9")


@clause("Creation-With-Upload-5", "MUST", "creation-with-upload")
def test_a_post_brings_no_more_than_the_length(tus: Server) -> None:
    """A POST that sends more than Upload-Length makes no upload with an offset beyond its length."""
    answer = tus.post({"Upload-Length": 5, "Content-Type": CHUNK}, b"bytes and more")
    if answer.status == 201:
        must(tus.offset(tus.located(answer)) <= 5, "offset beyond the length")
    else:
        answer.must_refuse()


@clause("Creation-With-Upload-6", "SHOULD", "creation-with-upload")
def test_a_post_of_another_content_type_brings_nothing(tus: Server) -> None:
    """The body of a POST with another Content-Type is not part of an upload."""
    answer = tus.post({"Upload-Length": 5, "Content-Type": "text/plain"}, b"bytes")
    if answer.status == 201:
        must_stay(tus, tus.located(answer), 0)
    else:
        answer.must_refuse()


# --- Expiration ------------------------------------------------------------------------------------------------


def _expires(answer: Answer) -> str:
    told = answer.header("Upload-Expires")
    if told is None:
        raise Broken("no Upload-Expires")
    return told


@clause("Expiration-1", "MUST", "expiration")
def test_patch_tells_when_an_upload_ends(tus: Server) -> None:
    """The answer to each PATCH that leaves an upload unfinished has Upload-Expires."""
    url = tus.make(20)
    for offset, body in ((0, b"bytes"), (5, b""), (5, b"more")):
        _expires(tus.patch(url, offset, body).must_be(204))


@clause("Expiration-2", "MUST", "expiration")
def test_the_end_of_an_upload_is_a_date(tus: Server) -> None:
    """Upload-Expires is a date as HTTP writes it, and still to come."""
    told = _expires(tus.patch(tus.make(20), 0, b"bytes").must_be(204))
    must(re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", told) is not None, f'"{told}"')
    must(parsedate_to_datetime(told).timestamp() > time.time(), "in the past")


# --- Checksum --------------------------------------------------------------------------------------------------


@clause("Checksum-1", "MUST", "checksum")
def test_the_algorithms_are_listed(tus: Server) -> None:
    """OPTIONS reports in Tus-Checksum-Algorithm which algorithms there are, in lower case."""
    told = tus.options().header("Tus-Checksum-Algorithm") or ""
    must(bool(told) and told == told.lower() and told.isascii(), f'"{told}"')


@clause("Checksum-2", "MUST", "checksum")
def test_sha1_is_listed(tus: Server) -> None:
    """The algorithm sha1 is among them."""
    must("sha1" in algorithms(tus), "no sha1")


@clause("Checksum-3", "MUST", "checksum")
def test_bytes_with_their_checksum_are_taken(tus: Server) -> None:
    """PATCH whose bytes have the checksum that it names is taken, by each algorithm that is listed."""
    for algorithm in algorithms(tus):
        told: Headers = {"Upload-Checksum": checksum(algorithm, CONTENT)}
        answer = tus.patch(tus.make(2**20), 0, CONTENT, told)
        must((answer.status, answer.header("Upload-Offset")) == (204, "65536"), f"{algorithm}: {answer.status}")


@clause("Checksum-4", "MUST", "checksum")
def test_other_bytes_are_refused(tus: Server) -> None:
    """PATCH whose bytes do not have the checksum that it names gets 460, by each algorithm that is listed."""
    for algorithm in algorithms(tus):
        answer = tus.patch(tus.make(2**20), 0, CONTENT, {"Upload-Checksum": checksum(algorithm, b"other")})
        must(answer.status == 460, f"{algorithm}: {answer.status}")


@clause("Checksum-5", "MUST", "checksum")
def test_other_bytes_are_not_kept(tus: Server) -> None:
    """PATCH whose bytes do not have the checksum changes nothing, and the right bytes may follow."""
    url = tus.make(9)
    tus.patch(url, 0, b"bytes").must_be(204)
    told: Headers = {"Upload-Checksum": checksum("sha1", b"more")}
    tus.patch(url, 5, b"less", told)
    must_stay(tus, url, 5)
    must(tus.patch(url, 5, b"more", told).must_be(204).offset == 9, "another offset")


@clause("Checksum-6", "MUST", "checksum")
def test_another_algorithm_is_refused(tus: Server) -> None:
    """PATCH with an algorithm that is not listed gets 400."""
    told: Headers = {"Upload-Checksum": f"sha0 {encoded(bytes(20))}"}
    tus.patch(tus.make(5), 0, b"bytes", told).must_be(400)


@clause("Checksum-7", "MUST", "checksum")
def test_bytes_with_another_algorithm_are_not_kept(tus: Server) -> None:
    """PATCH with an algorithm that is not listed changes nothing."""
    url = tus.make(5)
    tus.patch(url, 0, b"bytes", {"Upload-Checksum": f"sha0 {encoded(bytes(20))}"})
    must_stay(tus, url, 0)


@clause("Checksum-8", "MUST", "checksum")
def test_chunks_have_a_checksum(tus: Server) -> None:
    """The checksum of a body in chunks is that of its bytes, without what frames them."""
    url = tus.make(9)
    told: Headers = {"Upload-Checksum": checksum("sha1", b"bytesmore")}
    with tus.begin_patch(url, 0, None, told) as line:
        line.send_chunks([b"bytes", b"more"])
        must(line.answer().must_be(204).offset == 9, "another offset")


@clause("Checksum-9", "MUST", "checksum", "creation-defer-length")
def test_other_bytes_do_not_tell_the_length(tus: Server) -> None:
    """PATCH whose bytes do not have the checksum changes nothing of the upload: its Upload-Length does not count."""
    url = tus.make()
    told: Headers = {"Upload-Checksum": checksum("sha1", b"bytes"), "Upload-Length": 5}
    tus.patch(url, 0, b"other", told).must_be(460)
    found = tus.head(url).must_be(200, 204).header("Upload-Length")
    must(found is None, f"length {found}")


@clause("Checksum-10", "MUST", "checksum")
def test_no_bytes_have_a_checksum(tus: Server) -> None:
    """A PATCH without a body has a checksum as well: the right one gets 204, another 460."""
    url = tus.make(9)
    tus.patch(url, 0, b"bytes").must_be(204)
    tus.patch(url, 5, b"", {"Upload-Checksum": checksum("sha1", b"")}).must_be(204)
    tus.patch(url, 5, b"", {"Upload-Checksum": checksum("sha1", b"more")}).must_be(460)


@clause("Checksum-11", "MUST", "checksum")
def test_no_bytes_have_a_checksum_when_all_came(tus: Server) -> None:
    """A PATCH without a body, but with a checksum, gets 460 at the end of a complete upload, too."""
    url = tus.make(5)
    tus.patch(url, 0, b"bytes").must_be(204)
    tus.patch(url, 5, b"", {"Upload-Checksum": checksum("sha1", b"more")}).must_be(460)


# --- Termination -----------------------------------------------------------------------------------------------


@clause("Termination-1", "MUST", "termination")
def test_an_unfinished_upload_is_removed(tus: Server) -> None:
    """DELETE of an upload that is not complete gets 204."""
    url = tus.make(9)
    tus.patch(url, 0, b"bytes").must_be(204)
    tus.ask("DELETE", url).must_be(204)


@clause("Termination-2", "MUST", "termination")
def test_a_complete_upload_is_removed(tus: Server) -> None:
    """DELETE of an upload that is complete gets 204."""
    url = tus.make(5)
    tus.patch(url, 0, b"bytes").must_be(204)
    tus.ask("DELETE", url).must_be(204)


@clause("Termination-3", "SHOULD", "termination")
def test_a_removed_upload_is_gone(tus: Server) -> None:
    """An upload that was removed answers 404 or 410 to every request."""
    for length in (9, 5):
        url = tus.make(length)
        tus.patch(url, 0, b"bytes").must_be(204)
        tus.ask("DELETE", url).must_be(204)
        for answer in (tus.head(url), tus.patch(url, 5, b"more"), tus.ask("DELETE", url)):
            answer.must_be(404, 410)


# --- Good practice ---------------------------------------------------------------------------------------------


@clause("Practice-1", "SHOULD")
def test_another_offset_hears_the_right_one(tus: Server) -> None:
    """A 409 reports the right Upload-Offset, which saves a HEAD, and is how a lost 204 shows."""
    url = tus.make(9)
    tus.patch(url, 0, b"bytes").must_be(204)
    must(tus.patch(url, 0, b"bytes").must_be(409).offset == 5, "another offset")
    tus.patch(url, 5, b"more").must_be(204)
    must(tus.patch(url, 5, b"more").must_be(409).offset == 9, "another offset")


@clause("Practice-2", "SHOULD")
def test_head_takes_over(tus: Server) -> None:
    """HEAD gets the offset within 200 ms though a PATCH whose sender has stopped holds the upload."""
    must_be_soon(tus, tus.offset, CONTENT)


@clause("Practice-3", "SHOULD")
def test_the_older_sender_learns_it(tus: Server) -> None:
    """The sender of a PATCH that HEAD has ended gets 409, or the offset that HEAD reported, or is cut off."""
    url = tus.make(2**20)
    with tus.stalled(url, 0, CONTENT) as line:
        offset = tus.offset(url)
        try:
            answer = line.answer().must_be(204, 409)
        except ConnectionError:
            return
    must(answer.status == 409 or answer.offset == offset, f"offset {answer.offset}, not {offset}")


@clause("Practice-4", "MUST")
def test_what_head_told_stands(tus: Server) -> None:
    """Bytes that an older PATCH sends after HEAD reported an offset are not added: a PATCH there is accepted."""
    url = tus.make(2**20)
    with tus.stalled(url, 0, CONTENT) as line:
        offset = tus.offset(url)
        line.send(CONTENT)
        must(tus.patch(url, offset, b"bytes").must_be(204).offset == offset + 5, "another offset")
    must_stay(tus, url, offset + 5)


@clause("Practice-5", "SHOULD")
def test_patch_takes_over(tus: Server) -> None:
    """A PATCH at the right offset is taken within 200 ms though one whose sender has stopped holds the upload."""
    must_be_soon(tus, lambda url: tus.patch(url, 0, b"bytes").must_be(204))


@clause("Practice-6", "MUST")
def test_equal_patches_count_once(tus: Server) -> None:
    """Of several PATCHes for one offset at once only one counts; the others get 409 or 423, or are cut off."""
    url = tus.make(2**20)

    def send(_: int) -> str:
        """Send all that the others send, and return what is heard."""
        with tus.begin_patch(url, 0, len(CONTENT)) as line:
            line.send(CONTENT)
            return fate(line)

    with ThreadPoolExecutor(4) as pool:
        heard = list(pool.map(send, range(4)))
    for one in heard:
        must(one in {"204", "409", "423", "closed"}, one)
    must(heard.count("204") <= 1, "204 twice")
    found = tus.offset(url)
    must(found <= len(CONTENT), "counted twice")
    must("204" not in heard or found == len(CONTENT), "204 for less")


@clause("Practice-7", "MUST")
def test_an_offset_never_goes_back(tus: Server) -> None:
    """Upload-Offset is never smaller than one that was reported before, whatever breaks off in between."""
    url = tus.make(2**20)
    told = tus.patch(url, 0, CONTENT).must_be(204).offset
    for is_reset in (False, True, False, True):
        with tus.begin_patch(url, told, 2**20 - told) as line:
            line.send(CONTENT)
            if is_reset:
                line.reset()
            else:
                line.end()
        found = tus.offset(url)
        must(found >= told, f"from {told} to {found}")
        told = found


@clause("Practice-8", "MUST")
def test_too_many_chunks_never_complete(tus: Server) -> None:
    """A PATCH in chunks that sends more than Upload-Length is refused, and never completes the upload."""
    url = tus.make(10 * KB)
    with tus.begin_patch(url, 0, None) as line:
        line.send_chunks([CONTENT[: 5 * KB]] * 3)
        end = fate(line)
    must(end[0] == "4" or end == "closed", end)
    must(tus.offset(url) < 10 * KB, "complete")


@clause("Practice-9", "MUST")
def test_too_long_a_body_never_completes(tus: Server) -> None:
    """A PATCH whose Content-Length is beyond Upload-Length is refused, and never completes the upload."""
    url = tus.make(10 * KB)
    tus.patch(url, 0, CONTENT[: 15 * KB]).must_refuse()
    must(tus.offset(url) < 10 * KB, "complete")


@clause("Practice-10", "MUST")
def test_an_upload_survives_too_much(tus: Server) -> None:
    """After a PATCH that sent too much the upload can still be completed with the right bytes."""
    url = tus.make(10 * KB)
    with tus.begin_patch(url, 0, None) as line:
        line.send_chunks([CONTENT[: 5 * KB]] * 3)
        fate(line)
    offset = tus.offset(url)
    must(tus.patch(url, offset, CONTENT[offset : 10 * KB]).must_be(204).offset == 10 * KB, "another offset")


@clause("Practice-11", "SHOULD")
def test_an_offset_that_is_no_number_hears_400(tus: Server) -> None:
    """A PATCH whose Upload-Offset is missing or not a number gets 400."""
    url = tus.make(20)
    for offset in ("-1", "many", "1.5", None):
        tus.patch(url, offset, b"bytes").must_be(400)


@clause("Practice-12", "SHOULD")
def test_a_length_that_is_no_number_hears_400(tus: Server) -> None:
    """A POST whose Upload-Length is missing, not a number, or deferred at the same time gets 400."""
    told: Headers
    for told in (
        {},
        {"Upload-Length": "-1"},
        {"Upload-Length": "many"},
        {"Upload-Length": 5, "Upload-Defer-Length": 1},
    ):
        tus.post(told).must_be(400)


@clause("Practice-13", "SHOULD")
def test_metadata_that_cannot_be_read_hear_400(tus: Server) -> None:
    """A POST whose Upload-Metadata have a key twice, an empty key, or a value that is not Base64 gets 400."""
    for told in ("a YQ==,a Yg==", "a YQ==,,b Yg==", "a !!!!"):
        answer = tus.post({"Upload-Length": 5, "Upload-Metadata": told})
        must(answer.status == 400, f'"{told}": {answer.status}')


@clause("Practice-14", "SHOULD")
def test_a_request_without_a_version_is_refused(tus: Server) -> None:
    """A request other than OPTIONS without Tus-Resumable gets 412, and does nothing."""
    tus.post({"Upload-Length": 5, "Tus-Resumable": None}).must_be(412)
    url = tus.make(5)
    tus.patch(url, 0, b"bytes", {"Tus-Resumable": None}).must_be(412)
    must_stay(tus, url, 0)


@clause("Practice-15", "SHOULD")
def test_a_refusal_needs_no_body(tus: Server) -> None:
    """A PATCH with Expect: 100-continue that will be refused is refused before its body is requested."""
    with tus.begin_patch(tus.make(2**20), 5, 2**20 - 5, {"Expect": "100-continue"}) as line:
        must(not line.is_invited(), "100")
        line.answer().must_be(409)


@clause("Practice-16", "MUST", "checksum", "creation-with-upload")
def test_a_post_has_a_checksum(tus: Server) -> None:
    """The checksum of a POST that sends bytes counts, or is refused with 400; it is never ignored."""
    headers: Headers = {"Upload-Length": 9, "Content-Type": CHUNK}
    answer = tus.post({**headers, "Upload-Checksum": checksum("sha1", b"bytes")}, b"bytes")
    if answer.status == 201:
        must(answer.offset == 5, f"offset {answer.offset}, not 5")
        tus.post({**headers, "Upload-Checksum": checksum("sha1", b"other")}, b"bytes").must_be(460)
    else:
        answer.must_be(400)


@clause("Practice-17", "MUST", "checksum")
def test_part_of_what_has_a_checksum_is_not_kept(tus: Server) -> None:
    """A PATCH with a checksum that breaks off stores nothing: it cannot be verified."""
    url = tus.make(2**20)
    told: Headers = {"Upload-Checksum": checksum("sha1", 2 * CONTENT)}
    with tus.begin_patch(url, 0, 2 * len(CONTENT), told) as line:
        line.send(CONTENT)
        line.end()
    must_stay(tus, url, 0)


@clause("Practice-18", "SHOULD", "checksum")
def test_a_checksum_that_cannot_be_read_is_not_passed_over(tus: Server) -> None:
    """A PATCH whose Upload-Checksum cannot be read gets 400, and stores nothing."""
    url = tus.make(5)
    for told in ("sha1", "sha1 !!!!", f"sha1 {encoded(b'short')}", ""):
        answer = tus.patch(url, 0, b"bytes", {"Upload-Checksum": told})
        must(answer.status == 400, f'"{told}": {answer.status}')
    must_stay(tus, url, 0)


@clause("Practice-19", "MUST", "creation-defer-length")
def test_a_length_covers_what_is_there(tus: Server) -> None:
    """A PATCH that gives a length smaller than what has come is refused, and the length stays open."""
    url = tus.make()
    tus.patch(url, 0, b"bytes").must_be(204)
    tus.patch(url, 5, b"", {"Upload-Length": 4}).must_refuse()
    answer = tus.head(url).must_be(200, 204)
    must((answer.offset, answer.header("Upload-Length")) == (5, None), "a length")


@clause("Practice-20", "SHOULD", "termination")
def test_delete_takes_over(tus: Server) -> None:
    """DELETE gets 204 within 200 ms though a PATCH whose sender has stopped holds the upload."""
    must_be_soon(tus, lambda url: tus.ask("DELETE", url).must_be(204), CONTENT)


@clause("Practice-21", "MUST")
def test_a_complete_upload_takes_no_more(tus: Server) -> None:
    """A PATCH with bytes at the end of a complete upload is refused, one without them changes nothing."""
    url = tus.make(5)
    tus.patch(url, 0, b"bytes").must_be(204)
    tus.patch(url, 5, b"more").must_refuse()
    tus.patch(url, 5, b"")
    must_stay(tus, url, 5)


@clause("Practice-22", "SHOULD", "creation-defer-length")
def test_a_later_length_may_be_too_large(tus: Server) -> None:
    """A PATCH that gives a length over Tus-Max-Size is refused, and the length stays open."""
    url = tus.make()
    tus.patch(url, 0, b"", {"Upload-Length": _largest(tus) + 1}).must_refuse()
    must(tus.head(url).must_be(200, 204).header("Upload-Length") is None, "a length")


# --- the table -------------------------------------------------------------------------------------------------


INTRODUCTION = """\
What the clauses of [tus 1.0.0](https://tus.io/protocols/resumable-upload) require of a server, in our words, and what
`tests/system/test_tus_conformance.py` observed. It uses only the wire, so it can test any server:

```
ONEC_TUS_URL=http://127.0.0.1:1080/files/ ONEC_TUS_USER=user:password pytest tests/system/test_tus_conformance.py
```

`tox -e deploy` tests both servers of the tables again, and fails if the results differ; with
`ONEC_TUS_TABLE=docs/tus-conformance.md` it rewrites this page. @tus/server runs with @tus/file-store STORE, a maximum
size and an expiration, and defaults for everything else.

✓ holds · ✗ does not, and what was observed instead · – is about something that the server does not announce

A clause is named after the section or the header of the specification that it comes from. Where the text obliges only
the client, the clause says what a server does not accept. Not tested: what happens when an upload expires (that would
take too long), the extensions *concatenation* and *checksum-trailer*, and the duties of clients.
"""

IN_PRACTICE = """\
The specification leaves these open; clients in use rely on them, or lose bytes or time without them. The strength is
ours.
"""


def table(clauses: list[Clause], servers: list[str]) -> list[str]:
    """Return a table of what was seen."""
    lines = [
        "| " + " | ".join(["clause", "strength", "what holds", *servers]) + " |",
        "|---" * (3 + len(servers)) + "|",
    ]
    for one in clauses:
        seen = [RESULTS[server][one.name].replace("|", "\\|") for server in servers]
        lines.append("| " + " | ".join([one.name, one.strength, one.holds, *seen]) + " |")
    return lines


def page() -> str:
    """Return the page: what was seen of all servers that were asked."""
    servers = list(RESULTS)
    text = [c for c in CLAUSES.values() if not c.name.startswith(PRACTICE)]
    practice = [c for c in CLAUSES.values() if c.name.startswith(PRACTICE)]
    counts = [
        f"{server}: {sum(seen[c.name] == '✓' for c in text)} of {sum(seen[c.name] != '–' for c in text)}"
        for server, seen in RESULTS.items()
    ]
    return "\n".join(
        [
            "# tus 1.0.0, clause by clause\n",
            INTRODUCTION.replace("STORE", wanted(NODE)["@tus/file-store"]),
            "## The specification\n",
            *table(text, servers),
            "\nClauses that hold, of those about something announced: " + "; ".join(counts) + ".\n",
            "## Good practice\n",
            IN_PRACTICE,
            *table(practice, servers),
            "",
        ]
    )


def test_the_page_is_what_was_seen() -> None:
    """docs/tus-conformance.md tells what was seen of our daemon and of @tus/server, just now."""
    if len(RESULTS) < len(ASKED) or any(seen.keys() != CLAUSES.keys() for seen in RESULTS.values()):
        pytest.skip("not all clauses were tested")
    if TABLE:
        Path(TABLE).write_text(page(), encoding="utf-8")
    elif DEPLOY and not URL:
        seen = page()
        hint = "ONEC_TUS_TABLE=docs/tus-conformance.md tox -e deploy -- tests/system/test_tus_conformance.py mends it"
        assert DOCUMENT.read_text(encoding="utf-8") == seen, hint
    else:
        pytest.skip("tox -e deploy runs it")
