"""A description with addresses."""

from __future__ import annotations

import json

import jsonschema
import pytest
from handed_off import SCHEMA, handoff

from onec_twisted.cluster.located import located
from onec_twisted.model.description import describe
from onec_twisted.model.records import Handoff

FILES = (("a.xml", 5), ("b.jpg", 3))
HANDOFF = Handoff(1, "id", "5" * 32, "north:anna", "settled", "catalog", "", "", "", FILES, 1.0, count=2)
URLS = {"a.xml": "https://store/a?secret", "b.jpg": "https://store/b?secret"}


def test_its_json() -> None:
    """It is that of a description, in version 2: without a folder, with an address for each file and for all."""
    plain = describe(HANDOFF, "/srv/folder")
    made = located(plain, URLS, "https://store/manifest?secret")
    told = json.loads(made.as_json())
    expected = plain.as_dict()
    assert told == {
        **expected,
        "version": 2,
        "folder": None,
        "files": [{**file, "url": URLS[file["name"]]} for file in expected["files"]],
        "manifest": "https://store/manifest?secret",
    }
    assert next(iter(told)) == "version"
    assert made.as_json() is made.as_json()


def test_it_keeps_to_the_schema() -> None:
    """In either version, and neither has what is of the other."""
    plain = describe(handoff(), "/srv")
    made = located(plain, {"v8_1.zip": URLS["a.xml"]}, "https://store/manifest?secret").as_dict()
    jsonschema.validate(made, SCHEMA)
    for wrong in (
        {**made, "folder": "/srv"},
        {**made, "files": plain.as_dict()["files"]},
        {**plain.as_dict(), "manifest": "https://store"},
        {**plain.as_dict(), "files": made["files"]},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, SCHEMA)


def test_addresses_are_secrets() -> None:
    """What is logged of a description has none."""
    assert "secret" not in repr(located(describe(HANDOFF, ""), URLS, "https://store/manifest?secret"))
