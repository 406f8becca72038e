"""Sessions in use, in memory."""

from __future__ import annotations

from collections import OrderedDict

from attrs import define, evolve, field

from onec_twisted.model.records import FileRecord, Session

__all__ = ["KnownSession", "KnownSessions"]

MOST_SESSIONS = 2000
"""Sessions kept in memory."""

FILES_OF_SESSION = 300_000
"""Files that a session may have, whatever their size; a hand-off of that many is 60 MB in memory while it runs."""

MOST_FILES = 100_000
"""Files kept in memory, of all sessions together; about 250 bytes each. The session used last may have as many."""

AT_ONCE = 1000
"""Files of a session that are read with it; of one that has more each is read when it is asked for."""

TRIM_AFTER = 1000
"""New files after which it is looked whether too many are in memory."""


@define(eq=False)
class KnownSession:
    """A session, and those of its files that were read, or written since.

    Its methods do what a record did, whose outcomes may come in another order than they were recorded: what belongs
    to another epoch, or to another length of a file, changes nothing. ``complete`` says that a file that is not here
    is not on record either; ``count`` is how many are.
    """

    session: Session
    files: dict[str, FileRecord] = field(factory=dict)
    complete: bool = True
    count: int = field()

    @count.default
    def _(self) -> int:
        return len(self.files)

    def knows(self, name: str) -> bool:
        """Return whether it is known what is on record of a file, if only that nothing is."""
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
        record = self.files.get(name)
        if epoch == self.session.epoch and record is not None and record.committed == committed:
            self.files[name] = evolve(record, proven=True)

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
        """Know none of its files any more; each is read when it is asked for."""
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
    """The sessions in use, by token and by sessid; the least recently used is forgotten first."""

    def __init__(self, sessions: int = MOST_SESSIONS, files: int = MOST_FILES) -> None:
        """Know none, and keep at most so many sessions, and files of others than the last."""
        self._most_sessions, self._most_files = sessions, files
        self._sessions: OrderedDict[str, tuple[KnownSession, str]] = OrderedDict()
        self._sessids: dict[str, str] = {}
        self._new = 0

    def of_token(self, token_hash: str) -> KnownSession | None:
        """Return the session that a token opens, None if it is not known."""
        sessid = self._sessids.get(token_hash)
        if sessid is None:
            return None
        self._sessions.move_to_end(sessid)
        return self._sessions[sessid][0]

    def of_sessid(self, sessid: str) -> KnownSession | None:
        """Return a session, None if it is not known."""
        found = self._sessions.get(sessid)
        return found[0] if found is not None else None

    def add(self, token_hash: str, known: KnownSession) -> None:
        """Know a session, and forget others where they are too many."""
        self.forget(known.session.sessid)
        self._sessions[known.session.sessid] = known, token_hash
        self._sessids[token_hash] = known.session.sessid
        self._trim()

    def note_file(self) -> None:
        """Note that a session has one more file in memory."""
        self._new += 1
        if self._new >= TRIM_AFTER:
            self._trim()

    def _trim(self) -> None:
        """Forget what is too much: sessions, and what is known of the files of the last one."""
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
        """Know a session no more."""
        found = self._sessions.pop(sessid, None)
        if found is not None:
            del self._sessids[found[1]]
