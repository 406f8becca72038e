"""Settings that change while the daemon runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from in_memory import CONFIG, PASSWORD, PATH, InMemory, basic
from line import Line
from many_shops import checker, shop
from twisted.internet.defer import Deferred

from onec_twisted.daemon.config import CannotStart, Config
from onec_twisted.daemon.in_force import OPTIONS
from onec_twisted.daemon.options import Options
from onec_twisted.daemon.reloading import NEED_RESTART, InForce, Reload
from onec_twisted.model.reloaded import NotReloaded, Reloaded
from onec_twisted.testing import FakeImporter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COMMON = evolve(CONFIG, auth=(checker("anna", "boris"),))
NORTH = shop("north", ["anna"], COMMON, language="ru")


@pytest.fixture
def reload(make_exchange: Callable[..., InMemory]) -> Callable[..., tuple[InMemory, Callable[[Config], Any]]]:
    """Make an exchange, and what gives it other settings."""

    def make(**changes: Any) -> tuple[InMemory, Callable[[Config], Any]]:
        exchange = make_exchange(auth=COMMON.auth, **changes)
        read: list[Config] = []
        reload = Reload(
            again=lambda: read[-1],
            in_force=InForce(exchange.config, exchange.membership),
            means=exchange.means,
            parts=exchange.parts,
            site=exchange.site,
        )

        def give(config: Config) -> Any:
            read.append(config)
            outcome: list[Any] = []
            Deferred.fromCoroutine(reload()).addCallbacks(outcome.append, lambda failed: outcome.append(failed.value))
            return outcome[0]

        return exchange, give

    return make


def piece(exchange: InMemory, one: tuple[str, str], body: bytes = b"x") -> bytes:
    """Send a piece; return the answer."""
    query = f"type=catalog&mode=file&filename=a&sessid={one[1]}"
    return exchange.request("POST", query, body, Cookie=one[0]).body


def test_a_shop_comes_and_goes(reload: Any) -> None:
    """Its user is then its user, and no session of one opens anything as the other."""
    exchange, give = reload()
    before = exchange.checkauth(user="anna")
    assert give(evolve(exchange.config, shops=(NORTH,))) == Reloaded(("shops.north",), ())
    within = exchange.checkauth(user="anna")
    assert piece(exchange, within) == b"success"
    assert give(exchange.config) == Reloaded(("shops.north",), ())
    assert piece(exchange, within) == b"failure\nInvalid session"
    assert piece(exchange, before) == b"success"


def test_limits_and_words_change_for_the_next_request(reload: Any) -> None:
    """A session goes on with them."""
    exchange, give = reload(body_limit=5000)
    one = exchange.checkauth(user="boris")
    changed = give(
        evolve(exchange.config, body_limit=100, language="ru", session_quota=150, max_uploads=7, min_free=5)
    )
    assert sorted(changed.changed) == ["body-limit", "language", "max-uploads", "min-free", "session-quota"]
    refused = piece(exchange, one, b"x" * 101)
    assert refused.startswith(b"failure\n")
    assert not refused.isascii(), "in Russian"
    assert piece(exchange, one, b"x" * 100) == b"success"
    assert piece(exchange, one, b"x" * 51).startswith(b"failure\n")
    ingest = exchange.parts.ingest
    assert (ingest.transfers.most, ingest.space.min_free) == (7, 5)


def test_a_piece_in_flight_goes_on(reload: Any) -> None:
    """By the limits under which it began."""
    exchange, give = reload(body_limit=5000)
    cookie, sessid = exchange.checkauth(user="boris")
    sender = Line(exchange.site)
    query = f"type=catalog&mode=file&filename=a&sessid={sessid}"
    head = f"POST {PATH}?{query} HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\nContent-Length: 200\r\n\r\n"
    sender.send(head.encode())
    sender.send(b"x" * 100)
    assert isinstance(give(evolve(exchange.config, body_limit=100, shops=(NORTH,))), Reloaded)
    assert sender.send(b"x" * 100).endswith(b"success")
    sender.lose()
    assert piece(exchange, (cookie, sessid), b"x" * 101).startswith(b"failure\n")
    assert exchange.files() == {f"{sessid}/a": b"x" * 200}


def test_another_importer_gets_what_comes_next(reload: Any) -> None:
    """An import that runs is not disturbed."""
    made: dict[str, FakeImporter] = {}

    def importer_of(config: Config) -> FakeImporter:
        return made.setdefault(config.importer, FakeImporter(patient=True))

    exchange, give = reload(importer_of=importer_of)
    one, other = exchange.checkauth(user="boris"), exchange.checkauth(user="anna")
    piece(exchange, one)
    waiting = exchange.send("GET", f"type=catalog&mode=import&filename=a&sessid={one[1]}", Cookie=one[0])
    assert give(evolve(exchange.config, importer="exec:/b")) == Reloaded(("importer",), ())
    made["keep"].end()
    assert exchange.reply(waiting).body == b"success"
    piece(exchange, other)
    exchange.clock.advance(400)
    exchange.parts.handoffs.settle_quiet()
    assert [len(made[name].delivered) for name in ("keep", "exec:/b")] == [1, 1]
    made["exec:/b"].end()


def test_what_waited_for_its_shop_is_delivered(reload: Any, nothing_left_behind: list[dict[str, Any]]) -> None:
    """As soon as the shop is back."""
    importer = FakeImporter()
    exchange, give = reload(shops=(NORTH,), importer=importer)
    one = exchange.checkauth(user="anna")
    piece(exchange, one)
    give(evolve(exchange.config, shops=()))
    exchange.clock.advance(400)
    exchange.parts.handoffs.settle_quiet()
    assert importer.delivered == []
    give(exchange.config)
    assert [(told.shop, told.user) for told in importer.delivered] == [("north", "anna")]
    assert any("is not configured" in str(event["log_format"]) for event in nothing_left_behind)


def test_what_is_wrong_changes_nothing(reload: Any, nothing_left_behind: list[dict[str, Any]]) -> None:
    """Not even what would have been right; the log says why."""

    def importer_of(config: Config) -> FakeImporter:
        if config.importer == "exec:/b":
            raise CannotStart("--importer=exec:/b: is not there")
        return FakeImporter()

    exchange, give = reload(importer_of=importer_of)
    one = exchange.checkauth(user="anna")
    root = exchange.site.resource
    outcome = give(evolve(exchange.config, importer="exec:/b", body_limit=1))
    assert isinstance(outcome, NotReloaded)
    assert str(outcome) == "--importer=exec:/b: is not there"
    assert exchange.site.resource is root
    assert piece(exchange, one, b"xx") == b"success"
    said = [event["reason"] for event in nothing_left_behind if "not reloaded" in str(event["log_format"])]
    assert said == [str(outcome)]


def test_what_needs_a_restart_is_named(reload: Any, nothing_left_behind: list[dict[str, Any]]) -> None:
    """It stays as it was, in every shop, and the rest changes."""
    exchange, give = reload()
    new = evolve(exchange.config, media_root="/elsewhere", session_ttl=5.0, language="ru", shops=(NORTH,))
    assert give(new) == Reloaded(("language", "shops.north"), ("media-root", "session-ttl"))
    named = [event["option"] for event in nothing_left_behind if "needs a restart" in str(event["log_format"])]
    assert named == ["media-root", "session-ttl"]
    one = exchange.checkauth(user="anna")
    exchange.clock.advance(60)
    assert piece(exchange, one) == b"success"


def test_every_option_changes_or_needs_a_restart() -> None:
    """None of them is forgotten."""
    followed = {
        *("path", "tus-path", "cors-origin", "cors-header", "auth", "file-limit", "zip", "sessid", "status-codes"),
        "interim-responses",
        *("language", "body-limit", "session-quota", "shop-quota", "min-free", "sessions-per-user", "max-uploads"),
        *("importer", "import-hold", "import-timeout", "import-tries", "import-secret", "import-auth", "orders"),
        *("notify", "expect-every", "unpack", "unpack-limit", "unpack-files", "unpack-ratio", "unpack-depth"),
        *("check-documents", "settle", "keep", "history"),
    }
    assert followed | NEED_RESTART == set(OPTIONS)
    assert not followed & NEED_RESTART


def test_a_checker_that_goes_by_the_same_stays(reload: Any) -> None:
    """It knows verified passwords; other words in ``memory:`` are another checker."""
    exchange, give = reload()
    assert give(evolve(exchange.config, auth=(checker("anna", "boris"),))) == Reloaded((), ())
    assert give(evolve(exchange.config, auth=(checker("anna"),))) == Reloaded(("auth",), ())
    login = exchange.request("GET", "type=catalog&mode=checkauth", Authorization=basic("boris", PASSWORD))
    assert login.status == 401


def test_options_are_read_again_from_where_they_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the process is in another folder now: the file, what it names, the line and the environment."""
    (tmp_path / "words").write_text("anna:secret\n")
    (tmp_path / "import").write_text("#!/bin/sh\n")
    path = tmp_path / "onec.toml"
    path.write_text('importer = "exec:import"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ONEC_EXCHANGE_KEEP", "5")
    options = Options()
    options.parseOptions(["--config", "onec.toml", "--auth=file:words", "--media-root=media", "--zip=no"])
    before = options.config()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    path.write_text('importer = "exec:import"\nlanguage = "ru"\n[shops.a]\nusers = "anna"\n')
    again = options.again()
    assert (again.language, again.keep, again.zip, again.media_root) == ("ru", 5.0, False, before.media_root)
    assert (again.importer, [one.name for one in again.shops]) == (f"exec:{tmp_path}/import", ["a"])
    assert again.auth[0].filename == str(tmp_path / "words")
    path.write_text("language = 1")
    with pytest.raises(CannotStart, match="line 1: language: write"):
        options.again()
