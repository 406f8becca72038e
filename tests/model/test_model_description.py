"""What an importer is told, in the words of its contract."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from handed_off import SCHEMA, handoff

from onec_twisted.model.description import Description, UploadedFile, describe, iso_time


def test_a_description_is_what_is_on_record() -> None:
    """What is empty there is None here."""
    assert describe(handoff(), "/srv/1c_temp/a") == Description(
        id="0" * 32,
        event="import",
        type="catalog",
        user="Иван",
        sessid="a" * 32,
        time="2027-01-15T08:00:00Z",
        filename="import0_1.xml",
        archive="v8_1.zip",
        timestamp=None,
        folder="/srv/1c_temp/a",
        files=(UploadedFile("v8_1.zip", 7),),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"archive": ""},
        {"event": "settled", "type": "sale", "filename": "", "archive": ""},
        {"event": "complete", "filename": "", "archive": "", "files": ()},
        {"event": "deactivate", "filename": "", "archive": "", "files": (), "timestamp": "1700000000"},
    ],
)
def test_the_json_is_as_documented(changes: dict[str, Any]) -> None:
    """Every event, against the schema in ``docs``; it is one line, in UTF-8."""
    text = describe(handoff(**changes), "/srv").as_json()

    jsonschema.validate(json.loads(text), SCHEMA)
    assert b"\n" not in text
    assert "Иван".encode() in text


def test_the_schema_knows_nothing_else() -> None:
    """A field that is added without a word in the documents fails."""
    told = json.loads(describe(handoff(), "/srv").as_json())

    assert list(told) == SCHEMA["required"]
    assert list(SCHEMA["properties"]) == [*told, "manifest"], "the last one is of version 2"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(told | {"more": 1}, SCHEMA)


def test_the_same_hand_off_has_the_same_bytes() -> None:
    """However often it was tried: an id never comes with two bodies."""
    assert describe(handoff(tries=5, words="x"), "/srv").as_json() == describe(handoff(), "/srv").as_json()


def test_times_are_utc() -> None:
    """In the form of RFC 3339, whatever the machine's time zone."""
    assert iso_time(0) == "1970-01-01T00:00:00Z"
