"""Hand-offs on record, and what is known in memory of their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve
from records import QUOTA, now_of, opened

from onec_twisted.model.records import FAILED, FileRecord, Written

if TYPE_CHECKING:
    from onec_twisted.catalog.catalog import Catalog


def test_what_is_handed_off_is_sealed_in_memory(catalog: Catalog) -> None:
    """The next piece is refused without asking the database."""
    session = opened(catalog)
    now_of(catalog.files.commit(session, "a", None, lambda: Written(5), QUOTA, 2.0))
    handoff = now_of(catalog.handoffs.import_requested(session, "catalog", "a", "", 5, 3.0))

    assert now_of(catalog.files.find("s", "a")) == FileRecord(5, 0, sealed=True)
    assert now_of(catalog.handoffs.imported("s", "a")) == handoff
    assert now_of(catalog.handoffs.waiting()) == [handoff]


def test_what_was_settled_is_read_again(catalog: Catalog) -> None:
    """Which files they were is on record alone."""
    session = opened(catalog)
    now_of(catalog.files.commit(session, "a", None, lambda: Written(5), QUOTA, 2.0))
    (quiet,) = now_of(catalog.handoffs.quiet_since(3.0))
    (handoff,) = now_of(catalog.handoffs.settle(quiet, 3.0))

    assert now_of(catalog.files.find("s", "a")) == FileRecord(5, 0, sealed=True)
    description = now_of(catalog.handoffs.described(handoff, "/folder"))
    assert [file.name for file in description.files] == ["a"]


def test_what_has_failed_can_be_dropped_once(catalog: Catalog) -> None:
    """And nothing else can be."""
    session = opened(catalog)
    (handoff,) = now_of(catalog.handoffs.event_came(session, "complete", "catalog", "", 2.0))
    assert not now_of(catalog.handoffs.drop(handoff.id))
    now_of(catalog.handoffs.note_outcome(evolve(handoff, state=FAILED), 3.0))

    assert now_of(catalog.handoffs.drop(handoff.id))
    assert not now_of(catalog.handoffs.drop(handoff.id))
