"""Verifies a site's certificate, and explains why one is refused.

We check names ourselves, as Twisted accepts a certificate without ``subjectAltName`` for any host: it rejects on only
one of the two exceptions of ``service_identity``.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from attrs import frozen
from cryptography.x509 import DNSName, ExtensionNotFound, IPAddress, SubjectAlternativeName
from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import optionsForClientTLS
from twisted.python.failure import Failure
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from onec_twisted.model.shown import harmless

__all__ = ["CertificateRefused", "Trust", "certificate_refused"]

NOT_YET, EXPIRED = 9, 10
"""Codes of OpenSSL (x509_vfy.h)."""

UNKNOWN_ISSUER = frozenset({2, 18, 19, 20, 21})
"""The chain ends with a certificate that is not trusted, or is self-signed."""

NO_ISSUER = frozenset({20, 21})
"""Those where the issuer's certificate is missing: it is not trusted, or the site sends only its own one."""

NAMES_SHOWN = 5
"""Names of a certificate that are shown."""


class CertificateRefused(Exception):
    """A site's certificate is refused before anything is sent; the message says why, and what to do."""


def certificate_refused(failed: BaseException) -> CertificateRefused | None:
    """Return the certificate refusal that made a request fail, if any; Twisted may wrap it."""
    if isinstance(failed, CertificateRefused):
        return failed
    found = (certificate_refused(reason.value) for reason in getattr(failed, "reasons", ()))
    return next((one for one in found if one is not None), None)


def _names_of(certificate: Any) -> list[str]:
    """Return the hosts that a certificate is for (RFC 9525 section 6.3: its subject is ignored)."""
    try:
        names = certificate.to_cryptography().extensions.get_extension_for_class(SubjectAlternativeName).value
    except ExtensionNotFound:
        return []
    return [str(name.value) for name in names if isinstance(name, DNSName | IPAddress)]


def _objection(certificate: Any, code: int, depth: int, host: str, cure: str) -> str:
    """Return what is wrong with a certificate of a chain, empty if nothing is.

    ``code`` is OpenSSL's error, 0 for none; ``depth`` 0 is the site's own certificate.
    """
    whose = "its certificate" if depth == 0 else "the certificate of its issuer"
    found = certificate.to_cryptography()
    if code == EXPIRED:
        return f"{whose} expired on {found.not_valid_after_utc:%Y-%m-%d}; have it renewed"
    if code == NOT_YET:
        return f"{whose} is not valid before {found.not_valid_before_utc:%Y-%m-%d}; see whether the clocks are right"
    if code in UNKNOWN_ISSUER:
        chain = ", or have the site send its whole chain" if code in NO_ISSUER else ""
        return f"its certificate is from an issuer that is not trusted here; {cure}{chain}"
    if code:
        return f"{whose} is refused (error {code} of OpenSSL)"
    return _objection_to_names(certificate, host) if depth == 0 else ""


def _objection_to_names(certificate: Any, host: str) -> str:
    """Return what is wrong with a certificate for a host, empty if nothing is."""
    wanted = IPAddress_ID(host) if isIPAddress(host) or isIPv6Address(host) else DNS_ID(host)
    try:
        verify_service_identity(extract_patterns(certificate), [wanted], [])
    except (VerificationError, CertificateError):
        names = _names_of(certificate)
        if not names:
            return f"its certificate names no host (subjectAltName); have one issued for {host}"
        listed = harmless(", ".join(names[:NAMES_SHOWN])[:200])
        return (
            f"its certificate is for {listed}, not for {host}; ask by a name of the certificate, or have one issued"
        )
    return ""


def _verify(tls: Any, host: str, cure: str, _: Any, certificate: Any, code: int, depth: int, passed: bool) -> bool:
    """Check one certificate, as OpenSSL requests for each one of the chain; must not raise."""
    try:
        words = _objection(certificate, 0 if passed else code or -1, depth, host, cure)
    except Exception as error:
        words = f"its certificate cannot be understood ({type(error).__name__})"
    if not words:
        return True
    tls.failVerification(Failure(CertificateRefused(words)))
    return False


@implementer(IOpenSSLClientConnectionCreator)
@frozen
class _Checking:
    """Creates TLS connections to one host, with our check instead of Twisted's."""

    twisted: Any
    host: str
    cure: str

    def clientConnectionForTLS(self, tlsProtocol: Any) -> Any:  # noqa: N803 - Twisted's name
        connection = self.twisted.clientConnectionForTLS(tlsProtocol)
        check = partial(_verify, tlsProtocol, self.host, self.cure)
        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, check)
        return connection


@implementer(IPolicyForHTTPS)
@frozen
class Trust:
    """Trusts ``roots``, the system's when None; ``cure`` says what to do about an unknown issuer."""

    cure: str
    roots: Any = None

    def creatorForNetloc(self, hostname: bytes, port: int) -> _Checking:
        host = hostname.decode("ascii")
        return _Checking(optionsForClientTLS(host, trustRoot=self.roots), host, self.cure)
