"""Backups while pieces come, and their way back."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from onec_twisted.catalog.preparation import recorded_lengths
from onec_twisted.daemon import backup
from onec_twisted.daemon.backup import BackupFailed, Copied, back_up, restore
from onec_twisted.storage.copies import copy_bytes
from onec_twisted.storage.local import Store, path_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from in_memory import InMemory


def sent(exchange: InMemory, session: tuple[str, str], name: str, body: bytes) -> None:
    """Send a piece."""
    cookie, sessid = session
    reply = exchange.request("POST", f"type=catalog&mode=file&filename={name}&sessid={sessid}", body, Cookie=cookie)
    assert reply.body == b"success"


def started_over(exchange: InMemory, session: tuple[str, str]) -> None:
    """Send ``init``."""
    cookie, sessid = session
    assert exchange.request("GET", f"type=catalog&mode=init&sessid={sessid}", b"", Cookie=cookie).status == 200


def contents(folder: Path) -> dict[str, bytes]:
    """Return what each file on record has, by sessid and name: as many bytes as are on record."""
    store, found = Store(folder), {}
    for sessid, files in recorded_lengths(store.database).items():
        for name, size in files.items():
            with open(path_in(store.folder(sessid), name), "rb") as file:
                data = file.read()
            assert len(data) >= size
            found[f"{sessid}/{name}"] = data[:size]
    return found


def test_there_and_back(exchange: InMemory, tmp_path: Path) -> None:
    """Everything on record is in the backup, and in what is made of it; nothing else is."""
    session = exchange.checkauth()
    sent(exchange, session, "import0_1.xml", b"one")
    sent(exchange, session, "import0_1.xml", b", two")
    sent(exchange, session, "import_files/a.jpg", b"picture")
    copied = back_up(exchange.folder, tmp_path / "backup")
    sent(exchange, session, "import0_1.xml", b", three")
    again = restore(tmp_path / "backup", tmp_path / "new")

    assert copied == again == Copied(1, 2, 15, 0)
    sessid = session[1]
    expected = {f"{sessid}/import0_1.xml": b"one, two", f"{sessid}/import_files/a.jpg": b"picture"}
    assert contents(tmp_path / "backup") == contents(tmp_path / "new") == expected


def test_what_comes_meanwhile(exchange: InMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces, ``init`` and logins in between: whatever the copied catalog promises is there."""
    chance = random.Random(7)
    sessions = [exchange.checkauth() for _ in range(12)]
    for session in sessions:
        sent(exchange, session, "import0_1.xml", b"a" * 10)
    copy: Callable[..., None] = copy_bytes
    steps = iter(range(40))

    def disturbed(*arguments: Any) -> None:
        if next(steps, None) is not None:
            session = chance.choice(sessions)
            if chance.random() < 0.3:
                started_over(exchange, session)
            sent(exchange, session, "import0_1.xml", bytes([chance.randrange(65, 90)]) * chance.randrange(1, 20))
            sent(exchange, session, "offers0_1.xml", b"b")
        copy(*arguments)

    monkeypatch.setattr(backup, "copy_bytes", disturbed)
    monkeypatch.setattr(backup, "MOST_ROUNDS", 100)
    said: list[str] = []
    copied = back_up(exchange.folder, tmp_path / "backup", said.append)

    assert copied.damaged == 0
    assert any("copied again" in one for one in said)
    live = contents(exchange.folder)
    for name, data in contents(tmp_path / "backup").items():
        assert live[name].startswith(data)


def test_a_session_that_starts_over_all_the_time(
    exchange: InMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backup gives up instead of being wrong."""
    session = exchange.checkauth()
    sent(exchange, session, "import0_1.xml", b"a")
    copy: Callable[..., None] = copy_bytes

    def disturbed(*arguments: Any) -> None:
        started_over(exchange, session)
        sent(exchange, session, "import0_1.xml", b"b")
        copy(*arguments)

    monkeypatch.setattr(backup, "copy_bytes", disturbed)
    with pytest.raises(BackupFailed, match="quieter time"):
        back_up(exchange.folder, tmp_path / "backup")


def test_a_file_that_has_lost_bytes(exchange: InMemory, tmp_path: Path) -> None:
    """It is counted; the next daemon finds it damaged as this one does."""
    session = exchange.checkauth()
    sent(exchange, session, "import0_1.xml", b"abc")
    (exchange.folder / "1c_temp" / session[1] / "import0_1.xml").write_bytes(b"a")

    assert back_up(exchange.folder, tmp_path / "backup").damaged == 1


def test_what_cannot_be_copied(exchange: InMemory, tmp_path: Path) -> None:
    """Nothing is overwritten, and each reason is one line."""
    session = exchange.checkauth()
    sent(exchange, session, "import0_1.xml", b"abc")
    back_up(exchange.folder, tmp_path / "backup")

    with pytest.raises(BackupFailed, match="name a new folder"):
        back_up(exchange.folder, tmp_path / "backup")
    with pytest.raises(BackupFailed, match="is no media root"):
        back_up(tmp_path / "nothing", tmp_path / "other")
    with pytest.raises(BackupFailed, match="is no backup"):
        restore(tmp_path / "nothing", tmp_path / "other")
    with pytest.raises(BackupFailed, match="name a new folder"):
        restore(tmp_path / "backup", exchange.folder)
    running = Store(tmp_path / "running")
    running.prepare()
    running.lock()
    with pytest.raises(BackupFailed, match="stop it first"):
        restore(tmp_path / "backup", tmp_path / "running")
    running.unlock()


def test_a_folder_of_a_daemon_that_shares_its_records(tmp_path: Path) -> None:
    """It holds nothing to back up: PostgreSQL and the object store have their own tools."""
    (tmp_path / "media" / "scratch").mkdir(parents=True)
    with pytest.raises(BackupFailed, match="back up PostgreSQL, and the object store"):
        back_up(tmp_path / "media", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
