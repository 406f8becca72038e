"""The settings in force."""

from __future__ import annotations

from pages import GB, frame, read

from onec_twisted.admin.pages.settings import settings
from onec_twisted.admin.status import MOST_SHOWN, Status
from onec_twisted.admin.words.english import ENGLISH
from onec_twisted.catalog.sql.overview import Overview, Summary

STATUS = Status(
    running=100.0, connections=3, free=50 * GB, reserved=GB, received=1, accepted=1, discarded=0, repeats=0,
    transferring=0, transfers=(), overview=Overview(Summary(7, 2, 1, {}), (), ()), prospects={},
)  # fmt: skip


def test_what_is_in_force() -> None:
    """Options with their values, the version, totals, and the limits of what is shown."""
    document = read(settings(frame(), STATUS, [("--importer", "exec:import.sh"), ("--min-free", "1G")]))

    for said in ("--importerexec:import.sh", "--min-free1G", "1.2.3", "50.0 GB", f"it shows {MOST_SHOWN}"):
        assert said in document.text
    assert ENGLISH.no_settings in read(settings(frame(), STATUS, [])).text
