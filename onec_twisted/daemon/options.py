"""Parses the command line, the environment and the file of ``twistd onec-exchange``.

A wrong value ends the start with one line.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from attrs import evolve
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import AuthOptionMixin
from twisted.python import usage

from onec_twisted.daemon.checkers import make_checker
from onec_twisted.daemon.config import CannotStart, Config
from onec_twisted.daemon.configfile import OPTIONS_IN_FILES, absolute, read_config
from onec_twisted.daemon.given import Given, foreign_variables, given_in_environment, given_on_line
from onec_twisted.daemon.parameters import CHOICES, FLAGS, PARAMETERS, REPEATABLE, YES_OR_NO
from onec_twisted.daemon.printed import printed
from onec_twisted.daemon.shops import shops_in
from onec_twisted.daemon.values import (
    InFile,
    Wrong,
    check_fit,
    check_paths,
    check_shared,
    one_of_several,
    secret_in,
    site_auth_in,
    site_auth_of,
    tus_path_of,
    value_of,
    wrong,
)
from onec_twisted.delivery.importers import importers_help

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onec_twisted.daemon.config import Shop
    from onec_twisted.daemon.configfile import ConfigFile

__all__ = ["DEFAULT_LISTEN", "DEFAULT_PATHS", "Options"]

DEFAULT_LISTEN = "tcp:8080:interface=127.0.0.1"
DEFAULT_PATHS = ("/1c_exchange.php", "/bitrix/admin/1c_exchange.php")
"""1C:UNF requests ``mode=info`` from the second, whatever address was typed (docs/protocol.md, N2)."""

_FLAGS = frozenset(name for name, *_ in FLAGS)

IMPORT_AUTH = "ONEC_IMPORT_AUTH"
"""The variable that replaces ``--import-auth``; importers' programs do not inherit it (``program_environment``)."""


class Options(usage.Options, AuthOptionMixin):
    """The administrator's settings; after ``parseOptions`` sizes are in bytes and times in seconds.

    What stands on the command line counts for more than the environment, and that for more than the file.
    """

    supportedInterfaces = (IUsernamePassword,)
    synopsis = "--auth=SPEC [options]"
    longdesc = (
        "Receives the exports of 1C:Enterprise nodes for a web site. Give 1C the address "
        "http://HOST:PORT/1c_exchange.php with a user and password of --auth. "
        "Files appear in MEDIA_ROOT/1c_temp/<sessid>/. "
        "Sizes take K, M, G (powers of 1024); times are seconds, or take s, m, h, d. "
        "Options may also stand in the file of --config, or in variables as ONEC_EXCHANGE_FILE_LIMIT."
    )
    optParameters: Sequence[Sequence[Any]] = PARAMETERS
    optFlags: Sequence[Sequence[Any]] = FLAGS

    def __init__(self, folder: Path | None = None) -> None:
        """Start with the defaults; relative paths start from a folder, or else from where the process is."""
        super().__init__()
        for name in REPEATABLE:
            self["credCheckers" if name == "auth" else name] = []
        self.given: dict[str, Given] = {}
        """Where each option is from that has not its default."""
        self._arguments: list[str] = []
        self._folder = folder
        self._started_in = Path.cwd()
        self._file: ConfigFile | None = None
        self._shops: tuple[Shop, ...] = ()

    def opt_listen(self, endpoint: str) -> None:
        """Twisted endpoint to serve on: tcp:, unix:, ssl:, systemd:; may be repeated. [default: tcp:8080:interface=127.0.0.1]."""  # noqa: E501 - usage shows it as it stands
        self["listen"].append(endpoint)

    def opt_path(self, path: str) -> None:
        """URL path to answer at; may be repeated. [default: /1c_exchange.php and /bitrix/admin/1c_exchange.php]."""
        self["path"].append(one_of_several("path", path))

    def opt_auth(self, description: str) -> None:
        """Who may upload; required, may be repeated: htpasswd:PATH, file:PATH, memory:USER:PASSWORD; see --help-auth."""  # noqa: E501 - usage shows it as it stands
        super().addChecker(make_checker("auth", description))

    def opt_admin_auth(self, description: str) -> None:
        """Who may use --admin, as in --auth; may be repeated; without it, everybody who can connect."""
        self["admin-auth"].append(make_checker("admin-auth", description))

    def opt_trusted_proxy(self, address: str) -> None:
        """Proxy whose X-Forwarded-For is trusted: an address, a network, or 'unix'; may be repeated."""
        self["trusted-proxy"].append(one_of_several("trusted-proxy", address))

    def opt_notify(self, description: str) -> None:
        """Who is told when something is wrong: exec:/PROGRAM, or a URL; may be repeated; without it, nobody."""
        self["notify"].append(description)

    def opt_cors_origin(self, origin: str) -> None:
        """Origin whose pages may upload, as in https://shop.example; may be repeated; without it, none."""
        self["cors-origin"].append(one_of_several("cors-origin", origin))

    def opt_cors_header(self, name: str) -> None:
        """Header that pages of --cors-origin may send, besides those of tus, RUFH and tracing; may be repeated."""
        self["cors-header"].append(one_of_several("cors-header", name))

    def opt_help_importers(self) -> NoReturn:
        """Show all importers available."""
        sys.stdout.write(f"{importers_help()}\n")
        raise SystemExit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse the command line, with what the environment and the file add to it.

        Raises ``CannotStart`` with one line if anything is wrong.
        """
        self._arguments = list(sys.argv[1:] if options is None else options)
        self._parse()
        if self["print-config"]:
            sys.stdout.write(printed(self.config(), self.given, foreign_variables(os.environ)))
            raise SystemExit(0)

    def again(self) -> Config:
        """Read everything again that ``parseOptions`` has read; return the settings. Blocks. Raises ``CannotStart``.

        The folder of the process may be another by now: relative paths start from the first.
        """
        fresh = Options(self._started_in)
        fresh.parseOptions(self._arguments)
        return fresh.config()

    def _parse(self) -> None:
        """Parse everything. Raises ``CannotStart``."""
        try:
            beside = self._beside()
            super().parseOptions([*beside, *self._arguments] if self._folder is None else beside)
            self._shops = shops_in(self._file, self._common()) if self._file is not None else ()
        except Wrong as error:
            given = self.given.get(error.name)
            raise CannotStart(_in_a_line(given.explain(error) if given else str(error), given)) from None
        except InFile as error:
            raise CannotStart(str(error)) from None
        except usage.UsageError as error:
            raise CannotStart(_in_a_line(str(error), None)) from None

    def _beside(self) -> list[str]:
        """Return what the environment and the file give beside the command line, in its words. Raises ``Wrong``."""
        line = self._placed(given_on_line(self._arguments, self.shortOpt, self.longOpt))
        if any(name.startswith(("help", "version")) for name in line):
            return []  # whoever asks for help may have a file that is wrong
        environment = self._placed(given_in_environment({*OPTIONS_IN_FILES, "config"}, os.environ))
        named = line.get("config") or environment.get("config")
        if named is not None:
            self.given = {"config": named}
            self._file = read_config(Path(named.texts[-1]).absolute())
            self.given |= self._file.given()
        self.given |= environment
        self.given |= line
        said = line.keys() if self._folder is None else _FLAGS
        return [f"--{name}={text}" for name, one in self.given.items() if name not in said for text in one.texts]

    def _placed(self, given: dict[str, Given]) -> dict[str, Given]:
        """Return what was given, with paths that start from the first folder, if that may be another now."""
        if self._folder is None:
            return given
        folder = self._folder
        return {
            name: evolve(one, texts=tuple(absolute(name, text, folder) for text in one.texts))
            if name != "media-root"  # it cannot change
            else one
            for name, one in given.items()
        }

    def parseArgs(self, *extra: str) -> None:
        """Reject arguments: a word without ``--`` is a mistake."""
        if extra:
            raise usage.UsageError(f"{extra[0]}: options are written as --name=value")

    def postOptions(self) -> None:
        """Convert texts to values, and check that they fit together."""
        if not self["credCheckers"]:
            wrong("auth", "", "say who may upload, for example --auth=htpasswd:/etc/onec.htpasswd")
        if self["body-limit"] is None:
            self["body-limit"] = self["file-limit"]
        for name, *_ in PARAMETERS:
            if self[name] is not None and name not in ("config", "tus-path"):
                self[name] = value_of(name, self[name])
        check_fit(self)
        check_shared(self)
        if self["admin-auth"] and self["admin"] is None:
            wrong("admin-auth", "", "there is no --admin to protect")
        if self["cors-header"] and not self["cors-origin"]:
            wrong("cors-header", "", "has no effect without --cors-origin")
        self["listen"] = self["listen"] or [DEFAULT_LISTEN]
        self["path"] = self["path"] or list(DEFAULT_PATHS)
        self["tus-path"] = tus_path_of(self["tus-path"])
        if self["cors-origin"] and self["tus-path"] is None:
            wrong("cors-origin", "", "pages cannot upload while --tus-path is off")
        check_paths(self["path"], self["tus-path"])
        self._read_secrets()

    def config(self) -> Config:
        """Return the settings as a value; call it after ``parseOptions``."""
        return evolve(self._common(), shops=self._shops)

    def _common(self) -> Config:
        """Return what is set outside of the tables of shops."""
        chosen = {
            name: value
            for name, value in self.items()
            if not name.startswith("cred") and name not in _FLAGS and name != "config"
        }
        chosen |= {name: chosen[name] == "yes" for name, choices in CHOICES.items() if choices == YES_OR_NO}
        return Config(auth=self["credCheckers"], **{name.replace("-", "_"): value for name, value in chosen.items()})

    def _read_secrets(self) -> None:
        """Replace the paths of secrets by what is in the files, or in the variable."""
        if self["import-secret"] is not None:
            self["import-secret"] = secret_in(self["import-secret"])
        if self["import-auth"] is not None:
            self["import-auth"] = site_auth_in(self["import-auth"])
        elif IMPORT_AUTH in os.environ:
            self["import-auth"] = site_auth_of(os.fsencode(os.environ[IMPORT_AUTH]), IMPORT_AUTH)


def _in_a_line(words: str, given: Given | None) -> str:
    """Return a complaint, with where to read more if the command line is what is wrong."""
    on_line = given is None or given.origin() == "command line"
    return f"{words.rstrip('.')}; see twistd onec-exchange --help" if on_line else words
