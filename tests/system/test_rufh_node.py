"""tus-js-client as a client of RUFH, and node's own client, beside a real daemon; npm fetches the first one once."""

from __future__ import annotations

import hashlib
import json
import os
import random
import sqlite3
from base64 import b64encode
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

if "ONEC_TEST_DEPLOY" not in os.environ:
    pytest.skip("tox -e deploy runs it", allow_module_level=True)

from arrived import handed_off, place_of
from breaking_proxy import BreakingProxy, Cut, Swallow
from npm import RUFH, install, printed
from rufh_fronts import WAYS, Front, front_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MB = 2**20
SIZE = 5 * MB + 1
BASIC = {"Authorization": "Basic " + b64encode(b"shop:secret").decode()}
SHORT = [0, 50, 100, 200]
"""Milliseconds after which the client tries again."""


@pytest.fixture(scope="module")
def scripts() -> Path:
    """Our scripts beside the package."""
    return install(RUFH)


@pytest.fixture(scope="module", params=WAYS)
def front(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """One daemon for all of them, each time reached in another way: each test has its own file name."""
    with front_of(WAYS[request.param], tmp_path_factory.mktemp("rufh")) as front:
        yield front


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is uploaded."""
    path = tmp_path_factory.mktemp("source") / "source.xml"
    path.write_bytes(random.Random(2).randbytes(SIZE))
    return path


def node(front: Front, script: Path, **options: Any) -> Any:
    """Run a script, and return what it printed as JSON."""
    return printed(script, json.dumps(options), environment=front.environment())


def named(name: str) -> dict[str, str]:
    """Return the headers of a request for a file of this name."""
    quoted = "".join(f"%{byte:02X}" for byte in name.encode())
    return {**BASIC, "Content-Disposition": f"attachment; filename*=UTF-8''{quoted}"}


def upload(scripts: Path, front: Front, file: Path, name: str, port: int | None = None, **options: Any) -> Any:
    """Upload a file by tus-js-client; return what became of it."""
    options = {"endpoint": front.url(port), "headers": named(name), "retryDelays": SHORT, **options}
    return node(front, scripts / "upload.mjs", file=str(file), **options)


def check_arrived(front: Front, name: str, source: Path) -> None:
    """See that a file is on the disk as it was sent, and was handed off once."""
    assert digest(place_of(front.daemon, name)) == digest(source)
    assert handed_off(front.daemon, name) == ["upload"]


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def part_of(front: Front) -> str:
    """Return how an append is answered that is not the last: as version 6 has it, where the version arrives."""
    return "PATCH 204" if front.way.is_nginx else "PATCH 201"


class TestTusJsClient:
    def test_at_once(self, scripts: Path, front: Front, source: Path) -> None:
        """A POST and one PATCH, which gets the final answer; the name is Russian."""
        told = upload(scripts, front, source, "Товары.xml")

        assert told["error"] is None
        assert told["answers"] == ["POST 201", "PATCH 200"]
        assert told["url"].startswith(front.url())
        check_arrived(front, "Товары.xml", source)

    @pytest.mark.parametrize("size", [SIZE, 4 * MB])
    def test_in_chunks(self, scripts: Path, front: Front, source: Path, tmp_path: Path, size: int) -> None:
        """The last one is shorter, or full."""
        name, file = f"chunks-{size}.xml", tmp_path / "file"
        file.write_bytes(source.read_bytes()[:size])
        told = upload(scripts, front, file, name, chunkSize=2 * MB)

        assert told["error"] is None
        assert told["answers"] == ["POST 201"] + [part_of(front)] * ((size - 1) // (2 * MB)) + ["PATCH 200"]
        assert told["accepted"] == [*range(2 * MB, size, 2 * MB), size]
        check_arrived(front, name, file)

    @pytest.mark.parametrize("chunk", [2 * MB, 8 * MB])
    def test_with_the_creation(self, scripts: Path, front: Front, source: Path, chunk: int) -> None:
        """The POST brings the first chunk, or all there is: then its answer is the final one, with the address."""
        name = f"creation-{chunk}.xml"
        told = upload(scripts, front, source, name, chunkSize=chunk, uploadDataDuringCreation=True)

        assert told["error"] is None
        assert told["answers"] == (["POST 201", part_of(front), "PATCH 200"] if chunk < SIZE else ["POST 200"])
        assert told["url"].startswith(front.url())
        check_arrived(front, name, source)

    def test_an_empty_file(self, scripts: Path, front: Front, tmp_path: Path) -> None:
        """The client never says that it was all, and thinks that it has uploaded it: nothing can be handed off.

        It must not, even if the length that was told is reached (RUFH, "Upload Complete").
        """
        empty = tmp_path / "empty"
        empty.touch()
        told = upload(scripts, front, empty, "empty.xml")

        assert told["error"] is None
        assert told["answers"] == ["POST 201"]
        assert states(front, "empty.xml") == ["open"]

    def test_a_stream_of_unknown_length(self, scripts: Path, front: Front, source: Path, tmp_path: Path) -> None:
        """The length is told with the last chunk."""
        told = upload(scripts, front, source, "stream.xml", stream=True, chunkSize=2 * MB, uploadLengthDeferred=True)

        assert told["error"] is None
        assert told["answers"][0] == "POST 201"
        assert told["answers"][-1] == "PATCH 200"
        check_arrived(front, "stream.xml", source)

    def test_it_goes_on_by_itself(self, scripts: Path, front: Front, source: Path) -> None:
        """Cut twice, it asks how far the upload is, and sends the rest."""
        name = "breaks.xml"
        with closing(BreakingProxy(front.port, [Cut(2 * MB), Cut(MB)])) as proxy:
            told = upload(scripts, front, source, name, proxy.port)

        assert told["error"] is None
        assert proxy.broken == 2
        assert told["answers"] == ["POST 201", "HEAD 204", "HEAD 204", "PATCH 200"]
        check_arrived(front, name, source)

    def test_a_creation_that_breaks(self, scripts: Path, front: Front, source: Path) -> None:
        """It does not look at interim answers, so it makes another; the first one is kept only if they were sent."""
        name = "creation-breaks.xml"
        with closing(BreakingProxy(front.port, [Cut(2 * MB)])) as proxy:
            told = upload(scripts, front, source, name, proxy.port, uploadDataDuringCreation=True)

        assert told["error"] is None
        assert proxy.broken == 1
        assert told["answers"] == ["POST 200"]
        front.daemon.wait_for(f"upload of {name} broke off")
        assert sorted(states(front, name)) == (["complete", "open"] if front.way.interim else ["complete", "gone"])
        arrived = [path for path in front.daemon.temp.glob(f"*/{name}") if path.stat().st_size == SIZE]
        assert [digest(path) for path in arrived] == [digest(source)]

    def test_the_last_answer_is_lost(self, scripts: Path, front: Front, source: Path) -> None:
        """It asks, learns that nothing is missing, and the file is delivered once."""
        name = "lost.xml"
        with closing(BreakingProxy(front.port, [Swallow(SIZE)])) as proxy:
            told = upload(scripts, front, source, name, proxy.port, chunkSize=2 * MB)

        assert told["error"] is None
        assert proxy.broken == 1
        assert told["answers"] == ["POST 201", part_of(front), part_of(front), "HEAD 204"]
        check_arrived(front, name, source)

    def test_another_run_goes_on(self, scripts: Path, front: Front, source: Path) -> None:
        """It has the address, and sends what is missing."""
        name = "again.xml"
        first = upload(scripts, front, source, name, chunkSize=2 * MB, abortAt=2 * MB)
        second = upload(scripts, front, source, name, uploadUrl=first["url"])

        assert first["aborted"]
        assert second["error"] is None
        assert second["answers"] == ["HEAD 204", "PATCH 200"]
        assert second["began"] >= 2 * MB
        check_arrived(front, name, source)

    def test_it_ends_an_upload(self, scripts: Path, front: Front, source: Path) -> None:
        """Nothing of it is left."""
        name = "ended.xml"
        told = upload(scripts, front, source, name, chunkSize=MB, abortAt=2 * MB, terminate=True)

        assert told["error"] is None
        assert told["answers"][-1] == "DELETE 204"
        assert list(front.daemon.temp.glob(f"*/{name}")) == []


class TestInformation:
    """What node's own client hears before the final answer."""

    def ask(
        self, scripts: Path, front: Front, file: Path, name: str, complete: str, **options: Any
    ) -> list[dict[str, Any]]:
        """Make an upload; return what was answered."""
        headers = {
            **named(name),
            "Upload-Complete": complete,
            "Upload-Draft-Interop-Version": "9",
            "Content-Length": str(file.stat().st_size),
        }
        told: list[dict[str, Any]] = node(
            front,
            scripts / "information.mjs",
            url=front.url(),
            method="POST",
            file=str(file),
            headers=headers,
            **options,
        )
        return told

    def test_what_comes_before_the_answer(self, scripts: Path, front: Front, source: Path) -> None:
        """104 tells the address, which the final answer repeats; where a proxy would not pass it on there is none."""
        name = "information.xml"
        *interim, final = self.ask(scripts, front, source, name, "?1")

        assert (final["status"], final["headers"]["upload-complete"]) == (200, "?1")
        assert [one["status"] for one in interim] == ([104] if front.way.interim else [])
        for told in interim:
            assert told["headers"]["location"] == final["headers"]["location"]
            assert told["headers"]["location"].startswith(front.url())
            assert told["headers"]["upload-draft-interop-version"] == "9"
            assert "max-size=" in told["headers"]["upload-limit"]
        check_arrived(front, name, source)

    def test_the_address_comes_first(self, scripts: Path, front: Front, source: Path) -> None:
        """Before the client has sent a byte of the body, if it may have interim answers at all."""
        if not front.way.interim:
            return
        name = "waits.xml"
        answers = self.ask(scripts, front, source, name, "?1", waits=True)

        assert [one["status"] for one in answers] == [104, 200]
        check_arrived(front, name, source)


def states(front: Front, name: str) -> list[str]:
    """Return the states of the uploads of a name."""
    with closing(sqlite3.connect(front.daemon.temp / "exchange.sqlite3")) as catalog:
        return [state for (state,) in catalog.execute("SELECT state FROM uploads WHERE name = ?", (name,))]
