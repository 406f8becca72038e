"""Parses and checks the command line of ``twistd onec-exchange``: a wrong value ends the start with one line."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import AuthOptionMixin
from twisted.python import usage

from onec_twisted.auth.shard import is_shard_name
from onec_twisted.daemon.checkers import make_checker
from onec_twisted.daemon.config import CannotStart, Config
from onec_twisted.daemon.parameters import CHOICES, NUMBERS, PARAMETERS, SIZES, TIMES, YES_OR_NO
from onec_twisted.delivery.importers import factory_of, importers_help
from onec_twisted.http.connections import TrustedProxies
from onec_twisted.model.written import DURATION, LONGEST_TIME, SIZE, NotPlain, parse_duration, parse_size, plain_bytes
from onec_twisted.tus.origins import parse_header, parse_origin

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DEFAULT_LISTEN", "DEFAULT_PATHS", "Options"]

DEFAULT_LISTEN = "tcp:8080:interface=127.0.0.1"
DEFAULT_PATHS = ("/1c_exchange.php", "/bitrix/admin/1c_exchange.php")
"""1C:UNF requests ``mode=info`` from the second, whatever address was typed (docs/protocol.md, N2)."""

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
    optParameters: Sequence[Sequence[Any]] = PARAMETERS

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
        self["notify"] = []

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
        super().addChecker(make_checker("auth", description))

    def opt_admin_auth(self, description: str) -> None:
        """Who may use --admin, as in --auth; may be repeated; without it, everybody who can connect."""
        self["admin-auth"].append(make_checker("admin-auth", description))

    def opt_trusted_proxy(self, address: str) -> None:
        """Proxy whose X-Forwarded-For is trusted: an address, a network, or 'unix'; may be repeated."""
        try:
            TrustedProxies.of([address])
        except ValueError:
            _wrong("trusted-proxy", address, "write an address, a network as in 10.0.0.0/8, or unix")
        self["trusted-proxy"].append(address)

    def opt_notify(self, description: str) -> None:
        """Who is told when something is wrong: exec:/PROGRAM, or a URL; may be repeated; without it, nobody."""
        self["notify"].append(description)

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
            self[name] = _seconds(name, self[name]) if self[name] is not None else None
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
