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


@frozen
class Authority:
    """Who signs certificates, and with what."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def make(cls, name: str, by: Authority | None = None) -> Authority:
        """Make one that another signs, or a root."""
        key = ec.generate_private_key(ec.SECP256R1())
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        return cls(_signed(name, key, by, 1, constraints, critical=True), key)

    def pem(self) -> bytes:
        """Return its own certificate."""
        return self.certificate.public_bytes(Encoding.PEM)

    def trusted(self) -> ssl.SSLContext:
        """Return the context of a node that trusts it, and nobody else."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.pem().decode())
        return context


def _signed(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    by: Authority | None,
    days: int,
    extension: x509.ExtensionType | None,
    *,
    critical: bool,
    begins: int = -1,
) -> x509.Certificate:
    """Return a certificate for a key, signed by an authority or by itself; valid between days counted from today."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(tz=timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by is not None else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=begins))
        .not_valid_after(now + timedelta(days=days))
    )
    if extension is not None:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(by.key if by is not None else key, SHA256())


def make_certificate(
    folder: Path,
    name: str = "localhost",
    days: int = 1,
    by: Authority | None = None,
    begins: int = -1,
    *,
    named: bool = True,
) -> Certificate:
    """Make a certificate for a name and for 127.0.0.1, in place of one that was there.

    That of an authority which signs it stands behind it, as in what certbot calls ``fullchain.pem``. It is valid from
    ``begins`` until ``days`` after today; one that is not ``named`` has its subject alone to tell the name.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.1"))])
    made = _signed(name, key, by, days, names if named else None, critical=False, begins=begins)
    certificate = Certificate(folder / "privkey.pem", folder / "fullchain.pem")
    certificate.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    certificate.chain.write_bytes(made.public_bytes(Encoding.PEM) + (by.pem() if by is not None else b""))
    return certificate


def name_of(line: ssl.SSLSocket) -> str:
    """Return the name in the certificate of the other end."""
    whole = x509.load_der_x509_certificate(line.getpeercert(binary_form=True) or b"")
    return str(whole.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
