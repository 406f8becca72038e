"""What is kept of a body that may break off anywhere; all or nothing is tested with the intakes."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field
from writing import MemoryFile, Receiving

from onec_twisted.ingest import checkpoints, writers
from onec_twisted.ingest.append import append_what_comes
from onec_twisted.ingest.writers import HIGH_WATER, WRITERS
from onec_twisted.model.errors import ConnectionDropped, FileTooLarge, InsufficientStorage, SessionRestarted

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.model.records import Written


@define(eq=False)
class KeepingWhatComes(Receiving):
    """A body that is kept as far as it comes; ``kept`` are the lengths that were put on record."""

    whole: int = 10**9
    kept: list[int] = field(factory=list)
    refuses: BaseException | None = None

    def begin(self, open_file: Callable[[], Any] | None = None) -> KeepingWhatComes:
        """Begin."""
        writer = WRITERS["auto"](self.body, self.workers, open_file or self.file.open)
        this: Any = self
        self.start_receiving(
            append_what_comes(this, this, writer, limit=self.whole, too_large=FileTooLarge(), whole=self.whole)
        )
        return self

    async def commit(self, write: Callable[[], Written]) -> None:
        """Put a length on record, which is on the disk by then."""
        written = await self.workers(write)
        assert self.file.state == "finished"
        if self.refuses is not None:
            raise self.refuses
        self.kept.append(written.length)

    def run(self) -> None:
        """Let workers do all that is asked of them."""
        while self.workers.waiting:
            self.workers.run()


@pytest.mark.parametrize("seed", range(20))
def test_what_comes_is_kept(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the body breaks off, every byte until there is on record; milestones only grow."""
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SIZE", 150_000)
    chance = random.Random(seed)
    receiving = KeepingWhatComes().begin()
    sent = b""
    for _ in range(chance.randrange(100)):
        if not receiving.body.paused:
            chunk = chance.randbytes(chance.choice([1, 100, 65536]))
            sent += chunk
            receiving.body.feed(chunk)
        if chance.random() < 0.5:
            receiving.workers.run()
    receiving.body.drop(ConnectionDropped())
    receiving.run()

    assert isinstance(receiving.outcome[0], ConnectionDropped)
    assert receiving.file.data == sent
    assert receiving.kept == sorted(set(receiving.kept))
    assert receiving.kept[-1:] == ([len(sent)] if sent else [])
    assert receiving.file.opened <= len(receiving.kept)


def test_a_whole_body_is_kept() -> None:
    """As by ``receive``."""
    receiving = KeepingWhatComes().begin()
    receiving.body.feed(b"abc")
    receiving.body.end()
    receiving.run()
    assert (receiving.outcome, receiving.kept, receiving.file.data) == ([None], [3], b"abc")


def test_too_much_leaves_the_last_milestone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came after it is rolled back, and nothing but the end may put all of it on record."""
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SIZE", 100_000)
    receiving = KeepingWhatComes(whole=200_000).begin()
    for _ in range(2):
        receiving.body.feed(b"x" * 100_000)
        receiving.run()
    receiving.body.drop(FileTooLarge())
    receiving.run()
    assert receiving.kept == [100_000]
    assert receiving.file.state == "rolled back"
    assert isinstance(receiving.outcome[0], FileTooLarge)


def test_a_disk_that_fills_up_keeps_what_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing that it may have taken in part; some of it makes room for the record."""
    monkeypatch.setattr(writers, "RECORD_SPARE", 100)
    receiving = KeepingWhatComes(file=MemoryFile(fails=InsufficientStorage(), fails_after=70_000)).begin()
    receiving.body.feed(b"x" * 65_536)
    receiving.run()
    receiving.body.feed(b"y" * 70_001)
    receiving.run()
    assert isinstance(receiving.outcome[0], InsufficientStorage)
    assert (receiving.kept, receiving.file.data) == ([65_536 - 100], b"x" * (65_536 - 100))


def test_a_record_that_is_refused_ends_the_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing more is kept then: the file is another's by now."""
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SIZE", 100_000)
    receiving = KeepingWhatComes(refuses=SessionRestarted()).begin()
    receiving.body.feed(b"x" * 100_000)
    receiving.run()
    assert isinstance(receiving.body.dropped, SessionRestarted)
    assert isinstance(receiving.outcome[0], SessionRestarted)
    assert receiving.kept == []


def test_memory_is_bounded_at_a_milestone(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk is waited for the sender is held back."""
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SIZE", 65_536)
    receiving = KeepingWhatComes().begin()
    receiving.body.feed(b"x" * 65_536)
    receiving.workers.run()
    while not receiving.body.paused:
        receiving.body.feed(b"x" * 65_536)
    assert receiving.body.received < 2 * HIGH_WATER
    receiving.run()
    assert not receiving.body.paused
    receiving.body.end()
    receiving.run()
    assert receiving.kept[-1] == receiving.body.received


@pytest.mark.parametrize("full_at", ["write", "record"])
def test_the_last_bytes_of_a_whole_body_find_no_room(full_at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those before them are kept, unless it is the record that is refused."""
    monkeypatch.setattr(writers, "RECORD_SPARE", 100)
    receiving = KeepingWhatComes().begin()
    receiving.body.feed(b"x" * 65_536)
    receiving.run()
    if full_at == "write":
        receiving.file.fails = InsufficientStorage()
    else:
        receiving.refuses = InsufficientStorage()
    receiving.body.feed(b"y")
    receiving.body.end()
    receiving.run()
    assert isinstance(receiving.outcome[0], InsufficientStorage)
    assert receiving.kept == ([65_536 - 100] if full_at == "write" else [])
