"""What a request head says: the target, made safe to log, and fields that may occur only once. No Twisted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from onec_twisted.model.text import decoded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


__all__ = [
    "LONGEST_LOGGED",
    "contradicted",
    "fields_of_target",
    "path_of",
    "query_of",
    "shortened",
    "without_secrets",
]


def path_of(uri: bytes) -> bytes:
    """Return the path of a request target, without query; RFC 9112 section 3.2.2 allows ``http://host/path``."""
    if not uri.startswith(b"/") and b"://" in uri.split(b"?", 1)[0]:
        uri = b"/" + uri.split(b"://", 1)[1].partition(b"/")[2]
    return uri.split(b"?", 1)[0]


def query_of(uri: bytes) -> bytes:
    """Return what follows the first ``?`` of a request target."""
    return uri.partition(b"?")[2]


SINGLE = frozenset(
    {
        b"access-control-request-method",
        b"authorization",
        b"content-length",
        b"content-range",
        b"content-type",
        b"host",
        b"origin",
        b"tus-resumable",
        b"upload-checksum",
        b"upload-complete",
        b"upload-concat",
        b"upload-defer-length",
        b"upload-incomplete",
        b"upload-length",
        b"upload-metadata",
        b"upload-offset",
        b"x-http-method-override",
    }
)
"""Single-valued headers that affect how a request is handled (RFC 9110 section 5.3, tus 1.0.0)."""


def contradicted(headers: Iterable[tuple[bytes, Sequence[bytes]]]) -> str | None:
    """Return the name of a header with contradictory values; None where there is none.

    ``headers`` are names with the values of each line. Equal lines are harmless; ``Cookie`` lines form one list, in
    which a cookie may not have two values.
    """
    for name, values in headers:
        if len(values) > 1:
            lower = name.lower()
            if lower in SINGLE and len(set(values)) > 1:
                return name.decode("latin-1")
            if lower == b"cookie":
                pairs = {pair.strip() for value in values for pair in value.split(b";")}
                names = [pair.partition(b"=")[0] for pair in pairs]
                if len(set(names)) < len(names):
                    return name.decode("latin-1")
    return None


_SECRET = re.compile(rb"([?&;])([^=?&;]*)=[^?&;]*")

_SECRETS = frozenset({b"sessid", b"onec_session", b"password", b"passwd", b"pwd", b"pass", b"token", b"secret"})

_USER = re.compile(rb"(//|%2f%2f)[^/?#&;\s]*?(?:@|%40)", re.IGNORECASE)


def without_secrets(uri: bytes) -> bytes:
    """Return a request target, or a URL from a header, made safe to log.

    It hides the values of ``sessid``, which may be the token, and of password fields; and user and password before a
    host (RFC 3986 section 3.2.1), in every form of target (RFC 9112 section 3.2).
    """
    if b"@" in uri and not uri.startswith(b"/") and b" " not in uri:
        scheme = re.match(rb"[A-Za-z][A-Za-z0-9+.-]*:/+", uri)
        uri = (scheme[0] if scheme is not None else b"") + b"***@" + uri.rpartition(b"@")[2]
    elif b"//" in uri or b"%2" in uri:
        uri = _USER.sub(rb"\1***@", uri)
    return _SECRET.sub(_hidden, uri) if b"=" in uri else uri


def _hidden(field: re.Match[bytes]) -> bytes:
    """Return a query field, without its value if that is a secret."""
    is_secret = unquote_to_bytes(field[2]).strip().lower() in _SECRETS
    return field[1] + field[2] + b"=***" if is_secret else field[0]


LONGEST_LOGGED = 512
"""Bytes of each part of a request target that are logged: strangers must not be able to make log lines long."""


def shortened(raw: bytes, longest: int = LONGEST_LOGGED) -> bytes:
    """Return the part of a stranger's input that is logged."""
    return raw if len(raw) <= longest else raw[:longest] + b"..."


def fields_of_target(method: bytes, uri: bytes) -> dict[str, Any]:
    """Return what is logged of a request: ``method``, ``path`` and ``query``, short and without secrets."""
    safe = without_secrets(uri)
    return {
        "method": decoded(shortened(method, 32)),
        "path": decoded(shortened(path_of(safe))),
        "query": decoded(shortened(query_of(safe))),
    }
