"""The file of options: what it may say, and what is said of a slip."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as some

from onec_twisted.daemon.config import CannotStart
from onec_twisted.daemon.configfile import OPTIONS_IN_FILES
from onec_twisted.daemon.given import variable_of
from onec_twisted.daemon.options import Options
from onec_twisted.daemon.parameters import CHOICES, NUMBERS, PARAMETERS, SIZES, TIMES, YES_OR_NO

if TYPE_CHECKING:
    from onec_twisted.daemon.config import Config

AUTH = 'auth = ["memory:shop:secret"]\n'


def read(path: Path, content: str | bytes, *arguments: str) -> Config:
    """Write a file, and return the settings that it makes."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    options = Options()
    options.parseOptions([f"--config={path}", *arguments])
    return options.config()


def test_each_kind_of_value(tmp_path: Path) -> None:
    """Numbers and words, in TOML's own types or in quotes; one text does for a list of one."""
    content = """
    auth = "memory:shop:secret"
    path = [
        "/a",   # of the first node
        "/b",
    ]
    file-limit = "2M"
    body-limit = 4194304
    settle = 0.5
    keep = "1d"
    max-uploads = 7
    sessions-per-user = "8"
    min-rate = "1K"
    zip = false
    unpack = "no"
    language = "ru"
    tus-path = "off"
    """
    config = read(tmp_path / "onec.toml", content)

    assert (config.path, config.file_limit, config.body_limit) == (("/a", "/b"), 2 * 2**20, 4 * 2**20)
    assert (config.settle, config.keep, config.max_uploads, config.sessions_per_user) == (0.5, 86400, 7, 8)
    assert (config.min_rate, config.zip, config.unpack, config.language, config.tus_path) == (
        1024,
        False,
        False,
        "ru",
        None,
    )


def test_a_file_from_windows(tmp_path: Path) -> None:
    """With Notepad's mark and line ends, and names in Cyrillic."""
    content = b"\xef\xbb\xbf" + '# склад\nauth = ["memory:Иван:пароль"]\nzip = false\n'.replace("\n", "\r\n").encode()
    config = read(tmp_path / "onec.toml", content)
    assert config.auth[0].users == {"Иван".encode(): "пароль".encode()}
    assert not config.zip


def test_relative_paths_start_from_the_files_folder(tmp_path: Path) -> None:
    """Wherever the daemon is started; addresses and absolute paths are no such paths."""
    (tmp_path / "secret").write_text("sesame")
    (tmp_path / "words").write_text("shop:secret")
    content = 'auth = ["file:words"]\nimport-secret = "secret"\nmedia-root = "media"\nimporter = "exec:bin/import"\n'
    content += 'notify = ["exec:/bin/true", "https://shop.example/notice"]\n'
    config = read(tmp_path / "onec.toml", content)

    assert config.media_root == str(tmp_path / "media")
    assert config.importer == f"exec:{tmp_path}/bin/import"
    assert config.import_secret == b"sesame"
    assert config.notify == ("exec:/bin/true", "https://shop.example/notice")


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("file_limit = 1", 2, "file_limit: no such option; write file-limit?"),
        ("nonsense = 1", 2, "nonsense: no such option; twistd onec-exchange --help lists them"),
        ('config = "other.toml"', 2, "config: no such option"),
        ("[shop]\nzip = true", 2, "shop: no such option"),
        ("\n\nfile-limit = '10X'", 4, "file-limit = 10X: is not a size"),
        ("file-limit = true", 2, "file-limit: write a number of bytes, or a text with K, M or G"),
        ("settle = 1979-05-27", 2, "settle: write a number of seconds, or a text with s, m, h or d"),
        ("max-uploads = 1.5", 2, "max-uploads = 1.5: must be a number"),
        ("zip = 1", 2, "zip: write true or false"),
        ("zip = 'maybe'", 2, "zip = maybe: must be yes or no"),
        ("sessid = true", 2, 'sessid: write "required" or "optional"'),
        ("media-root = 1", 2, "media-root: write one text in quotes"),
        ("media-root = ['a', 'b']", 2, "media-root: write one text in quotes"),
        ("path = [\n  '/a',\n  'b',\n]", 2, "path = b: write a path as in"),
        ("path = ['/a', 1]", 2, 'path: write a list of texts, as in ["a", "b"]'),
        ("body-limit = 1", 2, "body-limit = 1: is less than --file-limit"),
        ("zip = yes", 2, "Invalid value; write name ="),
        ("zip = true\nzip = true", 3, "Cannot overwrite a value"),
        ("path = ['/a'", 2, "write name ="),
    ],
)
def test_a_slip_is_told_in_one_line(tmp_path: Path, content: str, line: int, words: str) -> None:
    """With the file, the line, and what to write."""
    path = tmp_path / "onec.toml"
    with pytest.raises(CannotStart) as caught:
        read(path, AUTH + content)
    assert str(caught.value).startswith(f"onec-exchange: {path}, line {line}: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, in another encoding, or no text at all."""
    with pytest.raises(CannotStart, match="cannot be read: No such file"):
        Options().parseOptions([f"--config={tmp_path}/none"])
    with pytest.raises(CannotStart, match="is UTF-16: save it as UTF-8"):
        read(tmp_path / "onec.toml", AUTH.encode("utf-16"))
    with pytest.raises(CannotStart, match="is not UTF-8"):
        read(tmp_path / "onec.toml", "# склад".encode("cp1251"))


def test_no_password_of_a_file_is_repeated(tmp_path: Path) -> None:
    """Errors stand in logs."""
    for slip in ("auth = 'memry:shop:secret'", "auth = 'memory:shop:se:secret'", "import-auth = 'shop:secret'"):
        with pytest.raises(CannotStart) as caught:
            read(tmp_path / "onec.toml", slip if slip.startswith("auth") else AUTH + slip)
        assert "secret" not in str(caught.value)


def texts_of(name: str) -> some.SearchStrategy[str]:
    """Return texts that are right for an option."""
    if name in CHOICES:
        return some.sampled_from(CHOICES[name])
    if name in SIZES or name == "min-rate":
        return some.tuples(some.integers(1, 1000), some.sampled_from(["", "K", "M"])).map(lambda t: f"{t[0]}{t[1]}")
    if name in TIMES:
        return some.tuples(some.integers(1, 1000), some.sampled_from("smhd")).map(lambda t: f"{t[0]}{t[1]}")
    return some.integers(1, 1000).map(str)


CHANGEABLE = sorted(({*CHOICES, *SIZES, *TIMES, *NUMBERS, "min-rate"}) - {"body-limit"})


@given(data=some.data())
def test_whatever_counts_for_more(data: some.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The command line over the environment, that over the file, and that over the default, for each option."""
    chosen = data.draw(some.lists(some.sampled_from(CHANGEABLE), unique=True, max_size=8))
    levels = [{name: data.draw(texts_of(name)) for name in chosen if data.draw(some.booleans())} for _ in range(3)]
    file, environment, line = levels
    path = tmp_path_factory.getbasetemp() / "precedence.toml"
    body = 'body-limit = "10G"\n'
    with pytest.MonkeyPatch.context() as patched:
        for name, text in environment.items():
            patched.setenv(variable_of(name), text)
        toml = "".join(f"{name} = {json.dumps(text)}\n" for name, text in file.items())
        config = read(path, AUTH + body + toml, *(f"--{name}={text}" for name, text in line.items()))
    alone = Options()
    alone.parseOptions(
        ["--auth=memory:shop:secret", "--body-limit=10G"]
        + [f"--{name}={text}" for name, text in {**file, **environment, **line}.items()]
    )
    for name in CHANGEABLE:
        field = name.replace("-", "_")
        assert getattr(config, field) == getattr(alone.config(), field), name


@given(
    name=some.sampled_from(sorted(OPTIONS_IN_FILES)),
    value=some.one_of(
        some.booleans(), some.integers(), some.floats(), some.text(max_size=20), some.lists(some.text())
    ),
)
def test_whatever_is_written(name: str, value: object, tmp_path_factory: pytest.TempPathFactory) -> None:
    """It is a setting, or one line that names the file; never a traceback."""
    path = tmp_path_factory.getbasetemp() / "written.toml"
    text = json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf").replace("\x7f", "\\u007F")
    auth = "" if name == "auth" else AUTH
    try:
        read(path, f"{auth}{name} = {text}\n")
    except CannotStart as cannot:
        said = str(cannot)
    else:
        said = str(path)
    assert "\n" not in said
    assert str(path) in said or "--" in said


def test_a_list_replaces_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts for more does not add to what counts for less."""
    content = AUTH + 'path = ["/file"]\ntrusted-proxy = ["unix"]\n'
    monkeypatch.setenv("ONEC_EXCHANGE_PATH", '["/variable", "/other"]')
    config = read(tmp_path / "onec.toml", content)
    assert (config.path, config.trusted_proxy) == (("/variable", "/other"), ("unix",))
    assert read(tmp_path / "onec.toml", content, "--path=/line").path == ("/line",)
    monkeypatch.setenv("ONEC_EXCHANGE_CONFIG", str(tmp_path / "onec.toml"))
    options = Options()
    options.parseOptions([])
    assert options.config().trusted_proxy == ("unix",), "a variable may name the file"


def test_help_needs_no_file(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever asks for it may do so because the file is wrong."""
    monkeypatch.setenv("ONEC_EXCHANGE_CONFIG", "/nowhere/onec.toml")
    with pytest.raises(SystemExit) as caught:
        Options().parseOptions(["--help"])
    assert caught.value.code == 0
    assert "--config=" in capsys.readouterr().out


def test_a_slip_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is told by the variable's name."""
    monkeypatch.setenv("ONEC_EXCHANGE_ZIP", "maybe")
    with pytest.raises(CannotStart, match=r"^onec-exchange: ONEC_EXCHANGE_ZIP=maybe: must be yes or no$"):
        Options().parseOptions(["--auth=memory:shop:secret"])


def test_the_file_knows_every_option() -> None:
    """But for the one that names it."""
    known = {option.rstrip("=") for option in Options().longOpt if option.endswith("=")}
    assert known - OPTIONS_IN_FILES == {"config", "help-auth-type"}
    assert {name for name, *_ in PARAMETERS} - OPTIONS_IN_FILES == {"config"}
    assert YES_OR_NO == ("yes", "no")


SAMPLE = Path(__file__).parents[2] / "deploy" / "onec-exchange.toml"


def test_the_sample_has_every_option_with_its_default(tmp_path: Path) -> None:
    """What is commented out is the default, where there is one; with all of it, the file still says what it may."""
    lines = SAMPLE.read_text(encoding="utf-8").partition("# --- Shops ---")[0].splitlines()
    settings = [line.removeprefix("# ") for line in lines if re.match(r"(# )?[a-z-]+ = ", line)]
    defaults = {name: default for name, _, default, *_ in PARAMETERS if default is not None}
    active = {line.partition(" = ")[0] for line in lines if re.match(r"[a-z-]+ = ", line)}

    assert sorted(line.partition(" = ")[0] for line in settings) == sorted(OPTIONS_IN_FILES)
    assert active == {"auth", "listen", "media-root", "importer"}
    for line in settings:
        name, _, value = line.partition(" = ")
        if name in defaults and name not in active:
            assert {"true": "yes", "false": "no"}.get(value, value.strip('"')) == defaults[name], name
    (tmp_path / "import-secret").write_text("hush")
    (tmp_path / "import-auth").write_text("user:hush")
    whole = re.sub(r"htpasswd:[^\"]+", "memory:shop:secret", "\n".join(settings))
    alone = re.sub(r"(?m)^(catalog|store|store-credentials|name) = .*", "", whole)
    assert read(tmp_path / "onec.toml", alone).shard == "a"
    assert read(tmp_path / "onec.toml", re.sub(r"(?m)^shard = .*", "", whole)).name == "north-1"
