"""All that the author of an importer imports: what it is given, what it provides, what it raises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from zope.interface import Attribute, Interface

from onec_twisted.model.errors import ImportFailed, ImportInterrupted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from onec_twisted.model.description import Description
    from onec_twisted.runtime.workers import Workers

__all__ = ["IImporter", "IImporterFactory", "ImportFailed", "ImportInterrupted", "Surroundings"]


@frozen
class Surroundings:
    """What an importer may work with.

    ``timeout`` is in seconds for one try, ``secret`` signs what a site is sent, ``authorization`` is the header that
    says who asks there; the two are empty when there is none.
    """

    reactor: Any
    workers: Workers
    timeout: float
    secret: bytes = field(default=b"", repr=False)
    authorization: str = field(default="", repr=False)


class IImporter(Interface):
    """Takes what was handed off, into the site."""

    def deliver(description: Description, progress: Callable[[str], None]) -> Awaitable[None]:
        """Import what is described, and return when that is done. Never called twice at once for one session.

        ``progress`` takes a line for the person who waits at the 1C screen. The same description may come again: when
        the daemon dies before it has noted the end. Raises ``ImportFailed`` with words for that person, and
        ``ImportInterrupted`` when it cannot say how it ended, and wants to be asked again. It may be cancelled.
        """


class IImporterFactory(Interface):
    """Makes an importer from what follows ``--importer=NAME:``. Provided by plugins, together with ``IPlugin``."""

    importerType: str = Attribute("The name, as in ``--importer=NAME:ARGUMENTS``.")
    importerHelp: str = Attribute("What it does, in a few lines, for ``--help-importers``.")
    argStringFormat: str = Attribute("What the arguments are, in a line.")

    def generateImporter(argstring: str, surroundings: Surroundings) -> IImporter:
        """Return the importer. Raises ``ValueError`` with words for the administrator."""
