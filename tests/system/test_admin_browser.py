"""The status page in a real browser, beside a real daemon.

``ONEC_SCREENSHOTS=docs`` puts the pictures of the documents there.
"""

from __future__ import annotations

import os
import shutil
import socket
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

if "ONEC_TEST_DEPLOY" not in os.environ:
    pytest.skip("tox -e deploy runs it", allow_module_level=True)

from browser import open_browser
from daemon import PATIENCE, Daemon, start
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from trade import Trade

from onec_twisted.admin.words import ENGLISH, RUSSIAN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MB = 2**20
HOSTILE = "<img src=x onerror=alert(1)>\"'&.xml"
SCREENSHOTS = os.environ.get("ONEC_SCREENSHOTS")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon whose importer takes nothing while there is a file ``no``."""
    importer = tmp_path / "import.sh"
    importer.write_text(f'#!/bin/sh\n[ ! -e "{tmp_path}/no" ] || {{ echo "No price for «$2»" >&2; exit 1; }}\n')
    importer.chmod(0o755)
    daemon = start(
        tmp_path / "run",
        f"--importer=exec:{importer}",
        "--admin=tcp:0:interface=127.0.0.1",
        "--min-free=1M",
    )
    yield daemon
    daemon.kill()


@pytest.fixture
def address(daemon: Daemon) -> str:
    """Where the page is."""
    return f"http://127.0.0.1:{daemon.admin_port}/"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """A browser that ends without a complaint."""
    with open_browser(tmp_path / "browser") as browser:
        yield browser


def until(browser: Any, holds: Callable[[], Any]) -> Any:
    """Wait until something holds."""
    return WebDriverWait(browser, PATIENCE, poll_frequency=0.1).until(lambda _: holds())


def upload(daemon: Daemon, name: str, size: int) -> tuple[Trade, socket.socket]:
    """Begin a piece, and return its node and the connection that brings the rest."""
    node = Trade("127.0.0.1", daemon.port)
    node.checkauth()
    line = socket.create_connection(("127.0.0.1", daemon.port), PATIENCE)
    line.sendall(
        f"POST /1c_exchange.php?type=catalog&mode=file&filename={quote(name, safe='')}&sessid={node.sessid} "
        f"HTTP/1.1\r\nHost: x\r\nCookie: {node.cookie}\r\nContent-Length: {size}\r\n\r\n".encode()
    )
    return node, line


def failed_import(daemon: Daemon, name: str) -> Trade:
    """Send a file whose import fails, and return its node."""
    (daemon.folder.parent / "no").touch()
    node = Trade("127.0.0.1", daemon.port)
    node.checkauth()
    node.send_file(quote(name, safe=""), b"<?xml version='1.0'?>")
    node._ask(f"type=catalog&mode=import&filename={quote(name, safe='')}&sessid={node.sessid}")
    return node


def in_section(browser: Any, key: str, text: str) -> bool:
    """Return whether a section of the page says something now."""
    found = browser.execute_script(f"return document.getElementById('{key}').innerText")
    return text in found


def has_come(browser: Any, size: int) -> bool:
    """Return whether the page shows a piece of which so many bytes have come."""
    value = browser.execute_script("return Number(document.querySelector('progress')?.value ?? 0)")
    return bool(value == size)


def shown(browser: Any, key: str) -> list[str]:
    """Return the ids of the rows of a section."""
    rows: list[str] = browser.execute_script(
        f"return [...document.querySelectorAll('#{key} tbody tr')].map((row) => row.id)"
    )
    return rows


def test_an_upload_is_seen_to_progress(daemon: Daemon, address: str, browser: Any) -> None:
    """Without a reload; a hostile name is text, and the row goes when the piece has ended."""
    browser.get(address)
    browser.execute_script("window.mark = 1")
    node, line = upload(daemon, HOSTILE, 40 * MB)
    seen: list[float] = []
    for part in range(1, 4):
        line.sendall(b"x" * (10 * MB))
        until(browser, partial(has_come, browser, part * 10 * MB))
        seen.append(browser.find_element(By.TAG_NAME, "progress").get_property("value"))
    cell = browser.find_element(By.CSS_SELECTOR, "#uploads tbody td:nth-child(2)")
    assert HOSTILE in cell.text
    assert browser.find_elements(By.TAG_NAME, "img") == []
    line.sendall(b"x" * (10 * MB))
    until(browser, lambda: in_section(browser, "uploads", ENGLISH.no_transfers))

    assert seen == [10 * MB, 20 * MB, 30 * MB]
    assert browser.execute_script("return window.mark") == 1
    until(browser, lambda: in_section(browser, "sessions", "40.0 MB"))
    line.close()
    node.close()


def test_buttons(daemon: Daemon, address: str, browser: Any) -> None:
    """A failed hand-off is tried again, by keyboard; one is dropped, a session is ended, when that is confirmed."""
    node = failed_import(daemon, "a.xml")
    browser.get(address)
    until(browser, lambda: in_section(browser, "handoffs", "No price for «a.xml»"))
    (first,) = shown(browser, "handoffs")
    retry = browser.find_element(By.CSS_SELECTOR, "#handoffs button")
    assert retry.text == ENGLISH.retry
    retry.send_keys(Keys.ENTER)
    until(browser, lambda: ENGLISH.notices["retried"] in browser.find_element(By.ID, "notice").text)
    until(browser, lambda: shown(browser, "handoffs") != [first] and in_section(browser, "handoffs", "failed"))
    (daemon.folder.parent / "no").unlink()
    browser.find_element(By.CSS_SELECTOR, "#handoffs button").click()
    until(browser, lambda: in_section(browser, "handoffs", ENGLISH.states["succeeded"]))
    node.import_file("a.xml")

    other = failed_import(daemon, "b.xml")
    until(browser, lambda: in_section(browser, "handoffs", "b.xml"))
    drop = "//section[@id='handoffs']//button[text()='Drop']"
    browser.find_element(By.XPATH, drop).click()
    browser.switch_to.alert.dismiss()
    assert in_section(browser, "handoffs", "b.xml")
    browser.find_element(By.XPATH, drop).click()
    browser.switch_to.alert.accept()
    until(browser, lambda: ENGLISH.notices["dropped"] in browser.find_element(By.ID, "notice").text)
    assert not in_section(browser, "handoffs", "b.xml")

    browser.find_element(By.CSS_SELECTOR, f"#session-{other.sessid} button").click()
    browser.switch_to.alert.accept()
    until(browser, lambda: ENGLISH.notices["ended"] in browser.find_element(By.ID, "notice").text)
    assert f"session-{other.sessid}" not in shown(browser, "sessions")
    assert f"session-{node.sessid}" in shown(browser, "sessions")
    assert not (daemon.temp / other.sessid).exists()
    for one in (node, other):
        one.close()


def test_the_focus_stays(daemon: Daemon, address: str, browser: Any) -> None:
    """While rows come, change and go around it: a keyboard, or a screen reader, does not lose its place."""
    node = failed_import(daemon, "a.xml")
    browser.get(address)
    until(browser, lambda: shown(browser, "sessions"))
    browser.execute_script(f"document.querySelector('#session-{node.sessid} button').focus()")
    others = [failed_import(daemon, f"{number}.xml") for number in range(2)]
    until(browser, lambda: len(shown(browser, "sessions")) == 3)
    until(browser, lambda: len(shown(browser, "handoffs")) == 3)

    focused = f"sessions-{node.sessid}-end"
    assert browser.switch_to.active_element.get_attribute("id") == focused
    assert shown(browser, "sessions")[-1] == f"session-{node.sessid}"
    node.send_file("b", b"x")  # its row moves to the top
    until(browser, lambda: shown(browser, "sessions")[0] == f"session-{node.sessid}")
    assert browser.switch_to.active_element.get_attribute("id") == focused
    for one in (node, *others):
        one.close()


def test_a_daemon_that_has_gone(daemon: Daemon, address: str, browser: Any) -> None:
    """The page says that what it shows is old, and what was there stays."""
    browser.get(address)
    until(browser, lambda: in_section(browser, "sessions", ENGLISH.no_sessions))
    daemon.kill()
    alert = browser.find_element(By.ID, "silence")
    until(browser, alert.is_displayed)

    assert alert.text == ENGLISH.no_answer
    assert in_section(browser, "sessions", ENGLISH.no_sessions)
    browser.get_log("browser")  # that nobody answered is on the console, and is meant to be


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_it_fits(daemon: Daemon, address: str, browser: Any, tmp_path: Path, width: int, scheme: str) -> None:
    """A wide screen and a phone, by day and by night: nothing has to be scrolled sideways, and text can be read."""
    nodes = [failed_import(daemon, name) for name in ("import0_1.xml", "offers0_1.xml")]
    (daemon.folder.parent / "no").unlink()
    done = Trade("127.0.0.1", daemon.port)
    done.checkauth()
    done.send_file("prices0_1.xml", b"<?xml")
    done.import_file("prices0_1.xml")
    node, line = upload(daemon, "v8_1A76_155ae.zip", 100 * MB)
    line.sendall(b"x" * (62 * MB))
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    metrics = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(address)
    until(browser, lambda: shown(browser, "uploads") and len(shown(browser, "handoffs")) == 3)

    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    contrasts = browser.execute_script(CONTRASTS)
    assert contrasts
    assert min(contrasts) >= 4.5
    heights = browser.execute_script("return [...document.querySelectorAll('button')].map((one) => one.offsetHeight)")
    assert min(heights) >= (44 if width < 500 else 24)
    picture = tmp_path / f"status-{width}.png"
    assert browser.save_screenshot(str(picture))
    if SCREENSHOTS:
        shutil.copy(picture, Path(SCREENSHOTS) / f"status-{'page' if width > 500 else 'phone'}.png")
    line.close()
    for one in (node, done, *nodes):
        one.close()


CONTRASTS = """
const light = (color) => {
    const parts = color.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255);
    const [r, g, b] = parts.map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const paper = light(getComputedStyle(document.body).backgroundColor);
return [...document.querySelectorAll('body *')]
    .filter((one) => one.offsetParent && [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .map((one) => light(getComputedStyle(one).color))
    .map((ink) => (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05));
"""
"""The contrast of each text with the page, as WCAG 2.1 counts it; 4.5 is what ordinary text needs."""


def test_in_russian(daemon: Daemon, address: str, tmp_path: Path) -> None:
    """A browser that prefers it gets it, in the part that changes, too."""
    with open_browser(tmp_path / "russian", "ru") as browser:
        browser.get(address)
        assert browser.find_element(By.TAG_NAME, "html").get_attribute("lang") == "ru"
        until(browser, lambda: in_section(browser, "sessions", RUSSIAN.no_sessions))
        node = Trade("127.0.0.1", daemon.port)
        node.checkauth()
        until(browser, lambda: shown(browser, "sessions") == [f"session-{node.sessid}"])
        until(browser, lambda: in_section(browser, "sessions", RUSSIAN.end))
        node.close()
