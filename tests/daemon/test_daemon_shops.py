"""The tables of shops in the file of options: whose the users are, and what is different for them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, fields
from hypothesis import given
from hypothesis import strategies as some
from passwords import line

from onec_twisted.daemon.config import CannotStart, Config
from onec_twisted.daemon.options import Options
from onec_twisted.daemon.shops import IN_SHOPS, OPTIONS_OF_SHOPS

AUTH = 'auth = ["memory:anna:secret", "memory:boris:secret", "memory:clara:secret"]\n'


def read(path: Path, content: str, *arguments: str) -> Config:
    """Write a file, and return the settings that it makes."""
    path.write_text(content, encoding="utf-8")
    options = Options()
    options.parseOptions([f"--config={path}", *arguments])
    return options.config()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of options, with what its shops may name beside it."""
    (tmp_path / "words").write_text("dora:secret\n")
    (tmp_path / "secret").write_text("sesame")
    return tmp_path / "onec.toml"


def test_a_shop_differs_where_its_table_says_so(path: Path) -> None:
    """All else is as outside of the tables, wherever that is from."""
    content = """
    language = "ru"
    keep = "2d"
    [shops.north]
    users = ["anna"]
    file-limit = "2M"
    zip = false
    settle = "10m"
    status-codes = "ok"
    shop-quota = "5G"
    [shops.south]
    users = ["boris", "clara"]
    importer = "exec:import"
    """
    config = read(path, AUTH + content, "--history=5d")
    north, south = config.shops

    assert (north.name, sorted(north.users)) == ("north", ["anna"])
    assert north.own == {"users", "file-limit", "zip", "settle", "status-codes", "shop-quota"}
    changed = evolve(
        config,
        file_limit=2 * 2**20,
        body_limit=2 * 2**20,
        zip=False,
        settle=600.0,
        status_codes="ok",
        shop_quota=5 * 2**30,
        shops=(),
    )
    assert north.config == changed
    assert (south.config.language, south.config.keep, south.config.history) == ("ru", 2 * 86400, 5 * 86400)
    assert south.config.importer == f"exec:{path.parent}/import"
    assert [name for name, _ in config.named_shops()] == ["default", "north", "south"]


def test_without_tables_there_are_no_shops(path: Path) -> None:
    """Nor with an empty one."""
    assert read(path, AUTH).shops == ()
    assert read(path, f"{AUTH}[shops]\n").shops == ()


def test_a_shop_with_checkers_and_a_path_of_its_own(path: Path) -> None:
    """It has no path of tus, unless it names one; relative paths start from the file's folder."""
    content = '[shops.north]\nauth = "file:words"\npath = "/north.php"\n'
    (north,) = read(path, AUTH + content).shops
    assert north.has_own_auth
    assert north.has_own_path
    assert (north.config.path, north.config.tus_path) == (("/north.php",), None)
    (north,) = read(path, f'{AUTH}{content}tus-path = "/north/files/"').shops
    assert north.config.tus_path == "/north/files/"


def test_another_site_hears_no_secret_of_the_common_one(path: Path) -> None:
    """And its nodes receive none of the other's orders; a table that keeps the importer keeps them all."""
    common = 'importer = "http:a/import"\nimport-secret = "secret"\norders = "http:a/orders"\n'
    config = read(path, common + AUTH + '[shops.n]\nusers="anna"\nimporter="http:b"\n[shops.s]\nusers="boris"\n')
    north, south = (shop.config for shop in config.shops)
    assert (north.import_secret, north.import_auth, north.orders) == (None, None, None)
    assert (south.import_secret, south.orders) == (b"sesame", "http:a/orders")


def test_whom_a_shop_tells_of_trouble(path: Path) -> None:
    """Those whom it names; the common ones hear of all shops anyway."""
    content = (
        'notify = ["exec:/bin/true"]\n' + AUTH + '[shops.n]\nusers="anna"\n[shops.s]\nusers="boris"\nnotify="http:b"'
    )
    north, south = read(path, content).shops
    assert (north.config.notify, south.config.notify) == ((), ("http:b",))


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("[[shops]]\na = 1", 2, "shops: write a table for each shop, as in [shops.north]"),
        ("[shops]\nnorth = 1", 3, "shops.north: write a table, as in [shops.north]"),
        ("[shops.default]\nusers = 'anna'", 2, "shops.default: is the name of what is in no shop"),
        ("[shops.North]\nusers = 'anna'", 2, "shops.North: is no name of a shop: write up to 32 of a to z"),
        ("[shops.a]\nzip = true", 2, 'shops.a: name its users, as in users = ["anna"], or its own auth'),
        ("[shops.a]\nusers = []", 2, "shops.a: name its users"),
        ("[shops.a]\nusers = ['a:b']", 3, "shops.a.users: 'a:b' is no name of a user"),
        ("[shops.a]\nusers = [1]", 3, "shops.a.users: write a list of texts"),
        ("[shops.a]\nusers = 'anna'\nauth = 'file:words'", 2, "shops.a: has users and auth: name either"),
        ("[shops.a]\nusers = 'anna'\n\nziip = true", 5, "shops.a.ziip: no such option; write zip?"),
        ("[shops.a]\nusers = 'anna'\nlisten = 'tcp:80'", 4, "no such option of a shop; it is the same for all"),
        ("[shops.a]\nusers = 'anna'\nfile-limit = '10X'", 4, "shops.a.file-limit = 10X: is not a size"),
        ("[shops.a]\nusers = 'anna'\nbody-limit = '1M'", 4, "shops.a.body-limit: is less than --file-limit"),
        ("[shops.a]\nusers = 'anna'\nimporter = 'none:'", 4, "shops.a.importer = none:: no such importer"),
        ("[shops.a]\nusers = 'anna'\nimport-secret = 'gone'", 4, "cannot be read: No such file"),
        ("[shops.a]\nusers = 'anna'\norders = 'http:b'", 4, "shops.a.orders: name the importer of the same site"),
        ("[shops.a]\nusers = 'anna'\ntus-path = '/a'", 4, "shops.a.tus-path: name a path for its nodes, too"),
        ("[shops.a]\nauth = 'memry:a:b'", 3, "shops.a.auth = memry: no such method"),
        ("[shops.a]\nusers='anna'\n[shops.b]\nusers='anna'", 4, "shops.b: anna is a user of the shop a, too"),
        ("[shops.a]\nauth='memory:anna:x'", 2, "shops.a: anna is a user of the default shop, too"),
        ("[shops.a]\nauth='memory:d:x'\n[shops.b]\nauth='memory:d:y'", 4, "shops.b: d is a user of the shop a, too"),
        (
            "[shops.a]\nusers='anna'\npath='/1c_exchange.php'",
            4,
            "is at, or below, /1c_exchange.php of the",
        ),
        (
            "[shops.a]\nusers='anna'\npath='/files/a'",
            4,
            "/files/a is at, or below, /files of the default shop",
        ),
        ("[shops.a]\nusers='anna'\npath='/bitrix'", 4, "shops.a.path: /bitrix is above a path of the default shop"),
        ("shops.a.users = 'anna'\nshops.a.zip = 1", 3, "shops.a.zip: write true or false"),
        ("shops.a = {users = 'anna', zip = 1}", 2, "shops.a.zip: write true or false"),
    ],
)
def test_a_slip_is_told_in_one_line(path: Path, content: str, line: int, words: str) -> None:
    """With the file, the line, and what to write."""
    with pytest.raises(CannotStart) as caught:
        read(path, AUTH + content)
    assert str(caught.value).startswith(f"onec-exchange: {path}, line {line}: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_users_of_two_shops_may_share_a_name_where_the_path_tells(path: Path) -> None:
    """A shop with checkers and a path of its own knows who is meant."""
    content = "[shops.a]\nauth='memory:anna:x'\npath='/a'\n[shops.b]\nauth='memory:anna:y'\npath='/b'\n"
    assert [shop.name for shop in read(path, AUTH + content).shops] == ["a", "b"]


def test_what_is_printed_can_be_read_again(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The tables, too; and no secret is in them."""
    content = """
    [shops.north]
    users = ["anna", "boris"]
    importer = "http://user:hush@b/import"
    import-secret = "secret"
    keep = "1d"
    [shops.south]
    auth = "memory:dora:hush"
    path = ["/a", "/b"]
    tus-path = "off"
    zip = false
    """
    before = read(path, AUTH + content)
    with pytest.raises(SystemExit):
        read(path, AUTH + content, "--print-config")
    printed = capsys.readouterr().out
    assert "hush" not in printed
    assert "sesame" not in printed
    for user in ("anna", "boris", "clara", "dora"):
        printed = printed.replace(f"memory:{user}", f"memory:{user}:secret")
    after = read(path, printed.replace('import-secret = "***"', 'import-secret = "secret"').replace("***@", ""))
    for old, new in zip(before.shops, after.shops, strict=True):
        assert (old.name, old.users, old.own) == (new.name, new.users, new.own)
        for one in fields(Config):
            if one.name not in {"auth", "importer", "media_root"}:
                assert getattr(old.config, one.name) == getattr(new.config, one.name), one.name


@given(
    name=some.sampled_from(sorted(IN_SHOPS)) | some.text(max_size=5),
    value=some.one_of(
        some.booleans(), some.integers(), some.floats(), some.text(max_size=20), some.lists(some.text())
    ),
    shop=some.sampled_from(["a", "default", "A", "x y"]),
)
def test_whatever_is_written(name: str, value: Any, shop: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """It is a shop, or one line that names the file; never a traceback."""
    path = tmp_path_factory.getbasetemp() / "shops.toml"

    def written(one: Any) -> str:
        return json.dumps(one).replace("NaN", "nan").replace("Infinity", "inf").replace("\x7f", "\\u007F")

    users = "" if name in {"users", "auth"} else 'users = ["anna"]\n'
    try:
        config = read(path, f"{AUTH}[shops.{json.dumps(shop)}]\n{users}{written(name)} = {written(value)}\n")
    except CannotStart as cannot:
        said = str(cannot)
    else:
        said = str(path)
        assert config.shops[0].own >= {name}
    assert str(path) in said
    assert "\n" not in said


TEXTS = {"language": '"ru"', "zip": "false", "keep": "7", "file-limit": '"3M"', "history": '"3d"', "settle": "9"}


@given(
    outside=some.sets(some.sampled_from(sorted(TEXTS))),
    inside=some.sets(some.sampled_from(sorted(TEXTS))),
    line=some.sets(some.sampled_from(["language", "keep", "settle"])),
)
def test_what_counts_for_a_shop(
    outside: set[str], inside: set[str], line: set[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its table, and then what counts for all: the command line cannot change what a table says of one shop."""
    path = tmp_path_factory.getbasetemp() / "counts.toml"
    table = "".join(f"{name} = {TEXTS[name]}\n" for name in sorted(inside))
    common = "".join(f"{name} = {TEXTS[name]}\n" for name in sorted(outside))
    given_on_line = {"language": "en", "keep": "11", "settle": "12"}
    arguments = [f"--{name}={given_on_line[name]}" for name in sorted(line)]
    config = read(path, f"{AUTH}body-limit = '1G'\n{common}[shops.a]\nusers = 'anna'\n{table}", *arguments)
    (shop,) = config.shops
    alone = read(path, AUTH + table)
    for name in TEXTS:
        field = name.replace("-", "_")
        expected = getattr(alone if name in inside else config, field)
        assert getattr(shop.config, field) == expected, name


def test_every_option_of_a_shop_is_an_option() -> None:
    """A name in ``OPTIONS_OF_SHOPS`` that is none would never be read."""
    assert {name.replace("-", "_") for name in OPTIONS_OF_SHOPS} <= {one.name for one in fields(Config)}


def test_the_shops_of_the_sample(tmp_path: Path) -> None:
    """What ``deploy/onec-exchange.toml`` shows of shops, and what ``docs/shops.md`` and README.md do, is a file."""
    root = Path(__file__).parents[2]
    sample = (root / "deploy" / "onec-exchange.toml").read_text(encoding="utf-8").partition("# --- Shops ---")[2]
    shown = {"sample": AUTH + re.sub(r"^# ?", "", sample.partition("\n#\n")[2], flags=re.MULTILINE)}
    for page in ("README.md", "README.ru.md", "docs/shops.md", "docs/ru/shops.md"):
        (shown[page],) = re.findall(r"```toml\n(.*?)```", (root / page).read_text(encoding="utf-8"), re.DOTALL)
        assert page.startswith("docs") or len(shown[page].splitlines()) <= 12
    for name in ("north.secret", "import.sh", "south.sh"):
        (tmp_path / name).write_text("sesame")
        (tmp_path / name).chmod(0o700)
    for user in ("onec", "south", "common"):
        (tmp_path / f"{user}.htpasswd").write_bytes(line(f"{user}-user", "secret"))
    for name, text in shown.items():
        config = read(tmp_path / "onec.toml", re.sub("/(etc|srv)/(onec|south)/", "", text))
        assert [shop.name for shop in config.shops] == ["north", "south"], name
