"""Which protocol a request speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from rufh_in_memory import RufhInMemory


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/files", {}, 412),
        ("PATCH", "/files/x", {}, 412),
        ("POST", "/files", {"Tus_Resumable": "1.0.0"}, 400),
        ("HEAD", "/files/x", {"Tus_Resumable": "1.0.0"}, 404),
        ("HEAD", "/files/x", {}, 404),
        ("GET", "/files/x", {}, 404),
        ("DELETE", "/files/x", {}, 404),
        ("PATCH", "/files/x", {"Upload_Complete": "?1"}, 415),
        ("POST", "/files", {"Upload_Complete": "?1"}, 200),
        ("POST", "/files", {"Upload_Complete": "?1", "Tus_Resumable": "1.0.0"}, 400),
        ("POST", "/files", {"Upload_Draft_Interop_Version": "9"}, 400),
        ("PATCH", "/files/x", {"Upload_Draft_Interop_Version": "9"}, 415),
        ("PATCH", "/files/x", {"Content_Type": "Application/Partial-Upload", "Upload_Offset": "0"}, 400),
    ],
)
def test_who_answers(rufh: RufhInMemory, method: str, path: str, headers: dict[str, str], status: int) -> None:
    """tus those that speak it, and those with content that show neither; RUFH all others, if only by silence."""
    rufh.version = None
    (answer,) = rufh.ask(method, path, b"", **headers)
    assert answer.status == status
    is_tus = status == 412 or "Tus_Resumable" in headers
    assert ("tus-resumable" in answer.headers) == is_tus


def test_what_browsers_ask_before(rufh: RufhInMemory) -> None:
    """One answer for both, also without a version of either; its limits are those of the shop."""
    rufh.version = None
    (answer,) = rufh.ask("OPTIONS", "/files/x")
    assert answer.status == 204
    assert {"tus-version", "tus-extension", "upload-limit", "accept-patch"} <= set(answer.headers)
