"""The status pages in a real browser, beside a real daemon with a long past. The tests share both, and go in order.

``ONEC_SCREENSHOTS=docs`` puts the pictures of the documents there.
"""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest

if "ONEC_TEST_DEPLOY" not in os.environ:
    pytest.skip("tox -e deploy runs it", allow_module_level=True)

from attrs import define, field
from browser import open_browser
from daemon import PATIENCE, Daemon, start
from journal_rows import NIGHT_USERS, fill, night
from npm import install
from pages import HOSTILE, HOSTILE_TEXT
from selenium.common.exceptions import JavascriptException, NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait
from trade import Trade, packed

from onec_twisted.admin.pages.frame import PAGES
from onec_twisted.admin.words.english import ENGLISH
from onec_twisted.admin.words.russian import RUSSIAN
from onec_twisted.catalog.preparation import create_catalog
from onec_twisted.catalog.sqlite import opened
from onec_twisted.storage.local import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MB = 2**20
SCREENSHOTS = os.environ.get("ONEC_SCREENSHOTS")
EXCHANGES, SESSIONS = 7200, 3000
"""With their files, imports and tries, the exchanges are 50,400 rows."""

MOST_BYTES, MOST_SECONDS = 200_000, 0.3
"""What a page may take."""

WIDTHS = ((1280, "light"), (820, "dark"), (390, "light"), (390, "dark"))


def fill_past(media_root: Path, now: float) -> None:
    """Give a daemon that has not run yet a long past."""
    store = Store(media_root)
    store.prepare()
    create_catalog(store.database)
    with closing(opened(store.database)) as connection:
        cursor = connection.cursor()
        fill(cursor, exchanges=EXCHANGES, refusals=1000, since=now - 60 * EXCHANGES)
        cursor.execute("BEGIN")
        cursor.executemany(
            "INSERT INTO sessions (sessid, token_hash, username, epoch, held, touched, owed)"
            " VALUES (?, ?, ?, 1, 0, ?, 0)",
            [(f"{number:032x}", f"{number:064x}", "shop", now - 20 * number) for number in range(SESSIONS)],
        )
        cursor.execute("COMMIT")
        night(cursor, now, store.free(), NIGHT_USERS[:3])
        cursor.execute("DELETE FROM refusals WHERE username = 'Розница Север'")  # the verdict is green at first


@define(eq=False)
class Running:
    """A daemon and its folder; ``address`` is that of the pages."""

    folder: Path
    daemon: Daemon = field(init=False)

    @property
    def address(self) -> str:
        """Return where the overview is."""
        return f"http://127.0.0.1:{self.daemon.admin_port}/"

    @classmethod
    def beside(cls, folder: Path) -> Running:
        """Make its importer, which takes nothing while there is a file ``no``."""
        importer = folder / "import.sh"
        importer.write_text(f'#!/bin/sh\n[ ! -e "{folder}/no" ] || {{ echo "No price for «$2»" >&2; exit 1; }}\n')
        importer.chmod(0o755)
        return cls(folder)

    def start(self, port: int = 0, least_free: str = "1M") -> None:
        """Start it, with its pages at a port."""
        self.daemon = start(
            self.folder / "run",
            f"--importer=exec:{self.folder}/import.sh",
            f"--admin=tcp:{port}:interface=127.0.0.1",
            f"--min-free={least_free}",
        )

    def node(self) -> Trade:
        """Return a node that has logged in."""
        node = Trade("127.0.0.1", self.daemon.port)
        node.checkauth()
        return node

    def fail(self, name: str) -> Trade:
        """Send a file whose import fails, and return its node."""
        (self.folder / "no").touch()
        node, quoted = self.node(), quote(name, safe="")
        node.send_file(quoted, b"<?xml version='1.0'?>")
        node._ask(f"type=catalog&mode=import&filename={quoted}&sessid={node.sessid}")
        (self.folder / "no").unlink()
        return node

    def upload(self, name: str, size: int) -> tuple[Trade, socket.socket]:
        """Begin a piece, and return its node and the connection that brings the rest."""
        node = self.node()
        line = socket.create_connection(("127.0.0.1", self.daemon.port), PATIENCE)
        line.sendall(
            f"POST /1c_exchange.php?type=catalog&mode=file&filename={quote(name, safe='')}&sessid={node.sessid} "
            f"HTTP/1.1\r\nHost: x\r\nCookie: {node.cookie}\r\nContent-Length: {size}\r\n\r\n".encode()
        )
        return node, line


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A daemon with a long past."""
    folder = tmp_path_factory.mktemp("pages")
    fill_past(folder / "run" / "media", time.time())
    running = Running.beside(folder)
    running.start()
    yield running
    running.daemon.kill()


@pytest.fixture(scope="module")
def browser(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser that ends without a complaint, and before the daemon."""
    assert running.address
    with open_browser(tmp_path_factory.mktemp("browser")) as browser:
        browser.execute_cdp_cmd("Network.enable", {})
        yield browser


@pytest.fixture(autouse=True)
def afresh(browser: Any) -> Iterator[None]:
    """Leave the browser as it was."""
    yield
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {}})
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def until(browser: Any, holds: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Wait until something holds."""
    changing = [StaleElementReferenceException, NoSuchElementException, JavascriptException]
    return WebDriverWait(browser, patience, 0.05, changing).until(lambda _: holds())


def in_section(browser: Any, key: str, text: str) -> bool:
    """Return whether a section of the page says something now."""
    found = browser.execute_script(f"return document.getElementById('{key}')?.innerText ?? ''")
    return text in found


def bar_is_at(browser: Any, size: int) -> bool:
    """Return whether the page shows a piece of which so many bytes have come."""
    return bool(browser.execute_script("return Number(document.querySelector('progress')?.value ?? 0)") == size)


def shown(browser: Any, key: str) -> list[str]:
    """Return the ids of the rows of a section."""
    script = f"return [...document.querySelectorAll('#{key} tbody tr')].map((row) => row.id)"
    rows: list[str] = browser.execute_script(script)
    return rows


def look_as(browser: Any, width: int, scheme: str, height: int = 1000) -> None:
    """Let the browser have a width and a preferred scheme of colours."""
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def press(browser: Any, selector: str, *, confirm: bool | None = None) -> None:
    """Press a button, and answer its question if it has one."""
    until(browser, lambda: browser.find_element(By.CSS_SELECTOR, selector).click() or True)
    if confirm is not None:
        alert = browser.switch_to.alert
        (alert.accept if confirm else alert.dismiss)()


def test_all_is_well(running: Running, browser: Any) -> None:
    """At first the verdict is green, in words, in the title and in the icon."""
    browser.get(running.address)

    assert browser.find_element(By.CSS_SELECTOR, "#verdict h1").text == ENGLISH.good
    assert browser.title.startswith(f"✓ {ENGLISH.good}")
    assert browser.find_element(By.ID, "icon").get_attribute("href").endswith("/status.svg")


def test_an_upload_is_seen_to_progress(running: Running, browser: Any) -> None:
    """Without a reload; a hostile name is text, and the row goes when the piece has ended."""
    browser.get(running.address)
    browser.execute_script("window.mark = 1")
    node, line = running.upload(HOSTILE.replace("\u202e", ""), 40 * MB)
    for part in range(1, 4):
        line.sendall(b"x" * (10 * MB))
        until(browser, partial(bar_is_at, browser, part * 10 * MB))
    assert HOSTILE_TEXT.replace("U+202E", "") in browser.find_element(By.ID, "uploads").text
    line.sendall(b"x" * (10 * MB))
    until(browser, lambda: in_section(browser, "uploads", ENGLISH.no_transfers))

    assert browser.execute_script("return window.mark") == 1
    assert browser.execute_script("return document.scripts.length") == 1
    line.close()
    node.close()


def drop_all(running: Running, browser: Any) -> None:
    """Drop all failed hand-offs."""
    browser.get(running.address + "handoffs?state=failed")
    press(browser, "#handoffs-all-drop", confirm=True)
    until(browser, lambda: ENGLISH.notices["dropped_all"] in browser.find_element(By.ID, "notice").text)


def test_a_failure_is_seen_at_once(running: Running, browser: Any) -> None:
    """Within two seconds, if the machine has time, the title and the icon alarm on whatever page one is."""
    took: list[float] = []
    while not took or (min(took) > 2 and len(took) < 3):
        if took:
            drop_all(running, browser)
        browser.get(running.address + "settings")
        node = running.fail(HOSTILE)
        began = time.perf_counter()
        until(browser, lambda: browser.title.startswith(f"✗ {ENGLISH.bad}: 1"))
        took.append(time.perf_counter() - began)
        node.close()
    assert min(took) < 2
    assert browser.find_element(By.ID, "icon").get_attribute("href").endswith("/alarm.svg")
    browser.get(running.address)

    assert in_section(browser, "verdict", f"{ENGLISH.reasons['failed']}: 1 – No price for «<script>alert(1)")
    press(browser, "#verdict li a")
    until(browser, lambda: browser.current_url.endswith("/handoffs?state=failed"))
    until(browser, lambda: in_section(browser, "handoffs", HOSTILE_TEXT))


def test_buttons(running: Running, browser: Any) -> None:
    """What failed is retried by keyboard, or dropped when that is confirmed; the filter stays, the notice goes."""
    browser.get(running.address + "handoffs?user=shop&state=failed")
    (first,) = shown(browser, "handoffs")
    (running.folder / "no").touch()
    until(browser, lambda: browser.find_element(By.CSS_SELECTOR, f"#{first} button").send_keys(Keys.ENTER) or True)
    until(browser, lambda: ENGLISH.notices["retried"] in browser.find_element(By.ID, "notice").text)
    assert browser.current_url.endswith("handoffs?user=shop&state=failed")
    until(browser, lambda: shown(browser, "handoffs") not in ([], [first]))
    (running.folder / "no").unlink()
    press(browser, "#handoffs tbody form:last-child button", confirm=False)
    assert shown(browser, "handoffs")
    press(browser, "#handoffs tbody form:last-child button", confirm=True)
    until(browser, lambda: ENGLISH.notices["dropped"] in browser.find_element(By.ID, "notice").text)

    assert shown(browser, "handoffs") == []
    until(browser, lambda: browser.title.startswith("✓"))


def test_forty_failures_are_one_click(running: Running, browser: Any) -> None:
    """They are retried, and what fails again is dropped, all that a filter shows."""
    nodes = [running.fail(f"{number}.xml") for number in range(5)]
    browser.get(running.address + "handoffs?state=failed")
    until(browser, lambda: len(shown(browser, "handoffs")) == 5)
    (running.folder / "no").touch()
    press(browser, "#handoffs-all-retry", confirm=True)
    until(browser, lambda: ENGLISH.notices["retried_all"] in browser.find_element(By.ID, "notice").text)
    until(browser, lambda: len(shown(browser, "handoffs")) == 5)
    (running.folder / "no").unlink()
    press(browser, "#handoffs-all-drop", confirm=True)
    until(browser, lambda: ENGLISH.notices["dropped_all"] in browser.find_element(By.ID, "notice").text)

    assert shown(browser, "handoffs") == []
    for node in nodes:
        node.close()


def test_an_exchange_has_a_page(running: Running, browser: Any) -> None:
    """With what came and what became of it; what was delivered is delivered again."""
    node = running.node()
    node.send_file("import0_1.xml", b"<?xml version='1.0'?><a/>")
    node.send_file("import_files.zip", packed({HOSTILE: b"jpeg"}))
    node.import_file("import0_1.xml")
    browser.get(running.address + "exchanges?user=shop&file=IMPORT0_1.xml")
    press(browser, "#exchanges tbody a")
    until(browser, lambda: in_section(browser, "files", "import0_1.xml"))
    assert in_section(browser, "steps", ENGLISH.succeeded_try)
    press(browser, "#imports form button", confirm=True)
    until(browser, lambda: ENGLISH.notices["redelivered"] in browser.find_element(By.ID, "notice").text)
    until(browser, lambda: len(shown(browser, "imports")) == 2)
    until(browser, lambda: browser.find_element(By.ID, "imports").text.count(ENGLISH.states["succeeded"]) == 1)

    assert in_section(browser, "imports", ENGLISH.states["repeated"])
    press(browser, "#files a")
    until(browser, lambda: in_section(browser, "inside", HOSTILE_TEXT.replace('"', "")[:20]))
    assert "\u202e" not in browser.find_element(By.ID, "inside").text
    node.close()


def test_the_verdict_is_red_when_health_is(running: Running, browser: Any) -> None:
    """The media root is gone: the page says what ``/health`` says; and it is green again afterwards."""
    browser.get(running.address)
    media, away = running.daemon.folder / "media", running.folder / "away"
    media.rename(away)
    try:
        until(browser, lambda: in_section(browser, "verdict", ENGLISH.reasons["unhealthy"]))
        assert in_section(browser, "verdict", "was removed or replaced")
    finally:
        away.rename(media)
    until(browser, lambda: in_section(browser, "verdict", ENGLISH.good))
    browser.get_log("browser")  # that the answer was 503 is on the console


@pytest.mark.parametrize("path", [*PAGES, "exchanges?user=user3&state=failed&file=import71", "exchanges/7000"])
def test_a_long_past_costs_little(running: Running, path: str) -> None:
    """With 3,000 sessions and 50,000 rows a page comes at once, and is small."""
    took = []
    for _ in range(3):
        began = time.perf_counter()
        with urlopen(running.address + path, timeout=PATIENCE) as answer:
            body = answer.read()
        took.append(time.perf_counter() - began)

    assert len(body) < MOST_BYTES
    assert min(took) < MOST_SECONDS


def test_filters_and_pages(running: Running, browser: Any) -> None:
    """Chosen and written; older rows keep the filter, and the list stays what it is while it updates itself."""
    browser.get(running.address + "exchanges")
    Select(browser.find_element(By.NAME, "user")).select_by_value("user4")
    Select(browser.find_element(By.NAME, "state")).select_by_value("succeeded")
    browser.find_element(By.NAME, "file").send_keys("Товары", Keys.ENTER)
    until(browser, lambda: "user=user4" in browser.current_url and browser.find_elements(By.TAG_NAME, "footer"))
    first = shown(browser, "exchanges")
    press(browser, "a[rel=next]")
    until(browser, lambda: "before=" in browser.current_url and browser.find_elements(By.TAG_NAME, "footer"))
    second, made = shown(browser, "exchanges"), browser.find_element(By.ID, "made").text
    until(browser, lambda: browser.find_element(By.ID, "made").text != made)

    assert len(first) == len(second) == 50
    assert not set(first) & set(second)
    assert shown(browser, "exchanges") == second
    assert Select(browser.find_element(By.NAME, "user")).first_selected_option.text == "user4"
    cells = "return [...document.querySelectorAll('#exchanges td:nth-child(2)')].map((cell) => cell.textContent)"
    assert set(browser.execute_script(cells)) == {"user4"}
    press(browser, ".clear")
    until(browser, lambda: browser.current_url.endswith("exchanges?"))


def test_what_is_being_filled_in_stays(running: Running, browser: Any) -> None:
    """While the page updates itself around it."""
    browser.get(running.address + "exchanges")
    field = browser.find_element(By.NAME, "file")
    field.send_keys("off")
    made = browser.find_element(By.ID, "made").text
    until(browser, lambda: browser.find_element(By.ID, "made").text != made)
    field.send_keys("ers")

    assert field.get_property("value") == "offers"


def test_keyboard_only(running: Running, browser: Any) -> None:
    """Everything can be reached and used in the order in which it stands, and one sees where one is."""
    browser.get(running.address)
    keys = browser.switch_to.active_element
    keys.send_keys(Keys.TAB)
    skip = browser.switch_to.active_element
    assert skip.text == ENGLISH.skip
    assert skip.location["x"] >= 0
    skip.send_keys(Keys.ENTER)
    assert browser.switch_to.active_element.get_attribute("id") == "main"
    browser.get(running.address)
    for _ in range(4):  # past the link to the content, the name and the overview
        browser.switch_to.active_element.send_keys(Keys.TAB)
    assert browser.switch_to.active_element.text == ENGLISH.pages["exchanges"]
    outline = browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    until(browser, lambda: browser.current_url.endswith("/exchanges"))
    link = "#exchanges tbody a"
    until(browser, lambda: browser.find_element(By.CSS_SELECTOR, link).send_keys(Keys.ENTER) or True)
    until(browser, lambda: "/exchanges/" in browser.current_url)


def test_the_focus_stays(running: Running, browser: Any) -> None:
    """While rows come and go around it: a keyboard, or a screen reader, does not lose its place."""
    node = running.node()
    browser.get(running.address + "sessions")
    key = f"sessions-{node.sessid}-end"
    browser.execute_script(f"document.getElementById('{key}').focus()")
    others = [running.node() for _ in range(2)]
    until(browser, lambda: shown(browser, "sessions")[2] == f"session-{node.sessid}")
    assert browser.switch_to.active_element.get_attribute("id") == key
    node.send_file("b", b"x")  # its row moves to the top
    until(browser, lambda: shown(browser, "sessions")[0] == f"session-{node.sessid}")

    assert browser.switch_to.active_element.get_attribute("id") == key
    press(browser, f"#{key}", confirm=True)
    until(browser, lambda: ENGLISH.notices["ended"] in browser.find_element(By.ID, "notice").text)
    assert f"session-{node.sessid}" not in shown(browser, "sessions")
    for one in (node, *others):
        one.close()


def test_no_javascript(running: Running, browser: Any) -> None:
    """All is there, filters and buttons work, and the page says that it has to be reloaded."""
    node = running.fail("plain.xml")
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(running.address)
    assert ENGLISH.no_script in browser.find_element(By.TAG_NAME, "footer").text
    assert browser.find_element(By.CSS_SELECTOR, "#verdict li a").text == ENGLISH.reasons["failed"]
    assert len(browser.find_elements(By.CSS_SELECTOR, "svg.plot")) == 4
    browser.get(running.address + "handoffs")
    Select(browser.find_element(By.NAME, "state")).select_by_value("failed")
    press(browser, ".filters button")
    until(browser, lambda: "state=failed" in browser.current_url)
    press(browser, "#handoffs tbody form:last-child button")
    until(browser, lambda: browser.find_element(By.ID, "notice").text == ENGLISH.notices["dropped"])
    node.close()


BROKEN_WORDS = """
const broken = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node.parentElement.closest("noscript, .skip, option, [hidden]")) continue;
    for (const word of node.data.matchAll(/[А-Яа-яЁё]+/g)) {
        const range = document.createRange();
        range.setStart(node, word.index);
        range.setEnd(node, word.index + word[0].length);
        const lines = new Set([...range.getClientRects()].map((one) => Math.round(one.top)));
        if (lines.size > 1) broken.push(word[0]);
    }
}
return broken;
"""
"""Russian words that stand on more than one line."""

BROKEN_PARTS = """
return [...document.querySelectorAll("button, time, .state, th, td.number, nav a, .verdict.short")]
    .filter((one) => one.offsetParent && !one.closest("[hidden]"))
    .filter((one) => one.getClientRects().length > 1 || one.scrollWidth > one.clientWidth + 1 && one.clientWidth)
    .map((one) => one.textContent);
"""
"""States, times, numbers and buttons that are broken or cut."""


@pytest.mark.parametrize(("width", "scheme"), WIDTHS)
@pytest.mark.parametrize("language", ["en", "ru"])
def test_it_fits(running: Running, browser: Any, width: int, scheme: str, language: str) -> None:
    """A desk, a tablet and a phone: nothing has to be scrolled sideways, and no word is broken."""
    browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {"Accept-Language": language}})
    look_as(browser, width, scheme)
    for page in (*PAGES, "exchanges/7200", "exchanges?file=zip"):
        browser.get(running.address + page)
        assert browser.find_element(By.TAG_NAME, "html").get_attribute("lang") == language
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width, page
        assert browser.execute_script(BROKEN_WORDS) == [], page
        assert browser.execute_script(BROKEN_PARTS) == [], page
        tall = "return [...document.querySelectorAll('main button')].map((one) => one.offsetHeight)"
        assert min(browser.execute_script(tall), default=44) >= (44 if width < 500 else 24)
    if language == "ru":
        assert RUSSIAN.pages["settings"] in browser.find_element(By.TAG_NAME, "nav").text


@pytest.fixture(scope="module")
def axe() -> str:
    """The script that looks for what keeps people out."""
    source = Path(__file__).parents[1] / "javascript" / "axe"
    return (install(source) / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize(("width", "scheme"), WIDTHS[:3])
def test_axe_finds_nothing_serious(running: Running, browser: Any, axe: str, width: int, scheme: str) -> None:
    """On none of the pages, by day and by night, on a desk and on a phone; with a red verdict, too."""
    look_as(browser, width, scheme)
    node = running.fail("axe.xml")
    found: list[tuple[str, str, str]] = []
    for page in (*PAGES, "exchanges/7000", "nothing"):
        browser.get(running.address + page)
        browser.execute_script(axe)
        result = browser.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
        if page != "nothing":
            assert len(result["passes"]) > 10
            found += [
                (page, one["id"], json.dumps([node["html"][:200] for node in one["nodes"][:3]]))
                for one in result["violations"]
                if one["impact"] in {"serious", "critical"}
            ]
    browser.get_log("browser")  # that there is no such page is on the console
    drop_all(running, browser)
    node.close()

    assert found == []


def test_pictures(browser: Any, tmp_path: Path) -> None:
    """Of a night on which something is wrong, for the documents."""
    store = Store(tmp_path / "run" / "media")
    store.prepare()
    create_catalog(store.database)
    with closing(opened(store.database)) as connection:
        night(connection.cursor(), time.time(), store.free())
    running = Running.beside(tmp_path)
    running.start(least_free="8G")
    node, line = running.upload("v8_1A76_155ae.zip", 100 * MB)
    line.sendall(b"x" * (62 * MB))
    failed = running.fail("offers0_1.xml")
    folder = Path(SCREENSHOTS) if SCREENSHOTS else tmp_path
    for name, page, width, scheme, height in (
        ("status-page", "", 1280, "light", 1320),
        ("status-exchange", "exchanges/64", 1280, "light", 1040),
        ("status-phone", "", 390, "dark", 1000),
    ):
        look_as(browser, width, scheme, height)
        browser.get(running.address + page)
        assert browser.save_screenshot(str(folder / f"{name}.png"))
    line.close()
    for one in (node, failed):
        one.close()
    running.daemon.kill()
    browser.get("about:blank")


def test_a_daemon_that_has_gone_and_comes_back(running: Running, browser: Any) -> None:
    """The page is grey, says as of when it is, and no longer what came of a button; then it goes on as before."""
    browser.get(running.address + "sessions?notice=ended")
    until(browser, lambda: browser.find_element(By.ID, "notice").text == ENGLISH.notices["ended"])
    rows, port = shown(browser, "sessions"), running.daemon.admin_port
    until(browser, lambda: browser.execute_script("return document.getElementById('main').dataset.time"))
    running.daemon.kill()
    alert = browser.find_element(By.ID, "silence")
    until(browser, alert.is_displayed)
    known = browser.execute_script("return document.getElementById('main').dataset.time")

    assert alert.text == f"{ENGLISH.no_answer} {ENGLISH.as_of} {known}"
    assert browser.find_element(By.ID, "notice").text == ""
    assert "grayscale" in browser.execute_script("return getComputedStyle(document.querySelector('main')).filter")
    assert shown(browser, "sessions") == rows
    running.start(port)
    until(browser, lambda: not alert.is_displayed())
    assert browser.execute_script("return document.body.className") == "live"
    browser.get_log("browser")  # that nobody answered is on the console, and is meant to be
