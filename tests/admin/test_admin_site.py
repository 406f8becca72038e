"""The administrator's site: paths, locks, and other sites' pages."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest
from administrator import Administrator, waiting
from in_memory import flush_failures
from line import Line

from onec_twisted.admin.site import PART_FRESH_FOR, PARTS_CACHED
from onec_twisted.admin.status import STATUS_PATIENCE

if TYPE_CHECKING:
    from in_memory import InMemory

BUTTONS = ["/handoffs/x/retry", "/handoffs/x/drop", "/handoffs/x/again", "/handoffs/all/retry", "/sessions/x/end"]


@pytest.fixture
def administrator(exchange: InMemory) -> Administrator:
    """Who asks, on this machine."""
    return Administrator(exchange)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/exchanges?user=x&state=failed&day=2026-11-25&file=a&before=9", "text/html; charset=utf-8"),
        ("/exchanges/1", "text/html; charset=utf-8"),
        ("/handoffs", "text/html; charset=utf-8"),
        ("/sessions", "text/html; charset=utf-8"),
        ("/refusals", "text/html; charset=utf-8"),
        ("/settings", "text/html; charset=utf-8"),
        ("/status.css", "text/css; charset=utf-8"),
        ("/status.js", "text/javascript; charset=utf-8"),
        ("/status.svg", "image/svg+xml"),
        ("/alarm.svg", "image/svg+xml"),
        ("/metrics", "text/plain; version="),
        ("/health", "application/json"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_pages(administrator: Administrator, path: str, kind: str, method: str) -> None:
    """Each with its type, and with what keeps a browser from being used against us."""
    administrator.exchange.checkauth()  # the first exchange
    reply = administrator.ask(path, method)

    assert reply.status == 200
    assert reply.headers["content-type"].startswith(kind)
    assert bool(reply.body) is (method == "GET")
    assert "unsafe" not in reply.headers["content-security-policy"]
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/nothing", "GET", 404),
        ("/status.css/x", "GET", 404),
        ("/../etc/passwd", "GET", 404),
        ("/", "POST", 405),
        ("/exchanges/2", "GET", 404),
        ("/exchanges/x", "GET", 404),
        ("/exchanges/9999999999999999999", "GET", 404),
        ("/refusals/1", "GET", 404),
        ("/live", "GET", 404),
        ("/metrics", "DELETE", 405),
        ("/handoffs/x/retry", "GET", 404),
        ("/handoffs/x/end", "POST", 404),
        ("/health", "POST", 404),
    ],
)
def test_other_paths(administrator: Administrator, path: str, method: str, status: int) -> None:
    """There is nothing."""
    assert administrator.ask(path, method).status == status


def part(administrator: Administrator, path: str = "/", **headers: str) -> str:
    """Return the part of a page that changes, as the script requests it."""
    reply = administrator.ask(f"/api/v1/pages{path}", **headers)
    return str(json.loads(reply.body).get("html", reply))


def test_the_part_that_changes_is_a_part_of_the_page(administrator: Administrator) -> None:
    """The script puts it in its place."""
    for path in ("/", "/settings"):
        live = part(administrator, path)
        assert live.startswith("<main ")
        assert live in administrator.ask(path).body.decode()


def test_notices(administrator: Administrator) -> None:
    """What came of a button is said in words of ours; what else is asked for is not said."""
    assert "The session was ended." in administrator.ask("/?notice=ended").body.decode()
    page = administrator.ask("/?notice=%3Cscript%3E").body.decode()

    assert '<p role="status" id="notice"></p>' in page


@pytest.mark.parametrize(
    ("back", "location"),
    [
        ("", "../../?notice=gone"),
        ("handoffs?state=failed&user=%D0%98", "../../handoffs?state=failed&user=%D0%98&notice=gone"),
        ("exchanges/7", "../../exchanges/7?notice=gone"),
        ("handoffs?notice=ended", "../../handoffs?notice=gone"),
        ("//evil.example/", "../../?notice=gone"),
        ("https://evil.example/handoffs", "../../?notice=gone"),
        ("handoffs/../../x", "../../?notice=gone"),
        ("handoffs?x=\r\nSet-Cookie: a", "../../handoffs?x=%0D%0ASet-Cookie%3A+a&notice=gone"),
    ],
)
def test_the_way_back(administrator: Administrator, back: str, location: str) -> None:
    """A button leads back to the page on which it was pressed, with its filter; and nowhere else."""
    administrator.exchange.checkauth()
    assert administrator.press("/handoffs/x/retry", back=back).headers["location"] == location


@pytest.mark.parametrize("button", BUTTONS)
def test_a_button(administrator: Administrator, button: str) -> None:
    """It leads back to the page, wherever a proxy has put that, which says what came of it."""
    administrator.exchange.checkauth()  # a page without buttons needs no token
    reply = administrator.press(button, Sec_Fetch_Site="same-origin")

    assert (reply.status, reply.headers["location"]) == (303, "../../?notice=gone")


@pytest.mark.parametrize("button", BUTTONS)
@pytest.mark.parametrize(("token", "headers"), [("", {}), ("wrong", {}), (None, {"Sec_Fetch_Site": "cross-site"})])
def test_a_form_of_another_site(
    administrator: Administrator, button: str, token: str | None, headers: dict[str, str]
) -> None:
    """Without what only our page knows, or when the browser says where it is from, it does nothing."""
    exchange = administrator.exchange
    session = exchange.checkauth()
    action = button.replace("/x/", f"/{session[1]}/")
    reply = administrator.press(action, token, **headers)

    assert reply.status == 403
    assert b"reload the page" in reply.body
    assert exchange.request("GET", f"type=catalog&mode=init&sessid={session[1]}", Cookie=session[0]).status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9090", 200),
        ("localhost:9090", 200),
        ("[::1]:9090", 200),
        ("192.168.1.5", 200),
        ("evil.example:9090", 403),
        ("evil.example", 403),
        ("", 200),
    ],
)
def test_a_name_that_another_site_has_led_here(administrator: Administrator, host: str, status: int) -> None:
    """Its pages are not ours to a browser, so it reads nothing."""
    for path in ("/", "/exchanges", "/metrics"):
        assert administrator.ask(path, Host=host).status == status
    assert administrator.ask("/health", Host=host).status == 200


def basic(user: str, password: str) -> str:
    """Return an Authorization header."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize("path", ["/", "/exchanges?file=x", "/metrics"])
@pytest.mark.parametrize("name", ["Host", "Accept", "Accept-Language", "Sec-Fetch-Site"])
def test_headers_that_are_nonsense(administrator: Administrator, path: str, name: str) -> None:
    """They are refused, or passed over."""
    for value in (b"[", b"\xff\xfe", b"[::1", b"1" * 5000):
        line = Line(administrator.site, "127.0.0.1")
        head = b"GET %s HTTP/1.1\r\n%s: %s\r\n" % (path.encode(), name.encode(), value)
        answer = line.send(head + (b"" if name == "Host" else b"Host: 127.0.0.1\r\n") + b"\r\n")

        assert answer.startswith(b"HTTP/1.1 403 " if name == "Host" else b"HTTP/1.1 200 "), (name, value)
        line.lose()


def test_a_lock(exchange: InMemory) -> None:
    """With passwords nothing but the health is shown without one; names are fine then."""
    administrator = Administrator(exchange, {"root": b"toor"})
    for path in ("/", "/exchanges", "/metrics", "/status.css", "/nothing"):
        reply = administrator.ask(path, Host="status.example")
        assert reply.status == 401
        assert reply.headers["www-authenticate"].startswith("Basic realm=")
        assert administrator.ask(path, Authorization=basic("root", "toor")).status == (404 if "not" in path else 200)
    assert administrator.ask(BUTTONS[0], "POST").status == 401
    assert administrator.ask("/health").status == 200
    assert exchange.metric("onec_received_bytes_total") == 0


def test_wrong_passwords_are_slowed(exchange: InMemory) -> None:
    """As they are for nodes."""
    administrator = Administrator(exchange, {"root": b"toor"})
    assert administrator.ask("/", Authorization=basic("root", "x")).status == 401
    line = Line(administrator.site, "127.0.0.1")
    head = f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: {basic('root', 'toor')}\r\n\r\n".encode()
    assert line.send(head) == b""
    exchange.clock.advance(1)

    assert line.answered.startswith(b"HTTP/1.1 200 ")
    line.lose()


def test_what_nobody_thought_of(
    administrator: Administrator, nothing_left_behind: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page turns red, and the log has a line; nobody sees more than that."""

    def fail(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(type(administrator.exchange.store), "free", fail)
    reply = administrator.ask("/")

    assert reply.status == 503
    assert "the disk could not be asked: ZeroDivisionError" in reply.body.decode()
    assert "Traceback" not in reply.body.decode()
    assert len(flush_failures(nothing_left_behind)) >= 1


def test_a_page_with_a_mistake(
    administrator: Administrator, nothing_left_behind: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 and a line in the log, and no more than that to see."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("onec_twisted.admin.family.sessions", fail)
    reply = administrator.ask("/sessions")

    assert (reply.status, reply.body) == (500, b"Internal server error\n")
    assert len(flush_failures(nothing_left_behind)) == 1


def test_a_browser_that_has_gone(exchange: InMemory) -> None:
    """Its answer is thrown away."""
    _, workers, (line,) = waiting(exchange, "/")
    line.lose()
    workers.run()
    exchange.clock.advance(STATUS_PATIENCE)

    assert line.answered == b""


def test_a_disk_that_does_not_answer(exchange: InMemory) -> None:
    """Nobody waits for it for ever; what is known without it is told."""
    _, _, (page, metrics, health) = waiting(exchange, "/", "/metrics", "/health")
    for _ in range(3):
        exchange.clock.advance(STATUS_PATIENCE)

    assert page.answered.startswith(b"HTTP/1.1 503 ")
    assert b"the disk has not answered for 5 seconds" in page.answered
    assert metrics.answered.startswith(b"HTTP/1.1 200 ")
    assert b"onec_connections 0.0\n" in metrics.answered
    assert b"onec_disk_free_bytes NaN\n" in metrics.answered
    assert b"onec_ready 0.0\n" in metrics.answered
    assert health.answered.startswith(b"HTTP/1.1 503 ")
    for line in (page, metrics, health):
        line.lose()


def test_many_browsers_are_one_look(exchange: InMemory) -> None:
    """The part that changes is made twice a second for each page and language; who has changed something sees it."""
    administrator = Administrator(exchange)
    exchange.checkauth()
    first = part(administrator, "/sessions")
    exchange.checkauth()
    assert part(administrator, "/sessions") == first
    assert "Сеансы" in part(administrator, "/sessions", Accept_Language="ru")
    exchange.clock.advance(PART_FRESH_FOR)
    second = part(administrator, "/sessions")
    assert second != first
    exchange.checkauth()
    administrator.press("/handoffs/x/retry")

    assert part(administrator, "/sessions") != second


def test_parts_in_memory_are_few(administrator: Administrator) -> None:
    """However many queries somebody thinks of."""
    for number in range(PARTS_CACHED + 5):
        part(administrator, f"/exchanges?file={number}")

    assert "exchanges" in part(administrator, "/exchanges?file=0")
