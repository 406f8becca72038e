"""TLS between a sender and a peer: a certificate made for the run, and the same version and cipher for all."""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta, timezone
from functools import cache
from ipaddress import ip_address
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    import socket
    from pathlib import Path

__all__ = ["WORDS", "Identity", "make_identity", "openssl_of_cryptography", "openssl_of_python", "with_tls"]

VERSION, CIPHER = "TLSv1.3", "TLS_AES_256_GCM_SHA384"
"""What a sender and each peer agree on by themselves; anything else would be no comparison."""

WORDS = "TLS 1.3, AES-256-GCM"
"""The same as people say it."""


@frozen
class Identity:
    """The files of a key, and of a certificate that it signs itself."""

    key: Path
    chain: Path

    @property
    def files(self) -> tuple[str, str]:
        """Return the paths, the certificate's first."""
        return str(self.chain), str(self.key)


def make_identity(folder: Path) -> Identity:
    """Make a key and a certificate for this machine, valid for a day."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(tz=timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, SHA256())
    )
    identity = Identity(folder / "key.pem", folder / "certificate.pem")
    identity.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    identity.chain.write_bytes(certificate.public_bytes(Encoding.PEM))
    return identity


def openssl_of_python() -> str:
    """Return the version of what Python's own ``ssl`` uses."""
    return " ".join(ssl.OPENSSL_VERSION.split()[:2])


def openssl_of_cryptography() -> str:
    """Return the version of what pyOpenSSL, and so Twisted, uses."""
    from cryptography.hazmat.backends.openssl import backend

    return " ".join(backend.openssl_version_text().split()[:2])


@cache
def _context() -> ssl.SSLContext:
    """Return what all connections of a sender share; it trusts anybody, as it sends nothing that is secret."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def with_tls(connection: socket.socket) -> ssl.SSLSocket:
    """Return a connection with TLS over it. Raises ``ConnectionError`` when another cipher was agreed on."""
    secured = _context().wrap_socket(connection)
    version, cipher = secured.version(), secured.cipher()
    if version != VERSION or cipher is None or cipher[0] != CIPHER:
        secured.close()
        raise ConnectionError(f"the peer wants {version} with {cipher and cipher[0]}, not {VERSION} with {CIPHER}")
    return secured
