"""What ``--print-config`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from onec_twisted.daemon.options import Options

if TYPE_CHECKING:
    from pathlib import Path


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what a command line with ``--print-config`` prints; it ends with status 0."""
    with pytest.raises(SystemExit) as caught:
        Options().parseOptions([*arguments, "--print-config"])
    assert caught.value.code == 0
    return capsys.readouterr().out


def test_each_option_with_its_origin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file and its line, the variable, the command line, or the default."""
    path = tmp_path / "onec.toml"
    path.write_text('# of the shop\nauth = ["memory:shop:hush"]\nfile-limit = "2M"\nkeep = "1d"\n')
    monkeypatch.setenv("ONEC_EXCHANGE_KEEP", "2d")
    monkeypatch.setenv("ONEC_EXCHANGE_PORT", "tcp://10.0.0.1:8080")
    lines = printed(capsys, f"--config={path}", "--zip=no").splitlines()

    assert f'auth = ["memory:shop"]  # {path}, line 2' in lines
    assert f'file-limit = "2M"  # {path}, line 3' in lines
    assert "keep = 172800  # ONEC_EXCHANGE_KEEP" in lines
    assert "zip = false  # command line" in lines
    assert 'language = "en"  # default' in lines
    assert "# orders is not set" in lines
    assert lines[-1] == "# ONEC_EXCHANGE_PORT in the environment names no option"


def test_no_secret_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a file's content, nor a password in an address or of a user."""
    (tmp_path / "secret").write_text("user:hush")
    text = printed(
        capsys,
        "--auth=memory:shop:hush",
        f"--import-secret={tmp_path}/secret",
        f"--import-auth={tmp_path}/secret",
        "--importer=https://user:hush@shop.example/import",
        "--notify=https://user:hush@shop.example/notice",
    )
    assert "hush" not in text
    assert 'import-secret = "***"  # command line' in text


def test_it_can_be_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is a file for ``--config``, but for passwords."""
    first = printed(capsys, "--auth=memory:shop:secret", "--settle=0.25", "--path=/a", "--importer=exec:/b\\n\"c'")
    path = tmp_path / "onec.toml"
    path.write_text(first.replace("memory:shop", "memory:shop:secret"))
    again = printed(capsys, f"--config={path}")

    def values(text: str) -> list[str]:
        return [line.partition("  # ")[0] for line in text.splitlines() if not line.startswith("media-root")]

    assert values(again) == values(first)
