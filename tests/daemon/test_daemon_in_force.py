"""The options in force, for the administrator's eyes."""

from __future__ import annotations

from attrs import evolve
from in_memory import config_of

from onec_twisted.daemon.in_force import in_force


def test_as_they_would_be_written() -> None:
    """Sizes, times, lists and choices; what is not set is not there."""
    config = evolve(
        config_of(), file_limit=100 * 2**20, min_free=1000, settle=0.25, history=7776000.0, admin=None, zip=True
    )
    known = dict(in_force(config))

    assert known["--file-limit"] == "100M"
    assert known["--min-free"] == "1000"
    assert known["--settle"] == "0.25"
    assert known["--history"] == "7776000"
    assert known["--zip"] == "yes"
    assert "--admin" not in known


def test_no_secret_is_there() -> None:
    """Neither a secret, nor a password in an address, nor who may log in."""
    config = evolve(
        config_of(),
        import_secret=b"hush",
        import_auth=b"user:hush",
        importer="https://user:hush@shop.example/import",
        orders="https://user:hush@shop.example/orders",
        cors_origin=(b"https://shop.example",),
    )
    known = dict(in_force(config))

    assert "hush" not in str(known)
    assert known["--import-secret"] == "***"
    assert known["--cors-origin"] == "https://shop.example"
    assert "shop.example/import" in known["--importer"]
