"""How one try of a real importer ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onec_twisted.model.errors import ImportFailed, ImportInterrupted

if TYPE_CHECKING:
    from onec_twisted.delivery.interfaces import IImporter
    from onec_twisted.model.description import Description


async def outcome_of(importer: IImporter, description: Description) -> tuple[str, str, list[str]]:
    """Deliver once; return how it ended, in which words, and the progress before."""
    progress: list[str] = []
    try:
        await importer.deliver(description, progress.append)
    except ImportFailed as failed:
        return "failed", failed.words, progress
    except ImportInterrupted as interrupted:
        return "interrupted", str(interrupted), progress
    return "done", "", progress
