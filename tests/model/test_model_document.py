"""What is in a document, as a value."""

from __future__ import annotations

import json

from onec_twisted.model.document import COUNTS, Document


def test_it_survives_json() -> None:
    """A version that is not stated is null there."""
    counts = dict.fromkeys(COUNTS, 1)
    document = Document(
        name="a.xml", root="a", version="", changes_only=None, missing=1, missing_names=("x.jpg",), **counts
    )
    written = json.dumps(document.as_dict())

    assert json.loads(written)["version"] is None
    assert Document.from_dict(json.loads(written)) == document
