"""tus-js-client, the reference client of tus, beside a real daemon; npm fetches it once."""

from __future__ import annotations

import hashlib
import json
import os
import random
from base64 import b64encode
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from npm import SOURCE

if "ONEC_TEST_DEPLOY" not in os.environ:
    pytest.skip("tox -e deploy runs it", allow_module_level=True)

from arrived import handed_off, place_of
from breaking_proxy import BreakingProxy, Cut, Stall, Swallow
from daemon import Daemon, start
from npm import install, printed
from trade import Trade

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
    """Our scripts beside the packages."""
    return install(SOURCE)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for all of them: each test has its own file name."""
    daemon = start(tmp_path_factory.mktemp("tus") / "run", "--min-free=1M")
    yield daemon
    daemon.kill()
    assert "Traceback" not in daemon.log


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is uploaded."""
    path = tmp_path_factory.mktemp("source") / "source.xml"
    path.write_bytes(random.Random(2).randbytes(SIZE))
    return path


def upload(scripts: Path, port: int, file: Path, name: str, **options: Any) -> dict[str, Any]:
    """Upload a file; return what became of it."""
    (told,) = upload_all(scripts, port, [(file, name)], **options)
    return told


def upload_all(scripts: Path, port: int, files: list[tuple[Path, str]], **options: Any) -> list[dict[str, Any]]:
    """Upload files at the same time, with the same options; return what became of each."""
    uploads = [
        {
            "endpoint": f"http://127.0.0.1:{port}/files/",
            "file": str(file),
            "metadata": {"filename": name, "filetype": "application/xml"},
            "headers": BASIC,
            "retryDelays": SHORT,
            **options,
        }
        for file, name in files
    ]
    told: list[dict[str, Any]] = printed(scripts / "upload.mjs", json.dumps(uploads))
    return told


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_arrived(daemon: Daemon, name: str, source: Path) -> None:
    """See that a file is on the disk as it was sent, and was handed off once."""
    assert digest(place_of(daemon, name)) == digest(source)
    assert handed_off(daemon, name) == ["upload"]


class TestWays:
    def test_at_once(self, scripts: Path, daemon: Daemon, source: Path) -> None:
        """A POST and one PATCH; the name is Russian."""
        told = upload(scripts, daemon.port, source, "Товары.xml")

        assert told["error"] is None
        assert told["answers"] == ["POST 201", "PATCH 204"]
        check_arrived(daemon, "Товары.xml", source)

    def test_in_chunks(self, scripts: Path, daemon: Daemon, source: Path) -> None:
        """The last one is shorter."""
        told = upload(scripts, daemon.port, source, "chunks.xml", chunkSize=2 * MB)

        assert told["error"] is None
        assert told["answers"] == ["POST 201"] + ["PATCH 204"] * 3
        check_arrived(daemon, "chunks.xml", source)

    @pytest.mark.parametrize("chunk", [2 * MB, 8 * MB])
    def test_with_the_creation(self, scripts: Path, daemon: Daemon, source: Path, chunk: int) -> None:
        """The POST brings the first chunk, or all there is."""
        name = f"creation-{chunk}.xml"
        told = upload(scripts, daemon.port, source, name, chunkSize=chunk, uploadDataDuringCreation=True)

        assert told["error"] is None
        assert told["answers"] == ["POST 201"] + ["PATCH 204"] * (SIZE // chunk)
        check_arrived(daemon, name, source)

    def test_by_another_method(self, scripts: Path, daemon: Daemon, source: Path) -> None:
        """Where a proxy lets no PATCH through, a POST says that it means one."""
        told = upload(scripts, daemon.port, source, "override.xml", chunkSize=2 * MB, overridePatchMethod=True)

        assert told["error"] is None
        assert told["answers"] == ["POST 201"] + ["POST 204"] * 3
        check_arrived(daemon, "override.xml", source)

    def test_an_empty_file(self, scripts: Path, daemon: Daemon, tmp_path: Path) -> None:
        """The POST is all of it."""
        empty = tmp_path / "empty"
        empty.touch()
        told = upload(scripts, daemon.port, empty, "empty.xml")

        assert told["error"] is None
        assert told["answers"] == ["POST 201"]
        check_arrived(daemon, "empty.xml", empty)

    @pytest.mark.parametrize("size", [SIZE, MB])
    def test_a_stream_of_unknown_length(
        self, scripts: Path, daemon: Daemon, source: Path, tmp_path: Path, size: int
    ) -> None:
        """The length is told with the last chunk.

        It is never full: this version of the client waits for ever for a stream that ends where a chunk does.
        """
        name = f"stream-{size}.xml"
        file = tmp_path / "stream"
        file.write_bytes(source.read_bytes()[:size])
        told = upload(scripts, daemon.port, file, name, stream=True, chunkSize=2 * MB, uploadLengthDeferred=True)

        assert told["error"] is None
        assert told["answers"][0] == "POST 201"
        assert set(told["answers"][1:]) == {"PATCH 204"}
        check_arrived(daemon, name, file)

    def test_many_at_the_same_time(self, scripts: Path, daemon: Daemon, source: Path, tmp_path: Path) -> None:
        """Each with its creation: every file is its own, and is handed off once."""
        content = source.read_bytes()
        files = []
        for number in range(20):
            file = tmp_path / f"{number}"
            file.write_bytes(content[number * 100_000 : number * 200_000 + 1])
            files.append((file, f"many-{number}.xml"))
        told = upload_all(scripts, daemon.port, files, uploadDataDuringCreation=True, chunkSize=MB)

        assert [one["error"] for one in told] == [None] * len(files)
        assert len({one["url"] for one in told}) == len(files)
        for file, name in files:
            check_arrived(daemon, name, file)

    def test_parts_that_would_have_to_be_joined(self, scripts: Path, daemon: Daemon, source: Path) -> None:
        """The client does not ask what is on offer: it fails, and no file of that name comes of it."""
        told = upload(scripts, daemon.port, source, "joined.xml", parallelUploads=2)

        assert "Concatenation is not supported" in told["error"]
        assert list(daemon.temp.glob("*/joined.xml")) == []
        assert daemon.log.count("upload of upload made") == 0


class TestBreaks:
    def test_it_goes_on_by_itself(self, scripts: Path, daemon: Daemon, source: Path) -> None:
        """Cut twice, it asks how far the upload is, and sends the rest."""
        name = "breaks.xml"
        with closing(BreakingProxy(daemon.port, [Cut(2 * MB), Cut(MB)])) as proxy:
            told = upload(scripts, proxy.port, source, name)

        assert told["error"] is None
        assert proxy.broken == 2
        assert told["answers"] == ["POST 201", "HEAD 200", "HEAD 200", "PATCH 204"]
        check_arrived(daemon, name, source)

    def test_a_creation_that_breaks(self, scripts: Path, daemon: Daemon, source: Path) -> None:
        """Its client does not know where the upload is and makes another: nothing is left of the first one."""
        name = "creation-breaks.xml"
        with closing(BreakingProxy(daemon.port, [Cut(2 * MB)])) as proxy:
            told = upload(scripts, proxy.port, source, name, uploadDataDuringCreation=True)

        assert told["error"] is None
        assert proxy.broken == 1
        assert told["answers"] == ["POST 201"]
        daemon.wait_for(f"upload of {name} broke off")
        check_arrived(daemon, name, source)

    def test_the_last_answer_is_lost(self, scripts: Path, daemon: Daemon, source: Path) -> None:
        """It asks, learns that nothing is missing, and the file is delivered once."""
        name = "lost.xml"
        with closing(BreakingProxy(daemon.port, [Swallow(SIZE)])) as proxy:
            told = upload(scripts, proxy.port, source, name, chunkSize=2 * MB)

        assert told["error"] is None
        assert proxy.broken == 1
        assert told["answers"] == ["POST 201", "PATCH 204", "PATCH 204", "HEAD 200"]
        check_arrived(daemon, name, source)

    def test_the_answer_to_a_creation_is_lost(self, scripts: Path, daemon: Daemon, source: Path) -> None:
        """In a session of 1C, all of the file having come: its client fails, rather than deliver it twice."""
        name = "creation-lost.xml"
        session = Trade("127.0.0.1", daemon.port)
        session.checkauth()
        session.close()
        with closing(BreakingProxy(daemon.port, [Swallow(SIZE)])) as proxy:
            told = upload(
                scripts,
                proxy.port,
                source,
                name,
                uploadDataDuringCreation=True,
                headers={"Cookie": session.cookie},
            )

        assert proxy.broken == 1
        assert set(told["answers"]) == {"POST 409"}
        assert "handed off already" in told["error"]
        check_arrived(daemon, name, source)

    @pytest.mark.parametrize("remembers", [False, True])
    def test_another_run_takes_over(
        self, scripts: Path, daemon: Daemon, source: Path, tmp_path: Path, remembers: bool
    ) -> None:
        """One that stalls is given up, its connection still open; the next run has the URL, or finds it again."""
        name = f"stalls-{remembers}.xml"
        options = {"urls": str(tmp_path / "urls.json")} if remembers else {}
        with closing(BreakingProxy(daemon.port, [Stall(2 * MB)])) as proxy:
            first = upload(scripts, proxy.port, source, name, quiet=1000, **options)
            if not remembers:
                options = {"uploadUrl": first["url"]}
            second = upload(scripts, proxy.port, source, name, **options)

        assert first["aborted"]
        assert proxy.broken == 1
        assert second["error"] is None
        assert second["url"] == first["url"]
        assert second["answers"] == ["HEAD 200", "PATCH 204"]
        assert 0 < second["began"] <= 2 * MB
        check_arrived(daemon, name, source)


class TestTermination:
    def test_while_it_is_on_its_way(self, scripts: Path, daemon: Daemon, source: Path) -> None:
        """The client aborts for good: nothing of it is left."""
        told = upload(scripts, daemon.port, source, "aborted.xml", chunkSize=MB, abortAt=2 * MB, terminate=True)

        assert told["aborted"]
        assert told["error"] is None
        assert told["answers"][-1] == "DELETE 204"
        assert list(daemon.temp.glob("*/aborted.xml")) == []

    def test_by_its_url(self, scripts: Path, daemon: Daemon, source: Path) -> None:
        """Nothing is left, and whoever knew the URL makes a new upload."""
        name = "terminated.xml"
        told = upload(scripts, daemon.port, source, name, chunkSize=MB, abortAt=2 * MB)
        options = json.dumps({"headers": BASIC, "retryDelays": None})
        assert printed(scripts / "terminate.mjs", told["url"], options) is None
        assert list(daemon.temp.glob(f"*/{name}")) == []
        assert "410" in printed(scripts / "terminate.mjs", told["url"], options)
        again = upload(scripts, daemon.port, source, name, uploadUrl=told["url"])

        assert again["error"] is None
        assert again["answers"] == ["HEAD 410", "POST 201", "PATCH 204"]
        check_arrived(daemon, name, source)
