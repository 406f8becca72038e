"""What real nodes, pages and sites do, and what was not understood of it once."""

from __future__ import annotations

import io
from base64 import b64encode
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from xml.etree import ElementTree as ET

import pytest
import pytest_twisted
from attrs import define, field
from click.testing import CliRunner
from in_memory import ORIGIN, TUS_PATH, InMemory, Reply
from shop import Shop
from tus_in_memory import CHUNK, TusInMemory, metadata
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.error import DNSLookupError
from twisted.internet.task import Cooperator
from twisted.python.failure import Failure
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool
from twisted.web.server import NOT_DONE_YET

from onec_twisted.http.client import plain_client
from onec_twisted.node import Node, NodeError, Unreachable, dialogue, http_client
from onec_twisted.node import push as push_module
from onec_twisted.node.answers import RawAnswer, parameters_of, refusal_of
from onec_twisted.node.check import check
from onec_twisted.node.command import main
from onec_twisted.node.export import Export
from onec_twisted.node.load import load
from onec_twisted.node.push import Bar, Display, Lines, Quiet, push
from onec_twisted.resumable.origins import Origins
from onec_twisted.runtime.backoff import Backoff
from onec_twisted.testing import FakeImporter
from onec_twisted.tus.fields import parse_checksum, parse_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from onec_twisted.exchange.orders import Orders


def ask(exchange: InMemory, kind: str, mode: str) -> Reply:
    """Log in as a node of a type, and ask one thing."""
    cookie, sessid = exchange.checkauth(kind)
    return exchange.request("GET", f"type={kind}&mode={mode}&sessid={sessid}", Cookie=cookie)


class TestTypes:
    @pytest.mark.parametrize("kind", ["sale", "crm", "get_catalog"])
    def test_whoever_asks_for_a_document_is_given_one(self, exchange: InMemory, kind: str) -> None:
        """As of ``sale``: complete, and empty where the site has nothing."""
        query, info = ask(exchange, kind, "query"), ask(exchange, kind, "info")

        assert (query.status, info.status) == (200, 200)
        assert ET.fromstring(query.body).tag == "КоммерческаяИнформация"
        assert ET.fromstring(info.body).tag == "Справочник"
        assert ask(exchange, kind, "success").body == b"success"

    def test_crm_is_sale(self, exchange: InMemory) -> None:
        """1C-Bitrix answers both by one component: a Bitrix24 asks with a version, and wants four lines."""
        assert len(ask(exchange, "crm", "init&version=2.09").body.split(b"\n")) == 4
        assert len(ask(exchange, "get_catalog", "init&version=2.09").body.split(b"\n")) == 2

    def test_orders_are_for_who_asks_for_orders(self, make_exchange: Callable[..., InMemory]) -> None:
        """A node that wants the site's goods is given none: it would confirm them, and they would be lost."""
        asked: list[str] = []

        class Site:
            async def document(self, mode: str, _session: object) -> Any:
                asked.append(mode)
                raise ValueError("enough")

            async def confirm(self, _session: object) -> None:
                asked.append("success")

        exchange = make_exchange(orders=cast("Orders", Site()))
        for mode in ("query", "info", "success"):
            assert ask(exchange, "get_catalog", mode).status == 200
        assert asked == []
        assert ask(exchange, "crm", "success").body == b"success"
        assert asked == ["success"]

    @pytest.mark.parametrize("kind", ["catalog", "reference"])
    def test_others_ask_for_none(self, exchange: InMemory, kind: str) -> None:
        """Their ``query`` is a mistake, and is told so."""
        assert ask(exchange, kind, "query").body == b"failure\nUnknown mode"


class TestPages:
    @pytest.mark.parametrize(
        "name", ["sentry-trace", "baggage", "traceparent", "tracestate", "b3", "x-datadog-trace-id", "upload-concat"]
    )
    def test_a_page_that_is_traced_may_upload(self, tus: TusInMemory, name: str) -> None:
        """What tracing adds to each request is allowed, or the browser would keep the upload back."""
        answer = tus.request("OPTIONS", TUS_PATH, Origin=ORIGIN.decode(), Access_Control_Request_Headers=name)

        assert answer.status == 204
        assert name in answer.headers["access-control-allow-headers"].lower().split(", ")

    def test_an_option_allows_more(self) -> None:
        """Beside what is always allowed."""
        told = dict(Origins(frozenset({ORIGIN}), (b"X-CSRF-Token", b"X-Shop")).headers(ORIGIN, preflight=True))

        assert told[b"Access-Control-Allow-Headers"].endswith(b", X-CSRF-Token, X-Shop")
        assert told[b"Access-Control-Allow-Headers"].startswith(b"Authorization, ")


class TestTusClients:
    @pytest.mark.parametrize("told", ["filename YQ==,", "kind Yg==,filename YQ, ", "filename\tYQ=="])
    def test_how_metadata_are_written(self, tus: TusInMemory, told: str) -> None:
        """A comma at the end, and tabs, are understood."""
        path = tus.made(1, Upload_Metadata=told)
        tus.patch(path, 0, b"x")

        assert tus.stored() == {"a": b"x"}

    @pytest.mark.parametrize("name", ["a>b?c.xml", "прайс ÿþ.xml"])
    def test_base64_of_urls(self, name: str) -> None:
        """Some programs know that alphabet alone."""
        coded = b64encode(name.encode(), b"-_")

        assert parse_metadata(b"filename " + coded) == {"filename": name.encode()}
        assert parse_metadata(b"filename " + coded.rstrip(b"=")) == {"filename": name.encode()}

    @pytest.mark.parametrize("told", ["sha1 " + "A" * 27 + "=", "crc32 AAAAAQ==", "sha512 AAAA", "nonsense"])
    def test_a_checksum_of_what_is_still_to_come(self, tus: TusInMemory, told: str) -> None:
        """A client that tells its headers with each request makes an upload; its bytes are checked when they come."""
        answer = tus.create(3, Upload_Checksum=told, Upload_Metadata=metadata(filename="a"))

        assert answer.status == 201
        path = answer.headers["location"].removeprefix("http://shop.example")
        assert tus.patch(path, 0, b"abc", Upload_Checksum="crc32 AAAAAQ==").status == 460
        assert tus.patch(path, 0, b"abc").offset == 3

    def test_a_checksum_of_an_upload_of_nothing(self, tus: TusInMemory) -> None:
        """All of it is there at POST, so it counts there."""
        assert tus.create(0, Upload_Checksum="crc32 AAAAAQ==").status == 460
        assert tus.create(0, Upload_Checksum="crc32 AAAAAA==").status == 201

    def test_a_checksum_of_what_comes_along(self, tus: TusInMemory) -> None:
        """Counts as before."""
        for told, status in (("crc32 AAAAAQ==", 460), ("sha0 AAAAAQ==", 400)):
            headers = {"Upload_Length": "5", "Content_Type": CHUNK, "Upload_Checksum": told}
            assert tus.request("POST", TUS_PATH, b"hello", **headers).status == status

    def test_how_a_checksum_is_written(self) -> None:
        """More blanks, and padding that was left away, are understood."""
        assert parse_checksum(b"crc32  AAAAAQ") == parse_checksum(b"crc32 AAAAAQ==")


@define(eq=False)
class Stepped:
    """A push to an exchange in memory that moves only when it is told to; what it shows is in ``out``."""

    exchange: InMemory
    node: Node
    out: io.StringIO
    running: Deferred[Any]
    ended: list[Any] = field(factory=list)

    def move(self) -> None:
        """Let what was written move once."""
        for pump in self.exchange.pipe._pumps:
            pump.pump()

    def step(self) -> None:
        """Let what was written move once, and the time by a little."""
        self.move()
        self.exchange.clock.advance(0.1)

    def finish(self) -> None:
        """Let it come to its end."""
        for _ in range(2000):
            if self.ended:
                return
            self.step()
        raise AssertionError("it never ended")

    def later(self) -> None:
        """Let everything that is still on its way arrive."""
        for _ in range(30):
            self.step()


@pytest.fixture
def begin_push(
    make_exchange: Callable[..., InMemory], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Stepped]:
    """Begin a push of three files, one in several pieces; all on one exchange."""
    exchange = make_exchange(importer=FakeImporter(), zip=False, body_limit=100_000, session_quota=10**9)
    clock = exchange.clock
    cooperator = Cooperator(lambda: lambda: True, lambda call: clock.callLater(0.1, call))
    monkeypatch.setattr(dialogue, "READ_BLOCK", 300)  # bytes of a body between two steps
    monkeypatch.setattr(dialogue, "FileBodyProducer", partial(FileBodyProducer, cooperator=cooperator))
    monkeypatch.setattr(push_module, "deferToThread", maybeDeferred)
    folder = tmp_path / "export"
    folder.mkdir()
    for name, size in (("import0_1.xml", 1500), ("offers0_1.xml", 10), ("x.jpg", 800)):
        (folder / name).write_bytes(b"x" * size)

    def begin(display: Callable[[io.StringIO], Display] = Lines, **settings: Any) -> Stepped:
        agent = Agent.usingEndpointFactory(cast("Any", clock), exchange.pipe, HTTPConnectionPool(clock))
        values: dict[str, Any] = {"retries": 2, **settings}
        node = Node(clock, plain_client(agent), "http://shop.example/1c_exchange.php", "shop", "secret", **values)
        out = io.StringIO()
        running = Deferred.fromCoroutine(push(node, [folder], "catalog", display(out), completes=True))
        pushed = Stepped(exchange, node, out, running)
        running.addBoth(pushed.ended.append)
        return pushed

    return begin


class TestStops:
    def test_whatever_the_moment(self, begin_push: Callable[..., Stepped]) -> None:
        """Stopped at every step of a dialogue: what was sent is removed, or it is said that it stays."""
        whole = begin_push()
        steps = 0
        while not whole.ended:
            whole.step()
            steps += 1
        assert steps > 20
        assert whole.out.getvalue().count("imported") == 2
        seen = set()
        for half in range(2 * steps - 1):
            before = set(whole.exchange.files())
            pushed = begin_push()
            for _ in range(half // 2):
                pushed.step()
            if half % 2:
                pushed.move()
            assert not pushed.ended
            pushed.running.cancel()
            pushed.finish()
            pushed.later()
            left = {name for name in set(whole.exchange.files()) - before if not name.endswith("manifest.json")}
            said = pushed.out.getvalue()

            assert isinstance(pushed.ended[0].value, CancelledError), (half, pushed.ended)
            assert not left or said.endswith("What was sent stays on the site, which may import it later.\n"), half
            assert "is removed" not in said or not left
            seen.add((bool(left), "is removed" in said))
        assert seen == {(False, False), (False, True), (True, False)}

    def test_twice(self, begin_push: Callable[..., Stepped]) -> None:
        """Who does not want to wait for the site is told that it stays, at once."""
        pushed = begin_push()
        while "import0_1.xml: 1,500 bytes" not in pushed.out.getvalue():
            pushed.step()
        pushed.running.cancel()
        assert not pushed.ended
        pushed.running.cancel()

        assert isinstance(pushed.ended[0].value, CancelledError)
        assert pushed.out.getvalue().endswith("What was sent stays on the site, which may import it later.\n")

    def test_a_piece_behind_the_end(self, begin_push: Callable[..., Stepped]) -> None:
        """One that was on its way when its connection was cut arrives behind ``init``: it goes, too."""
        pushed = begin_push()
        while not pushed.exchange.files():
            pushed.step()
        pushed.running.cancel()
        login = pushed.node._requests.login
        assert login is not None
        query = f"type=catalog&mode=file&filename=late.xml&sessid={login.sessid}"
        while pushed.exchange.files():
            pushed.step()
        late = pushed.exchange.send("POST", query, b"late", Cookie=login.cookie)
        pushed.exchange.reply(late)
        assert list(pushed.exchange.files()) != []
        pushed.finish()

        assert pushed.exchange.files() == {}
        assert pushed.out.getvalue().endswith("What was sent is removed from the site.\n")

    def test_while_a_name_is_looked_up(self, begin_push: Callable[..., Stepped]) -> None:
        """Twisted calls a lookup that nobody waits for an unknown name; that is no reason for a new try."""
        pushed = begin_push()
        pushed.finish()
        asked: Deferred[Any] = Deferred()
        asked.addErrback(lambda _: Failure(DNSLookupError()))
        waiting = Deferred.fromCoroutine(pushed.node._requests._in_time(asked))
        ended: list[Any] = []
        waiting.addBoth(ended.append)
        waiting.cancel()

        assert isinstance(ended[0].value, CancelledError)

    @pytest.mark.parametrize("late", [None, "an answer", "an error"])
    def test_whatever_comes_then(self, begin_push: Callable[..., Stepped], late: str | None) -> None:
        """The end is at once, whether what was asked ends as well, answers all the same, or never does."""
        pushed = begin_push()
        pushed.finish()
        asked: Deferred[Any] = Deferred(lambda _: asked.callback(1) if late == "an answer" else None)
        if late == "an error":
            asked = Deferred(lambda _: asked.errback(Unreachable("gone")))
        waiting = Deferred.fromCoroutine(pushed.node._requests._in_time(asked))
        ended: list[Any] = []
        waiting.addBoth(ended.append)
        waiting.cancel()

        assert isinstance(ended[0].value, CancelledError)

    def test_a_file_that_has_gone(
        self, begin_push: Callable[..., Stepped], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Before a bar was ever shown, and between two: what was sent is removed."""
        gone, there = ("a", tmp_path / "nowhere"), ("b", tmp_path / "export" / "x.jpg")
        for files in ((gone,), (there, gone)):
            monkeypatch.setattr(push_module, "exported", lambda *_, files=files, **__: nullcontext(Export(files, ())))
            pushed = begin_push(Bar)
            pushed.finish()

            assert isinstance(pushed.ended[0].value, FileNotFoundError), pushed.ended
            assert "is removed" in pushed.out.getvalue()
            assert pushed.exchange.files() == {}

    def test_nobody_looks_any_more(
        self, begin_push: Callable[..., Stepped], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A terminal that has gone keeps nothing from being removed; what stays is told to standard error."""

        class Gone(Lines):
            def line(self, words: str) -> None:
                raise BrokenPipeError

        pushed = begin_push(Gone)
        pushed.finish()
        assert isinstance(pushed.ended[0].value, BrokenPipeError)
        assert pushed.exchange.files() == {}
        again = begin_push(lambda _: Quiet())
        while not again.exchange.files():
            again.step()
        again.running.cancel()
        again.running.cancel()

        assert capsys.readouterr().err == "What was sent stays on the site, which may import it later.\n"


LOGIN = "success\nsession\nabc\nsessid=1\ntimestamp=1"
ORDERS = '<?xml version="1.0" encoding="UTF-8"?>\n<КоммерческаяИнформация/>'
PHP = "PHP Warning:  Undefined variable $x in /var/www/1c.php on line 3\n"
HTML = "<br />\n<b>Warning</b>:  Undefined variable $x in <b>/x.php</b> on line <b>3</b><br />\n"


@define(eq=False)
class Careless(Shop):
    """A site that answers as it should, but for what stands before its answer to one step, or behind it."""

    step: str = ""
    before: str = ""
    behind: str = ""
    breaks_once: bool = False

    def render(self, request: Any) -> Any:
        """Answer what is asked."""
        asked = {name: values[0].decode() for name, values in request.args.items()}
        kind, mode = asked[b"type"], asked.get(b"mode", "")
        step = f"sale {mode}" if kind == "sale" else mode
        text = {"checkauth": LOGIN, "init": "zip=no\nfile_limit=1000", "query": ORDERS}.get(mode, "success")
        if step == "sale init":
            text += "\nsessid=1\nversion=2.10"
        if request.getUser() == b"onec-node-check":
            step, text = "stranger", "failure\nWho is it?"
        answer: dict[str, Any] = {"status": 304} if kind == "listen" else {"text": text}
        if step == self.step and self.breaks_once:
            answer, self.breaks_once = {"raw": "gone"}, False
        elif step == self.step:
            answer["text"] = self.before + text + self.behind
        return self._answer(request, answer)


STEPS = ("checkauth", "init", "file", "import", "sale checkauth", "sale init", "sale query")


class TestChecks:
    @pytest.fixture
    def found(self, open_shop: Callable[[Shop], str]) -> Iterator[Callable[..., Any]]:
        """Check a site; return what was found at one step."""
        from twisted.internet import reactor as installed

        reactor: Any = installed
        pool = HTTPConnectionPool(reactor)
        site = Careless()
        url = f"{open_shop(site)}/1c_exchange.php"

        def make(stranger: str | None) -> Node:
            return Node(reactor, http_client(reactor, url, pool=pool), url, stranger or "shop", "secret", retries=1)

        async def found(step: str, before: str = "", behind: str = "", *, breaks_once: bool = False) -> list[str]:
            site.step, site.before, site.behind, site.breaks_once = step, before, behind, breaks_once
            findings = await check(make)
            return [one.remark.words for one in findings if one.remark is not None and one.step == step]

        yield found
        pytest_twisted.blockon(pool.closeCachedConnections())

    @pytest.mark.parametrize(
        ("before", "words"),
        [
            (PHP, "a PHP message: PHP Warning: Undefined variable $x in /var/www/1c.php on line 3"),
            (PHP.rstrip(), "a PHP message: "),
            (HTML, "a PHP message: Warning: Undefined variable $x in /x.php on line 3"),
            ("\r\n" + PHP, "a PHP message: "),
            ("\n", ""),
            (" ", ""),
            ("\t", ""),
            ("\u00a0", ""),
            ("\r", ""),
            ("\ufeff", "byte order mark"),
            ("\ufeff\ufeff", ""),
            ("\0", ""),
            ("<!-- shop -->", ""),
        ],
    )
    @pytest_twisted.ensureDeferred
    async def test_what_stands_before_the_answer(self, found: Callable[..., Any], before: str, words: str) -> None:
        """Whatever it is, and at whatever step: a real 1C would stumble."""
        assert await found("") == []
        for step in STEPS:
            (first, *_) = await found(step, before)
            assert words in first, step
        if before.strip() and before != "\ufeff":
            assert await found("stranger", before) != []

    @pytest_twisted.ensureDeferred
    async def test_what_stands_behind_the_answer(self, found: Callable[..., Any]) -> None:
        """Goes into a cookie, a log, or a document."""
        for step in STEPS:
            for behind in ("\n" + PHP, "\n" + HTML):
                assert await found(step, behind=behind) != [], step
        assert await found("sale query", behind="x") == [
            "query: the document is not XML (junk after document element: line 2, column 25)"
        ]

    @pytest_twisted.ensureDeferred
    async def test_what_is_answered_at_a_new_try(self, found: Callable[..., Any], monkeypatch: Any) -> None:
        """Is told: no 1C tries again."""
        monkeypatch.setattr(dialogue, "TRY_PAUSE", Backoff(0.0, 0.0))
        for step in ("checkauth", "init", "import"):
            (words,) = await found(step, breaks_once=True)
            assert words.startswith("answered only after a retry: The site cannot be asked: ")

    @pytest.mark.parametrize("charset", ["unicode_escape", "punycode", "utf-7", "utf-16", "idna", "x\0y"])
    def test_an_encoding_is_one_of_text(self, charset: str) -> None:
        """Python knows others, and slow ones: a site does not choose among them."""
        answer = RawAnswer(200, b"success\\n+AD0-", {"content-type": f"text/plain; charset={charset}"})

        assert answer.text == "success\\n+AD0-"


class TestParameters:
    @pytest.mark.parametrize(
        ("line", "zipped", "remarks"),
        [
            ("zip=yes", True, 0),
            ("ZIP=YES", True, 0),
            ("zip=no", False, 0),
            ("zip-no", False, 1),
            ("zip=1", False, 1),
            ("zip = yes", False, 1),
            ("zip=true", False, 1),
            ("zip", False, 1),
            ("yes", False, 1),
            ("", False, 1),
        ],
    )
    def test_what_is_not_zip_yes_is_no(self, line: str, zipped: bool, remarks: int) -> None:
        """As real nodes compare it (docs/protocol.md, N5); what nobody can mean is remarked."""
        answer = RawAnswer(200, f"{line}\nfile_limit=100".encode(), {"content-type": "text/plain; charset=utf-8"})
        parameters = parameters_of(answer, "catalog", version=False)

        assert (parameters.zipped, parameters.file_limit, len(parameters.remarks)) == (zipped, 100, remarks)

    @pytest.mark.parametrize(
        "text", ["failure\nfile_limit=1", "<html>", "success", PHP + "zip=yes\nfile_limit=1", ""]
    )
    def test_what_is_no_answer(self, text: str) -> None:
        """To ``init``: an exchange does not go on."""
        with pytest.raises(NodeError):
            parameters_of(RawAnswer(200, text.encode()), "catalog", version=False)

    @pytest.mark.parametrize(
        ("line", "limit"),
        [("file_limit=5", 5), ("5", 5), ("file_limit= 5 ", 5), ("file_limit=0", None), ("file_limit=10M", None)],
    )
    def test_a_limit(self, line: str, limit: int | None) -> None:
        """Is what is left of its line without the name; anything but a number above 0 is none."""
        assert parameters_of(RawAnswer(200, f"zip=no\n{line}".encode()), "catalog", version=False).file_limit == limit


@pytest.mark.parametrize("patient", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_load_that_is_stopped(open_shop: Callable[[Shop], str], patient: bool) -> None:
    """Says when it leaves something behind: the site does not answer, or nobody waits for it."""
    from twisted.internet import reactor as installed

    reactor: Any = installed
    told: list[str] = []
    seen: Deferred[None] = Deferred()

    class Deaf(Careless):
        """Answers no second piece, and nothing that comes then."""

        def render(self, request: Any) -> Any:
            self.gone += b"mode=file" in request.uri
            if self.gone < 2:
                return super().render(request)
            if not seen.called:
                reactor.callLater(0, seen.callback, None)
            return NOT_DONE_YET

    url = open_shop(Deaf())
    pool = HTTPConnectionPool(reactor)
    loading = Deferred.fromCoroutine(
        load(
            lambda: Node(reactor, http_client(reactor, url, pool=pool), url, "shop", "secret", timeout=0.2 + patient),
            reactor,
            1,
            10,
            2,
            told.append,
        )
    )
    await seen
    loading.cancel()
    if not patient:
        loading.cancel()
    with pytest.raises(CancelledError):
        await loading
    await pool.closeCachedConnections()

    assert told == ["what was sent could not be removed from the site, which may import it"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["push", ".", "--url=http://127.0.0.1:1/x?mode=init"], "leave out type=, mode= and sessid="),
        (["push", ".", "--url=http://127.0.0.1:1/x"], "the password is empty"),
        (["orders", "--url=http://127.0.0.1:1/x", "--output=."], "--output=.: is a folder"),
    ],
)
def test_what_a_stranger_types(line: list[str], words: str) -> None:
    """Is told before anything is asked, as a command line that is wrong."""
    done = CliRunner().invoke(main, [*line, "--user=shop"], env={"ONEC_PASSWORD": ""})

    assert done.exit_code == 2
    assert words in done.output


def test_a_token_is_shown_to_nobody() -> None:
    """Not even when a site answers to another question."""
    answer = RawAnswer(200, b"\n" + LOGIN.encode())

    assert str(refusal_of(answer, "init")) == "init: the site answered 200 with an empty line before success"
    assert "abc" not in str(refusal_of(RawAnswer(200, LOGIN.encode()), "init"))
