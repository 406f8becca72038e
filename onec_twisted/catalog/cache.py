"""Sessions in use, in memory."""

from __future__ import annotations

from collections import OrderedDict

from attrs import define, evolve, field
from cachetools import LRUCache

from onec_twisted.model.records import FileRecord, Session

__all__ = ["AT_ONCE", "FILES_OF_SESSION", "MOST_SESSIONS", "KnownSession", "KnownSessions", "NothingKnown"]

MOST_SESSIONS = 2000
"""Sessions kept in memory."""

FILES_OF_SESSION = 300_000
"""Files that a session may have, whatever their size; a hand-off of that many takes 60 MB of memory while it runs."""

MOST_FILES = 100_000
"""Files in memory of all sessions together, about 250 bytes each; the last session used may have as many more."""

AT_ONCE = 1000
"""Files that are read together with their session; if it has more, each is read on demand."""

MOST_FORESEEN = 1000
"""Records of files that were read with their sessions, for requests that are about to ask for them."""

TRIM_AFTER = 1000
"""New files after which the cache is checked for too many."""


@define(eq=False)
class KnownSession:
    """A session, and those of its files that were read or written since.

    Its methods apply what was recorded. Outcomes may arrive in another order than they were recorded, so those of
    another epoch, or of another length of a file, change nothing. ``complete`` means that a file that is not in
    ``files`` is not on record either; ``count`` is the number of files on record.
    """

    session: Session
    files: dict[str, FileRecord] = field(factory=dict)
    complete: bool = True
    count: int = field()

    @count.default
    def _(self) -> int:
        return len(self.files)

    def knows(self, name: str) -> bool:
        """Return whether the record of a file, or its absence, is known."""
        return self.complete or name in self.files

    def touch(self, now: float) -> None:
        """Note that the session is in use."""
        self.session = evolve(self.session, touched=max(now, self.session.touched))

    def commit(
        self, epoch: int, name: str, before: int | None, after: int, now: float, *, proven: bool = False
    ) -> None:
        """Note that a file has grown from ``before`` bytes to ``after`` bytes; see ``FileRecord`` for ``proven``."""
        session = self.session
        if epoch == session.epoch:
            old = self.files.get(name)
            if before is None or self.complete or old is not None:
                damaged, sealed = (old.damaged, old.sealed) if old is not None else (False, False)
                self.files[name] = FileRecord(after, before or 0, proven, damaged, sealed)
            if before is None:
                self.count += 1
            held = session.held + after - (before or 0)
            self.session = Session(session.sessid, session.username, epoch, held, max(now, session.touched))

    def prove(self, epoch: int, name: str, committed: int) -> None:
        """Note that the answer to a file's last piece was delivered."""
        old = self.files.get(name)
        if epoch == self.session.epoch and old is not None and old.committed == committed:
            self.files[name] = FileRecord(committed, old.last_start, True, old.damaged, old.sealed)

    def damage(self, epoch: int, names: list[str]) -> None:
        """Note that files are damaged."""
        for name in names:
            if epoch == self.session.epoch and name in self.files:
                self.files[name] = evolve(self.files[name], damaged=True)

    def seal(self, epoch: int, names: list[str]) -> None:
        """Note that files were handed off."""
        for name in names:
            if epoch == self.session.epoch and name in self.files:
                self.files[name] = evolve(self.files[name], sealed=True)

    def forget_files(self) -> None:
        """Evict all files of the session; each is read on demand."""
        self.files, self.complete = {}, False

    def remove(self, epoch: int, name: str) -> None:
        """Note that a file is gone."""
        if epoch == self.session.epoch and name in self.files:
            record = self.files.pop(name)
            self.count -= 1
            self.session = evolve(self.session, held=self.session.held - record.committed)

    def start_epoch(self, epoch: int, now: float) -> None:
        """Note that all files are gone."""
        if epoch > self.session.epoch:
            self.files, self.complete, self.count = {}, True, 0
            self.session = evolve(self.session, epoch=epoch, held=0, touched=max(now, self.session.touched))


class KnownSessions:
    """The sessions in use, by token and by sessid; the least recently used is evicted first."""

    foresees = False
    """Whether the record of a file is read together with its session."""

    def __init__(self, sessions: int = MOST_SESSIONS, files: int = MOST_FILES) -> None:
        """Start empty, with room for ``sessions``, and ``files`` of all but the last session used."""
        self._most_sessions, self._most_files = sessions, files
        self._sessions: OrderedDict[str, tuple[KnownSession, str]] = OrderedDict()
        self._sessids: dict[str, str] = {}
        self._foreseen: LRUCache[tuple[str, str], tuple[FileRecord | None]] = LRUCache(MOST_FORESEEN)
        self._new = 0

    def of_token(self, token_hash: str) -> KnownSession | None:
        """Return the session that a token opens, None if it is not in memory."""
        sessid = self._sessids.get(token_hash)
        if sessid is None:
            return None
        self._sessions.move_to_end(sessid)
        return self._sessions[sessid][0]

    def of_sessid(self, sessid: str) -> KnownSession | None:
        """Return a session, None if it is not in memory."""
        found = self._sessions.get(sessid)
        return found[0] if found is not None else None

    def add(self, token_hash: str, known: KnownSession) -> None:
        """Add a session, and evict others if there are too many."""
        self.forget(known.session.sessid)
        self._sessions[known.session.sessid] = known, token_hash
        self._sessids[token_hash] = known.session.sessid
        self._trim()

    def foresee(self, sessid: str, name: str, record: FileRecord | None) -> None:
        """Keep the record of a file, None if there is none, for whoever asks for it next."""
        self._foreseen[sessid, name] = (record,)

    def take(self, sessid: str, name: str) -> tuple[FileRecord | None] | None:
        """Return what was foreseen of a file, and forget it; None if nothing was."""
        return self._foreseen.pop((sessid, name), None)

    def note_file(self) -> None:
        """Note that a session has one more file in memory."""
        self._new += 1
        if self._new >= TRIM_AFTER:
            self._trim()

    def _trim(self) -> None:
        """Evict what exceeds the limits: sessions, and files of the last one."""
        self._new = 0
        files = sum(len(one.files) for one, _ in self._sessions.values())
        while len(self._sessions) > 1:
            last = next(reversed(self._sessions.values()))[0]
            if len(self._sessions) <= self._most_sessions and files - len(last.files) <= self._most_files:
                break
            sessid = next(iter(self._sessions))
            files -= len(self._sessions[sessid][0].files)
            self.forget(sessid)
        for known, _ in self._sessions.values():
            if len(known.files) > self._most_files:
                known.forget_files()

    def forget(self, sessid: str) -> None:
        """Evict a session."""
        found = self._sessions.pop(sessid, None)
        if found is not None:
            del self._sessids[found[1]]


class NothingKnown(KnownSessions):
    """Nothing is kept in memory, because others write to the database as well.

    But a file's record that was read together with its session serves whoever asks for it first. Others may have
    changed it by then, as they may have at any time: each step compares what it was told with what is on record.
    """

    foresees = True

    def add(self, token_hash: str, known: KnownSession) -> None:
        """Keep nothing."""
