"""The command line: what it understands, and what it says when it does not."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onec_twisted.options import DEFAULT_LISTEN, DEFAULT_PATHS, CannotStart, Options, parse_size

if TYPE_CHECKING:
    from pathlib import Path

AUTH = "--auth=memory:shop:secret"


def parsed(*arguments: str) -> Options:
    """Parse a command line."""
    options = Options()
    options.parseOptions(list(arguments))
    return options


def test_defaults() -> None:
    """Those of DESIGN and the README."""
    options = parsed(AUTH)

    assert {name: options[name] for name in sorted(options) if not name.startswith("cred")} == {
        "durability": "piece",
        "access-log": "no",
        "admin": None,
        "admin-auth": [],
        "connections-per-address": 500,
        "header-timeout": 30.0,
        "log-format": "text",
        "max-uploads": 1000,
        "min-rate": 128,
        "sessions-per-user": 10000,
        "trusted-proxy": [],
        "cors-origin": [],
        "cors-header": [],
        "tus-path": "/files/",
        "importer": "keep",
        "import-auth": None,
        "import-hold": 10.0,
        "import-secret": None,
        "import-timeout": 3600.0,
        "import-tries": 16,
        "keep": 86400.0,
        "orders": None,
        "settle": 300.0,
        "intake": "auto",
        "body-limit": 100 * 2**20,
        "file-limit": 100 * 2**20,
        "idle-timeout": 60.0,
        "listen": [DEFAULT_LISTEN],
        "lock-timeout": 30.0,
        "media-root": "media",
        "min-free": 2**30,
        "path": list(DEFAULT_PATHS),
        "sessid": "required",
        "session-quota": 20 * 2**30,
        "session-ttl": 86400.0,
        "status-codes": "http",
        "zip": "yes",
    }


def test_everything_can_be_said() -> None:
    """Repeatable options add up."""
    options = parsed(
        AUTH,
        "--auth=memory:Иван:пароль",
        "--listen=tcp:1",
        "--listen=unix:/run/onec",
        "--path=/a",
        "--path=/b/c.php",
        "--file-limit=2M",
        "--body-limit=1G",
        "--min-free=0",
        "--session-ttl=0.5",
        "--sessid=optional",
        "--status-codes=ok",
        "--zip=no",
        "--tus-path=/upload/resumable",
        "--cors-origin=https://shop.example",
        "--cors-origin=http://localhost:3000",
        "--cors-header=X-CSRF-Token",
        "--cors-header=x-shop",
    )

    assert (options["listen"], options["path"]) == (["tcp:1", "unix:/run/onec"], ["/a", "/b/c.php"])
    assert (options["file-limit"], options["body-limit"], options["min-free"]) == (2 * 2**20, 2**30, 0)
    assert [options[name] for name in ("session-ttl", "sessid", "status-codes", "zip")] == [
        0.5,
        "optional",
        "ok",
        "no",
    ]
    assert options["tus-path"] == "/upload/resumable"
    assert options["cors-origin"] == [b"https://shop.example", b"http://localhost:3000"]
    assert options["cors-header"] == [b"X-CSRF-Token", b"x-shop"]
    assert parsed(AUTH, "--tus-path=off")["tus-path"] is None
    assert [checker.users for checker in options["credCheckers"]] == [
        {b"shop": b"secret"},
        {"Иван".encode(): "пароль".encode()},
    ]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1", 1),
        ("204800", 204800),
        ("1k", 1024),
        ("100M", 100 * 2**20),
        ("20GB", 20 * 2**30),
        ("1T", 2**40),
    ],
)
def test_sizes(text: str, size: int) -> None:
    """Suffixes are powers of 1024."""
    assert parse_size(text) == size


@given(st.text())
def test_any_text_is_a_size_or_an_error(text: str) -> None:
    """Nothing else is raised, and nothing is negative."""
    with contextlib.suppress(ValueError):
        assert parse_size(text) >= 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--auth: say who may upload"),
        (["--auth=magic:x"], "--auth=magic: no such kind"),
        (["--auth=memory"], "write memory:USER:PASSWORD"),
        (["--auth=memory:shop"], "--auth=memory"),
        (["--auth=htpasswd:/nowhere/x"], "cannot read /nowhere/x: No such file"),
        (["--auth=htpasswd"], "htpasswd needs a filename"),
        (["--auth=file:/nowhere/x"], "cannot read /nowhere/x: No such file"),
        ([AUTH, "--file-limit=10X"], "--file-limit=10X: is not a size"),
        ([AUTH, "--file-limit=0"], "--file-limit=0: must be more than 0"),
        ([AUTH, "--session-quota=0"], "--session-quota=0: must be more than 0"),
        ([AUTH, "--body-limit=1"], "is less than --file-limit"),
        ([AUTH, "--min-free=-1"], "--min-free=-1: is not a size"),
        ([AUTH, "--session-ttl=soon"], "--session-ttl=soon: is not a number of seconds"),
        ([AUTH, "--lock-timeout=0"], "--lock-timeout=0: must be more than 0 seconds"),
        ([AUTH, "--idle-timeout=nan"], "--idle-timeout=nan: must be more than 0 seconds"),
        ([AUTH, "--idle-timeout=inf"], "--idle-timeout=inf: must be more than 0 seconds"),
        ([AUTH, "--sessid=maybe"], "--sessid=maybe: must be required or optional"),
        ([AUTH, "--status-codes=all"], "--status-codes=all: must be http or ok"),
        ([AUTH, "--zip=1"], "--zip=1: must be yes or no"),
        ([AUTH, "--path=exchange"], "--path=exchange: write a path"),
        ([AUTH, "--path=/a?b"], "--path=/a?b: write a path"),
        ([AUTH, "--path=/a/b", "--path=/a"], "--path=/a: cannot stand above another --path"),
        ([AUTH, "--media-root="], "--media-root: name a folder"),
        ([AUTH, "--durability=most"], "--durability=most: must be piece or handoff or none"),
        (["--auth=anonymous"], "this kind checks no passwords"),
        ([AUTH, "--admin=tcp:1", "--admin-auth=anonymous"], "--admin-auth: this kind checks no passwords"),
        ([AUTH, "--admin=tcp:1", "--admin-auth=magic:x"], "--admin-auth=magic: no such kind"),
        ([AUTH, "--admin-auth=memory:root:toor"], "--admin-auth: there is no --admin to protect"),
        ([AUTH, "--trusted-proxy=shop.example"], "--trusted-proxy=shop.example: write an address, a network"),
        ([AUTH, "--min-rate=fast"], "--min-rate=fast: is not a number of bytes per second"),
        ([AUTH, "--max-uploads=-1"], "--max-uploads=-1: must be a number, or 0 for any number"),
        ([AUTH, "--connections-per-address=many"], "--connections-per-address=many: must be a number"),
        ([AUTH, "--sessions-per-user=1.5"], "--sessions-per-user=1.5: must be a number"),
        ([AUTH, "--header-timeout=0"], "--header-timeout=0: must be more than 0 seconds"),
        ([AUTH, "--tus-path=files"], "--tus-path=files: write a path as in /files/, or off"),
        ([AUTH, "--tus-path=/"], "--tus-path=/: write a path as in /files/, or off"),
        ([AUTH, "--tus-path=/1c_exchange.php/"], "cannot stand at, above or below --path=/1c_exchange.php"),
        ([AUTH, "--tus-path=/bitrix"], "cannot stand at, above or below --path=/bitrix/admin/1c_exchange.php"),
        ([AUTH, "--path=/a", "--tus-path=/a/b"], "cannot stand at, above or below --path=/a"),
        ([AUTH, "--cors-origin=*"], "--cors-origin=*: write scheme, host and port as browsers do"),
        ([AUTH, "--cors-origin=https://a.b/"], "--cors-origin=https://a.b/: write scheme, host and port"),
        ([AUTH, "--cors-origin=https://a.b", "--cors-header=*"], "--cors-header=*: write the name of one header"),
        (
            [AUTH, "--cors-origin=https://a.b", "--cors-header=a, b"],
            "--cors-header=a, b: write the name of one header",
        ),
        ([AUTH, "--cors-header=x"], "no page may send it without --cors-origin"),
        ([AUTH, "--tus-path=off", "--cors-origin=https://a.b"], "there are no pages to upload from"),
        ([AUTH, "--log-format=xml"], "--log-format=xml: must be text or json"),
        ([AUTH, "--nonsense"], "nonsense"),
        ([AUTH, "extra"], "extra"),
    ],
)
def test_a_wrong_value_is_told_in_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With exit status 1, and where to read more."""
    with pytest.raises(CannotStart) as caught:
        parsed(*arguments)
    line = str(caught.value)

    assert words in line
    assert line.startswith("onec-exchange: ")
    assert "\n" not in line
    assert "--help" in line
    assert isinstance(caught.value, SystemExit)
    assert caught.value.code == line, "Python prints it and exits with status 1"


def test_a_password_is_not_repeated(tmp_path: Path) -> None:
    """A mistyped --auth is told without what may be a password."""
    with pytest.raises(CannotStart) as caught:
        parsed("--auth=memry:shop:secret")

    assert "secret" not in str(caught.value)


def test_help_reads_well(capsys: pytest.CaptureFixture[str]) -> None:
    """Every option has a sentence."""
    text = str(Options())

    for option in ("--auth=", "--listen=", "--media-root=", "--file-limit=", "--status-codes=", "--help-auth"):
        assert option in text
    options: Any = Options()
    assert all(str(parameter[3]).endswith(".") for parameter in options.optParameters)
