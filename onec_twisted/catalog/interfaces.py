"""What a database of the catalog provides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import Interface

if TYPE_CHECKING:
    from collections.abc import Callable

    Step = tuple[Callable[..., Any], tuple[Any, ...]]
    """A function, and its arguments after the cursor."""

__all__ = ["IDatabase"]


class IDatabase(Interface):
    """What is on record. Its methods block: they are called in workers."""

    def read(question: Callable[..., Any], *args: Any) -> Any:
        """Run a query, a function of a cursor, that finds its rows by key."""

    def survey(question: Callable[..., Any], *args: Any) -> Any:
        """Run a long query; only other long queries wait for it."""

    def record(steps: list[Step]) -> list[Any]:
        """Record steps; return what each returned, or its Failure. A failed step does not affect the others.

        A step for which there is no room fails with ``InsufficientStorage``; ``CatalogBusy`` means that the same may
        be tried again later.
        """

    def probe() -> None:
        """Check that records can be written. Raises ``DatabaseFailed`` when not, and ``CatalogBusy``."""

    def sync() -> None:
        """Sync all records to the disk, where single transactions are not synced. Raises ``OSError``."""

    def tidy() -> None:
        """Put in order what has grown, if that is needed."""

    def check() -> None:
        """Check that the database is still there; may be called in any thread. Raises ``StorageRemoved``."""

    def close() -> None:
        """Close the connections."""
