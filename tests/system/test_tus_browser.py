"""Uppy in a real browser, on a page of another origin, beside a real daemon; npm fetches it once."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import threading
import time
from base64 import b64encode
from contextlib import closing
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if "ONEC_TEST_DEPLOY" not in os.environ:
    pytest.skip("tox -e deploy runs it", allow_module_level=True)

from breaking_proxy import BreakingProxy, Cut
from browser import open_browser
from daemon import PATIENCE, Daemon, start
from npm import SOURCE, install
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

if TYPE_CHECKING:
    from collections.abc import Iterator

MB = 2**20
PAGE = Path(__file__).parents[2] / "docs" / "upload-by-tus.md"
BASIC = {"Authorization": "Basic " + b64encode(b"shop:secret").decode()}


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and tells nobody."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def bundle(packages: Path, source: str, target: Path) -> None:
    """Put a script and all that it imports into one file."""
    bundled = subprocess.run(
        [packages / "node_modules" / ".bin" / "esbuild", source, "--bundle", f"--outfile={target}"],
        cwd=packages,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert bundled.returncode == 0, bundled.stderr


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the pages."""
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def page_port(served: Path) -> Iterator[int]:
    """Where the page is; it comes in one piece with the packages that it needs."""
    packages = install(SOURCE)
    shutil.copy(packages / "page.html", served)
    bundle(packages, "page.mjs", served / "page.js")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(served)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join(PATIENCE)


@pytest.fixture(scope="module")
def daemon(page_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that lets the page upload, as long as it is reached by number."""
    daemon = start(
        tmp_path_factory.mktemp("tus") / "run", "--min-free=1M", f"--cors-origin=http://127.0.0.1:{page_port}"
    )
    yield daemon
    daemon.kill()
    assert "Traceback" not in daemon.log


@pytest.fixture
def browser(tmp_path: Path, page_port: int) -> Iterator[Any]:
    """A browser at the page; it ends without a complaint."""
    with open_browser(tmp_path / "browser") as browser:
        browser.set_script_timeout(PATIENCE)
        browser.get(f"http://127.0.0.1:{page_port}/page.html")
        yield browser


def send(browser: Any, port: int, name: str, size: int = 3 * MB + 1, **options: Any) -> dict[str, Any]:
    """Let the page upload a file that it makes; return what became of it."""
    told: dict[str, Any] = browser.execute_async_script(
        "const [options, done] = arguments; send(options).then(done, (error) => done({thrown: String(error)}))",
        {
            "endpoint": f"http://127.0.0.1:{port}/files/",
            "name": name,
            "size": size,
            "chunkSize": MB,
            "headers": BASIC,
            "retryDelays": [0, 50, 100, 200],
            **options,
        },
    )
    assert "thrown" not in told, told
    return told


def complaints(browser: Any) -> list[str]:
    """Return what the browser has to complain of, which it forgets with that."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] in {"SEVERE", "WARNING"}]


def check_arrived(daemon: Daemon, name: str, digest: str) -> None:
    """See that a file is on the disk as the page made it, and was handed off once."""
    (path,) = daemon.temp.glob(f"*/{name}")
    manifest = path.with_name("manifest.json")
    deadline = time.monotonic() + PATIENCE
    while not manifest.exists():
        assert time.monotonic() < deadline, daemon.log
        time.sleep(0.01)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    assert [one["event"] for one in json.loads(manifest.read_bytes())["handoffs"]] == ["upload"]


def test_a_page_uploads(daemon: Daemon, browser: Any) -> None:
    """In chunks, with a password, from an origin that is allowed; it can read where the upload is and how far."""
    told = send(browser, daemon.port, "Цены.xml")

    assert told["errors"] == []
    assert told["answers"] == ["POST 201"] + ["PATCH 204"] * 4
    (url,) = told["urls"]
    assert url.startswith(f"http://127.0.0.1:{daemon.port}/files/")
    assert browser.find_element(By.TAG_NAME, "output").text == "uploaded"
    check_arrived(daemon, "Цены.xml", told["digest"])


def test_a_page_uploads_with_the_creation(daemon: Daemon, browser: Any) -> None:
    """A small file is one request, and the question that browsers ask before it."""
    told = send(browser, daemon.port, "small.xml", size=1000, uploadDataDuringCreation=True)

    assert told["errors"] == []
    assert told["answers"] == ["POST 201"]
    check_arrived(daemon, "small.xml", told["digest"])


def test_a_page_goes_on_after_breaks(daemon: Daemon, browser: Any) -> None:
    """Whichever connection brings so much is cut; Uppy asks how far the upload is, and sends the rest.

    A browser sends a chunk again by itself when a connection that it has used before is cut. What had come of that
    chunk is kept, so it hears 409 then, which Uppy takes for a reason to ask.
    """
    with closing(BreakingProxy(daemon.port, [Cut(3 * MB // 2)] * 20)) as proxy:
        told = send(browser, proxy.port, "breaks.xml")
        messages = complaints(browser)

    assert proxy.broken >= 1
    assert told["errors"] == []
    assert "HEAD 200" in told["answers"]
    assert set(told["answers"]) <= {"POST 201", "HEAD 200", "PATCH 204", "PATCH 409"}
    assert all(f"127.0.0.1:{proxy.port}/files/" in message for message in messages)
    assert all("409 (Conflict)" in message or "net::ERR_" in message for message in messages)
    check_arrived(daemon, "breaks.xml", told["digest"])


def test_a_page_ends_its_upload(daemon: Daemon, browser: Any) -> None:
    """Uppy's button for that ends it on the server too: nothing is left."""
    send(browser, daemon.port, "cancelled.xml", size=20 * MB, cancelAt=2 * MB)
    daemon.wait_for("upload of cancelled.xml terminated")

    assert list(daemon.temp.glob("*/cancelled.xml")) == []


def test_another_origin_cannot_upload(daemon: Daemon, browser: Any, page_port: int) -> None:
    """The same page by another name is a stranger's: the browser keeps it from sending anything, and says why."""
    browser.get(f"http://localhost:{page_port}/page.html")
    told = send(browser, daemon.port, "stranger.xml", retryDelays=[50])
    messages = complaints(browser)

    assert told["urls"] == []
    assert len(told["errors"]) == 1
    assert told["answers"] == []
    assert browser.find_element(By.TAG_NAME, "output").text == "failed"
    assert any("blocked by CORS policy" in message for message in messages)
    assert "upload of stranger.xml" not in daemon.log
    assert list(daemon.temp.glob("*/stranger.xml")) == []


def test_the_page_of_the_guide(daemon: Daemon, browser: Any, page_port: int, served: Path, tmp_path: Path) -> None:
    """Somebody chooses a file, and reads that it is uploaded; only the address is another than in the guide."""
    (page,) = re.findall(r"```html\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    page, script, _ = re.split(r"<script type=\"module\">\n|</script>\n", page)
    assert script.count("https://shop.example/files/") == 1
    packages = install(SOURCE)
    (packages / "readme.mjs").write_text(
        script.replace("https://shop.example/files/", f"http://127.0.0.1:{daemon.port}/files/"), encoding="utf-8"
    )
    bundle(packages, "readme.mjs", served / "readme.js")
    icon = '<link rel="icon" href="data:,">'
    (served / "readme.html").write_text(f'<!doctype html>{icon}{page}<script src="readme.js"></script>', "utf-8")
    chosen = tmp_path / "chosen.csv"
    chosen.write_bytes(os.urandom(2 * MB))
    browser.get(f"http://127.0.0.1:{page_port}/readme.html")
    browser.find_element(By.ID, "file").send_keys(str(chosen))
    state = browser.find_element(By.ID, "state")
    WebDriverWait(browser, PATIENCE).until(lambda _: state.text == "uploaded")

    check_arrived(daemon, "chosen.csv", hashlib.sha256(chosen.read_bytes()).hexdigest())
