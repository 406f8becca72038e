"""What ``--check`` says of PostgreSQL and of the object store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from in_memory import config_of

from onec_twisted.catalog.sql.schema import SCHEMA_VERSION
from onec_twisted.daemon.findings import FAIL, OK
from onec_twisted.daemon.preflight import findings

pytest.importorskip("psycopg", reason="tox -e cluster has it")
pytest.importorskip("obstore", reason="tox -e cluster has it")

from stores import fake

if TYPE_CHECKING:
    from pathlib import Path

    from fake_s3 import FakeS3
    from postgres import Server

__all__ = ["fake"]


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A file of keys."""
    path = tmp_path / "keys"
    path.write_text("key\nhunter2\n")
    path.chmod(0o600)
    return path


def said(folder: Path, catalog: str, endpoint: str, keys: Path) -> dict[str, tuple[str, str]]:
    """Return what is found out, by option."""
    config = config_of(
        f"--media-root={folder / 'media'}",
        f"--catalog={catalog}",
        f"--store=s3://bucket?endpoint={endpoint}",
        f"--store-credentials={keys}",
        "--listen=tcp:0:interface=127.0.0.1",
    )
    return {one.about: (one.state, one.words) for one in findings(config, 0.0)}


def test_all_is_well(tmp_path: Path, postgresql: Server, fake: FakeS3, keys: Path) -> None:
    """Both are tried, and no table is made."""
    postgresql.ask("CREATE DATABASE empty")
    found = said(tmp_path, postgresql.url("empty"), fake.endpoint, keys)
    where = f"127.0.0.1:{postgresql.port}"
    assert found["catalog"] == (OK, f"{where}: its tables will be created")
    assert found["store"] == (OK, f"{fake.endpoint}, bucket: an object was put, read and removed")
    assert "database" not in found
    assert fake.objects == {}
    assert postgresql.ask("SELECT to_regclass('schema_version')", "empty") == [(None,)]
    found = said(tmp_path, postgresql.url("made"), fake.endpoint, keys)
    assert found["catalog"] == (OK, f"{where}: schema {SCHEMA_VERSION}")
    postgresql.ask("DROP DATABASE empty")


def test_nothing_is_there(tmp_path: Path, keys: Path) -> None:
    """Each is told for itself, without keys and passwords."""
    found = said(tmp_path, "postgresql://onec@127.0.0.1:1/onec", "http://127.0.0.1:1", keys)
    assert found["catalog"][0] == found["store"][0] == FAIL
    assert "PostgreSQL cannot be used" in found["catalog"][1]
    assert "check the address, and that the store runs" in found["store"][1]
    assert "hunter2" not in str(found)


def test_keys_that_others_can_read(tmp_path: Path, postgresql: Server, keys: Path) -> None:
    """The daemon would not start, and --check says why."""
    keys.chmod(0o644)
    found = said(tmp_path, postgresql.url("made"), "http://127.0.0.1:1", keys)
    assert found["store"][0] == FAIL
    assert "others can read the keys" in found["store"][1]
