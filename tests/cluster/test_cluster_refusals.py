"""What psycopg says, in one line."""

from __future__ import annotations

from psycopg import OperationalError

from onec_twisted.cluster.refusals import first_line


def test_only_the_first_line_is_told() -> None:
    """Behind it libpq shows the statement."""
    assert first_line(OperationalError("\nno such table\nLINE 1: SELECT\n        ^")) == "no such table"


def test_an_error_without_words() -> None:
    """Is called by its name."""
    assert first_line(OperationalError("")) == "OperationalError"
    assert first_line(OperationalError(" \n")) == "OperationalError"
