"""The clients of tus that there are for Python, tuspy and aiotus, beside a real daemon; 1C takes turns with them."""

from __future__ import annotations

import asyncio
import io
import logging
import random
import sqlite3
import time
from base64 import b64encode
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import aiotus
import pytest
import requests
from arrived import handed_off, place_of
from breaking_proxy import BreakingProxy, Cut, Stall, Swallow
from daemon import PATIENCE, Daemon, start
from trade import ExchangeFailed, Trade
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError, TusUploadFailed
from tusclient.storage.filestorage import FileStorage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MB = 2**20
CHUNK = 400_000
"""Less than aiohttp warns of, and no whole part of the body: the last chunk is long as well."""
BODY = random.Random(1).randbytes(3 * MB + 1)
BASIC = {"Authorization": "Basic " + b64encode(b"shop:secret").decode()}
TUS = {"Tus-Resumable": "1.0.0", **BASIC}
OFTEN = aiotus.RetryConfiguration(retry_attempts=5, max_retry_period_seconds=0.05)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for all of them: each test has its own file name."""
    daemon = start(tmp_path_factory.mktemp("tus") / "run", "--min-free=1M")
    yield daemon
    daemon.kill()
    assert "Traceback" not in daemon.log


@pytest.fixture(autouse=True)
def straight_to_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep both clients from a proxy of the machine."""
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def node(daemon: Daemon) -> Iterator[Trade]:
    """A node with a session that it has begun anew."""
    node = Trade("127.0.0.1", daemon.port)
    node.checkauth()
    node.init()
    yield node
    node.close()


def files(port: int) -> str:
    """Return where uploads are made."""
    return f"http://127.0.0.1:{port}/files/"


def tuspy(port: int, headers: dict[str, str] | None = None) -> TusClient:
    """Return tuspy as a user of the daemon has it."""
    return TusClient(files(port), headers=dict(BASIC) if headers is None else headers)


def with_cookie(node: Trade) -> dict[str, str]:
    """Return what shows that a request belongs to a node's session; no password is needed then."""
    return {"Cookie": node.cookie, "Tus-Resumable": "1.0.0"}


def create(port: int, name: str, headers: dict[str, str], size: int = len(BODY)) -> str:
    """Make an upload without a byte, and return its URL."""
    answer = requests.post(
        files(port),
        headers={
            **headers,
            "Tus-Resumable": "1.0.0",
            "Upload-Length": str(size),
            "Upload-Metadata": "filename " + b64encode(name.encode()).decode(),
        },
        timeout=PATIENCE,
    )
    assert answer.status_code == 201, answer.text
    return urljoin(files(port), answer.headers["Location"])


def offset_of(url: str) -> int:
    """Return how far an upload is on record."""
    answer = requests.head(url, headers=TUS, timeout=PATIENCE)
    assert answer.status_code == 200
    return int(answer.headers["Upload-Offset"])


def uploads(daemon: Daemon) -> int:
    """Return how many uploads are on record."""
    with closing(sqlite3.connect(daemon.temp / "exchange.sqlite3")) as catalog:
        return int(catalog.execute("SELECT COUNT(*) FROM uploads").fetchone()[0])


class KeptOpen(io.BytesIO):
    """A file that stays open when tuspy closes it after looking for its fingerprint."""

    def __exit__(self, *_: object) -> None:
        """Leave it open."""


class TestTuspy:
    @pytest.mark.parametrize("checksum", [False, True])
    def test_it_uploads_in_chunks(self, daemon: Daemon, checksum: bool) -> None:
        """With a checksum of each chunk and without one: the file is whole, and handed off once."""
        name = f"tuspy-{checksum}.xml"
        uploader = tuspy(daemon.port).uploader(
            file_stream=io.BytesIO(BODY), chunk_size=CHUNK, metadata={"filename": name}, upload_checksum=checksum
        )
        uploader.upload()

        assert uploader.offset == len(BODY)
        assert place_of(daemon, name).read_bytes() == BODY
        assert handed_off(daemon, name) == ["upload"]

    # tuspy leaves the file that it opens for each request to the garbage collector
    @pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
    def test_it_uploads_a_file_by_its_path(self, daemon: Daemon, tmp_path: Path) -> None:
        """At once, with a name that is Russian; a file without a byte as well."""
        full, empty = tmp_path / "Каталог товаров.xml", tmp_path / "Пусто.xml"
        full.write_bytes(BODY)
        empty.touch()
        for path in (full, empty):
            tuspy(daemon.port).uploader(str(path), metadata={"filename": path.name}).upload()

        assert place_of(daemon, full.name).read_bytes() == BODY
        assert place_of(daemon, empty.name).read_bytes() == b""
        assert handed_off(daemon, full.name) == handed_off(daemon, empty.name) == ["upload"]

    @pytest.mark.parametrize("checksum", [False, True])
    def test_it_goes_on_after_breaks(self, daemon: Daemon, checksum: bool) -> None:
        """Its retries ask how far the upload is; without a checksum, what had come is not sent again."""
        name = f"tuspy-breaks-{checksum}.xml"
        # the first connection makes the upload; after a break, one asks how far it is
        breaks = [Cut(10 * MB), Cut(2 * MB), Cut(10 * MB), Cut(MB // 2)]
        with closing(BreakingProxy(daemon.port, breaks)) as proxy:
            uploader = tuspy(proxy.port).uploader(
                file_stream=io.BytesIO(BODY),
                metadata={"filename": name},
                retries=3,
                retry_delay=0,
                upload_checksum=checksum,
            )
            uploader.upload()

        assert proxy.broken == 2
        assert place_of(daemon, name).read_bytes() == BODY
        assert handed_off(daemon, name) == ["upload"]
        daemon.wait_for(f"upload of {name} broke off", 2)
        kept = [line for line in daemon.log.splitlines() if f"upload of {name} broke off" in line]
        assert all(("bytes, of which 0 were kept" in line) is checksum for line in kept)

    def test_another_run_goes_on_with_the_url(self, daemon: Daemon) -> None:
        """As a script does that was started again: it knows the URL, and sends only what is missing."""
        name = "tuspy-again.xml"
        with closing(BreakingProxy(daemon.port, [Cut(10 * MB), Cut(2 * MB)])) as proxy:
            first = tuspy(proxy.port).uploader(file_stream=io.BytesIO(BODY), metadata={"filename": name})
            with pytest.raises(TusUploadFailed):
                first.upload()
        url = str(first.url).replace(f":{proxy.port}/", f":{daemon.port}/")
        kept = offset_of(url)
        second = tuspy(daemon.port).uploader(file_stream=io.BytesIO(BODY), url=url, chunk_size=CHUNK)
        began = second.offset
        second.upload()

        assert 0 < kept <= 2 * MB
        assert began == kept
        assert place_of(daemon, name).read_bytes() == BODY
        assert handed_off(daemon, name) == ["upload"]

    def test_its_storage_of_urls_finds_the_upload(self, daemon: Daemon, tmp_path: Path) -> None:
        """By the fingerprint of the file: half of it now, and the rest from the storage."""
        name = "tuspy-stored.xml"
        began = []
        for end in (2 * CHUNK, len(BODY)):
            storage = FileStorage(str(tmp_path / "urls.json"))
            uploader = tuspy(daemon.port).uploader(
                file_stream=KeptOpen(BODY),
                chunk_size=CHUNK,
                metadata={"filename": name},
                store_url=True,
                url_storage=storage,
            )
            began.append(uploader.offset)
            uploader.upload(stop_at=end)
            storage.close()

        assert began == [0, 2 * CHUNK]
        assert place_of(daemon, name).read_bytes() == BODY
        assert handed_off(daemon, name) == ["upload"]

    def test_it_takes_over_from_a_connection_that_stalls(self, daemon: Daemon) -> None:
        """The old request is still there, and holds nobody up: a newer one for the same upload ends it."""
        name = "tuspy-stalls.xml"
        url = create(daemon.port, name, BASIC)
        with closing(BreakingProxy(daemon.port, [Stall(2 * MB)])) as proxy:
            with pytest.raises((requests.Timeout, requests.ConnectionError)):
                requests.patch(
                    url.replace(f":{daemon.port}/", f":{proxy.port}/"),
                    data=BODY,
                    headers={**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"},
                    timeout=0.5,
                )
            deadline = time.monotonic() + PATIENCE
            while not proxy.broken:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            uploader = tuspy(daemon.port).uploader(file_stream=io.BytesIO(BODY), url=url)
            began = uploader.offset
            uploader.upload()

        assert 0 < began <= 2 * MB
        assert place_of(daemon, name).read_bytes() == BODY
        assert handed_off(daemon, name) == ["upload"]

    @pytest.mark.parametrize("checksum", [False, True])
    def test_the_last_answer_is_lost(self, daemon: Daemon, checksum: bool) -> None:
        """All had come: it asks, sends nothing from the end on, and the file is delivered once."""
        name = f"tuspy-lost-{checksum}.xml"
        with closing(BreakingProxy(daemon.port, [Cut(10 * MB), Cut(10 * MB), Swallow()])) as proxy:
            uploader = tuspy(proxy.port).uploader(
                file_stream=io.BytesIO(BODY),
                chunk_size=2 * MB,
                metadata={"filename": name},
                retries=2,
                retry_delay=0,
                upload_checksum=checksum,
            )
            uploader.upload()

        assert proxy.broken == 1
        assert uploader.offset == len(BODY)
        assert place_of(daemon, name).read_bytes() == BODY
        assert handed_off(daemon, name) == ["upload"]

    def test_its_asynchronous_uploader(self, daemon: Daemon) -> None:
        """It goes on after a break as the other one does."""
        name = "tuspy-async.xml"

        async def upload(port: int) -> None:
            uploader = tuspy(port).async_uploader(
                file_stream=io.BytesIO(BODY),
                chunk_size=CHUNK,
                metadata={"filename": name},
                retries=1,
                retry_delay=0,
            )
            await uploader.upload()

        with closing(BreakingProxy(daemon.port, [Cut(10 * MB), Cut(CHUNK // 2)])) as proxy:
            asyncio.run(upload(proxy.port))

        assert proxy.broken == 1
        assert place_of(daemon, name).read_bytes() == BODY
        assert handed_off(daemon, name) == ["upload"]

    def test_a_wrong_password(self, daemon: Daemon) -> None:
        """It makes nothing, and says what was answered."""
        wrong = {"Authorization": "Basic " + b64encode(b"shop:wrong").decode()}
        uploader = tuspy(daemon.port, wrong).uploader(
            file_stream=io.BytesIO(BODY), metadata={"filename": "tuspy-wrong.xml"}
        )
        with pytest.raises(TusCommunicationError) as failure:
            uploader.upload()

        assert failure.value.status_code == 401
        assert list(daemon.temp.glob("*/tuspy-wrong.xml")) == []


class TestTermination:
    """Neither client has a call for it."""

    @pytest.mark.parametrize("sent", [0, CHUNK, len(BODY)])
    def test_an_upload_is_ended(self, daemon: Daemon, sent: int) -> None:
        """Nothing of it is left, whether it had brought nothing, something, or all; and it cannot go on."""
        name = f"ended-{sent}.xml"
        url = create(daemon.port, name, BASIC)
        uploader = tuspy(daemon.port).uploader(file_stream=io.BytesIO(BODY), url=url, chunk_size=CHUNK)
        if sent:
            uploader.upload(stop_at=sent)
        ended = requests.delete(url, headers=TUS, timeout=PATIENCE)

        assert ended.status_code == 204
        assert list(daemon.temp.glob(f"*/{name}")) == []
        assert requests.head(url, headers=TUS, timeout=PATIENCE).status_code == 410
        with pytest.raises(TusCommunicationError) as failure:
            tuspy(daemon.port).uploader(file_stream=io.BytesIO(BODY), url=url)
        assert failure.value.status_code == 410


class TestAiotus:
    def test_it_uploads(self, daemon: Daemon) -> None:
        """In chunks; it reads back what it told of the file, and the upload is where it says."""
        name = "aiotus.xml"
        headers = BASIC
        told = {"filename": name.encode(), "prices": "цены".encode(), "final": None}

        async def upload() -> tuple[str, aiotus.Metadata | None]:
            url = await aiotus.upload(
                files(daemon.port), io.BytesIO(BODY), told, config=OFTEN, headers=headers, chunksize=CHUNK
            )
            assert url is not None
            return str(url), await aiotus.metadata(url, config=OFTEN, headers=headers)

        url, read_back = asyncio.run(upload())

        assert url.startswith(files(daemon.port))
        assert read_back == told
        assert offset_of(url) == len(BODY)
        assert place_of(daemon, name).read_bytes() == BODY
        assert handed_off(daemon, name) == ["upload"]

    def test_it_goes_on_after_breaks(self, daemon: Daemon) -> None:
        """It asks how far the upload is, and sends the rest."""
        name = "aiotus-breaks.xml"
        breaks = [Cut(MB), Cut(MB)]
        with closing(BreakingProxy(daemon.port, breaks)) as proxy:
            url = asyncio.run(
                aiotus.upload(
                    files(proxy.port),
                    io.BytesIO(BODY),
                    {"filename": name.encode()},
                    config=OFTEN,
                    headers=BASIC,
                    chunksize=CHUNK,
                )
            )

        assert url is not None
        assert proxy.broken == 2
        assert place_of(daemon, name).read_bytes() == BODY
        assert handed_off(daemon, name) == ["upload"]

    def test_the_last_answer_is_lost(self, daemon: Daemon) -> None:
        """It keeps one connection for all; on the next one it hears that nothing is missing."""
        name = "aiotus-lost.xml"
        with closing(BreakingProxy(daemon.port, [Swallow(len(BODY))])) as proxy:
            url = asyncio.run(
                aiotus.upload(
                    files(proxy.port),
                    io.BytesIO(BODY),
                    {"filename": name.encode()},
                    config=OFTEN,
                    headers=BASIC,
                    chunksize=CHUNK,
                )
            )

        assert url is not None
        assert (proxy.broken, proxy.connections) == (1, 2)
        assert place_of(daemon, name).read_bytes() == BODY
        assert handed_off(daemon, name) == ["upload"]

    def test_what_it_puts_together_is_not_on_offer(self, daemon: Daemon, caplog: pytest.LogCaptureFixture) -> None:
        """It asks first, and makes no upload at all: files are joined by nobody here."""
        before = uploads(daemon)
        with caplog.at_level(logging.ERROR, "aiotus"):
            url = asyncio.run(
                aiotus.upload_multiple(
                    files(daemon.port),
                    [io.BytesIO(BODY[:CHUNK]), io.BytesIO(BODY[CHUNK:])],
                    {"filename": b"aiotus-joined.xml"},
                    config=OFTEN,
                    headers=BASIC,
                )
            )

        assert url is None
        assert "concatenation" in caplog.text
        assert uploads(daemon) == before


class TestTurnsWith1C:
    """One session, one file: a node and tus go on where the other one stopped."""

    @pytest.mark.parametrize("knows_the_url", [False, True])
    def test_1c_begins_and_tuspy_ends(self, daemon: Daemon, node: Trade, knows_the_url: bool) -> None:
        """The upload has what 1C sent from the first; tuspy asks for that, or hears it when it begins at nought."""
        name = f"begun-by-1c-{knows_the_url}.xml"
        headers = with_cookie(node)
        node.send_file(name, BODY[:CHUNK])
        url = create(daemon.port, name, headers) if knows_the_url else None
        uploader = tuspy(daemon.port, headers).uploader(
            file_stream=io.BytesIO(BODY),
            url=url,
            metadata={"filename": name},
            chunk_size=CHUNK,
            retries=1,
            retry_delay=0,
        )
        began = uploader.offset
        uploader.upload()

        assert began == (CHUNK if knows_the_url else 0)
        assert place_of(daemon, name).parent.name == node.sessid
        assert place_of(daemon, name).read_bytes() == BODY
        assert handed_off(daemon, name) == ["upload"]

    def test_a_new_upload_tells_what_1c_has_sent(self, daemon: Daemon, node: Trade) -> None:
        """In the answer to its POST; what comes along with that is not taken for the beginning of the file."""
        name = "told-at-once.xml"
        node.send_file(name, BODY[:CHUNK])
        answer = requests.post(
            files(daemon.port),
            data=BODY[: 2 * CHUNK],
            headers={
                **with_cookie(node),
                "Upload-Length": str(len(BODY)),
                "Upload-Metadata": "filename " + b64encode(name.encode()).decode(),
                "Content-Type": "application/offset+octet-stream",
            },
            timeout=PATIENCE,
        )

        assert answer.status_code == 201, answer.text
        assert answer.headers["Upload-Offset"] == str(CHUNK)
        assert place_of(daemon, name).read_bytes() == BODY[:CHUNK]
        assert handed_off(daemon, name) == []

    def test_tuspy_begins_and_1c_ends(self, daemon: Daemon, node: Trade) -> None:
        """The node sends the rest and asks for the import: that is what hands the file off, and nothing else does."""
        name = "begun-by-tus.xml"
        uploader = tuspy(daemon.port, with_cookie(node)).uploader(
            file_stream=io.BytesIO(BODY), metadata={"filename": name}, chunk_size=CHUNK
        )
        uploader.upload(stop_at=2 * CHUNK)
        node.send_file(name, BODY[2 * CHUNK :])
        node.import_file(name)

        assert place_of(daemon, name).parent.name == node.sessid
        assert place_of(daemon, name).read_bytes() == BODY
        assert handed_off(daemon, name) == ["import"]
        assert offset_of(str(uploader.url)) == len(BODY)

    def test_they_take_turns(self, daemon: Daemon, node: Trade) -> None:
        """tus, 1C, tus: each goes by the length that the file has by then."""
        name = "in-turns.xml"
        uploader = tuspy(daemon.port, with_cookie(node)).uploader(
            file_stream=io.BytesIO(BODY), metadata={"filename": name}, chunk_size=CHUNK, retries=1, retry_delay=0
        )
        uploader.upload(stop_at=CHUNK)
        node.send_file(name, BODY[CHUNK : 2 * CHUNK])
        uploader.upload()

        assert place_of(daemon, name).read_bytes() == BODY
        assert handed_off(daemon, name) == ["upload"]

    def test_what_tus_has_finished_is_finished(self, daemon: Daemon, node: Trade) -> None:
        """A node can add nothing to it: it was handed off as it is."""
        name = "finished-by-tus.xml"
        tuspy(daemon.port, with_cookie(node)).uploader(
            file_stream=io.BytesIO(BODY), metadata={"filename": name}
        ).upload()
        with pytest.raises(ExchangeFailed):
            node.send_file(name, b"more")

        assert place_of(daemon, name).read_bytes() == BODY
        assert handed_off(daemon, name) == ["upload"]
