"""Backups that are consistent although the daemon goes on, and their way back. Everything here blocks.

A backup is a media root: the catalog, and of each file on record as many bytes as the catalog says. The catalog is
copied first; files only grow, so that afterwards each has at least the bytes that the copy promises. Only ``init``
and the end of a session take bytes away: sessions to which that happened meanwhile are copied again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from onec_twisted.catalog.preparation import copy_catalog, recorded_epochs, recorded_lengths
from onec_twisted.model.errors import FileDamaged
from onec_twisted.storage.copies import copy_bytes
from onec_twisted.storage.folders import read_manifest, remove, write_manifest
from onec_twisted.storage.local import SCRATCH, MediaRootTaken, Store, path_in

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BackupFailed", "Copied", "back_up", "restore"]

MOST_ROUNDS = 10
"""How often sessions are copied again that changed meanwhile."""


class BackupFailed(Exception):
    """The copy cannot be made; the message says why, and what to do."""


@frozen
class Copied:
    """What was copied: numbers, and bytes; ``damaged`` files had lost bytes before."""

    sessions: int
    files: int
    size: int
    damaged: int


@define
class _Copy:
    """A copy on its way: what is there already, by sessid."""

    source: Store
    target: Store
    report: Callable[[str], None]
    epochs: dict[str, tuple[int, str]] = field(factory=dict)
    files: dict[str, dict[str, int]] = field(factory=dict)
    damaged: set[tuple[str, str]] = field(factory=set)

    def session(self, sessid: str, place: tuple[int, str], files: dict[str, int], *, is_last: bool) -> bool:
        """Copy what is missing of a session; return whether it is complete."""
        if self.epochs.get(sessid) != place:
            self.drop(sessid)
            self.epochs[sessid], self.files[sessid] = place, {}
        for store in (self.source, self.target):
            store.move(sessid, place[1] or sessid)
        known, folder, copied = self.files[sessid], self.source.folder(sessid), self.target.folder(sessid)
        for name, size in files.items():
            if known.get(name) == size:
                continue
            try:
                copy_bytes(path_in(folder, name), path_in(copied, name), size)
            except (FileDamaged, FileNotFoundError, NotADirectoryError):
                if not is_last:
                    return False
                self.damaged.add((sessid, name))
            known[name] = size
        manifest = read_manifest(folder)
        if manifest:
            write_manifest(copied, manifest)
        return True

    def drop(self, sessid: str) -> None:
        """Remove what was copied of a session."""
        if sessid in self.epochs:
            self.target.move(sessid, self.epochs.pop(sessid)[1] or sessid)
            remove(Path(self.target.folder(sessid)))

    def outcome(self, recorded: dict[str, dict[str, int]]) -> Copied:
        """Return what is there in the end."""
        sizes = [size for files in recorded.values() for size in files.values()]
        return Copied(len(recorded), len(sizes), sum(sizes), len(self.damaged))


def back_up(media_root: Path, folder: Path, report: Callable[[str], None] = lambda _: None) -> Copied:
    """Copy a media root to a new folder, also while the daemon runs; ``report`` is called with progress in words.

    Raises ``BackupFailed`` and ``OSError``.
    """
    source, target = Store(media_root), Store(folder)
    if not source.database.is_file() and (media_root / SCRATCH).is_dir():
        raise BackupFailed(
            f"{media_root} holds nothing that lasts: its daemon has --catalog and --store; back up PostgreSQL, and"
            " the object store, with their own tools"
        )
    if not source.database.is_file():
        raise BackupFailed(f"{media_root} is no media root: {source.database} is missing")
    _check_empty(target, folder)
    target.prepare()
    copy = _Copy(source, target, report)
    for number in range(MOST_ROUNDS):
        copy_catalog(source.database, target.database)
        recorded, epochs = recorded_lengths(target.database), recorded_epochs(target.database)
        for sessid in set(copy.epochs) - set(recorded):
            copy.drop(sessid)
        is_last = number == MOST_ROUNDS - 1
        done = [copy.session(sessid, epochs[sessid], recorded[sessid], is_last=is_last) for sessid in epochs]
        now = recorded_epochs(source.database)
        changed = {sessid for sessid, epoch in epochs.items() if now.get(sessid, epoch) != epoch}
        for sessid in changed:
            copy.drop(sessid)
        if all(done) and not changed:
            return copy.outcome(recorded)
        report(f"{len(changed) or done.count(False)} sessions changed meanwhile and are copied again")
    raise BackupFailed("sessions start over faster than they can be copied: try again at a quieter time")


def restore(folder: Path, media_root: Path, report: Callable[[str], None] = lambda _: None) -> Copied:
    """Make a new media root from a backup, for a daemon that does not run yet.

    Raises ``BackupFailed`` and ``OSError``.
    """
    source, target = Store(folder), Store(media_root)
    if not source.database.is_file():
        raise BackupFailed(f"{folder} is no backup: {source.database} is missing")
    target.prepare()
    try:
        target.lock()
    except MediaRootTaken:
        raise BackupFailed(f"a daemon is using {media_root}: stop it first") from None
    try:
        _check_empty(target, media_root)
        copy = _Copy(source, target, report)
        recorded, epochs = recorded_lengths(source.database), recorded_epochs(source.database)
        for sessid, place in epochs.items():
            copy.session(sessid, place, recorded[sessid], is_last=True)
        copy_catalog(source.database, target.database)  # the last step: without it there is no media root
    finally:
        target.unlock()
    return copy.outcome(recorded)


def _check_empty(target: Store, named: Path) -> None:
    """Raise ``BackupFailed`` if there is something already."""
    if target.database.exists() or (target.temp.is_dir() and any(path.is_dir() for path in target.temp.iterdir())):
        raise BackupFailed(f"{named} has files of onec-exchange already: name a new folder")
