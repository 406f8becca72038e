"""``--importer=NAME:ARGUMENTS``: the available importers, and how one is made.

Importers are Twisted plugins: a dropin under ``twisted/plugins/`` adds one by an object that provides
``IImporterFactory``. Ours are defined here, and import what they need only when chosen, because every ``twistd``
command loads this module.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from attrs import frozen
from twisted.plugin import IPlugin, getPlugins
from zope.interface import implementer

from onec_twisted.delivery.interfaces import IImporterFactory

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.delivery.interfaces import IImporter, Surroundings

__all__ = ["OURS", "ImporterFactory", "factory_of", "importers_help", "make_importer"]


def _keep(argument: str, surroundings: Surroundings) -> IImporter:
    from onec_twisted.delivery.keep import Keep

    if argument:
        raise ValueError("keep takes no arguments")
    return Keep(surroundings.workers)


def _exec(argument: str, surroundings: Surroundings) -> IImporter:
    from onec_twisted.delivery.program import Program, checked_program

    return Program(checked_program(argument), surroundings.reactor, surroundings.timeout)


def _web(scheme: str) -> Callable[[str, Surroundings], IImporter]:
    def make(argument: str, surroundings: Surroundings) -> IImporter:
        from onec_twisted.delivery.client import SiteClient, address_of
        from onec_twisted.delivery.webhook import Webhook

        address = address_of(scheme, argument)
        authorization = address.authorization or surroundings.authorization
        client = SiteClient(surroundings.reactor, surroundings.secret, authorization)
        return Webhook(address.url, client, surroundings.timeout)

    return make


@implementer(IImporterFactory, IPlugin)
@frozen(eq=False)
class ImporterFactory:
    """The factory of one of our importers."""

    importerType: str
    importerHelp: str
    argStringFormat: str
    make: Callable[[str, Surroundings], IImporter]

    def generateImporter(self, argstring: str, surroundings: Surroundings) -> IImporter:
        return self.make(argstring, surroundings)


WEB_HELP = """
The address gets a POST with the description as JSON: 2xx is success, unless the body is an error page or says
failure; 202 asks to be polled; 4xx is failure, with the text of the answer; anything else is retried.
--import-secret signs the requests.
"""

OURS = (
    ImporterFactory(
        "keep",
        """
Files stay in MEDIA_ROOT/1c_temp/<sessid>; manifest.json beside them lists what was handed off.
""",
        "none",
        _keep,
    ),
    ImporterFactory(
        "exec",
        """
The program is started with the folder and the name as arguments, and the description as JSON on standard input.
Its standard output is shown as progress; status 0 is success, 75 asks for a retry, and any other status is failure,
with the last line of standard error as its message.
""",
        "Path of the program",
        _exec,
    ),
    ImporterFactory("http", WEB_HELP, "Rest of the address, as in http://127.0.0.1:8000/1c-import", _web("http")),
    ImporterFactory("https", WEB_HELP, "Rest of the address, as in https://shop.example/1c-import", _web("https")),
)


def _all() -> dict[str, IImporterFactory]:
    return {factory.importerType: factory for factory in getPlugins(IImporterFactory)}


@lru_cache
def _called(name: str) -> IImporterFactory:
    """Return a factory by its name. Looking through the plugins takes long, and there may be a thousand shops."""
    return _all()[name]


def factory_of(spec: str) -> IImporterFactory:
    """Return the factory that ``NAME:ARGUMENTS`` names. Raises ``LookupError``."""
    return _called(spec.partition(":")[0])


def make_importer(spec: str, surroundings: Surroundings) -> IImporter:
    """Return the importer for ``NAME:ARGUMENTS``. Raises ``LookupError``, or ``ValueError`` with a message."""
    return factory_of(spec).generateImporter(spec.partition(":")[2], surroundings)


def importers_help() -> str:
    """Return what ``--help-importers`` prints."""
    lines = ["Usage: --importer=NAME[:ARGUMENTS]", "", "Available importers:"]
    for name, factory in sorted(_all().items()):
        lines += ["", f"  {name}", f"    Arguments: {factory.argStringFormat}"]
        lines += [f"    {line}" for line in factory.importerHelp.strip().splitlines()]
    return "\n".join(lines)
