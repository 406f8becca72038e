"""Certificates that are renewed while connections are open, over real sockets."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.application.strports import service as listening_service
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import maybeDeferred
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThread
from twisted.protocols.wire import Echo

from onec_twisted.listening import Certificate, ListeningReactor, is_local

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Twisted gives OpenSSL what newer ones of it call old
pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")

DAY = dt.timedelta(days=1)
PATIENCE = 20


def write_certificate(folder: Path, name: str, days: int = 30) -> None:
    """Write a key, and a certificate that it signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + days * DAY)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


@pytest.fixture
def certificate(tmp_path: Path) -> Iterator[tuple[Certificate, int]]:
    """An ``ssl:`` endpoint that listens, and its port."""
    from twisted.internet import reactor

    write_certificate(tmp_path, "one.example")
    certificates: list[Certificate] = []
    ports: list[Any] = []
    description = f"ssl:0:privateKey={tmp_path}/key.pem:certKey={tmp_path}/cert.pem:interface=127.0.0.1"
    listening: Any = ListeningReactor(reactor, description, certificates, ports.append)
    service = listening_service(description, Factory.forProtocol(Echo), listening)
    service.startService()
    yield certificates[0], ports[0].port
    pytest_twisted.blockon(maybeDeferred(service.stopService))


def connected(port: int) -> ssl.SSLSocket:
    """Connect, whatever the certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), PATIENCE))


def name_of(line: ssl.SSLSocket) -> str:
    """Return the name in the certificate of the other end."""
    whole = x509.load_der_x509_certificate(line.getpeercert(binary_form=True) or b"")
    return str(whole.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def echoed(line: ssl.SSLSocket) -> bytes:
    """Send something, and return what comes back."""
    line.sendall(b"x")
    return line.recv(1)


@pytest_twisted.inlineCallbacks
def test_a_renewed_certificate(certificate: tuple[Certificate, int], tmp_path: Path) -> Any:
    """New connections see it; those that were open go on."""
    ours, port = certificate
    old = yield deferToThread(connected, port)
    assert name_of(old) == "one.example"
    write_certificate(tmp_path, "two.example", days=60)
    expires = ours.expires()
    ours.reload()
    new = yield deferToThread(connected, port)

    assert name_of(new) == "two.example"
    assert ours.expires() - expires == pytest.approx(30 * DAY.total_seconds(), abs=60)
    assert (yield deferToThread(echoed, old)) == b"x"
    assert (yield deferToThread(echoed, new)) == b"x"
    for line in (old, new):
        line.close()


@pytest.mark.parametrize("broken", ["key", "certificate", "missing", "other key"])
@pytest_twisted.inlineCallbacks
def test_a_certificate_that_cannot_be_loaded(
    certificate: tuple[Certificate, int], tmp_path: Path, broken: str, nothing_left_behind: list[dict[str, Any]]
) -> Any:
    """The one before stays in use, and the log says so."""
    ours, port = certificate
    if broken == "missing":
        (tmp_path / "cert.pem").unlink()
    elif broken == "other key":
        key = (tmp_path / "key.pem").read_bytes()
        write_certificate(tmp_path, "two.example")
        (tmp_path / "key.pem").write_bytes(key)
    else:
        (tmp_path / f"{broken[:4]}.pem").write_bytes(b"nonsense")
    ours.reload()
    line = yield deferToThread(connected, port)

    assert name_of(line) == "one.example"
    line.close()
    events = [event for event in nothing_left_behind if "the one before stays in use" in (event["log_format"] or "")]
    assert [event["log_level"].name for event in events] == ["error"]


def test_the_same_certificate(certificate: tuple[Certificate, int]) -> None:
    """Nothing changes: sessions of TLS can be resumed."""
    ours, _ = certificate
    before = ours.context
    ours.reload()

    assert ours.context is before


@pytest.mark.parametrize(
    ("address", "local"),
    [
        (IPv4Address("TCP", "127.0.0.1", 1), True),
        (IPv4Address("TCP", "127.8.8.8", 1), True),
        (IPv6Address("TCP", "::1", 1), True),
        (UNIXAddress("/run/x"), True),
        (IPv4Address("TCP", "0.0.0.0", 1), False),
        (IPv6Address("TCP", "::", 1), False),
        (IPv6Address("TCP", "fe80::1%eth0", 1), False),
        (IPv4Address("TCP", "192.168.1.1", 1), False),
    ],
)
def test_who_can_reach_it(address: Any, local: bool) -> None:
    """Only this machine, or others."""
    assert is_local(address) is local
