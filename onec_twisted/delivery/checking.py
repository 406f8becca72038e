"""Looks at the documents of a hand-off before the importer is called: a broken one fails in words.

A process of its own does that, ``check``; a few run at a time. What was found is on record with the hand-off, so that
the same id always comes with the same description.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field, frozen
from twisted.logger import Logger

from onec_twisted.delivery.processes import TooMuchAsked, run_program
from onec_twisted.model.document import Document
from onec_twisted.model.errors import ImportFailed, ImportInterrupted
from onec_twisted.model.records import SETTLED
from onec_twisted.model.shops import shares_of
from onec_twisted.runtime.fairness import Places, Sharing, Slots

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from onec_twisted.catalog.handoffs import HandoffRecords
    from onec_twisted.delivery.destinations import Destination
    from onec_twisted.model.description import Description
    from onec_twisted.model.records import Handoff
    from onec_twisted.runtime.metrics import Metrics
    from onec_twisted.runtime.workers import Workers

__all__ = ["Checker", "Checking"]

CHECK = str(Path(__file__).with_name("check.py"))

AT_ONCE = 4
"""Hand-offs whose documents are read at the same time; no user has more than are left for others."""

LONGEST_ANSWER = 16 * 1024 * 1024
"""Most bytes that the process writes: a document takes some 600."""

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
"""How the folder with the documents is opened."""

WITH_DOCUMENTS = frozenset({"import", SETTLED})
"""Events whose documents are read: what a tus client uploads is handed off as it is."""


@frozen(eq=False)
class Checker:
    """Reads documents, each hand-off's in a separate process, within ``timeout`` seconds."""

    reactor: Any
    timeout: float

    async def __call__(self, fd: int, documents: list[tuple[str, int]]) -> tuple[list[Document], str]:
        """Return what is in the documents of the folder that is open, and why the next one is broken, if it is.

        The folder has to stay open meanwhile. Raises ``TooMuchAsked``. Cancellation kills the process.
        """
        answer = bytearray()

        def take(data: bytes) -> None:
            answer.extend(data)
            if len(answer) > LONGEST_ANSWER:
                raise TooMuchAsked("its answer has no end")

        written = f"{json.dumps(documents)}\n".encode("ascii")
        await run_program(self.reactor, CHECK, [], fd, take, timeout=self.timeout, written=written)
        told = json.loads(bytes(answer))
        return [Document.from_dict(one) for one in told["documents"]], told["broken"]


@define(eq=False, kw_only=True)
class Checking:
    """Describes hand-offs to the importer, with what is in their documents.

    ``prepare`` makes a hand-off ready, see ``Preparation``; ``check`` reads documents, see ``Checker``.
    """

    prepare: Callable[[Handoff, Destination, Callable[[str], None]], Awaitable[Description]]
    records: HandoffRecords
    workers: Workers
    check: Callable[[int, list[tuple[str, int]]], Awaitable[tuple[list[Document], str]]]
    metrics: Metrics
    sharing: Sharing = field(factory=Sharing)
    _slots: Slots = field(init=False)
    _log = Logger()

    @_slots.default
    def _make_slots(self) -> Slots:
        return Slots(Places(AT_ONCE, self.sharing))

    async def __call__(
        self, handoff: Handoff, destination: Destination, progress: Callable[[str], None]
    ) -> Description:
        """Return the description of a hand-off that is ready, with what is in its documents.

        Raises ``ImportFailed`` for a document that is broken, and what ``prepare`` raises.
        """
        description = await self.prepare(handoff, destination, progress)
        if not destination.check_documents or handoff.event not in WITH_DOCUMENTS or description.archive is not None:
            return description
        names = [(file.name, file.size) for file in description.files if file.name.lower().endswith(".xml")]
        if not names:
            return description
        recorded = await self.records.checked(handoff)
        if recorded:
            documents = [Document.from_dict(one) for one in json.loads(recorded)]
        else:
            progress(f"Checking {handoff.filename or 'documents'}")
            async with self._slots.of(shares_of(handoff.username)):
                documents = await self._read(handoff, description.folder, names)
            await self.records.note_checked(handoff, json.dumps([one.as_dict() for one in documents]))
        return await self.workers(_with, description, documents)

    async def _read(self, handoff: Handoff, folder: str, names: list[tuple[str, int]]) -> list[Document]:
        """Return what is in documents, logged and counted."""
        try:
            fd = await self.workers(os.open, folder, FOLDER_FLAGS)
            try:
                documents, broken = await self.check(fd, names)
            finally:
                os.close(fd)
        except OSError as error:
            raise ImportInterrupted(f"Documents cannot be read yet: {error.strerror}") from error
        except TooMuchAsked as error:
            self._log.warn(
                "{sessid}: documents exceeded a limit when they were checked ({error})",
                sessid=handoff.sessid,
                user=handoff.username,
                handoff=handoff.id,
                error=str(error),
            )
            self.metrics.checked("broken", 1)
            raise ImportFailed("The documents take too much time or memory to be checked") from None
        for document in documents:
            self._log_found(handoff, document)
        self.metrics.checked("sound", len(documents))
        if broken:
            self.metrics.checked("broken", 1)
            raise ImportFailed(broken)
        return documents

    def _log_found(self, handoff: Handoff, document: Document) -> None:
        """Log what is in a document."""
        self._log.info(
            "{sessid}: {document} is well-formed: {products} products, {offers} offers, {prices} prices, "
            "{rests} rests, {orders} orders, {missing} of {pictures} pictures missing",
            sessid=handoff.sessid,
            user=handoff.username,
            handoff=handoff.id,
            document=document.name,
            root=document.root,
            version=document.version,
            changes_only=document.changes_only,
            products=document.products,
            offers=document.offers,
            prices=document.prices,
            rests=document.rests,
            orders=document.orders,
            groups=document.groups,
            pictures=document.pictures,
            missing=document.missing,
        )


def _with(description: Description, documents: list[Document]) -> Description:
    """Return a description with documents, its JSON already made, in a worker."""
    ready = evolve(description, documents=tuple(documents))
    ready.as_json()
    return ready
