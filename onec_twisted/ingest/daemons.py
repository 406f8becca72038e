"""Whether other daemons serve the same sessions, and what a piece has to ask because of that.

A daemon alone knows all answers to a file's pieces, and nobody else writes to a file. With several of them, a node
may have repeated a request elsewhere while this one was frozen; so what is asked late is refused, what nobody waits
for is not recorded, and each answer to a piece has a name, by which any daemon can prove it or take it over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from attrs import frozen
from zope.interface import Attribute, Interface, implementer

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.http.acknowledgement import Acknowledgement
    from onec_twisted.http.interfaces import IBody
    from onec_twisted.model.records import FileRecord, Session, Written

__all__ = ["REPEAT_PATIENCE", "Alone", "IDaemons", "Overtaken"]

T = TypeVar("T")

REPEAT_PATIENCE = 2.0
"""Seconds that an equal piece waits to learn whether the previous answer arrived."""


class Overtaken(Exception):
    """Another daemon has changed a file since this one read its length; ``written`` is what was not recorded."""

    def __init__(self, written: Written) -> None:
        super().__init__("another daemon has changed the file")
        self.written = written


class IDaemons(Interface):
    """The daemons that may serve the same sessions, as one of them sees it."""

    is_alone: bool = Attribute("Whether there is only one: nothing but ``was_lost`` need be asked then.")

    def name_answer() -> str:
        """Return a new name for the answer to a piece."""

    async def check_in_time(session: Session, body: IBody) -> None:
        """Check that others cannot have gone on with a session since a request for it came.

        Call it when the records are read that the request builds on. Raises ``FileBusy``.
        """

    def guarded(body: IBody, write: Callable[[], T]) -> Callable[[], T]:
        """Return ``write``, for a worker, which fails in the end if the sender of a body does not wait any more.

        It raises ``ConnectionDropped`` then: what nobody waits for must not be recorded.
        """

    def has_left(body: IBody) -> bool:
        """Return whether the sender of a body does not wait any more: it will repeat what it sent."""

    async def was_lost(
        session: Session, name: str, record: FileRecord, acknowledgement: Acknowledgement | None, answer: str
    ) -> bool:
        """Return whether the answer to the last piece of a file never arrived: an equal piece is a repeat of it.

        ``acknowledgement`` is that of this daemon, None if it gave no answer. If it was lost, the answer named
        ``answer`` counts for that piece from now on. Raises ``FileBusy`` while another daemon deals with the file.
        """

    async def has_same(session: Session, name: str, before: int | None, written: Written, answer: str) -> bool:
        """Return whether the piece that overtook another, at ``before`` bytes, is the same; its answer was lost.

        Raises ``FileBusy`` for any other.
        """

    async def claim(sessid: str, upload_id: str) -> int:
        """Let a request count as the newest for a resumable upload, and return its number.

        What an older one has still received is not recorded (RUFH, "Concurrency").
        """

    async def confirm(session: Session) -> None:
        """Record something durably, before an answer that confirms what was only read."""


@implementer(IDaemons)
@frozen(eq=False)
class Alone:
    """One daemon, which knows everything that it needs."""

    is_alone = True

    def name_answer(self) -> str:
        return ""

    async def check_in_time(self, session: Session, body: IBody) -> None:
        """Do nothing."""

    def guarded(self, body: IBody, write: Callable[[], T]) -> Callable[[], T]:
        return write

    def has_left(self, body: IBody) -> bool:
        """Return False: the kernel tells what was delivered."""
        return False

    async def was_lost(
        self, session: Session, name: str, record: FileRecord, acknowledgement: Acknowledgement | None, answer: str
    ) -> bool:
        return acknowledgement is None or not await acknowledgement.known(REPEAT_PATIENCE)

    async def has_same(self, session: Session, name: str, before: int | None, written: Written, answer: str) -> bool:
        """Return False: nobody else writes."""
        return False

    async def claim(self, sessid: str, upload_id: str) -> int:
        """Return 0: the newest request is known here."""
        return 0

    async def confirm(self, session: Session) -> None:
        """Do nothing: what was read is on the disk."""
