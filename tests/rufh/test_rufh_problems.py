"""Two refusals are problem details, which programs can read."""

from __future__ import annotations

import json

from onec_twisted.rufh.problems import CONTENT_TYPE, inconsistent_length, mismatching_offset

REGISTRY = "https://iana.org/assignments/http-problem-types#"


def test_an_offset_that_does_not_match() -> None:
    """Both offsets are members, so that a client need not read the sentence."""
    problem = json.loads(mismatching_offset(100, 200))

    assert problem.pop("detail") == "The upload has 100 bytes, the request begins at 200"
    assert problem == {
        "type": f"{REGISTRY}mismatching-upload-offset",
        "title": "Mismatching Upload Offset",
        "status": 409,
        "expected-offset": 100,
        "provided-offset": 200,
    }


def test_lengths_that_contradict_one_another() -> None:
    """The type has no members of its own."""
    problem = json.loads(inconsistent_length())

    assert problem.pop("detail")
    assert problem == {
        "type": f"{REGISTRY}inconsistent-upload-length",
        "title": "Inconsistent Upload Length Values",
        "status": 400,
    }


def test_the_media_type() -> None:
    """That of RFC 9457."""
    assert CONTENT_TYPE == b"application/problem+json"
