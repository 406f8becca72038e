"""Certificates that are renewed while connections are open, over real sockets."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from certificates import Authority, make_certificate, name_of
from twisted.application.strports import service as listening_service
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import quoteStringArgument
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThread
from twisted.protocols.wire import Echo

from onec_twisted.daemon.listening import Certificate, ListeningReactor, is_local

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Twisted gives OpenSSL what newer ones of it call old
pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")

DAY = 86400
PATIENCE = 20


@pytest.fixture
def certificate(tmp_path: Path) -> Iterator[tuple[Certificate, int]]:
    """An ``ssl:`` endpoint that listens, and its port."""
    from twisted.internet import reactor

    make_certificate(tmp_path, "one.example", days=30)
    certificates: list[Certificate] = []
    ports: list[Any] = []
    description = f"ssl:0:privateKey={tmp_path}/privkey.pem:certKey={tmp_path}/fullchain.pem:interface=127.0.0.1"
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


def trusting(port: int, root: Authority) -> ssl.SSLSocket:
    """Connect as 1C does: who trusts a root only, and looks for no link of the chain itself."""
    return root.trusted().wrap_socket(
        socket.create_connection(("127.0.0.1", port), PATIENCE), server_hostname="127.0.0.1"
    )


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
    make_certificate(tmp_path, "two.example", days=60)
    expires = ours.expires()
    ours.reload()
    new = yield deferToThread(connected, port)

    assert name_of(new) == "two.example"
    assert ours.expires() - expires == pytest.approx(30 * DAY, abs=60)
    assert (yield deferToThread(echoed, old)) == b"x"
    assert (yield deferToThread(echoed, new)) == b"x"
    for line in (old, new):
        line.close()


@pytest_twisted.inlineCallbacks
def test_the_whole_chain_is_sent(certificate: tuple[Certificate, int], tmp_path: Path) -> Any:
    """Also when another intermediate comes with a renewal, and when the leaf alone is what it was."""
    ours, port = certificate
    root = Authority.make("Root")
    for name in ("one.example", "two.example"):
        made = make_certificate(tmp_path, name, by=Authority.make(f"Between root and {name}", root))
        ours.reload()
        line = yield deferToThread(trusting, port, root)

        assert name_of(line) == name
        line.close()
    whole = made.chain.read_bytes()
    made.chain.write_bytes(whole[: whole.index(b"-----END CERTIFICATE-----") + 26])
    ours.reload()
    with pytest.raises(ssl.SSLCertVerificationError):
        yield deferToThread(trusting, port, root)
    made.chain.write_bytes(whole)
    ours.reload()
    line = yield deferToThread(trusting, port, root)
    line.close()


@pytest.mark.parametrize("where", ["one file", "extraCertChain", "both", "a name with a colon"])
@pytest_twisted.inlineCallbacks
def test_wherever_the_chain_stands(tmp_path: Path, where: str) -> Any:
    """Each certificate of it is sent, and once."""
    from twisted.internet import reactor

    root = Authority.make("Root")
    between = Authority.make("Between", root)
    folder = tmp_path / "a:b" if where == "a name with a colon" else tmp_path
    folder.mkdir(exist_ok=True)
    made = make_certificate(folder, by=between)
    key, chain = (quoteStringArgument(str(path)) for path in (made.key, made.chain))
    files = f"privateKey={key}:certKey={chain}"
    if where == "one file":
        made.key.write_bytes(made.key.read_bytes() + made.chain.read_bytes())
        files = f"privateKey={key}"
    elif where != "a name with a colon":
        (tmp_path / "chain.pem").write_bytes(between.pem())
        files += f":extraCertChain={tmp_path}/chain.pem"
        if where == "extraCertChain":
            made.chain.write_bytes(made.chain.read_bytes().removesuffix(between.pem()))
    ports: list[Any] = []
    certificates: list[Certificate] = []
    description = f"ssl:0:{files}:interface=127.0.0.1"
    listening: Any = ListeningReactor(reactor, description, certificates, ports.append)
    service = listening_service(description, Factory.forProtocol(Echo), listening)
    service.startService()
    try:
        line = yield deferToThread(trusting, ports[0].port, root)
        line.close()
    finally:
        yield service.stopService()

    assert len(certificates[0].context.extraCertChain) == 1


@pytest.mark.parametrize("broken", ["key", "certificate", "missing", "other key"])
@pytest_twisted.inlineCallbacks
def test_a_certificate_that_cannot_be_loaded(
    certificate: tuple[Certificate, int], tmp_path: Path, broken: str, nothing_left_behind: list[dict[str, Any]]
) -> Any:
    """The one before stays in use, and the log says so."""
    ours, port = certificate
    if broken == "missing":
        (tmp_path / "fullchain.pem").unlink()
    elif broken == "other key":
        key = (tmp_path / "privkey.pem").read_bytes()
        make_certificate(tmp_path, "two.example")
        (tmp_path / "privkey.pem").write_bytes(key)
    else:
        (tmp_path / {"key": "privkey.pem"}.get(broken, "fullchain.pem")).write_bytes(b"nonsense")
    ours.reload()
    line = yield deferToThread(connected, port)

    assert name_of(line) == "one.example"
    line.close()
    events = [
        event for event in nothing_left_behind if "the previous one stays in use" in (event["log_format"] or "")
    ]
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
