"""A node's parser of a site's answers: turns bytes into frozen values and remarks, without Twisted or disk access.

Real clients differ in what they tolerate (docs/protocol.md, N3 to N5). This parser reads what all of them read;
anything that some would stumble over becomes a ``Remark``.
"""

from __future__ import annotations

import codecs
import re

from attrs import field, frozen

from onec_twisted.model.shown import harmless

__all__ = [
    "BITRIX",
    "TRADE",
    "UNF",
    "Busy",
    "Login",
    "NodeError",
    "Parameters",
    "RawAnswer",
    "Refusal",
    "Remark",
    "State",
    "Strange",
    "Unreachable",
    "Untrusted",
    "busy_of",
    "login_of",
    "parameters_of",
    "refusal_of",
    "remarks_on",
    "state_of",
]

TRADE, UNF, BITRIX = "1C:Trade 11.5", "1C:UNF", "the Bitrix module"
ALL = (TRADE, UNF, BITRIX)

COME_AGAIN = frozenset({429, 502, 503, 504})
"""Statuses of a site, or of a proxy in front of it, that is busy or restarting."""

FAILURE_SHOWN = 255
"""Most characters of a failure that are kept: as many as 1C:UNF shows."""

ENCODINGS = frozenset(
    ("utf-8", "utf8", "windows-1251", "cp1251", "koi8-r", "cp866", "ibm866", "iso-8859-5", "iso-8859-1", "us-ascii")
)
"""Charsets accepted in an answer: Python also has codecs that are slow or not for text."""

LOOKED_AT = 10_000
"""Characters of an answer that are searched for PHP messages."""

_PHP = re.compile(
    r"(?:PHP )?(?:<b>)?(?:Warning|Notice|Deprecated|Strict Standards|Fatal error|Parse error|Catchable fatal error)"
    r"(?:</b>)?:\s.{1,400}? on line (?:<b>)?\d+",
    re.DOTALL,
)


@frozen
class Remark:
    """Something that makes ``clients`` stumble or lose data; ``cure`` says what the site should do."""

    clients: tuple[str, ...]
    words: str = field(converter=harmless)
    cure: str


@frozen
class RawAnswer:
    """An answer as received: HTTP status, body, and the relevant headers, in lower case."""

    status: int
    body: bytes
    headers: dict[str, str] = field(factory=dict)

    @property
    def text(self) -> str:
        """Return the body as text: in the header's charset or UTF-8, else in the Russian Windows code page."""
        body = self.body.removeprefix(codecs.BOM_UTF8)
        charset = self.headers.get("content-type", "").lower().partition("charset=")[2].strip(" \"'") or "utf-8"
        for encoding in (charset if charset in ENCODINGS else "utf-8", "utf-8"):
            try:
                return body.decode(encoding)
            except UnicodeDecodeError:
                continue
        return body.decode("cp1251", "replace")

    @property
    def lines(self) -> list[str]:
        """Return the lines without a trailing CR."""
        return [line.rstrip("\r") for line in self.text.split("\n")]

    @property
    def offset(self) -> int | None:
        """Return the file length that the answer reports, None if it reports none."""
        offset = self.headers.get("upload-offset", "")
        return int(offset[:18]) if offset.isdecimal() else None

    @property
    def first(self) -> str:
        """Return the first line as real clients compare it."""
        return self.lines[0].strip().lower()


class NodeError(Exception):
    """The exchange cannot continue.

    ``words`` are for a person, ``status`` is the HTTP status, 0 if there was none; ``offset`` is the length of the
    file that the site reports, in bytes, None if it reports none.
    """

    def __init__(self, words: str, status: int = 0, offset: int | None = None) -> None:
        """Reduce the words to one line that is harmless to a terminal."""
        super().__init__(harmless(" ".join(words.split())[: 4 * FAILURE_SHOWN]))
        self.words = str(self)
        self.status = status
        self.offset = offset


class Refusal(NodeError):
    """The site answered ``failure``; the words are its own."""


class Strange(NodeError):
    """The site's answer is not one of the protocol."""


class Unreachable(NodeError):
    """There was no answer: the request may have been carried out or not, and may be retried."""


class Untrusted(NodeError):
    """The site's certificate was rejected: nothing was sent, and a retry would not help."""


class Busy(Unreachable):
    """The site, or a proxy in front of it, asks to retry later: after ``retry_after`` seconds, if it says so."""

    retry_after: float = 0.0


@frozen
class Login:
    """The answer to ``checkauth``: the value of the Cookie header, the sessid as it is sent back, and line five."""

    cookie: str
    sessid: str
    timestamp: str
    remarks: tuple[Remark, ...] = ()


@frozen
class Parameters:
    """The answer to ``init``; ``file_limit`` is in bytes, None if files are sent whole."""

    zipped: bool
    file_limit: int | None
    remarks: tuple[Remark, ...] = ()


@frozen
class State:
    """The state of a file or an import as the site reports it: ``progress`` with words, or done.

    ``offset`` is the length of the file in bytes, if the site reports it.
    """

    done: bool
    words: str = field(default="", converter=harmless)
    remarks: tuple[Remark, ...] = ()
    offset: int | None = None


def _words_of(answer: RawAnswer) -> str:
    """Return a description, for a person, of an answer outside the protocol."""
    text = " ".join(answer.text.split())
    if not text:
        return "an empty answer"
    text = re.sub(r"(success)\b.*", r"\1", text, flags=re.IGNORECASE)  # a session's token may follow
    message = _message_of_php(answer)
    if message is not None:
        return f"a PHP message: {message}"
    if answer.text.lstrip().startswith("<?xml"):
        return "a document that does not begin with <?xml: white space or a byte order mark stands before it"
    if not answer.lines[0].strip():
        return f"an empty line before {text[:FAILURE_SHOWN]}"
    if "<" in text[:200]:
        title = re.search(r"<title>(.*?)</title>", text, re.IGNORECASE)
        return f"a page of HTML{f' ({title[1].strip()})' if title else ''}"
    return text[:FAILURE_SHOWN]


def _message_of_php(answer: RawAnswer) -> str | None:
    """Return the PHP message in an answer, None if there is none."""
    found = _PHP.search(answer.text[:LOOKED_AT])
    return " ".join(re.sub(r"<[^>]{0,100}>", "", found[0]).split())[:FAILURE_SHOWN] if found is not None else None


def refusal_of(answer: RawAnswer, step: str) -> NodeError:
    """Return the error for an answer: ``failure`` with the site's words, or ``Strange``."""
    if 300 <= answer.status < 400:
        place = answer.headers.get("location", "nowhere")
        return Strange(
            f"{step}: the site redirects to {place}; 1C does not follow: give 1C that address", answer.status
        )
    if answer.first == "failure":
        words = " ".join(answer.lines[1:]).strip() or "failure, without a reason"
        return Refusal(words[:FAILURE_SHOWN], answer.status, answer.offset)
    return Strange(f"{step}: the site answered {answer.status} with {_words_of(answer)}", answer.status)


def busy_of(answer: RawAnswer) -> Busy | None:
    """Return the error for an answer that requests a retry, None for any other."""
    if answer.status not in COME_AGAIN:
        return None
    words = " ".join(answer.lines[1:]).strip() if answer.first == "failure" else ""
    busy = Busy(words or f"The site answered {answer.status}", answer.status, answer.offset)
    wait = answer.headers.get("retry-after", "")
    busy.retry_after = min(60.0, float(wait[:6])) if wait.isdecimal() else 0.0
    return busy


def remarks_on(answer: RawAnswer) -> tuple[Remark, ...]:
    """Return the remarks that apply to the answer of any request."""
    remarks = []
    message = _message_of_php(answer)
    if message is not None:
        cure = "write such messages to a log: display_errors=Off"
        remarks.append(Remark(ALL, f"the answer contains a PHP message: {message}", cure))
    line = answer.lines[0]
    if line != line.strip():
        cure = "send the first word alone on its line"
        words = "spaces surround the first word, which 1C:Trade 10.3 and others compare as it is"
        remarks.append(Remark((TRADE,), words, cure))
    if answer.body.startswith(codecs.BOM_UTF8):
        remarks.append(Remark((BITRIX,), "the answer begins with a byte order mark", "send the text without a BOM"))
    if b"\r\n" in answer.body:
        cure = "separate lines with LF only"
        remarks.append(Remark((TRADE, BITRIX), "lines end with CR LF: the CR becomes part of the cookie", cure))
    if answer.status != 200:
        cure = "answer 200 to whatever a person should read (--status-codes=ok)"
        remarks.append(Remark((BITRIX,), f"the status is {answer.status}: its text is lost", cure))
    kind = answer.headers.get("content-type", "").lower()
    if answer.body and not re.search(r"charset=[a-z0-9-]+$", kind):
        cure = "send Content-Type: text/plain; charset=utf-8, with the charset last"
        remarks.append(Remark((BITRIX,), "the Content-Type names no charset at its end", cure))
    if "x-content-encoding" in answer.headers:
        remarks.append(Remark(ALL, "the answer is compressed", "do not compress answers of the exchange"))
    return tuple(remarks)


def login_of(answer: RawAnswer, exchange_type: str = "catalog") -> Login:
    """Parse the answer to ``checkauth`` of a type (docs/protocol.md, N4). Raises ``Refusal`` or ``Strange``."""
    if answer.first != "success" or answer.status >= 300:
        raise refusal_of(answer, "checkauth")
    lines = answer.lines
    if len(lines) < 3 or not lines[1] or not lines[2]:
        raise Strange("checkauth: the site gave no cookie name and value in lines 2 and 3", answer.status)
    remarks = list(remarks_on(answer))
    if re.search(r"[^\w.~-]", lines[1] + lines[2], re.ASCII):
        cure = "use only letters, digits, - and _"
        remarks.append(Remark(ALL, "the cookie has characters that some nodes alter", cure))
    fourth = lines[3] if len(lines) > 3 else ""
    if not fourth:
        cure = "send sessid=… in line 4, and compare it"
        remarks.append(Remark((TRADE, BITRIX), "line 4 is missing: an empty sessid is sent with each request", cure))
    elif not fourth.startswith("sessid="):
        cure = "send sessid=… in line 4"
        remarks.append(Remark(ALL, f"line 4 is not sessid=…: it is sent back as it is ({fourth[:40]})", cure))
    fifth = lines[4] if len(lines) > 4 else ""
    if exchange_type != "sale" and not fifth.startswith("timestamp="):
        cure = "send timestamp=… in line 5"
        remarks.append(Remark((BITRIX,), "line 5 is not timestamp=…: deactivate cannot know since when", cure))
    cookie = f"{lines[1]}={lines[2]}"
    return Login(cookie, fourth.removeprefix("sessid="), fifth.removeprefix("timestamp="), tuple(remarks))


def parameters_of(answer: RawAnswer, exchange_type: str, *, version: bool) -> Parameters:
    """Parse the answer to ``init`` (docs/protocol.md, N5); ``version`` says that the request had a version."""
    lines = answer.lines
    second = lines[1].strip().lower() if len(lines) > 1 else ""
    is_one = answer.first.startswith("zip") or (second.startswith("file_limit") and answer.first != "failure")
    if answer.status >= 300 or not is_one:
        raise refusal_of(answer, "init")
    remarks = list(remarks_on(answer))
    if answer.first not in ("zip=yes", "zip=no"):
        cure = "answer zip=yes or zip=no in line 1"
        remarks.append(Remark(ALL, f"line 1 is not zip=yes, so nothing is packed ({lines[0].strip()[:40]})", cure))
    if exchange_type == "sale" and version:
        number = re.fullmatch(r"version=(\d\.\d\d)", lines[3].strip()) if len(lines) > 3 else None
        if number is None or float(number[1]) < 2.08:
            cure = "answer four lines: zip, file_limit, sessid and version=2.10"
            remarks.append(Remark((BITRIX,), "init of orders names no version from 2.08 on in line 4", cure))
    elif len(lines) != 2:
        cure = "answer exactly two lines, and no LF at the end"
        extra = "a LF at the end, which may count as a third line" if not lines[-1] else f"{len(lines)} lines"
        remarks.append(Remark((TRADE,), f"init has {extra}: exactly two are understood", cure))
    found = re.fullmatch(r"\s*(-?\d{1,18})\s*", lines[1].replace("file_limit=", "")) if len(lines) > 1 else None
    limit = int(found[1]) if found else 0
    if limit <= 0:
        cure = "answer file_limit=<bytes> in line 2"
        remarks.append(
            Remark(ALL, "init names no file_limit: every file is sent in one request, however large", cure)
        )
    return Parameters(answer.first == "zip=yes", limit if limit > 0 else None, tuple(remarks))


def state_of(answer: RawAnswer, step: str, *, may_last: bool = False) -> State:
    """Parse the answer to any other request; ``may_last`` allows ``progress``. Raises ``Refusal`` or ``Strange``."""
    if answer.status >= 300 or answer.first not in ("success", *(("progress",) if may_last else ())):
        raise refusal_of(answer, step)
    remarks = list(remarks_on(answer))
    words = " ".join(line.strip() for line in answer.lines[1:]).strip()
    if step.startswith("file") and any(line.strip() for line in answer.lines[1:]):
        cure = "answer a piece with success only"
        remarks.append(Remark(ALL, "success has more lines: each piece becomes an entry in the log", cure))
    return State(answer.first == "success", words, tuple(remarks), answer.offset)
