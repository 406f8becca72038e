"""Certificates of our own making."""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from typing import TYPE_CHECKING

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path


@frozen
class Certificate:
    """A key, and a certificate that it signs itself, by their files."""

    key: Path
    chain: Path

    def trusted(self) -> ssl.SSLContext:
        """Return the context of a node that trusts it."""
        return ssl.create_default_context(cafile=str(self.chain))


def make_certificate(folder: Path, name: str = "localhost", days: int = 1) -> Certificate:
    """Make a certificate for a name and for 127.0.0.1, in place of one that was there."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(tz=timezone.utc)
    names = [x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, SHA256())
    )
    certificate = Certificate(folder / "privkey.pem", folder / "fullchain.pem")
    certificate.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    certificate.chain.write_bytes(made.public_bytes(Encoding.PEM))
    return certificate


def name_of(line: ssl.SSLSocket) -> str:
    """Return the name in the certificate of the other end."""
    whole = x509.load_der_x509_certificate(line.getpeercert(binary_form=True) or b"")
    return str(whole.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
