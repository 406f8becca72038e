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
    """What an importer may use.

    ``timeout`` is the limit of one try, in seconds. ``secret`` signs requests to a site, ``authorization`` is the
    header with the user and password for it; both are empty if there is none.
    """

    reactor: Any
    workers: Workers
    timeout: float
    secret: bytes = field(default=b"", repr=False)
    authorization: str = field(default="", repr=False)


class IImporter(Interface):
    """Imports hand-offs into the site."""

    def deliver(description: Description, progress: Callable[[str], None]) -> Awaitable[None]:
        """Import what is described, and return when that is done. Calls for one session never overlap.

        ``progress`` takes a line for the person who waits at the 1C screen. The same description is delivered again
        if the daemon dies before it has recorded the result. Raises ``ImportFailed`` with words for that person, and
        ``ImportInterrupted`` if the result is unknown, to be retried. The call may be cancelled.
        """


class IImporterFactory(Interface):
    """Makes an importer from the text after ``--importer=NAME:``. Plugins provide it, together with ``IPlugin``."""

    importerType: str = Attribute("The name, as in ``--importer=NAME:ARGUMENTS``.")
    importerHelp: str = Attribute("What it does, in a few lines, for ``--help-importers``.")
    argStringFormat: str = Attribute("What the arguments are, in a line.")

    def generateImporter(argstring: str, surroundings: Surroundings) -> IImporter:
        """Return the importer. Raises ``ValueError`` with words for the administrator."""
