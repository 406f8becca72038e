"""Refusals of requests that violate HTTP or the protocol, or arrive too slowly."""

from __future__ import annotations

from onec_twisted.model.refusals.base import Refused

__all__ = [
    "BodyTimedOut",
    "ContradictoryHeaders",
    "HeadersTimedOut",
    "MalformedRequest",
    "MethodNotAllowed",
    "NoExchangeHere",
    "TlsNotSpoken",
    "UnknownMode",
    "UploadTooSlow",
]


class MalformedRequest(Refused):
    """The bytes received are not an HTTP/1.1 request."""

    words = "Malformed request"


class TlsNotSpoken(Refused):
    """A node speaks TLS to a port without TLS. It understands no answer, so the words are for the log."""

    words = "TLS came to a port without TLS - give 1C an address with http://, or listen with ssl:"


class ContradictoryHeaders(Refused):
    """A single-valued header was sent several times, with different values: it is unclear which one is meant."""

    def __init__(self, name: str) -> None:
        """Name the header."""
        super().__init__(name)
        self.words = f"Header {name} came twice, with different values"


class MethodNotAllowed(Refused):
    """A method that the mode does not accept; ``file`` accepts POST, the other modes GET or POST."""

    status = 405
    words = "Method not allowed"

    def __init__(self, allowed: bytes) -> None:
        """List the methods that are allowed, as RFC 9110 section 15.5.6 requires."""
        super().__init__(allowed)
        self.headers = ((b"Allow", allowed),)


class NoExchangeHere(Refused):
    """The path of the URL is not one of ``--path``."""

    status = 404
    words = "No exchange at this address"


class UnknownMode(Refused):
    """The query names a type or a mode that the protocol does not define."""

    words = "Unknown mode"


class HeadersTimedOut(Refused):
    """The headers of a request took longer than ``--header-timeout``."""

    status, words = 408, "Request headers timed out"


class BodyTimedOut(Refused):
    """No byte of the body arrived for too long."""

    status, words = 408, "Upload timed out"


class UploadTooSlow(Refused):
    """The body arrived more slowly than ``--min-rate`` over the last minute."""

    status, words = 408, "Upload too slow"
