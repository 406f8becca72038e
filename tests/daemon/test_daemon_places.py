"""Where settings say that records and files are."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest
from in_memory import config_of

from onec_twisted.cluster.location import Credentials, Location
from onec_twisted.cluster.refusals import CannotUseCluster
from onec_twisted.daemon.config import CannotStart
from onec_twisted.daemon.places import Place, check_import_timeouts, place_given, place_of, words_of_store
from onec_twisted.model.errors import StorageRemoved

if TYPE_CHECKING:
    from pathlib import Path

LOCATION = Location("bucket", "a/b", "http://h:9000", "eu")
SHARED = ("--catalog=postgresql://onec@h/onec", "--store=s3://bucket/a/b?endpoint=http://h:9000&region=eu")
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hunter2"}


def test_what_is_shown_of_a_place_is_no_secret() -> None:
    """Neither the address of the records nor the keys."""
    place = Place("postgresql://onec:hunter2@h/onec", LOCATION, Credentials("key", "hunter2"), "one")
    assert "hunter2" not in repr(place)


def test_a_place_from_settings(tmp_path: Path) -> None:
    """The key comes from a file if there is one, or else from the environment."""
    found = place_of(config_of(*SHARED, "--name=north"), ENVIRONMENT)
    assert found == Place("postgresql://onec@h/onec", LOCATION, Credentials("key", "hunter2"), "north")
    (tmp_path / "keys").write_text("other\nsecret\n")
    (tmp_path / "keys").chmod(0o600)
    found = place_of(config_of(*SHARED, f"--store-credentials={tmp_path / 'keys'}"), ENVIRONMENT)
    assert found.keys == Credentials("other", "secret")
    assert place_of(config_of(*SHARED), {}).keys is None


@pytest.mark.parametrize(
    ("catalog", "store", "words"),
    [
        ("postgresql://onec:hunter2@db/onec", "s3://onec?endpoint=http://h", "--catalog: no password belongs into"),
        ("nonsense", "s3://onec?endpoint=http://h", "--catalog: is no address of a database"),
        (
            "postgresql://db/onec",
            "s3://key:hunter2@onec?endpoint=http://h",
            "--store: no keys belong into the address",
        ),
        ("postgresql://db/onec", "s3://onec", "--store: the endpoint is missing"),
    ],
)
def test_addresses_that_will_not_do(catalog: str, store: str, words: str) -> None:
    """They are refused in words that repeat no secret."""
    with pytest.raises(CannotUseCluster) as caught:
        place_given(catalog, store, credentials=None, environment={})
    assert str(caught.value).startswith(words)
    assert "hunter2" not in str(caught.value)


def test_where_keys_are(tmp_path: Path) -> None:
    """In a file, or in the environment; of both the file counts."""
    catalog, store = "postgresql://db/onec", "s3://onec?endpoint=http://h"
    file = tmp_path / "keys"
    file.write_text("key\nsecret\n")
    file.chmod(0o600)
    environment = {"AWS_ACCESS_KEY_ID": "other", "AWS_SECRET_ACCESS_KEY": "secret"}
    paths = (str(file), None)
    found = [place_given(catalog, store, credentials=path, environment=environment).keys for path in paths]
    assert [keys.key_id for keys in found if keys is not None] == ["key", "other"]
    file.chmod(0o644)
    with pytest.raises(CannotUseCluster, match=r"--store-credentials: .*others can read the keys"):
        place_given(catalog, store, credentials=str(file), environment={})


def test_keys_that_are_incomplete() -> None:
    """One line says which."""
    with pytest.raises(CannotStart, match="--store: set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        place_of(config_of(*SHARED), {"AWS_ACCESS_KEY_ID": "key"})
    with pytest.raises(CannotStart, match="--store-credentials: /nowhere: cannot be read"):
        place_of(config_of(*SHARED, "--store-credentials=/nowhere"), {})


def test_a_daemon_alone_has_no_place() -> None:
    """It is not asked for one."""
    with pytest.raises(ValueError, match="alone"):
        place_of(config_of(), {})


def test_what_a_daemon_is_called() -> None:
    """As the administrator says, or by its host and process."""
    assert Place("", LOCATION, None, "north").name_now() == "north"
    assert Place("", LOCATION, None).name_now() == f"{socket.gethostname()}:{os.getpid()}"


def test_addresses_are_signed_for_a_week() -> None:
    """So an import may not take longer."""
    check_import_timeouts(config_of("--import-timeout=6d"))
    with pytest.raises(CannotStart, match="must be 6d or less with --store"):
        check_import_timeouts(config_of("--import-timeout=7d"))


def test_what_is_wrong_with_a_store() -> None:
    """And what to do."""
    assert "make it, or correct the address" in words_of_store(StorageRemoved())
    assert "check the address" in words_of_store(OSError(5, "no connection"))
