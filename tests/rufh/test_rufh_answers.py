"""The answer to each refusal tells a client whether to go on, to stop, or to come again."""

from __future__ import annotations

import pytest

from onec_twisted.model import errors
from onec_twisted.rufh.answers import refusal_of

QUOTA = 1000


@pytest.mark.parametrize(
    "refused",
    [
        errors.FileSealed(),
        errors.SessionRestarted(),
        errors.UploadOpen(),
        errors.FileBegun(),
        errors.UnsupportedVersion(),
    ],
)
def test_where_nothing_can_be_continued(refused: errors.Refused) -> None:
    """Without ``Upload-Complete``: with it, 409 would make a client go on for ever."""
    assert b"Upload-Complete" not in dict(refusal_of(refused, QUOTA).headers)


@pytest.mark.parametrize("refused", [errors.UploadLocked(), errors.FileBusy(), errors.UploadStalled()])
def test_what_passes(refused: errors.Refused) -> None:
    """Is 503: the draft has clients retry no 423 and no 408."""
    answer = refusal_of(refused, QUOTA)
    assert answer.status == 503
    assert dict(answer.headers)[b"Upload-Complete"] == b"?0"
    assert b"Retry-After" in dict(answer.headers)


def test_a_newer_request() -> None:
    """Whoever was taken over may go on, from the offset that it is told."""
    answer = refusal_of(errors.UploadTakenOver(), QUOTA)
    assert (answer.status, dict(answer.headers)[b"Upload-Complete"]) == (409, b"?0")


def test_a_digest_of_the_content() -> None:
    """400 and not 460, which is tus' own."""
    answer = refusal_of(errors.ChecksumMismatch(), QUOTA)
    assert (answer.status, dict(answer.headers)[b"Upload-Complete"]) == (400, b"?0")


def test_the_only_refusal_that_is_final() -> None:
    """A file that is another one than announced: to send the rest of it would not help."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.Refused)]
    final = []
    for kind in kinds:
        try:
            refused = kind()
        except TypeError:
            continue
        if dict(refusal_of(refused, QUOTA).headers).get(b"Upload-Complete") == b"?1":
            final.append(kind)
    assert final == [errors.DigestMismatch]
