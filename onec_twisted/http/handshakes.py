"""Says in words why a TLS handshake failed, by what OpenSSL reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from OpenSSL.SSL import Error
from twisted.logger import Logger

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from onec_twisted.runtime.seldom import Seldom

__all__ = ["note_failed_handshake", "problem_of"]

OLD = (
    "it offers only TLS versions or ciphers that are too old: update its platform or its system, "
    "or let a proxy that accepts them terminate TLS"
)

PROBLEMS = {
    "http request": (
        "it speaks plain HTTP to a TLS port: give 1C an address with https://, or tick the secure connection there"
    ),
    "https proxy request": "it takes this port for a proxy: correct its proxy settings",
    "unsupported protocol": OLD,
    "version too low": OLD,
    "wrong version number": "it speaks neither TLS nor HTTP",
    "no shared cipher": OLD,
    "no suitable signature algorithm": OLD,
    "inappropriate fallback": OLD,
    "unknown ca": (
        "it does not trust our certificate: send the whole chain, and install the issuer's certificate where 1C looks"
    ),
    "certificate unknown": "it does not accept our certificate: check its names, its dates and its issuer",
    "bad certificate": "it does not accept our certificate: check its names, its dates and its issuer",
    "certificate expired": "it says that our certificate has expired: check that, and its clock",
    "unrecognized name": "it asked for a host name that the certificate does not have",
}
"""What OpenSSL's reasons mean, by their last words; those of alerts begin with the version."""


def problem_of(error: BaseException) -> str | None:
    """Return why a handshake failed, in words for an administrator; None if the peer just went away."""
    if not isinstance(error, Error) or not error.args or not isinstance(error.args[0], list):
        return None
    reasons = [str(entry[-1]) for entry in error.args[0] if entry]
    for reason in reasons:
        for words, problem in PROBLEMS.items():
            if reason.endswith(words):
                return problem
    return f"OpenSSL says: {reasons[0]}" if reasons else None


def note_failed_handshake(reason: Failure, address: str, seldom: Seldom) -> None:
    """Log why a handshake with an address failed, unless that was logged a moment ago."""
    problem = problem_of(reason.value) if reason.value is not None else None
    if problem is not None and seldom.allows((address, problem)):
        Logger(namespace=__name__).warn("{peer} cannot speak TLS with us: {problem}", peer=address, problem=problem)
