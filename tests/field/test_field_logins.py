"""What sites do with passwords and certificates, and what nodes meet there."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from certificates import Authority, make_certificate, name_of
from daemon import PATIENCE
from in_memory import basic
from passwords import line

from onec_twisted.daemon.config import CannotStart
from onec_twisted.daemon.options import Options
from onec_twisted.daemon.parameters import SIZES, TIMES
from onec_twisted.testing import inline

if TYPE_CHECKING:
    from collections.abc import Callable

    from daemon import Daemon
    from in_memory import InMemory
    from tus_in_memory import TusInMemory
    from twisted.internet.defer import Deferred


def test_the_chain_is_sent_to_a_node_that_trusts_the_root_alone(
    daemons: Callable[..., Daemon], tmp_path: Path
) -> None:
    """By ``--listen`` and by ``--admin``, and after a renewal as well: 1C, as most clients, looks for no link."""
    root = Authority.make("Root")

    def renew(name: str) -> None:
        make_certificate(tmp_path, name, by=Authority.make(f"Between root and {name}", root))

    def names() -> list[str]:
        seen = []
        for port in (daemon.port, daemon.admin_port):
            plain = socket.create_connection(("127.0.0.1", port), PATIENCE)
            with root.trusted().wrap_socket(plain, server_hostname="127.0.0.1") as line:
                seen.append(name_of(line))
        return seen

    renew("one.example")
    endpoint = f"ssl:0:interface=127.0.0.1:privateKey={tmp_path}/privkey.pem:certKey={tmp_path}/fullchain.pem"
    daemon = daemons(f"--admin={endpoint}", "--admin-auth=memory:root:toor", listen=(endpoint,))
    assert names() == ["one.example"] * 2
    renew("two.example")
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for("renewed certificate loaded", times=2)

    assert names() == ["two.example"] * 2


def asked(exchange: InMemory, user: str, password: str) -> Deferred[Any]:
    """Log in, and do not wait."""
    return exchange.send("GET", "type=catalog&mode=checkauth", Authorization=basic(user, password))


@pytest.fixture
def passwords(tmp_path: Path) -> Path:
    """A file with two users, as Notepad saves it."""
    path = tmp_path / "htpasswd"
    path.write_bytes(b"\xef\xbb\xbf" + (line("shop", "secret") + line("other", "x")).replace(b"\n", b"\r\n"))
    return path


def users_of(path: Path) -> tuple[Any, ...]:
    """Return the checker that lets the users of a file log in, and nobody else."""
    options = Options()
    options.parseOptions([f"--auth=htpasswd:{path}"])
    (checker,) = options["credCheckers"]
    checker._in_thread = inline
    return (checker,)


def test_the_first_user_of_a_file_from_windows(make_exchange: Callable[..., InMemory], passwords: Path) -> None:
    """Logs in as all others."""
    exchange = make_exchange(auth=users_of(passwords))

    assert exchange.reply(asked(exchange, "shop", "secret")).status == 200
    assert exchange.reply(asked(exchange, "other", "x")).status == 200


def test_a_node_that_is_known_beside_a_crowd_that_guesses(
    make_exchange: Callable[..., InMemory], passwords: Path
) -> None:
    """At its own name, from its own address: it is let in at once; guesses are answered one after another."""
    exchange = make_exchange(auth=users_of(passwords))
    assert exchange.reply(asked(exchange, "shop", "secret")).status == 200
    heard: list[Any] = []
    for number in range(120):
        asked(exchange, "shop", f"guess {number}").addBoth(heard.append)
    assert exchange.reply(asked(exchange, "shop", "secret")).status == 200
    for _ in range(3):
        exchange.clock.advance(0.1)
        exchange.pipe.flush()
    assert len(heard) <= 1
    assert exchange.reply(asked(exchange, "shop", "secret")).status == 200
    for _ in range(1000):
        exchange.clock.advance(0.1)
        exchange.pipe.flush()
    assert [answer.code for answer in heard] == [401] * 120


def test_a_new_password_ends_the_old_one_at_once(make_tus: Callable[..., TusInMemory], passwords: Path) -> None:
    """Also one that was known, and at the door of tus."""
    tus = make_tus(auth=users_of(passwords))
    exchange = tus.exchange
    assert exchange.reply(asked(exchange, "shop", "secret")).status == 200
    assert tus.create(1).status == 201
    passwords.write_bytes(line("shop", "new"))
    assert tus.create(1).status == 401
    exchange.clock.advance(1)
    waiting = asked(exchange, "shop", "secret")
    exchange.clock.advance(1)
    assert exchange.reply(waiting).status == 401
    exchange.clock.advance(1)
    assert exchange.reply(asked(exchange, "shop", "new")).status == 200


def test_times_and_sizes_as_people_write_them() -> None:
    """On every option that has one, and a slip is one line."""
    options = Options()
    written = [f"--{name}=1d" for name in TIMES] + [f"--{name}=1G" for name in (*SIZES, "min-rate")]
    options.parseOptions(["--auth=memory:a:b", *written])
    assert {options[name] for name in TIMES} == {86400}
    assert {options[name] for name in (*SIZES, "min-rate")} == {2**30}
    for slip in ("--keep=10M", "--min-free=1d", "--idle-timeout=", "--session-quota=ten"):
        with pytest.raises(CannotStart, match="write ") as caught:
            Options().parseOptions(["--auth=memory:a:b", slip])
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["README.md", "README.ru.md"])
def test_a_password_on_the_command_line_is_warned_of(name: str) -> None:
    """Wherever it stands first, and what to do instead is beside it."""
    text = (Path(__file__).parents[2] / name).read_text(encoding="utf-8")
    warned = "list of processes" if name == "README.md" else "списке процессов"
    assert warned in " ".join(text.split())
    assert "htpasswd -cB onec.htpasswd shop" in text
    if name == "README.md":
        run = " ".join(text.partition("## Run it\n")[2].partition("\n## ")[0].split())
        assert run.index("memory:") < run.index(warned) < run.index("--auth=htpasswd:")
