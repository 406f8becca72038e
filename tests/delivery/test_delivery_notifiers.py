"""Notices are brought by a program, or by a request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor as the_reactor

from onec_twisted.delivery import notifiers
from onec_twisted.delivery.client import signature
from onec_twisted.delivery.notifiers import NotifyFailed, make_notifier
from onec_twisted.model.notice import RAISED, Notice

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shop import Shop

NOTICE = Notice(
    event="failed", subject="failed", state=RAISED, user="shop", words="Загрузка: no\n", time=1.0, count=2
)


def program(tmp_path: Path, script: str) -> str:
    """Return a program."""
    path = tmp_path / "notify"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o700)
    return f"exec:{path}"


@ensureDeferred
async def test_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets the notice on its standard input and in variables, and none of the daemon's secrets."""
    monkeypatch.setenv("ONEC_IMPORT_AUTH", "user:secret")
    described = program(tmp_path, f"cat > {tmp_path}/in; env > {tmp_path}/env; yes | head -c 100000")
    await make_notifier(the_reactor, described, b"").notify(NOTICE)

    assert json.loads((tmp_path / "in").read_bytes())["words"] == NOTICE.words
    variables = (tmp_path / "env").read_text(encoding="utf-8")
    assert "ONEC_SUBJECT=failed\n" in variables
    assert "secret" not in variables


@pytest.mark.parametrize(
    ("script", "words"), [("exit 3", "it ended with"), ("exec 0<&-; sleep 100", "had not ended after")]
)
@ensureDeferred
async def test_a_program_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str) -> None:
    """It is said how; one that does not end is killed."""
    monkeypatch.setattr(notifiers, "NOTIFY_TIMEOUT", 0.3)
    with pytest.raises(NotifyFailed, match=words):
        await make_notifier(the_reactor, program(tmp_path, script), b"").notify(NOTICE)


@ensureDeferred
async def test_a_request(shop: Shop, open_shop: Callable[[Shop], str]) -> None:
    """It is a POST of JSON, signed as requests to the site are."""
    url = open_shop(shop)
    notifier = make_notifier(the_reactor, f"{url}/notices", b"key")
    await notifier.notify(NOTICE)

    assert notifier.name == f"{url}/notices"
    (seen,) = shop.seen
    assert (seen.method, seen.uri) == ("POST", "/notices")
    assert seen.headers["x-onec-signature"] == signature(b"key", seen.body.encode())
    assert json.loads(seen.body)["event"] == "failed"


@ensureDeferred
async def test_a_site_that_fails(shop: Shop, open_shop: Callable[[Shop], str]) -> None:
    """It is said how."""
    url = open_shop(shop)
    shop.answers = [{"status": 503}]
    with pytest.raises(NotifyFailed, match="it answered 503"):
        await make_notifier(the_reactor, url, b"").notify(NOTICE)
    with pytest.raises(NotifyFailed):
        await make_notifier(the_reactor, "http://127.0.0.1:1/", b"").notify(NOTICE)


@pytest.mark.parametrize("description", ["exec:notify", "exec:/nowhere/notify", "mailto:x", "", "https:///"])
def test_what_is_no_receiver(description: str) -> None:
    """It is refused with what to write."""
    with pytest.raises(ValueError, match=r".+"):
        make_notifier(the_reactor, description, b"")
