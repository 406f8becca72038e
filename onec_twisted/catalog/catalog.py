"""The records by subject; all parts use the same recorder, and so share transactions and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from onec_twisted.catalog.files import FileRecords
from onec_twisted.catalog.handoffs import HandoffRecords
from onec_twisted.catalog.journal import Journal
from onec_twisted.catalog.sessions import SessionRecords

if TYPE_CHECKING:
    from onec_twisted.catalog.recorder import Recorder

__all__ = ["Catalog"]


@define(eq=False)
class Catalog:
    """Makes the parts; each user receives only the part that it needs."""

    recorder: Recorder
    sessions: SessionRecords = field(init=False)
    files: FileRecords = field(init=False)
    handoffs: HandoffRecords = field(init=False)
    journal: Journal = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make the parts on one recorder."""
        self.sessions = SessionRecords(self.recorder)
        self.files = FileRecords(self.recorder)
        self.handoffs = HandoffRecords(self.recorder)
        self.journal = Journal(self.recorder)
