"""What else is translated: the reasons of ``/health``."""

from __future__ import annotations

import re

import pytest

from onec_twisted.admin.words.english import ENGLISH
from onec_twisted.admin.words.russian import RUSSIAN
from onec_twisted.runtime.presence import REMOVED


@pytest.mark.parametrize(
    "reason",
    [
        REMOVED,
        "the daemon is shutting down",
        "the disk has 5 bytes left, --min-free keeps 10",
        "the media root has not answered for 5 seconds",
        "the database cannot be written: disk I/O error",
        "the disk could not be asked: ValueError",
    ],
)
def test_a_reason_of_health(reason: str) -> None:
    """In Russian it says the same in other words, with the same numbers; in English it stays."""
    said = RUSSIAN.health(reason)

    assert ENGLISH.health(reason) == reason
    assert re.search("[а-я]", said)
    assert re.findall(r"\d+", said) == re.findall(r"\d+", reason)


def test_a_reason_that_nobody_foresaw() -> None:
    """It stays as it is."""
    assert RUSSIAN.health("the moon is gone") == "the moon is gone"
