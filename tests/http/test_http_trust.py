"""Certificates of a site, over real connections: which are taken, and in which words the others are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from certificates import Authority, make_certificate
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface.verify import verifyObject

from onec_twisted.delivery.client import SiteClient
from onec_twisted.http.client import reason_of
from onec_twisted.http.trust import CertificateRefused, Trust, certificate_refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from certificates import Certificate
    from shop import Shop

# Twisted gives OpenSSL what newer ones of it call old
pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")


def test_they_are_what_twisted_wants() -> None:
    """As the interfaces have it."""
    trust = Trust("")
    assert verifyObject(IPolicyForHTTPS, trust)
    assert verifyObject(IOpenSSLClientConnectionCreator, trust.creatorForNetloc(b"shop.example", 443))


@pytest.mark.parametrize(
    ("host", "made", "trusted", "words"),
    [
        ("localhost", {}, True, ""),
        ("127.0.0.1", {}, True, ""),
        ("localhost", {}, False, "from an issuer that is not trusted here; add the issuer's certificate"),
        ("localhost", {"name": "shop.example"}, True, "is for shop.example, 127.0.0.1, not for localhost"),
        ("localhost", {"named": False}, True, "names no host (subjectAltName); have one issued for localhost"),
        ("127.0.0.1", {"named": False}, True, "names no host (subjectAltName); have one issued for 127.0.0.1"),
        ("localhost", {"begins": -3, "days": -1}, True, "expired on 20"),
        ("localhost", {"begins": 1, "days": 3}, True, "is not valid before 20"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_certificates(
    shop: Shop,
    open_tls_shop: Callable[[Shop, Certificate], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    made: dict[str, Any],
    trusted: bool,
    words: str,
) -> None:
    """One that is trusted, valid, and for this host is taken; nothing is sent to any other."""
    from twisted.internet import reactor

    certificate = make_certificate(tmp_path, **made)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.chain))
    client = SiteClient(reactor)
    url = f"https://{host}:{open_tls_shop(shop, certificate)}/"
    if not words:
        response = await client.ask("POST", url, 20.0, b"secret")
        assert await client.text_of(response, 20.0) == ""
        assert len(shop.seen) == 1
        return
    with pytest.raises(Exception) as failed:  # noqa: PT011 - Twisted wraps it
        await client.ask("POST", url, 20.0, b"secret")

    assert words in reason_of(failed.value)
    assert reason_of(failed.value).startswith("its certificate ")
    assert isinstance(certificate_refused(failed.value), CertificateRefused)
    assert shop.seen == []


@pytest_twisted.ensureDeferred
async def test_a_site_that_leaves_its_chain_away(
    shop: Shop,
    open_tls_shop: Callable[[Shop, Certificate], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Browsers may know the certificate in between; who looks for it here is told where it is missing."""
    from twisted.internet import reactor

    root = Authority.make("root")
    certificate = make_certificate(tmp_path, by=Authority.make("between", by=root))
    (tmp_path / "root.pem").write_bytes(root.pem())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "root.pem"))
    url = f"https://localhost:{open_tls_shop(shop, certificate)}/"  # it sends the site's own certificate alone
    with pytest.raises(Exception) as failed:  # noqa: PT011 - Twisted wraps it
        await SiteClient(reactor).ask("POST", url, 20.0, b"secret")

    assert reason_of(failed.value).endswith(", or have the site send its whole chain")


def test_other_failures_are_none_of_a_certificate() -> None:
    """They may pass."""
    assert certificate_refused(ConnectionError()) is None
