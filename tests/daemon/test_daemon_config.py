"""What the administrator chose, as a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import fields

from onec_twisted.daemon.config import Config
from onec_twisted.daemon.options import Options

if TYPE_CHECKING:
    from pathlib import Path


def config(*arguments: str) -> Config:
    """Return what a command line makes."""
    options = Options()
    options.parseOptions(["--auth=memory:shop:secret", *arguments])
    return options.config()


def test_every_option_stands_in_it_once() -> None:
    """Under its own name."""
    named = {name.rstrip("=") for name in Options().longOpt if not name.startswith(("help", "version"))}
    named -= {"check", "config", "print-config"}  # where options come from, and what ends at once

    assert {one.name.replace("_", "-") for one in fields(Config)} - {"shops"} == named


def test_it_is_typed() -> None:
    """Choices of two are truths, and what may be repeated cannot change."""
    chosen = config("--zip=no", "--listen=tcp:1", "--listen=tcp:2", "--session-ttl=1h", "--status-codes=ok")

    assert (chosen.zip, chosen.access_log, chosen.always_ok, chosen.synced) == (False, False, True, True)
    assert chosen.listen == ("tcp:1", "tcp:2")
    assert chosen.session_ttl == 3600.0


def test_it_shows_no_secrets(tmp_path: Path) -> None:
    """Wherever it is printed."""
    (tmp_path / "secret").write_text("hush")
    chosen = config(f"--import-secret={tmp_path / 'secret'}", "--orders=http://shop:hush@127.0.0.1/")

    assert chosen.import_secret == b"hush"
    assert "hush" not in repr(chosen)
