"""Parses and checks the command line of ``twistd onec-exchange``: a wrong value ends the start with one line."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from twisted.cred.checkers import FilePasswordDB, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import (
    AuthOptionMixin,
    InvalidAuthType,
    StrcredException,
    makeChecker,
)
from twisted.python import usage

from onec_twisted.auth.access import PasswordFile
from onec_twisted.auth.shard import is_shard_name
from onec_twisted.daemon.config import CannotStart, Config
from onec_twisted.daemon.logs import FORMATS
from onec_twisted.delivery.importers import factory_of, importers_help
from onec_twisted.http.connections import TrustedProxies
from onec_twisted.ingest.writers import WRITERS
from onec_twisted.model.written import DURATION, LONGEST_TIME, SIZE, NotPlain, parse_duration, parse_size, plain_bytes
from onec_twisted.tus.origins import parse_header, parse_origin

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DEFAULT_LISTEN", "DEFAULT_PATHS", "Options"]

DEFAULT_LISTEN = "tcp:8080:interface=127.0.0.1"
DEFAULT_PATHS = ("/1c_exchange.php", "/bitrix/admin/1c_exchange.php")
"""1C:UNF requests ``mode=info`` from the second, whatever address was typed (docs/protocol.md, N2)."""

YES_OR_NO = ("yes", "no")
CHOICES = {
    "durability": ("piece", "handoff", "none"),
    "sessid": ("required", "optional"),
    "status-codes": ("http", "ok"),
    "zip": YES_OR_NO,
    "unpack": YES_OR_NO,
    "check-documents": YES_OR_NO,
    "access-log": YES_OR_NO,
    "log-format": tuple(FORMATS),
    "intake": tuple(WRITERS),
}
SIZES = ("file-limit", "body-limit", "session-quota", "min-free", "unpack-limit")
TIMES = (
    *("session-ttl", "lock-timeout", "idle-timeout", "header-timeout"),
    *("import-hold", "import-timeout", "settle", "keep"),
)
NUMBERS = {
    **dict.fromkeys(("connections-per-address", "sessions-per-user", "max-uploads"), 0),
    **dict.fromkeys(("import-tries", "unpack-files", "unpack-ratio", "unpack-depth"), 1),
}  # the least of each; 0 stands for no limit

IMPORT_AUTH = "ONEC_IMPORT_AUTH"
"""The variable that replaces ``--import-auth``; importers' programs do not inherit it (``program_environment``)."""


class Options(usage.Options, AuthOptionMixin):
    """The administrator's settings; after ``parseOptions`` sizes are in bytes and times in seconds."""

    supportedInterfaces = (IUsernamePassword,)
    synopsis = "--auth=SPEC [options]"
    longdesc = (
        "Receives the exports of 1C:Enterprise nodes for a web site. Give 1C the address "
        "http://HOST:PORT/1c_exchange.php with a user and password of --auth. "
        "Files appear in MEDIA_ROOT/1c_temp/<sessid>/. "
        "Sizes take K, M, G (powers of 1024); times are seconds, or take s, m, h, d."
    )
    optParameters: Sequence[Sequence[Any]] = [
        ["media-root", None, "media", "Folder for uploads and records; created if it does not exist."],
        ["file-limit", None, "100M", "Size of the pieces into which nodes cut files."],
        ["body-limit", None, None, "Largest body, by default --file-limit; beyond that, 413."],
        ["session-quota", None, "20G", "Bytes that one session may store; beyond that, 507."],
        ["min-free", None, "1G", "Bytes of the disk to leave free; below that, 507."],
        ["session-ttl", None, "86400", "A session unused for this long is removed with its files."],
        ["lock-timeout", None, "30", "How long a piece waits for its file before it gets 503."],
        ["idle-timeout", None, "60", "A body that sends nothing for this long is dropped."],
        ["durability", None, "piece", "When bytes are synced to the disk: piece, handoff or none."],
        ["importer", None, "keep", "Who imports uploads: keep, exec:PROGRAM, http://..., https://..."],
        ["import-hold", None, "10", "How long import waits for its result before it answers progress."],
        ["import-timeout", None, "3600", "Time limit for one attempt of the importer."],
        ["import-tries", None, "16", "Attempts to deliver a hand-off, with growing pauses of up to an hour."],
        ["import-secret", None, None, "File with the secret that signs requests to the site."],
        ["import-auth", None, None, "File with USER:PASSWORD for the site; without it, $ONEC_IMPORT_AUTH."],
        ["orders", None, None, "Address of the site's orders: http://... or https://...; without it, none."],
        ["unpack", None, "yes", "Whether importers get what archives hold instead of archives: yes or no."],
        ["unpack-limit", None, "10G", "Bytes that an archive may become; a larger one is not imported."],
        ["unpack-files", None, "250000", "Files, or folders, that an archive may hold."],
        ["unpack-ratio", None, "200", "How many times its own size an archive may become, beyond 16M."],
        ["unpack-depth", None, "32", "Folders and file of a name in an archive."],
        ["check-documents", None, "yes", "Whether documents are read before they are imported: yes or no."],
        ["settle", None, "300", "Quiet time after which files without an import request are handed off."],
        ["keep", None, "86400", "How long files stay after everything in their session has been imported."],
        ["sessid", None, "required", "'optional' also serves old nodes that send only the cookie."],
        ["status-codes", None, "http", "'ok' answers 200 to everything except type=listen."],
        ["zip", None, "yes", "Whether nodes pack their files: yes or no."],
        ["access-log", None, "no", "Log each request and each piece: yes or no."],
        ["log-format", None, "text", "Format of log lines: text or json."],
        ["intake", None, "auto", "How bodies are received: auto, buffered, or zero-copy, past the reactor."],
        ["connections-per-address", None, "500", "Connections from one address, 0 for no limit; beyond that, 429."],
        ["sessions-per-user", None, "10000", "Sessions of one user on record, 0 for no limit; beyond that, 429."],
        ["max-uploads", None, "1000", "Concurrent pieces, 0 for no limit; beyond that, 503."],
        ["header-timeout", None, "30", "Time limit for the headers of a request."],
        ["min-rate", None, "128", "Bytes per second that a body must send, 0 for no limit; below that, 408."],
        ["tus-path", None, "/files/", "URL path of resumable tus uploads, or off."],
        [
            "shard",
            None,
            None,
            "Name of this daemon among several; its sessids, cookies and upload ids start with it.",
        ],
        ["admin", None, None, "Twisted endpoint for the status page, /metrics and /health; without it, none."],
    ]

    def __init__(self) -> None:
        """Start with the defaults."""
        super().__init__()
        self["listen"] = []
        self["path"] = []
        self["credCheckers"] = []
        self["admin-auth"] = []
        self["trusted-proxy"] = []
        self["cors-origin"] = []
        self["cors-header"] = []

    def opt_listen(self, endpoint: str) -> None:
        """Twisted endpoint to serve on: tcp:, unix:, ssl:, systemd:; may be repeated. [default: tcp:8080:interface=127.0.0.1]."""  # noqa: E501 - usage shows it as it stands
        self["listen"].append(endpoint)

    def opt_path(self, path: str) -> None:
        """URL path to answer at; may be repeated. [default: /1c_exchange.php and /bitrix/admin/1c_exchange.php]."""
        if not path.startswith("/") or not path.isascii() or set(path) & set("?# "):
            raise usage.UsageError(f"--path={path}: write a path as in /1c_exchange.php")
        self["path"].append(path)

    def opt_auth(self, description: str) -> None:
        """Who may upload; required, may be repeated: htpasswd:PATH, file:PATH, memory:USER:PASSWORD; see --help-auth."""  # noqa: E501 - usage shows it as it stands
        super().addChecker(_checker("auth", description))

    def opt_admin_auth(self, description: str) -> None:
        """Who may use --admin, as in --auth; may be repeated; without it, everybody who can connect."""
        self["admin-auth"].append(_checker("admin-auth", description))

    def opt_trusted_proxy(self, address: str) -> None:
        """Proxy whose X-Forwarded-For is trusted: an address, a network, or 'unix'; may be repeated."""
        try:
            TrustedProxies.of([address])
        except ValueError:
            _wrong("trusted-proxy", address, "write an address, a network as in 10.0.0.0/8, or unix")
        self["trusted-proxy"].append(address)

    def opt_cors_origin(self, origin: str) -> None:
        """Origin whose pages may upload by tus, as in https://shop.example; may be repeated; without it, none."""
        try:
            self["cors-origin"].append(parse_origin(origin))
        except ValueError:
            _wrong("cors-origin", origin, "write scheme, host and port as browsers do, as in https://shop.example")

    def opt_cors_header(self, name: str) -> None:
        """Header that pages of --cors-origin may send, besides those of tus and of tracing; may be repeated."""
        try:
            self["cors-header"].append(parse_header(name))
        except ValueError:
            _wrong("cors-header", name, "write the name of one header, as in X-CSRF-Token")

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse the command line. Raises ``CannotStart`` with one line if it is wrong."""
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            raise CannotStart(f"{str(error).rstrip('.')}; see twistd onec-exchange --help") from None

    def parseArgs(self, *extra: str) -> None:
        """Reject arguments: a word without ``--`` is a mistake."""
        if extra:
            raise usage.UsageError(f"{extra[0]}: options are written as --name=value")

    def postOptions(self) -> None:
        """Convert texts to values, and check that they fit together."""
        if not self["credCheckers"]:
            _wrong("auth", "", "say who may upload, for example --auth=htpasswd:/etc/onec.htpasswd")
        if self["body-limit"] is None:
            self["body-limit"] = self["file-limit"]
        for name in SIZES:
            try:
                self[name] = parse_size(self[name])
            except ValueError:
                _wrong(name, self[name], f"is not a size; {SIZE}")
        for name in ("file-limit", "session-quota", "unpack-limit"):
            if not self[name]:
                _wrong(name, "0", "must be more than 0")
        if self["body-limit"] < self["file-limit"]:
            _wrong(
                "body-limit", self["body-limit"], "is less than --file-limit: pieces of that size would be rejected"
            )
        self._check_limits()
        if self["admin-auth"] and self["admin"] is None:
            _wrong("admin-auth", "", "there is no --admin to protect")
        for name in TIMES:
            self[name] = _seconds(name, self[name])
        for name, choices in CHOICES.items():
            if self[name] not in choices:
                _wrong(name, self[name], f"must be {' or '.join(choices)}")
        if self["cors-header"] and not self["cors-origin"]:
            _wrong("cors-header", "", "has no effect without --cors-origin")
        self._check_places()
        self._check_site()

    def config(self) -> Config:
        """Return the settings as a value; call it after ``parseOptions``."""
        chosen = {name: value for name, value in self.items() if not name.startswith("cred")}
        chosen |= {name: chosen[name] == "yes" for name, choices in CHOICES.items() if choices == YES_OR_NO}
        return Config(auth=self["credCheckers"], **{name.replace("-", "_"): value for name, value in chosen.items()})

    def opt_help_importers(self) -> NoReturn:
        """Show all importers available."""
        sys.stdout.write(f"{importers_help()}\n")
        raise SystemExit(0)

    def _check_limits(self) -> None:
        """Check the limits on clients and archives."""
        try:
            self["min-rate"] = parse_size(self["min-rate"])
        except ValueError:
            _wrong("min-rate", self["min-rate"], f"is not a number of bytes per second; {SIZE}")
        for name, least in NUMBERS.items():
            if re.fullmatch(r"\d{1,9}", self[name]) is None or int(self[name]) < least:
                _wrong(name, self[name], f"must be a number, {'1 or more' if least else 'or 0 for no limit'}")
            self[name] = int(self[name])

    def _check_site(self) -> None:
        """Check the importer, its credentials, and the source of orders."""
        try:
            factory_of(self["importer"])
        except LookupError:
            _wrong("importer", self["importer"], "no such importer; --help-importers lists them")
        self._read("import-secret", "write a secret with: openssl rand -hex 32")
        self._read_import_auth()
        if self["orders"] is not None and not self["orders"].startswith(("http:", "https:")):
            _wrong("orders", self["orders"], "write an address, as in http://127.0.0.1:8000/1c-orders")

    def _read_import_auth(self) -> None:
        """Read the site's user and password from the first line of the file, else of the variable."""
        self._read("import-auth", "write USER:PASSWORD into it")
        if self["import-auth"] is None and IMPORT_AUTH in os.environ:
            self["import-auth"] = os.fsencode(os.environ[IMPORT_AUTH])
        if self["import-auth"] is not None:
            self["import-auth"] = self["import-auth"].split(b"\n", 1)[0].strip()
            if b":" not in self["import-auth"]:
                _wrong("import-auth", "", f"the file, or {IMPORT_AUTH}, has no USER:PASSWORD in its first line")

    def _read(self, name: str, cure: str) -> None:
        """Replace an option's path by the contents of the file, if it is set."""
        if self[name] is None:
            return
        try:
            content = plain_bytes(Path(self[name]).read_bytes()).strip()
        except OSError as error:
            # If the value is not a path but the secret itself, it must not get into a log
            path = self[name] if "/" in self[name] and ":" not in self[name] else ""
            _wrong(name, path, f"{'' if path else 'the file '}cannot be read: {error.strerror}")
        except NotPlain as error:
            _wrong(name, self[name], str(error))
        if not content:
            _wrong(name, "", f"the file is empty; {cure}")
        self[name] = content

    def _check_places(self) -> None:
        """Check the media root, the shard's name, endpoints, and URL paths."""
        if not self["media-root"]:
            _wrong("media-root", "", "name a folder")
        if self["shard"] is not None and not is_shard_name(self["shard"]):
            _wrong("shard", self["shard"], "write 1 to 8 letters (A to Z) and digits, as in a or shop2")
        self["listen"] = self["listen"] or [DEFAULT_LISTEN]
        self["path"] = self["path"] or list(DEFAULT_PATHS)
        for path in self["path"]:
            if any(other.startswith(f"{path}/") for other in self["path"]):
                _wrong("path", path, "is above another --path")
        self._check_tus_path()

    def _check_tus_path(self) -> None:
        """Check that the path of tus is valid and unused by others; set it to None if tus is off."""
        path = self["tus-path"]
        if path == "off":
            if self["cors-origin"]:
                _wrong("cors-origin", "", "pages cannot upload while --tus-path is off")
            self["tus-path"] = None
            return
        bare = path.rstrip("/")
        if re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", bare) is None:
            _wrong("tus-path", path, "write a path as in /files/, or off")
        for other in self["path"]:
            if f"{other}/".startswith(f"{bare}/") or bare.startswith(f"{other}/"):
                _wrong("tus-path", path, f"must not be at, above or below --path={other}")


def _checker(option: str, description: str) -> Any:
    """Return the checker for a strcred description; reject one that is known to be unusable."""
    kind, _, words = description.partition(":")
    if kind == "memory" and (words.count(":") != 1 or not all(words.split(":"))):
        raise usage.UsageError(f"--{option}=memory: write memory:USER:PASSWORD, without a colon in either")
    try:
        checker = makeChecker(description)
    except InvalidAuthType:
        raise usage.UsageError(f"--{option}={kind}: no such method; --help-auth lists them") from None
    except (StrcredException, ValueError) as error:
        raise usage.UsageError(f"--{option}={kind}: {error or 'is malformed; see --help-auth'}") from None
    if isinstance(checker, InMemoryUsernamePasswordDatabaseDontUse):
        # strcred returns text from the command line, HTTP delivers bytes
        checker.users = {_as_bytes(user): _as_bytes(word) for user, word in checker.users.items()}
    if isinstance(checker, FilePasswordDB):
        checker = PasswordFile(str(Path(checker.filename).absolute()))  # --rundir changes the folder later
        try:
            checker.read()
        except OSError as error:
            raise usage.UsageError(f"--{option}=file: cannot read {checker.filename}: {error.strerror}") from error
        except NotPlain as error:
            raise usage.UsageError(f"--{option}=file: {checker.filename} {error}") from error
    if IUsernamePassword not in checker.credentialInterfaces:
        raise usage.UsageError(f"--{option}: this method checks no passwords; --help-auth lists those that do")
    return checker


def _as_bytes(text: str | bytes) -> bytes:
    """Return a text from the command line as the bytes that were typed."""
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")


def _wrong(name: str, value: object, words: str) -> NoReturn:
    raise usage.UsageError(f"--{name}{f'={value}' if value != '' else ''}: {words}")


def _seconds(name: str, text: str) -> float:
    """Return a duration in seconds, more than 0 and at most a thousand years."""
    try:
        seconds = parse_duration(text)
    except ValueError:
        _wrong(name, text, f"is not a number of seconds; {DURATION}")
    if not 0 < seconds < LONGEST_TIME:
        _wrong(name, text, "must be more than 0 seconds, and finite")
    return seconds
