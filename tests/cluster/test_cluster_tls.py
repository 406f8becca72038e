"""PostgreSQL over TLS: its certificate is verified, with libpq's own words in the address."""

from __future__ import annotations

import os
import shutil
import time
from typing import TYPE_CHECKING

import pytest
from certificates import Certificate, make_certificate
from postgres import Server

from onec_twisted.cluster.location import check_catalog
from onec_twisted.cluster.postgresql import PostgreSQL
from onec_twisted.cluster.tables import create_tables
from onec_twisted.model.errors import CatalogBusy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Server, Certificate]]:
    """A server that takes connections over TLS alone, and its certificate."""
    certificate = make_certificate(tmp_path)
    server = Server()
    server.create()
    for name, path in (("server.key", certificate.key), ("server.crt", certificate.chain)):
        shutil.copy(path, server.data / name)
        (server.data / name).chmod(0o600)
        if not os.geteuid():
            shutil.chown(server.data / name, "postgres", "postgres")
    server.settings["ssl"] = "on"
    rules = server.data / "pg_hba.conf"
    rules.write_text("hostssl all all 127.0.0.1/32 trust\n")
    server.start()
    yield server, certificate
    server.remove()


def outcome(url: str) -> str:
    """Make the tables at an address; return why that cannot be done, if it cannot."""
    check_catalog(url)
    database = PostgreSQL(url, time.monotonic)
    try:
        database.using(create_tables)
    except CatalogBusy as busy:
        return str(busy)
    finally:
        database.close()
    return ""


def test_a_certificate_is_verified(server: tuple[Server, Certificate], tmp_path: Path) -> None:
    """A daemon connects to the server that it trusts, by the name in its certificate, and to no other."""
    running, certificate = server
    (tmp_path / "other").mkdir()
    other = make_certificate(tmp_path / "other")
    address = f"postgresql://postgres@localhost:{running.port}/postgres?hostaddr=127.0.0.1&sslmode=verify-full"
    assert outcome(f"{address}&sslrootcert={certificate.chain}") == ""
    assert "certificate verify failed" in outcome(f"{address}&sslrootcert={other.chain}")
    elsewhere = address.replace("localhost", "elsewhere.example")
    assert "does not match host name" in outcome(f"{elsewhere}&sslrootcert={certificate.chain}")
