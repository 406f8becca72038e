"""What sites and their programs do in the field: talk without end, show odd certificates, leave processes behind."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import pytest_twisted
from certificates import make_certificate
from click.testing import CliRunner
from handed_off import handoff
from one_try import outcome_of
from processes import is_gone
from shop import Shop, ShopProcess
from twisted.internet.defer import CancelledError, ensureDeferred, maybeDeferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.web.client import HTTPConnectionPool, ResponseDone

from onec_twisted.daemon.config import CannotStart
from onec_twisted.daemon.options import Options
from onec_twisted.delivery.client import SiteClient, address_of, basic
from onec_twisted.delivery.importers import make_importer
from onec_twisted.delivery.interfaces import Surroundings
from onec_twisted.delivery.program import LAUNCH, LOGGED_LINES, Program, program_environment
from onec_twisted.delivery.webhook import Webhook, retry_after
from onec_twisted.exchange.orders import Document, Orders
from onec_twisted.http.client import is_host
from onec_twisted.model.description import Description, describe
from onec_twisted.model.errors import ImportInterrupted, OrdersUnavailable
from onec_twisted.model.records import Session
from onec_twisted.node import Node, NodeError, Route, Unreachable, Untrusted, http_client
from onec_twisted.node.command import main as command
from onec_twisted.tap import makeService
from onec_twisted.testing import inline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certificates import Certificate
    from in_memory import InMemory
    from twisted.internet.task import Clock

    from onec_twisted.daemon.service import ExchangeService

# Twisted gives OpenSSL what newer ones of it call old
pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")

PATIENCE = 20.0
SESSION = Session("a" * 32, "shop", 1, 0, 0.0)
MB = 1024 * 1024


@pytest.fixture
def description(tmp_path: Path) -> Description:
    """What is handed off."""
    (tmp_path / "folder").mkdir()
    return describe(handoff(), str(tmp_path / "folder"))


def site_client() -> SiteClient:
    """Return how a daemon asks."""
    from twisted.internet import reactor

    return SiteClient(reactor)


def node(url: str, told: list[str] | None = None, retries: int = 0, **ways: Any) -> Node:
    """Return a node; ``told`` takes what it says."""
    from twisted.internet import reactor

    said = [] if told is None else told
    client = http_client(reactor, url, Route(**ways), HTTPConnectionPool(reactor, persistent=False))
    return Node(reactor, client, url, "shop", "secret", retries=retries, timeout=PATIENCE, report=said.append)


class Flood(Protocol):
    """A site that answers ``begins``, then ``block`` without end; it counts what was taken of it."""

    begins, block = b"", b""
    taken = 0
    ended = False

    def connectionMade(self) -> None:
        """Wait for a request."""
        self.asked = False

    def dataReceived(self, data: bytes) -> None:
        """Begin to talk."""
        if not self.asked:
            self.asked = True
            transport: Any = self.transport
            transport.write(self.begins)
            transport.registerProducer(self, streaming=False)

    def resumeProducing(self) -> None:
        """Talk on."""
        transport: Any = self.transport
        type(self).taken += len(self.block)
        if self.taken > 40 * MB:  # it was taken for long enough
            type(self).ended = True
            transport.loseConnection()
        else:
            transport.write(self.block)

    def stopProducing(self) -> None:
        """Talk no more."""


@pytest.fixture
def flood() -> Iterator[Callable[[bytes, bytes], tuple[str, type[Flood]]]]:
    """Open a site that talks without end; return its address, and what counts."""
    from twisted.internet import reactor

    ports: list[Any] = []

    def listen(begins: bytes, block: bytes) -> tuple[str, type[Flood]]:
        kind = type("OneFlood", (Flood,), {"begins": begins, "block": block * (64 * 1024 // len(block) + 1)})
        ports.append(cast("Any", reactor).listenTCP(0, Factory.forProtocol(kind), interface="127.0.0.1"))
        return f"http://127.0.0.1:{ports[-1].getHost().port}/", kind

    yield listen
    for port in ports:
        pytest_twisted.blockon(maybeDeferred(port.stopListening))


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
HEADS = {
    "a status line": (b"HTTP/1.1 200 ", b"K"),
    "one header": (OK + b"A: ", b"b"),
    "headers": (OK, b"A: b\r\n"),
    "a folded header": (OK + b"A: b\r\n", b" c\r\n"),
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "1xx with headers": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"),
    "no HTTP": (b"", b"\x1b[2Jhello\r\n\r\n"),
}
BODIES = {
    "a body": (OK + b"\r\n", b"x"),
    "a body in tiny chunks": (CHUNKED, b"9\r\nxxxxxxxxx\r\n"),
    "chunk extensions": (CHUNKED + b"1;", b"a=b;"),
    "trailers": (CHUNKED + b"0\r\n", b"A: b\r\n"),
    "one trailer": (CHUNKED + b"0\r\nA: ", b"b"),
}


class TestWithoutEnd:
    @pytest.mark.parametrize("kind", HEADS)
    @pytest_twisted.ensureDeferred
    async def test_the_beginning_of_an_answer(
        self,
        flood: Callable[[bytes, bytes], tuple[str, type[Flood]]],
        description: Description,
        nothing_left_behind: list[dict[str, Any]],
        kind: str,
    ) -> None:
        """Importers, orders and nodes take little of it, say so, and log no line for each part."""
        url, site = flood(*HEADS[kind])
        words = "its answer is not HTTP" if kind == "no HTTP" else "the headers of its answer are too long"
        client = site_client()

        assert await outcome_of(Webhook(url, client, PATIENCE), description) == (
            "interrupted",
            f"The site cannot be asked: {words}",
            [],
        )
        with pytest.raises(OrdersUnavailable):
            await Orders(url, client).document("query", SESSION)
        with pytest.raises(Unreachable, match=words):
            await node(url).checkauth()
        assert site.taken < 10 * MB, "socket buffers have the most of it"
        assert not site.ended
        assert len(nothing_left_behind) < 20

    @pytest.mark.parametrize("kind", BODIES)
    @pytest_twisted.ensureDeferred
    async def test_an_answer(
        self,
        flood: Callable[[bytes, bytes], tuple[str, type[Flood]]],
        description: Description,
        nothing_left_behind: list[dict[str, Any]],
        kind: str,
    ) -> None:
        """Importers and nodes read the beginning of it alone."""
        url, site = flood(*BODIES[kind])
        await outcome_of(Webhook(url, site_client(), PATIENCE), description)
        with pytest.raises(NodeError):
            await node(url).checkauth()

        assert site.taken < 20 * MB, "a node reads 1 MB of it, and socket buffers have the most"
        assert not site.ended
        assert len(nothing_left_behind) < 20


class TestCertificates:
    @pytest.fixture
    def nameless(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_tls_shop: Callable[[Shop, Certificate], int]
    ) -> Callable[[Shop], tuple[str, bytes]]:
        """Open a shop with a certificate that is trusted and names no host; return its address, and whom to trust."""

        def opened(shop: Shop) -> tuple[str, bytes]:
            certificate = make_certificate(tmp_path, named=False)
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate.chain))
            return f"https://localhost:{open_tls_shop(shop, certificate)}/", certificate.chain.read_bytes()

        return opened

    @pytest_twisted.ensureDeferred
    async def test_importers_and_orders_refuse_one_without_a_name(
        self,
        shop: Shop,
        nameless: Callable[[Shop], tuple[str, bytes]],
        description: Description,
        nothing_left_behind: list[dict[str, Any]],
    ) -> None:
        """Nothing is sent to it; the words are those of a certificate, and there is no traceback."""
        url, _ = nameless(shop)
        client = site_client()
        words = "its certificate names no host (subjectAltName); have one issued for localhost"

        assert await outcome_of(Webhook(url, client, PATIENCE), description) == (
            "interrupted",
            f"The site cannot be asked: {words}",
            [],
        )
        with pytest.raises(OrdersUnavailable):
            await Orders(url, client).document("query", SESSION)
        assert [event["reason"] for event in nothing_left_behind if "reason" in event] == [words]
        assert shop.seen == []

    @pytest.mark.parametrize(
        ("own", "words"),
        [
            (True, "The site cannot be asked: its certificate names no host"),
            (False, "its certificate is from an issuer that is not trusted here; name a file with the issuer's"),
        ],
    )
    @pytest_twisted.ensureDeferred
    async def test_a_node_gives_up_at_once(
        self,
        shop: Shop,
        nameless: Callable[[Shop], tuple[str, bytes]],
        monkeypatch: pytest.MonkeyPatch,
        own: bool,
        words: str,
    ) -> None:
        """The password is not sent, and no other try would help."""
        url, authority = nameless(shop)
        monkeypatch.delenv("SSL_CERT_FILE")
        told: list[str] = []
        with pytest.raises(Untrusted) as refused:
            await node(url, told, 5, ca=authority if own else None).checkauth()

        assert words in refused.value.words
        assert told == []
        assert shop.seen == []

    @pytest_twisted.ensureDeferred
    async def test_a_site_without_tls(
        self, flood: Callable[[bytes, bytes], tuple[str, type[Flood]]], description: Description
    ) -> None:
        """Is told so in the words of OpenSSL, which has seen what came instead; they differ with its version."""
        url, _ = flood(b"HTTP/1.1 400 Bad Request\r\n\r\n", b"x")
        asked = await outcome_of(Webhook(url.replace("http:", "https:"), site_client(), PATIENCE), description)

        assert asked[0] == "interrupted"
        assert re.fullmatch(r"The site cannot be asked: TLS failed \([a-z ]+\)", asked[1])


class TestWords:
    @pytest_twisted.ensureDeferred
    async def test_what_a_site_says_is_harmless_to_a_terminal(self, shop: Shop, shop_url: str) -> None:
        """Escape sequences of its words are written out."""
        shop.answers = [{"text": "failure\n\x1b[2Jno\u009b"}]
        with pytest.raises(Exception, match=r"^\\x1b\[2Jno\\x9b$"):
            await node(shop_url).checkauth()

    def test_orders_on_a_terminal(self, tmp_path: Path) -> None:
        """Are lines, and nothing that it obeys; a pipe has them as they are."""
        shop = ShopProcess(tmp_path)
        shop.start()
        try:
            shown = []
            for is_terminal in (False, True):
                shop.answer({"text": "success\na\nb\nsessid=c\ntimestamp=1"}, {"text": "<?xml?>\n\x1b[2J<Ид/>\n"})
                ours, theirs = pty.openpty()
                done = subprocess.run(
                    [str(Path(sys.executable).with_name("onec-node")), "orders", f"--url={shop.url}", "--user=shop"],
                    env={**os.environ, "ONEC_PASSWORD": "secret"},
                    stdout=theirs if is_terminal else subprocess.PIPE,
                    check=True,
                    timeout=PATIENCE,
                )
                os.close(theirs)
                shown.append(os.read(ours, 1000).replace(b"\r\n", b"\n") if is_terminal else done.stdout)
                os.close(ours)
        finally:
            shop.stop()

        assert [one.decode() for one in shown] == ["<?xml?>\n\x1b[2J<Ид/>\n", "<?xml?>\n\\x1b[2J<Ид/>\n"]

    @pytest_twisted.ensureDeferred
    async def test_a_program_that_prints_without_end(
        self, tmp_path: Path, description: Description, nothing_left_behind: list[dict[str, Any]]
    ) -> None:
        """The log has the beginning, the last line counts, and nothing is gathered."""
        from twisted.internet import reactor

        script = tmp_path / "import.sh"
        script.write_text(
            "#!/bin/sh\n(yes | head -c 20000000; head -c 20000000 /dev/zero; echo; echo last) >&2; exit 1"
        )
        script.chmod(0o755)
        outcome = await outcome_of(Program(str(script), reactor, PATIENCE), description)

        logged = [event["line"] for event in nothing_left_behind if "line" in event]
        assert outcome[:2] == ("failed", "last")
        assert len(logged) == LOGGED_LINES
        assert logged[0] == "y"
        assert logged[-1].startswith("y (further output")


class Saying(Protocol):
    """A site that answers ``parts``, each when the one before is out, and ends the connection."""

    parts: tuple[bytes, ...] = ()

    def dataReceived(self, data: bytes) -> None:
        """Answer."""
        from twisted.internet import reactor

        transport: Any = self.transport
        for place, part in enumerate(self.parts):
            cast("Any", reactor).callLater(place * 0.05, transport.write, part)
        cast("Any", reactor).callLater(len(self.parts) * 0.05, transport.loseConnection)


@pytest.fixture
def saying() -> Iterator[Callable[..., str]]:
    """Open a site that says what it is told to; return its address."""
    from twisted.internet import reactor

    ports: list[Any] = []

    def listen(*parts: bytes) -> str:
        kind = type("OneSaying", (Saying,), {"parts": parts})
        ports.append(cast("Any", reactor).listenTCP(0, Factory.forProtocol(kind), interface="127.0.0.1"))
        return f"http://127.0.0.1:{ports[-1].getHost().port}/"

    yield listen
    for port in ports:
        pytest_twisted.blockon(maybeDeferred(port.stopListening))


ORDERS = "<КоммерческаяИнформация/>"


class TestOrders:
    @pytest.mark.parametrize(
        ("kind", "declared", "charset"),
        [
            ("text/xml", ' encoding="windows-1251"', "windows-1251"),
            ("text/xml; charset=utf-8", " encoding = 'Windows-1251' standalone='yes'", "Windows-1251"),
            ("text/xml; charset=windows-1251", "", "windows-1251"),
            ('text/xml;charset="KOI8-R"; x=y', "", "KOI8-R"),
            ("text/xml", ' encoding="UTF-8"', "UTF-8"),
            ("text/xml", "", ""),
            ("text/xml; charset=", ' encoding="a b"', ""),
        ],
    )
    @pytest.mark.parametrize("apart", [False, True])
    @pytest_twisted.ensureDeferred
    async def test_their_encoding_is_told(
        self, saying: Callable[..., str], kind: str, declared: str, charset: str, apart: bool
    ) -> None:
        """As the document declares it, else as the site says; all of its bytes are passed on."""
        text = f'<?xml version="1.0"{declared}?>\n{ORDERS}'.encode("cp1251")
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n".encode()
        parts = (head, text[:9], text[9:30], text[30:]) if apart else (head + text,)
        document = await Orders(saying(*parts), site_client()).document("query", SESSION)
        written: list[bytes] = []
        await document.write_to(written.append)

        assert document.charset == charset
        assert b"".join(written) == text

    @pytest.mark.parametrize(
        ("charset", "told"),
        [("Windows-1251", "application/xml; charset=windows-1251"), ("", "application/xml")],
    )
    def test_a_node_is_told_their_encoding(
        self, make_exchange: Callable[..., InMemory], clock: Clock, charset: str, told: str
    ) -> None:
        """Last in the Content-Type, where the Bitrix module looks for it; or none."""

        class Site:
            async def document(self, mode: str, session: Session) -> Document:
                document = Document(clock, None)
                document.charset = charset
                document.dataReceived(b"<?x")
                document.connectionLost(Failure(ResponseDone()))
                return document

        exchange = make_exchange(orders=Site())
        cookie, sessid = exchange.checkauth("sale")
        reply = exchange.request("GET", f"type=sale&mode=query&sessid={sessid}", Cookie=cookie)

        assert (reply.body, reply.headers["content-type"]) == (b"<?x", told)

    @pytest_twisted.ensureDeferred
    async def test_a_declaration_without_end_is_not_waited_for(
        self, flood: Callable[[bytes, bytes], tuple[str, type[Flood]]]
    ) -> None:
        """Little is held to look for it."""
        url, site = flood(b"HTTP/1.1 200 OK\r\n\r\n<?xml ", b"x")
        document = await Orders(url, site_client()).document("query", SESSION)
        document.stopProducing()

        assert document.charset == ""
        assert site.taken < 10 * MB


class TestPasswords:
    """Basic credentials of a site."""

    @pytest.mark.parametrize(
        ("typed", "url", "words"),
        [
            ("//shop:secret@h.example/x?y=1", "http://h.example/x?y=1", "shop:secret"),
            ("https://shop:s%40c%2Fr%3At@h.example:8443/", "https://h.example:8443/", "shop:s@c/r:t"),
            ("//shop:пароль@[::1]:80/", "http://[::1]:80/", "shop:пароль"),
            ("//shop@h/", "http://h/", "shop:"),
            ("//a:b@c@h/", "http://h/", "a:b@c"),
            ("//@h/a@b", "http://h/a@b", ""),
        ],
    )
    def test_of_an_address(self, typed: str, url: str, words: str) -> None:
        """Are taken out of it, and told by nothing that shows it."""
        address = address_of("http", typed)

        assert address.url == url
        assert address.authorization == (f"Basic {b64encode(words.encode()).decode()}" if words else "")
        assert address.authorization not in repr(address) or not words

    @pytest_twisted.ensureDeferred
    async def test_are_sent(self, shop: Shop, shop_url: str, description: Description) -> None:
        """To the importer's and the orders' address, also where those lead to; those of the address count first."""
        from twisted.internet import reactor

        told = shop_url.replace("//", "//shop:s%40t@")
        surroundings = Surroundings(reactor, inline, PATIENCE, b"", basic(b"of:file"))
        shop.answers = [{"status": 307, "headers": {"location": "/x"}}, {}, {}, {"text": "<?xml?>"}, {}]
        for spec in (told, shop_url):
            assert (await outcome_of(make_importer(spec, surroundings), description))[0] == "done"
        address = address_of("http", told)
        orders = Orders(address.url, SiteClient(reactor, b"", address.authorization))
        (await orders.document("query", SESSION)).stopProducing()
        await orders.confirm(SESSION)

        sent = [b64decode(seen.headers["authorization"].removeprefix("Basic ")).decode() for seen in shop.seen]
        assert sent == ["shop:s@t", "shop:s@t", "of:file", "shop:s@t", "shop:s@t"]

    @pytest.mark.parametrize(
        "wrong",
        [
            "--importer=http://shop:secret@h:99999/",
            "--importer=http://shop:sec/secret@h/",
            "--importer=http://shop:secret word@h /",
            "--importer=https://shop:secret@",
            "--importer=htp://shop:secret@h/",
            "--importer=exec://shop:secret@h/",
            "--orders=http://shop:secret@h:0/",
            "--orders=ftp://shop:secret@h/",
            "--orders=http://shop:secret@a b/",
            "--orders=http:shop:secret@h/",
            "--importer=https:/shop:secret@h/",
            "--orders=shop:secret@h/",
            "http://shop:secret@h/",
            "--importr=http://shop:secret@h/",
        ],
    )
    def test_are_in_no_refusal(self, tmp_path: Path, wrong: str) -> None:
        """Of an address that cannot be, or in the wrong place."""
        with pytest.raises(CannotStart) as refused:
            started(tmp_path, wrong)

        assert "secret" not in str(refused.value)
        assert "\n" not in str(refused.value)

    def test_of_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Reach both, unless their addresses have some of their own; the process list has the file's name alone."""
        made: list[str] = []

        def make(reactor: Any, secret: bytes, authorization: str) -> None:
            made.append(b64decode(authorization.removeprefix("Basic ")).decode())

        monkeypatch.setattr("onec_twisted.delivery.client.SiteClient", make)
        monkeypatch.setattr("onec_twisted.daemon.assembly.SiteClient", make)
        (tmp_path / "auth").write_text("shop:secret\n")
        started(tmp_path, "--importer=http://h/", "--orders=http://a:b@h/", f"--import-auth={tmp_path / 'auth'}")
        started(tmp_path, "--importer=http://h/", "--orders=http://h/", f"--import-auth={tmp_path / 'auth'}")

        assert made == ["shop:secret", "a:b", "shop:secret", "shop:secret"]

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (None, "cannot be read: No such file"),
            ("", "is empty; write USER:PASSWORD"),
            ("secret", "has no USER:PASS"),
        ],
    )
    def test_of_a_file_that_has_none(self, tmp_path: Path, content: str | None, words: str) -> None:
        """Are missed at the start, in words that tell nothing of it."""
        if content is not None:
            (tmp_path / "auth").write_text(content)
        with pytest.raises(CannotStart, match=words) as refused:
            started(tmp_path, f"--import-auth={tmp_path / 'auth'}")

        assert "secret" not in str(refused.value)


def started(folder: Path, *arguments: str) -> ExchangeService:
    """Put a daemon together, as far as it goes without a start. Raises ``CannotStart``."""
    from twisted.internet import reactor

    options = Options()
    options.parseOptions(["--auth=memory:shop:x", f"--media-root={folder / 'media'}", *arguments])
    return makeService(options, reactor)


IMPOSSIBLE = (
    "https://a b/",
    "http://a/b c",
    "http://a\tb/",
    "http://-a/",
    "http://a..b/",
    "http://.a/",
    "http://a,b/",
    "http://a%20b/",
    "http://1.2.3.400/",
    "http://8080/",
    "http://[::g]/",
    "http://[::1/",
    "http://a:b/",
    f"http://{'a' * 64}/",
    f"http://{'a.' * 130}a/",
    "http://<host>/",
)


class TestAddresses:
    @pytest.mark.parametrize("address", IMPOSSIBLE)
    @pytest.mark.parametrize("option", ["importer", "orders"])
    def test_of_a_site_that_cannot_be(self, tmp_path: Path, option: str, address: str) -> None:
        """Is refused at the start, in one line that says how to write one."""
        with pytest.raises(
            CannotStart, match=rf"^onec-exchange: --{option}=.* is not an address; write it as in http"
        ):
            started(tmp_path, f"--{option}={address}")

    @pytest.mark.parametrize("address", [*IMPOSSIBLE, "http://shop:secret@h/"])
    @pytest.mark.parametrize("option", ["--url", "--proxy"])
    def test_that_a_node_is_given(self, option: str, address: str) -> None:
        """Is a wrong command line."""
        given = {"--url": "http://127.0.0.1:1/", option: address}
        arguments = [f"{name}={value}" for name, value in given.items()]
        done = CliRunner().invoke(command, ["check", "--user=shop", *arguments], env={"ONEC_PASSWORD": "x"})

        assert done.exit_code == 2, done.output
        assert "secret" not in done.output
        assert "Traceback" not in done.output

    @pytest.mark.parametrize(
        "host", ["a", "a-b.example.", "_x.a_b", "xn--e1afmkfd.xn--p1ai", "::1", "10.0.0.1", "1a"]
    )
    def test_that_can_be(self, host: str) -> None:
        """Names of private nets, punycode, a dot at the end, addresses."""
        assert is_host(host)


NOON = "Thu, 26 Nov 2026 12:00:00 GMT"


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("header", "date", "seconds"),
        [
            ("120", None, 120.0),
            ("0", None, 0.0),
            (NOON, "Thu, 26 Nov 2026 11:58:00 GMT", 120.0),
            ("Thursday, 26-Nov-26 12:00:00 GMT", "Thu Nov 26 11:59:00 2026", 60.0),
            (NOON, "Thu, 26 Nov 2026 12:58:00 GMT", 0.0),
            (NOON, None, None),
            (NOON, "yesterday", None),
            ("9" * 5000, None, 999_999_999.0),
            *(
                (wrong, NOON, None)
                for wrong in (None, "", "soon", "-5", "1.5", "\u0663x", ", 26 Nov", "Thu, 26 Foo 1 1:1")
            ),
        ],
    )
    def test_is_understood(self, header: str | None, date: str | None, seconds: float | None) -> None:
        """In seconds, and as a moment by the site's own clock; nonsense is none."""
        assert retry_after(header, date) == seconds

    @pytest.mark.parametrize("status", [429, 503])
    @pytest_twisted.ensureDeferred
    async def test_is_told(self, shop: Shop, shop_url: str, description: Description, status: int) -> None:
        """With what is to be tried again."""
        shop.answers = [{"status": status, "headers": {"Retry-After": "120"}}]
        with pytest.raises(ImportInterrupted) as interrupted:
            await Webhook(shop_url, site_client(), PATIENCE).deliver(description, lambda _: None)

        assert interrupted.value.retry_after == 120

    @pytest.mark.parametrize(("asked", "waits"), [(120.0, 120.0), (1e9, 3600.0), (0.0, 1.0)])
    def test_is_obeyed(
        self, make_exchange: Callable[..., InMemory], clock: Clock, asked: float, waits: float
    ) -> None:
        """The importer is left alone as long as it wants, an hour at most, and never less than without it."""
        tried: list[float] = []

        class Busy:
            async def deliver(self, description: Description, progress: Callable[[str], None]) -> None:
                tried.append(clock.seconds())
                if len(tried) == 1:
                    busy = ImportInterrupted("busy")
                    busy.retry_after = asked
                    raise busy

        exchange = make_exchange(importer=Busy())
        cookie, sessid = exchange.checkauth()
        exchange.request("POST", f"type=catalog&mode=file&filename=a.xml&sessid={sessid}", b"<?xml?>", Cookie=cookie)
        asking = exchange.send("GET", f"type=catalog&mode=import&filename=a.xml&sessid={sessid}", Cookie=cookie)
        clock.advance(waits - 0.5)
        assert len(tried) == 1
        clock.advance(0.5)

        assert len(tried) == 2
        assert tried[1] - tried[0] == waits
        assert exchange.reply(asking).status == 200


LEAVES = """#!{python}
import os, signal, sys, time
from pathlib import Path

told = Path({told!r})

def leave(name, deaf):
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    if deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (told / (name + ".new")).write_text(str(os.getpid()))
    (told / (name + ".new")).rename(told / name)
    time.sleep(1000)

leave("one", deaf=False)
if {deaf}:
    leave("two", deaf=True)
time.sleep(1000)
"""


class TestPrograms:
    def leaving(self, folder: Path, *, deaf: bool = False) -> str:
        """Return a program whose child is a daemon by all rules: two forks, a session of its own; and a deaf one."""
        script = folder / "import.py"
        script.write_text(LEAVES.format(python=sys.executable, told=str(folder), deaf=deaf))
        script.chmod(0o755)
        return str(script)

    def left_of(self, folder: Path, *, deaf: bool = False) -> list[int]:
        """Return the ids of what it has left, when it is there."""
        names = ["one", *(["two"] if deaf else [])]
        deadline = time.monotonic() + PATIENCE
        while not all((folder / name).exists() for name in names):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return [int((folder / name).read_text()) for name in names]

    @pytest.mark.parametrize("stopped", [False, True])
    @pytest_twisted.ensureDeferred
    async def test_children_that_leave_the_group_end_with_it(
        self, description: Description, tmp_path: Path, stopped: bool
    ) -> None:
        """When its time is over, also if they do not listen; and when the daemon stops."""
        from twisted.internet import reactor

        program = Program(self.leaving(tmp_path, deaf=not stopped), reactor, 1000 if stopped else 2)
        running = ensureDeferred(outcome_of(program, description))
        pids = await deferToThread(self.left_of, tmp_path, deaf=not stopped)
        if stopped:
            running.cancel()
            with pytest.raises(CancelledError):
                await running
        else:
            assert (await running)[:2] == ("interrupted", "The importer had not ended after 2 s")

        assert all(is_gone(pid) for pid in pids)

    def test_they_end_with_a_daemon_that_is_killed(self, tmp_path: Path) -> None:
        """So that its successor has the session to itself."""
        told = [self.leaving(tmp_path), str(tmp_path), "a"]
        code = (
            "import os, subprocess, sys, time;"
            f"subprocess.Popen([sys.executable, '-I', '-S', {LAUNCH!r}, str(os.getpid()), *{told!r}]);"
            "time.sleep(1000)"
        )
        daemon = subprocess.Popen([sys.executable, "-c", code])
        pids = self.left_of(tmp_path)
        daemon.kill()
        daemon.wait(PATIENCE)

        assert is_gone(pids[0])

    @pytest_twisted.ensureDeferred
    async def test_what_a_program_is_given(
        self, tmp_path: Path, description: Description, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A name that cannot be taken for an option, and of the daemon's environment what is documented."""
        from twisted.internet import reactor

        for name in (
            "DATABASE_PASSWORD",
            "NOTIFY_SOCKET",
            "LD_PRELOAD_X",
            "PYTHONPATH",
            "ONEC_PASSWORD",
            "XIMPORT_A",
        ):
            monkeypatch.setenv(name, "secret")
        for name in ("LC_TIME", "TZ", "IMPORT_SHOP"):
            monkeypatch.setenv(name, "C")
        script = tmp_path / "import.sh"
        script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$2" > {tmp_path}/name\ncat "$1/$2" && env > {tmp_path}/env\n')
        script.chmod(0o755)
        (tmp_path / "folder" / "-x.xml").write_text("10 %")
        told = describe(handoff(filename="-x.xml", archive=""), description.folder)

        assert await outcome_of(Program(str(script), reactor, PATIENCE), told) == ("done", "", ["10 %"])
        assert (tmp_path / "name").read_text() == "./-x.xml\n"
        given = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
        assert {"PATH", "LC_TIME", "TZ", "IMPORT_SHOP"} <= given
        promised = section("docs/importers.md", "everything that begins with `IMPORT_…`")
        names, families = (set(re.findall(form, promised)) for form in (r"`([A-Z_]+)`", r"`([A-Z_]+)…`"))
        assert families == {"LC_", "IMPORT_"}
        assert given - {"PWD", "OLDPWD", "SHLVL", "_"} <= {*names, "LC_TIME", "IMPORT_SHOP"}
        assert set(program_environment(dict.fromkeys(names, ""))) == names


def section(path: str, words: str) -> str:
    """Return the paragraph of a document that has some words in it."""
    text = (Path(__file__).parents[2] / path).read_text(encoding="utf-8")
    (found,) = [one for one in text.split("\n\n") if words in " ".join(one.split())]
    return found
