"""The command line: what it understands, and what it says when it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from twisted.cred.error import UnauthorizedLogin

from onec_twisted.daemon.config import CannotStart
from onec_twisted.daemon.options import DEFAULT_LISTEN, DEFAULT_PATHS, Options
from onec_twisted.daemon.parameters import SIZES, TIMES

if TYPE_CHECKING:
    from pathlib import Path

AUTH = "--auth=memory:shop:secret"
CATALOG, STORE = "--catalog=postgresql://onec@h1,h2:5433/onec", "--store=s3://bucket?endpoint=http://h"


def parsed(*arguments: str) -> Options:
    """Parse a command line."""
    options = Options()
    options.parseOptions(list(arguments))
    return options


def test_defaults() -> None:
    """Those of the documents."""
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
        "interim-responses": "direct",
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
        "shop-quota": None,
        "config": None,
        "print-config": 0,
        "check": 0,
        "session-ttl": 86400.0,
        "shard": None,
        "catalog": None,
        "store": None,
        "store-credentials": None,
        "name": None,
        "status-codes": "http",
        "zip": "yes",
        "unpack": "yes",
        "unpack-limit": 10 * 2**30,
        "unpack-files": 250_000,
        "unpack-ratio": 200,
        "unpack-depth": 32,
        "check-documents": "yes",
        "language": "en",
        "notify": [],
        "expect-every": None,
        "history": 90 * 86400.0,
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
    assert parsed(AUTH, "--shard=Shop2")["shard"] == "Shop2"
    assert [checker.users for checker in options["credCheckers"]] == [
        {b"shop": b"secret"},
        {"Иван".encode(): "пароль".encode()},
    ]


@pytest.mark.parametrize("name", TIMES)
def test_times_take_what_people_write(name: str) -> None:
    """All of them."""
    assert [parsed(AUTH, f"--{name}={text}")[name] for text in ("90", "90s", "10m", "1.5h", "1d")] == [
        90,
        90,
        600,
        5400,
        86400,
    ]


@pytest.mark.parametrize("name", [*SIZES, "min-rate"])
def test_sizes_take_what_people_write(name: str) -> None:
    """All of them."""
    sizes = ("200M", "200 MB", "0.25G", "209715200")
    assert [parsed(AUTH, "--file-limit=1", f"--{name}={text}")[name] for text in sizes] == [
        200 * 2**20,
        200 * 2**20,
        256 * 2**20,
        200 * 2**20,
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--auth: say who may upload"),
        (["--auth=magic:x"], "--auth=magic: no such method"),
        (["--auth=memory"], "write memory:USER:PASSWORD"),
        (["--auth=memory:shop"], "--auth=memory: write memory:USER:PASSWORD"),
        (["--auth=memory:shop:"], "--auth=memory: write memory:USER:PASSWORD"),
        (["--auth=memory:shop:se:cret"], "write memory:USER:PASSWORD, without a colon in either"),
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
        ([AUTH, "--path=/a/b", "--path=/a"], "--path=/a: is above another --path"),
        ([AUTH, "--media-root="], "--media-root: name a folder"),
        ([AUTH, "--durability=most"], "--durability=most: must be piece or handoff or none"),
        (["--auth=anonymous"], "this method checks no passwords"),
        ([AUTH, "--admin=tcp:1", "--admin-auth=anonymous"], "--admin-auth: this method checks no passwords"),
        ([AUTH, "--admin=tcp:1", "--admin-auth=magic:x"], "--admin-auth=magic: no such method"),
        ([AUTH, "--admin-auth=memory:root:toor"], "--admin-auth: there is no --admin to protect"),
        ([AUTH, "--trusted-proxy=shop.example"], "--trusted-proxy=shop.example: write an address, a network"),
        ([AUTH, "--min-rate=fast"], "--min-rate=fast: is not a number of bytes per second"),
        ([AUTH, "--max-uploads=-1"], "--max-uploads=-1: must be a number, or 0 for no limit"),
        ([AUTH, "--connections-per-address=many"], "--connections-per-address=many: must be a number"),
        ([AUTH, "--sessions-per-user=1.5"], "--sessions-per-user=1.5: must be a number"),
        (
            [AUTH, "--header-timeout=10M"],
            "--header-timeout=10M: is not a number of seconds; write seconds, or",
        ),
        ([AUTH, "--keep=1 year"], "with s, m, h or d, as in 90, 10m or 1d"),
        ([AUTH, "--header-timeout=0"], "--header-timeout=0: must be more than 0 seconds"),
        ([AUTH, "--tus-path=files"], "--tus-path=files: write a path as in /files/, or off"),
        ([AUTH, "--tus-path=/"], "--tus-path=/: write a path as in /files/, or off"),
        ([AUTH, "--tus-path=/1c_exchange.php/"], "must not be at, above or below --path=/1c_exchange.php"),
        ([AUTH, "--tus-path=/bitrix"], "must not be at, above or below --path=/bitrix/admin/1c_exchange.php"),
        ([AUTH, "--path=/a", "--tus-path=/a/b"], "must not be at, above or below --path=/a"),
        ([AUTH, "--cors-origin=*"], "--cors-origin=*: write scheme, host and port as browsers do"),
        ([AUTH, "--cors-origin=https://a.b/"], "--cors-origin=https://a.b/: write scheme, host and port"),
        ([AUTH, "--cors-origin=https://a.b", "--cors-header=*"], "--cors-header=*: write the name of one header"),
        (
            [AUTH, "--cors-origin=https://a.b", "--cors-header=a, b"],
            "--cors-header=a, b: write the name of one header",
        ),
        ([AUTH, "--cors-header=x"], "has no effect without --cors-origin"),
        ([AUTH, "--tus-path=off", "--cors-origin=https://a.b"], "pages cannot upload while --tus-path is off"),
        ([AUTH, "--log-format=xml"], "--log-format=xml: must be text or json"),
        ([AUTH, "--interim-responses=no"], "--interim-responses=no: must be direct or always or never"),
        ([AUTH, "--shard="], "--shard: write 1 to 8 letters (A to Z) and digits, as in a or shop2"),
        ([AUTH, "--shard=a-b"], "--shard=a-b: write 1 to 8 letters"),
        ([AUTH, "--shard=warehouse"], "--shard=warehouse: write 1 to 8 letters"),
        ([AUTH, "--shard=склад"], "--shard=склад: write 1 to 8 letters (A to Z)"),
        ([AUTH, CATALOG], "--catalog: needs --store as well"),
        ([AUTH, STORE], "--store: needs --catalog as well"),
        ([AUTH, "--catalog=mysql://h/onec", STORE], "--catalog: is no address of a database; write postgresql://"),
        ([AUTH, "--catalog=postgresql://h", STORE], "--catalog: is no address of a database"),
        ([AUTH, "--catalog=postgresql://u:hunter2@h/onec", STORE], "--catalog: no password belongs into the address"),
        ([AUTH, "--catalog=postgresql://h/onec?password=hunter2", STORE], "--catalog: no password belongs into"),
        ([AUTH, CATALOG, "--store=s3://bucket"], "--store: the endpoint is missing"),
        ([AUTH, CATALOG, "--store=s3://key:hunter2@bucket?endpoint=http://h"], "--store: no keys belong into the"),
        ([AUTH, CATALOG, STORE, "--durability=none"], "--durability=none: must be piece with --catalog"),
        ([AUTH, CATALOG, STORE, "--shard=a"], "--shard=a: has no use with --catalog"),
        ([AUTH, CATALOG, STORE, "--name=a b"], "--name=a b: write 1 to 64 letters"),
        ([AUTH, "--name=a"], "--name=a: has no effect without --catalog"),
        ([AUTH, "--store-credentials=a"], "--store-credentials=a: has no effect without --catalog"),
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


def as_on_windows(text: str) -> bytes:
    """Return a file as Notepad saves it."""
    return b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()


def test_files_from_windows(tmp_path: Path) -> None:
    """A mark before the first line belongs to no user, and to no secret."""
    (tmp_path / "secret").write_bytes(as_on_windows("sesame\n"))
    (tmp_path / "words").write_bytes(as_on_windows("shop:secret\nother:x\n"))
    (tmp_path / "site").write_bytes(as_on_windows("user:password\n"))
    options = parsed(
        f"--auth=file:{tmp_path}/words", f"--import-secret={tmp_path}/secret", f"--import-auth={tmp_path}/site"
    )
    (checker,) = options["credCheckers"]
    assert options["import-auth"] == b"user:password"
    assert options["import-secret"] == b"sesame"
    assert [checker.getUser(user) for user in (b"shop", b"other")] == [(b"shop", b"secret"), (b"other", b"x")]
    with pytest.raises(KeyError):
        checker.getUser(b"nobody")


@pytest.mark.parametrize(
    "option", ["--auth=htpasswd:", "--auth=file:", f"{AUTH} --import-secret=", f"{AUTH} --import-auth="]
)
def test_files_in_utf_16(tmp_path: Path, option: str) -> None:
    """One line that says what it is, and what to do."""
    (tmp_path / "file").write_bytes("shop:secret\r\n".encode("utf-16"))
    with pytest.raises(CannotStart, match="is UTF-16: save it as UTF-8") as caught:
        parsed(*f"{option}{tmp_path}/file".split())
    assert f"{tmp_path}/file" in str(caught.value)


def test_the_password_of_the_site_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts when there is no file; a file's first line is all that is sent."""
    (tmp_path / "site").write_bytes(as_on_windows("user:password\n\n# of the shop\n"))
    monkeypatch.setenv("ONEC_IMPORT_AUTH", "shop:пароль")

    assert parsed(AUTH)["import-auth"] == "shop:пароль".encode()
    assert parsed(AUTH, f"--import-auth={tmp_path}/site")["import-auth"] == b"user:password"
    for slip in ("", "secret"):
        monkeypatch.setenv("ONEC_IMPORT_AUTH", slip)
        with pytest.raises(CannotStart, match="ONEC_IMPORT_AUTH has no USER:PASSWORD") as caught:
            parsed(AUTH)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("slip", ["--import-auth=shop:secret", "--import-auth=s/h:secret", "--import-secret=secret"])
def test_a_secret_instead_of_its_file(slip: str) -> None:
    """It is in no refusal, as that stands in a journal."""
    with pytest.raises(CannotStart, match="the file cannot be read: No such file") as caught:
        parsed(AUTH, slip)
    assert "secret" not in str(caught.value).replace("--import-secret", "")


def test_a_file_that_changes_is_read_again(tmp_path: Path, nothing_left_behind: list[dict[str, Any]]) -> None:
    """Whoever writes it; while it cannot be used nobody is let in, and the log says why."""
    path = tmp_path / "words"
    path.write_bytes(b"shop:secret\n")
    (checker,) = parsed(f"--auth=file:{path}")["credCheckers"]
    path.write_bytes(as_on_windows("shop:new\n"))
    assert checker.getUser(b"shop") == (b"shop", b"new")
    path.write_bytes("shop:new".encode("utf-16"))
    with pytest.raises(UnauthorizedLogin):
        checker.getUser(b"shop")
    assert [event["reason"] for event in nothing_left_behind if "reason" in event] == [
        "is UTF-16: save it as UTF-8, in Notepad by Save as"
    ]


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
