"""The origins whose pages may upload (Fetch, "CORS protocol"), and the URLs of uploads. No Twisted."""

from __future__ import annotations

import re

from attrs import frozen

__all__ = ["EXPOSED", "Origins", "location", "parse_header", "parse_origin"]

METHODS = b"POST, GET, HEAD, PATCH, DELETE, OPTIONS"
ALLOWED = (
    b"Authorization, Content-Digest, Content-Disposition, Content-Type, Repr-Digest, Tus-Resumable, "
    b"Upload-Checksum, Upload-Complete, Upload-Concat, Upload-Defer-Length, Upload-Draft-Interop-Version, "
    b"Upload-Length, Upload-Metadata, Upload-Offset, X-HTTP-Method-Override, X-Request-ID, X-Requested-With"
)
"""Headers that a page may send."""

TRACING = (
    b"baggage, traceparent, tracestate, sentry-trace, b3, X-B3-TraceId, X-B3-SpanId, X-B3-ParentSpanId, "
    b"X-B3-Sampled, X-B3-Flags, X-Datadog-Trace-Id, X-Datadog-Parent-Id, X-Datadog-Origin, "
    b"X-Datadog-Sampling-Priority, newrelic, elastic-apm-traceparent, uber-trace-id, X-Amzn-Trace-Id, "
    b"X-Cloud-Trace-Context, Request-Id, X-Correlation-ID"
)
"""Headers that tracing adds to any request of a page; if one is not allowed, the browser blocks the whole request.

W3C, Sentry, Zipkin, Datadog, New Relic, Elastic, Jaeger, and the clouds."""

EXPOSED = (
    b"Location, Retry-After, Tus-Checksum-Algorithm, Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version, "
    b"Upload-Complete, Upload-Defer-Length, Upload-Expires, Upload-Length, Upload-Limit, Upload-Metadata, "
    b"Upload-Offset"
)
"""Headers of answers that a page may read."""

PREFLIGHT_FRESH_FOR = b"86400"
"""Seconds for which a browser may cache the preflight answer."""

_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:\d{1,5})?")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'+.^_`|~-]+")
_HOST = re.compile(rb"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:\d{1,5})?")
_PREFIX = re.compile(rb"(/[A-Za-z0-9._~-]+)+")


def parse_origin(text: str) -> bytes:
    """Return an origin as browsers send it. Raises ``ValueError`` for anything else: a path, a star, capitals."""
    if _ORIGIN.fullmatch(text) is None:
        raise ValueError(f"not an origin: {text}")
    return text.encode("ascii")


def parse_header(text: str) -> bytes:
    """Return a header's name, RFC 9110 section 5.1. Raises ``ValueError`` for anything else, including a star."""
    if _HEADER.fullmatch(text) is None:
        raise ValueError(f"not the name of a header: {text}")
    return text.encode("ascii")


@frozen
class Origins:
    """The origins whose pages may upload, each exactly as in ``Origin``.

    ``more`` are names of headers that the pages may send in addition to those of tus and of tracing.
    """

    allowed: frozenset[bytes] = frozenset()
    more: tuple[bytes, ...] = ()

    def headers(self, origin: bytes | None, *, preflight: bool) -> tuple[tuple[bytes, bytes], ...]:
        """Return the CORS headers of an answer to a page of ``origin``, or of the answer to its ``preflight``.

        There are none if no origin is allowed; otherwise ``Vary`` keeps caches from serving one page's answer to
        another.
        """
        if not self.allowed:
            return ()
        vary = (b"Vary", b"Origin")
        if origin is None or origin not in self.allowed:
            return (vary,)
        headers = (vary, (b"Access-Control-Allow-Origin", origin), (b"Access-Control-Allow-Credentials", b"true"))
        if not preflight:
            return (*headers, (b"Access-Control-Expose-Headers", EXPOSED))
        return (
            *headers,
            (b"Access-Control-Allow-Methods", METHODS),
            (b"Access-Control-Allow-Headers", b", ".join((ALLOWED, TRACING, *self.more))),
            (b"Access-Control-Max-Age", PREFLIGHT_FRESH_FOR),
        )


def location(path: bytes, host: bytes, prefix: bytes, *, secure: bool) -> bytes:
    """Return the value of ``Location`` for a path on this server.

    ``host`` is ``Host``, or ``X-Forwarded-Host`` of a trusted proxy, and ``prefix`` its ``X-Forwarded-Prefix``; both
    are empty if absent, and malformed values are ignored. Without a host it is the path alone, which leads to the
    same server by the same scheme, but which some clients reject.
    """
    before = prefix.rstrip(b"/")
    if _PREFIX.fullmatch(before) is None:
        before = b""
    if _HOST.fullmatch(host) is None:
        return before + path
    return (b"https://" if secure else b"http://") + host + before + path
