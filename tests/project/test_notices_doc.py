"""What docs/notices.md says, and its examples, run against fakes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest
from attrs import asdict, evolve
from documents import DOCS, ROOT

from onec_twisted.admin.notices import Subjects
from onec_twisted.admin.verdict import REASONS, Reason
from onec_twisted.model.notice import RECOVERED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from onec_twisted.model.notice import Notice

pytestmark = pytest.mark.once

EXAMPLES = ROOT / "examples" / "notices"
PAGES = ("notices.md", "ru/notices.md")


def notice(language: str = "ru") -> Notice:
    """Return the notice of the documents."""
    said = {"en": "no such group", "ru": "нет такой группы"}[language]
    (made,) = Subjects(language, str).update([Reason(kind="failed", count=2, said=said)], 1800000000.0)
    return made


@pytest.mark.parametrize("page", PAGES)
def test_every_event_has_its_row(page: str) -> None:
    """And the notice that is shown is what is sent."""
    text = (DOCS / page).read_text(encoding="utf-8")
    (shown,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)

    assert re.findall(r"^\| `([a-z]+)` \|", text, re.MULTILINE) == list(REASONS)
    assert json.loads(shown) == json.loads(notice("ru" if page.startswith("ru") else "en").as_json())
    assert {path.name for path in EXAMPLES.iterdir()} == set(re.findall(r"^\* \[([a-z.]+)\]", text, re.MULTILINE))


@contextmanager
def receiver() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """Yield the address of a server, and what it has received."""
    received: list[tuple[str, bytes]] = []

    class Answers(BaseHTTPRequestHandler):
        """Takes everything."""

        def do_POST(self) -> None:
            """Take it."""
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Write nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run(example: str, about: Notice, **variables: str) -> None:
    """Run an example as the daemon does."""
    command = [sys.executable] if example.endswith(".py") else []
    told = {f"ONEC_{name.upper()}": str(value) for name, value in asdict(about).items()}
    environment = {"PATH": "/usr/bin:/bin", **told, **variables}
    subprocess.run([*command, EXAMPLES / example], input=about.as_json(), env=environment, check=True, timeout=60)


def test_mail(tmp_path: Path) -> None:
    """Sendmail gets a letter whose subject is readable."""
    from email import message_from_bytes
    from email.header import decode_header, make_header

    sendmail = tmp_path / "sendmail"
    sendmail.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\ncat > {tmp_path}/letter\n', encoding="utf-8")
    sendmail.chmod(0o700)
    run("mail.sh", notice(), PATH=f"{tmp_path}:/usr/bin:/bin")
    letter = message_from_bytes((tmp_path / "letter").read_bytes())

    assert (tmp_path / "arguments").read_text() == "-t\n"
    assert str(make_header(decode_header(letter["Subject"]))) == f"onec-exchange: {notice().words}"
    payload = letter.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.decode() == f"{notice().words}\n"


def test_telegram(tmp_path: Path) -> None:
    """The chat gets the words, and sees whether it is good news."""
    (tmp_path / "token").write_text("123:abc\n-100\n", encoding="utf-8")
    with receiver() as (url, received):
        for about in (notice(), evolve(notice(), state=RECOVERED)):
            run("telegram.py", about, TELEGRAM_API=url, TELEGRAM_TOKEN_FILE=str(tmp_path / "token"))

    assert [path for path, _ in received] == ["/bot123:abc/sendMessage"] * 2
    first, second = (parse_qs(body.decode()) for _, body in received)
    assert first == {"chat_id": ["-100"], "text": [f"❗ {notice().words}"]}
    assert second["text"][0].startswith("✅")


def test_alertmanager() -> None:
    """The alert has labels that stay the same, and ends with the recovery."""
    with receiver() as (url, received):
        for about in (notice(), evolve(notice(), state=RECOVERED)):
            run("alertmanager.py", about, ALERTMANAGER=url)

    assert [path for path, _ in received] == ["/api/v2/alerts"] * 2
    (raised,), (over,) = (json.loads(body) for _, body in received)
    assert raised["labels"] == over["labels"] == {"alertname": "OnecExchange", "event": "failed", "subject": "failed"}
    assert raised["annotations"] == {"summary": notice().words}
    assert (raised["endsAt"], over["endsAt"]) == ("2027-01-22T08:00:00+00:00", "2027-01-15T08:00:00+00:00")
