"""What ``--check`` finds out, and what it says to do."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from certificates import Authority, make_certificate
from in_memory import config_of
from many_shops import shop
from passwords import line

from onec_twisted.auth.htpasswd import HtpasswdChecker
from onec_twisted.catalog.preparation import create_catalog
from onec_twisted.catalog.sql.schema import SCHEMA_VERSION
from onec_twisted.daemon.findings import FAIL, OK, WARN, Finding, table
from onec_twisted.daemon.options import Options
from onec_twisted.daemon.preflight import findings
from onec_twisted.storage.local import Store
from onec_twisted.tap import makeService

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from onec_twisted.daemon.config import Config

DAY = 86400


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Return settings with which nothing is wrong."""
    return evolve(config_of(f"--media-root={tmp_path}/media", "--listen=tcp:0:interface=127.0.0.1"), min_free=0)


@pytest.fixture
def taken() -> Iterator[int]:
    """Listen on a port, and return it."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


def found(config: Config, about: str, now: float | None = None) -> list[tuple[str, str]]:
    """Return the state and the words of all findings about something."""
    wanted = time.time() if now is None else now
    return [(one.state, one.words) for one in findings(config, wanted) if one.about == about]


def test_nothing_is_wrong(config: Config, tmp_path: Path) -> None:
    """Each thing has a line, and nothing is created."""
    whole = list(findings(config, 0.0))

    assert {one.state for one in whole} == {OK}
    assert [one.about for one in whole] == ["auth", "media-root", "min-free", "database", "listen", "importer"]
    assert not (tmp_path / "media").exists()


def test_a_table() -> None:
    """A line for each finding, its words below one another."""
    lines = table([Finding(OK, "auth", "1 user"), Finding(FAIL, "media-root", "no")]).splitlines()
    assert lines == ["ok    auth        1 user", "FAIL  media-root  no"]


def test_who_may_log_in(config: Config, tmp_path: Path) -> None:
    """The users of each file are counted; no name of theirs is shown."""
    (tmp_path / "htpasswd").write_bytes(line("shop", "secret"))
    (tmp_path / "words").write_text("a:b\nc:d\n")
    both = config_of(f"--auth=file:{tmp_path}/words", f"--media-root={tmp_path}", "--listen=tcp:0")
    both = evolve(
        both,
        auth=(*both.auth[1:], HtpasswdChecker(str(tmp_path / "htpasswd"))),
        admin="tcp:0",
        admin_auth=config.auth,
    )

    assert [words.rpartition(": ")[2] for _, words in found(both, "auth")] == ["2 users", "1 user"]
    assert found(both, "admin-auth") == [(OK, "memory:shop: 1 user")]


def test_a_media_root_that_cannot_be_written(config: Config, tmp_path: Path) -> None:
    """A file in its place, or a folder below one that is none."""
    (tmp_path / "media").write_text("")
    ((state, words),) = found(config, "media-root")
    assert state == FAIL
    assert "use a folder that the daemon's user owns" in words


def test_a_disk_without_room(config: Config) -> None:
    """The daemon would start, and refuse uploads."""
    ((state, words),) = found(evolve(config, min_free=2**60), "min-free")
    assert state == WARN
    assert "uploads are refused" in words


def test_the_database(config: Config, tmp_path: Path) -> None:
    """One of this version, an older one, a newer one, and something else."""
    store = Store(tmp_path / "media")
    store.prepare()
    create_catalog(store.database)
    assert found(config, "database") == [(OK, f"schema {SCHEMA_VERSION}")]
    for version, state, words in (
        (SCHEMA_VERSION - 1, OK, f"will be migrated to {SCHEMA_VERSION}"),
        (SCHEMA_VERSION + 1, FAIL, "install the version that wrote it"),
    ):
        with closing(sqlite3.connect(store.database)) as connection:
            connection.execute(f"PRAGMA user_version = {version}")
        ((said, why),) = found(config, "database")
        assert (said, words in why) == (state, True)
    store.database.write_bytes(b"no database" * 1000)
    assert [state for state, _ in found(config, "database")] == [FAIL]


@pytest.mark.parametrize("endpoint", ["tcp:{}:interface=127.0.0.1", "haproxy:tcp:{}:interface=127.0.0.1"])
def test_a_port_that_is_taken(config: Config, taken: int, endpoint: str) -> None:
    """By another program: the start would fail."""
    ((state, words),) = found(evolve(config, listen=(endpoint.format(taken),)), "listen")
    assert state == FAIL
    assert f"127.0.0.1:{taken}" in words
    assert "choose another --listen, or stop the program that uses it" in words


def test_a_port_of_the_daemon_that_runs(config: Config, taken: int, tmp_path: Path) -> None:
    """With the media root in use, a port in use is nothing wrong: a change can be checked before a restart."""
    store = Store(tmp_path / "media")
    store.prepare()
    store.lock()
    try:
        whole = evolve(config, listen=(f"tcp:{taken}:interface=127.0.0.1",))
        assert [state for state, _ in found(whole, "listen")] == [OK]
        assert "used by a daemon that runs" in found(whole, "media-root")[0][1]
    finally:
        store.unlock()
    assert [state for state, _ in found(whole, "listen")] == [FAIL]


def test_a_unix_socket(config: Config, tmp_path: Path) -> None:
    """Left over, in use, or in a folder that is not there."""
    path = tmp_path / "socket"
    whole = evolve(config, listen=(f"unix:{path}",))
    assert [state for state, _ in found(whole, "listen")] == [OK]
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(path))
        assert [state for state, _ in found(whole, "listen")] == [OK], "nobody listens"
        server.listen()
        assert [state for state, _ in found(whole, "listen")] == [FAIL]
    assert [state for state, _ in found(evolve(config, listen=("unix:/nowhere/x",)), "listen")] == [FAIL]


def test_other_endpoints(config: Config) -> None:
    """What systemd opens cannot be tried; a slip is told."""
    whole = evolve(config, listen=("systemd:domain=INET:name=http", "tcp:x"), admin="nonsense:1")
    assert [state for state, _ in found(whole, "listen")] == [OK, FAIL]
    assert [state for state, _ in found(whole, "admin")] == [FAIL]


def test_a_certificate(config: Config, tmp_path: Path) -> None:
    """Days left, an end that is near or over, and a chain with a gap."""
    ours, others = Authority.make("ours"), Authority.make("others")
    certificate = make_certificate(tmp_path, days=30, by=ours)
    endpoint = f"ssl:0:privateKey={certificate.key}:certKey={certificate.chain}:interface=127.0.0.1"
    whole = evolve(config, listen=(endpoint,))
    now = time.time()

    assert found(whole, "listen", now)[1][0] == OK
    assert "2 certificates in its chain" in found(whole, "listen", now)[1][1]
    for later, words in ((20, "renew it"), (31, "it has expired")):
        state, said = found(whole, "listen", now + later * DAY)[1]
        assert (state, words in said) == (WARN, True)
    whole_chain = certificate.chain.read_bytes()
    certificate.chain.write_bytes(whole_chain.replace(ours.pem(), others.pem()))
    assert "its chain has a gap" in found(whole, "listen", now)[-1][1]
    certificate.chain.write_text("nothing")
    assert [state for state, _ in found(whole, "listen", now)] == [FAIL]


def test_the_importer(config: Config, taken: int, tmp_path: Path) -> None:
    """A program that cannot be started, a site that is down, and one that is up; no password is shown."""
    true = shutil.which("true")
    for importer, state, words in (
        ("keep", OK, "nobody imports them"),
        (f"exec:{true}", OK, f"exec:{true}"),
        (f"exec:{tmp_path}/none", FAIL, "there is no program"),
        (f"http://user:hush@127.0.0.1:{taken}/import", OK, "reachable"),
        ("http://user:hush@127.0.0.1:1/import", WARN, "start the site, or correct the address"),
        ("http:nonsense", FAIL, "is not an address"),
    ):
        ((said, why),) = found(evolve(config, importer=importer), "importer")
        assert (said, words in why, "hush" in why) == (state, True, False), why


def test_a_site_with_a_certificate_that_nobody_trusts(config: Config, tmp_path: Path) -> None:
    """Requests to it would fail: that is told by OpenSSL's words."""
    import ssl
    from threading import Thread

    certificate = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            accepted, _ = server.accept()
            with closing(accepted), suppress(OSError):
                context.wrap_socket(accepted, server_side=True)

        serving = Thread(target=serve)
        serving.start()
        orders = f"https://127.0.0.1:{server.getsockname()[1]}/orders"
        ((state, words),) = found(evolve(config, orders=orders), "orders")
        serving.join()
    assert state == WARN
    assert "self-signed certificate" in words or "self signed certificate" in words


def test_notices(config: Config, taken: int) -> None:
    """A program, a site, and a slip."""
    true = shutil.which("true")
    notify = (f"exec:{true}", f"http://127.0.0.1:{taken}/notice", "exec:/nowhere", "mail:me")
    assert [state for state, _ in found(evolve(config, notify=notify), "notify")] == [OK, OK, FAIL, FAIL]


@pytest.mark.parametrize(("listen", "status"), [("tcp:0", 0), ("tcp:x", 1)])
def test_the_option(tmp_path: Path, capsys: pytest.CaptureFixture[str], listen: str, status: int) -> None:
    """It prints the table and ends: with 1 if the daemon would not start."""
    options: Any = Options()
    options.parseOptions(["--auth=memory:a:b", f"--media-root={tmp_path}/media", f"--listen={listen}", "--check"])
    with pytest.raises(SystemExit) as caught:
        makeService(options)
    assert caught.value.code == status
    assert "ok    auth" in capsys.readouterr().out


def test_what_shops_have_of_their_own(config: Config, tmp_path: Path) -> None:
    """Each thing by its table; what they share is tried once."""
    north = shop("north", ["shop", "strange"], config, importer=f"exec:{tmp_path}/none", notify=("exec:nonsense",))
    south = shop("south", ["dora"], config, auth=True, language="ru")
    whole = list(findings(evolve(config, shops=(north, south)), time.time()))
    own = [(one.about, one.state, one.words) for one in whole if one.about.startswith("shops.")]
    assert own == [
        ("shops.north users", WARN, "strange: not among the users of auth; add them there"),
        ("shops.north importer", FAIL, own[1][2]),
        ("shops.north notify", FAIL, own[2][2]),
        ("shops.south auth", OK, "memory:dora: 1 user"),
    ]
