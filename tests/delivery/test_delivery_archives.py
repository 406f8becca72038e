"""Who waits for what lies in archives: each is read once, users take turns, and nobody is kept waiting for ever."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred

from onec_twisted.delivery import archives as module
from onec_twisted.delivery.archives import Archives, Asker, StillReading
from onec_twisted.delivery.processes import TooMuchAsked
from onec_twisted.model.errors import ArchivesBusy, FileDamaged, ImportFailed, ShuttingDown
from onec_twisted.model.records import Session
from onec_twisted.storage.archive import ArchiveDamaged, Entry
from onec_twisted.storage.directory import Directory
from onec_twisted.testing import LateWorkers, inline

if TYPE_CHECKING:
    from twisted.internet.task import Clock

    from onec_twisted.model.names import SafeName


@define(eq=False)
class Shelf:
    """A store of archives, and what reads them: it waits until the test says what lies in one."""

    opened: list[str] = field(factory=list)
    reading: list[tuple[str, Deferred[Directory]]] = field(factory=list)
    ended: list[str] = field(factory=list)
    missing: dict[str, int] = field(factory=dict)
    full: bool = False
    descriptors: list[int] = field(factory=list)

    def open_archive(self, sessid: str, name: SafeName) -> int:
        """See ``IStore``."""
        if str(name) in self.missing:
            raise OSError(self.missing[str(name)], "not there")
        self.opened.append(f"{sessid}/{name}")
        self.descriptors.append(os.open(os.devnull, os.O_RDONLY))
        return self.descriptors[-1]

    def examine(self, fd: int, size: int) -> Deferred[Directory]:
        """See ``Examiner``."""
        assert fd == self.descriptors[-1]
        if self.full:
            raise OSError("no processes")
        name = self.opened[-1]
        waiting: Deferred[Directory] = Deferred(lambda _: self.ended.append(name))
        self.reading.append((name, waiting))
        return waiting

    def answer(self, name: str, *names: str) -> None:
        """Say what lies in an archive that is being read."""
        self._take(name).callback(Directory.of(Entry((one,), sound=True) for one in names))

    def fail(self, name: str, error: Exception) -> None:
        """Say why an archive cannot be read."""
        self._take(name).errback(error)

    def _take(self, name: str) -> Deferred[Directory]:
        (found,) = [one for one in self.reading if one[0] == name]
        self.reading.remove(found)
        return found[1]

    def all_closed(self) -> bool:
        """Return whether no descriptor is left open."""
        for fd in self.descriptors:
            try:
                os.fstat(fd)
            except OSError:
                continue
            return False
        return True


@pytest.fixture
def shelf() -> Shelf:
    """Archives without disk or process."""
    return Shelf()


@pytest.fixture
def archives(shelf: Shelf, clock: Clock) -> Archives:
    """What is tested."""
    store: Any = shelf
    made = Archives(store, inline, clock, shelf.examine)
    made.startService()
    return made


def asker(clock: Clock, sessid: str = "s", user: str = "shop", patience: float = 10, epoch: int = 1) -> Asker:
    """Return a node that asks."""
    return Asker(Session(sessid, user, epoch, 0, 0.0), clock.seconds() + patience)


def ask(archives: Archives, who: Asker, archive: str = "a.zip", size: int = 1) -> list[Any]:
    """Ask; what is heard comes into the list."""
    heard: list[Any] = []
    asking = Deferred.fromCoroutine(archives.directory(who, archive, size))
    asking.addCallbacks(heard.append, lambda failure: heard.append(failure.value))
    return heard


def test_an_archive_is_read_once_for_all_who_ask(archives: Archives, shelf: Shelf, clock: Clock) -> None:
    """At the same time, and later; and the file is closed before it is read."""
    heard = [ask(archives, asker(clock)) for _ in range(100)]
    assert shelf.all_closed()
    shelf.answer("s/a.zip", "import0_1.xml")
    heard.append(ask(archives, asker(clock)))

    assert shelf.opened == ["s/a.zip"]
    assert all("import0_1.xml" in told.names for (told,) in heard)
    assert not clock.getDelayedCalls()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ArchiveDamaged("it is cut off"), "Archive a.zip is damaged: it is cut off"),
        (TooMuchAsked("killed"), "Archive a.zip takes too much time or memory to be read"),
    ],
)
def test_why_it_cannot_be_read_is_remembered_as_well(
    archives: Archives, shelf: Shelf, clock: Clock, error: Exception, words: str
) -> None:
    """Or each question would cost a process."""
    heard = [ask(archives, asker(clock)) for _ in range(3)]
    shelf.fail("s/a.zip", error)
    heard.append(ask(archives, asker(clock)))

    assert [str(failed) for (failed,) in heard] == [words] * 4
    assert all(isinstance(failed, ImportFailed) for (failed,) in heard)
    assert shelf.opened == ["s/a.zip"]


def test_another_size_or_epoch_is_another_archive(archives: Archives, shelf: Shelf, clock: Clock) -> None:
    """A piece was appended, or ``init`` came."""
    for size, epoch in ((1, 1), (2, 1), (1, 2)):
        ask(archives, asker(clock, epoch=epoch), size=size)
        shelf.answer("s/a.zip")

    assert len(shelf.opened) == 3


def test_a_node_that_waits_long_is_told_and_asks_again(archives: Archives, shelf: Shelf, clock: Clock) -> None:
    """The reading goes on meanwhile."""
    heard = ask(archives, asker(clock, patience=10))
    clock.advance(9.9)
    assert heard == []
    clock.advance(0.2)
    assert isinstance(heard[0], StillReading)
    assert str(heard[0]) == "Archive a.zip is being read"
    assert shelf.ended == []
    shelf.answer("s/a.zip", "x")

    assert "x" in ask(archives, asker(clock))[0].names
    assert len(shelf.opened) == 1


def test_reading_ends_when_the_last_node_has_gone(archives: Archives, shelf: Shelf, clock: Clock) -> None:
    """Not when another still waits."""
    one, two = asker(clock), asker(clock)
    heard = [ask(archives, one), ask(archives, two)]
    one.gone.callback(None)
    assert shelf.ended == []
    two.gone.callback(None)

    assert shelf.ended == ["s/a.zip"]
    assert all(isinstance(told, CancelledError) for (told,) in heard)
    assert not clock.getDelayedCalls()
    shelf.reading.clear()
    assert ask(archives, asker(clock)) == []
    assert len(shelf.opened) == 2, "who asks later begins anew"


def test_an_answer_that_was_heard_ends_nothing(archives: Archives, shelf: Shelf, clock: Clock) -> None:
    """``gone`` fires when the answer is out as well: the node asks again, for the reading that goes on."""
    node = asker(clock)
    ask(archives, node)
    clock.advance(11)
    node.gone.callback(None)

    assert shelf.ended == []


def test_what_waits_is_forgotten_when_its_node_has_gone(archives: Archives, shelf: Shelf, clock: Clock) -> None:
    """It is never opened."""
    ask(archives, asker(clock, "s"), "first.zip")
    waiting = asker(clock, "t")
    ask(archives, waiting, "second.zip")
    waiting.gone.callback(None)
    shelf.answer("s/first.zip")

    assert shelf.opened == ["s/first.zip"]


def test_users_and_sessions_take_turns(archives: Archives, shelf: Shelf, clock: Clock) -> None:
    """A few are read at once, one of each user; who has many waits behind who has few."""
    for number in range(6):
        ask(archives, asker(clock, "greedy", "greedy"), f"{number}.zip")
    ask(archives, asker(clock, "modest", "greedy"), "x.zip")
    for user in "abcd":
        ask(archives, asker(clock, user, user), f"{user}.zip")
    assert shelf.opened == ["greedy/0.zip", "a/a.zip", "b/b.zip", "c/c.zip"]
    assert len(shelf.opened) == module.AT_ONCE
    shelf.answer("greedy/0.zip")
    assert shelf.opened[4:] == ["greedy/1.zip"], "it was the first to wait"
    shelf.answer("greedy/1.zip")
    assert shelf.opened[5:] == ["d/d.zip"], "another user has its turn"
    shelf.answer("a/a.zip")
    assert shelf.opened[6:] == ["modest/x.zip"], "another session of that user has its turn"
    shelf.answer("modest/x.zip")

    assert shelf.opened[7:] == ["greedy/2.zip"]


@pytest.mark.parametrize("scope", ["session", "user", "all"])
def test_so_many_may_wait(archives: Archives, shelf: Shelf, clock: Clock, scope: str) -> None:
    """Of a session, of a user, of all; one more is told to come later, and others of theirs are not kept out."""
    most = {"session": module.OF_SESSION, "user": module.OF_USER, "all": module.OF_ALL}[scope]
    heard = [
        ask(
            archives,
            asker(
                clock,
                "s" if scope == "session" else str(number),
                "shop" if scope != "all" else str(number),
            ),
            f"{number}.zip",
        )
        for number in range(most + 1)
    ]
    assert [one for one in heard if one] == [heard[-1]]
    assert isinstance(heard[-1][0], ArchivesBusy)

    again = ask(
        archives, asker(clock, "s" if scope == "session" else "0", "shop" if scope != "all" else "0"), "0.zip"
    )
    assert again == [], "what is being read already takes no place"
    if scope != "all":
        assert ask(archives, asker(clock, "other", "other" if scope == "user" else "shop")) == []


def test_what_is_known_is_bounded(
    archives: Archives, shelf: Shelf, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the bytes that it takes; what was asked for longest ago is read anew."""
    monkeypatch.setattr(module, "DIRECTORIES_SIZE", 3 * (module.DIRECTORY_OVERHEAD + 80))
    for name in ("a.zip", "b.zip", "c.zip"):
        ask(archives, asker(clock), name)
        shelf.answer(f"s/{name}", *map(str, range(10)))
    assert ask(archives, asker(clock), "a.zip")
    ask(archives, asker(clock), "d.zip")
    shelf.answer("s/d.zip", *map(str, range(10)))
    assert ask(archives, asker(clock), "a.zip")
    assert not ask(archives, asker(clock), "b.zip")
    assert archives._known_bytes <= module.DIRECTORIES_SIZE

    archives.forget("s")
    assert (archives._known_bytes, len(archives._known)) == (0, 0)


def test_an_archive_that_was_removed_meanwhile(archives: Archives, shelf: Shelf, clock: Clock) -> None:
    """One of the same name and size may come: it is read anew, also when the old one is still being read."""
    before = ask(archives, asker(clock))
    archives.forget("s")
    after = ask(archives, asker(clock))
    shelf.answer("s/a.zip", "old")
    shelf.answer("s/a.zip", "new")

    assert "old" in before[0].names
    assert "new" in after[0].names
    assert "new" in ask(archives, asker(clock))[0].names


def test_an_archive_that_another_session_removes(archives: Archives, shelf: Shelf, clock: Clock) -> None:
    """It concerns nobody else: whoever removes them again and again would have all large ones read without end."""
    heard = ask(archives, asker(clock))
    archives.forget("other")
    heard += ask(archives, asker(clock))
    archives.forget("other")
    shelf.answer("s/a.zip", "import0_1.xml")

    assert ask(archives, asker(clock))
    assert shelf.opened == ["s/a.zip"]


def test_an_archive_that_is_removed_again_and_again(archives: Archives, shelf: Shelf, clock: Clock) -> None:
    """What is being read of it meanwhile counts for its session, which is made to wait."""
    for _ in range(module.OF_SESSION):
        ask(archives, asker(clock))
        archives.forget("s")

    assert isinstance(ask(archives, asker(clock))[0], ArchivesBusy)


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ELOOP, errno.ENOTDIR])
def test_a_file_that_is_not_there(archives: Archives, shelf: Shelf, clock: Clock, number: int) -> None:
    """Or is a link that somebody else has put there: it is damaged, for it is on record."""
    shelf.missing["a.zip"] = number

    assert isinstance(ask(archives, asker(clock))[0], FileDamaged)


def test_a_file_that_cannot_be_opened_now(archives: Archives, shelf: Shelf, clock: Clock) -> None:
    """Is not damaged, and is opened again when somebody asks again."""
    shelf.missing["a.zip"] = errno.EMFILE
    (failed,) = ask(archives, asker(clock))
    assert failed.errno == errno.EMFILE
    shelf.missing.clear()
    ask(archives, asker(clock))
    shelf.answer("s/a.zip", "x")

    assert "x" in ask(archives, asker(clock))[0].names


def test_when_no_process_can_be_started(
    archives: Archives, shelf: Shelf, clock: Clock, nothing_left_behind: list[dict[str, Any]]
) -> None:
    """The node is told to come later, the log why, and the next one may have more luck."""
    shelf.full = True
    assert isinstance(ask(archives, asker(clock))[0], ArchivesBusy)
    assert shelf.all_closed()
    shelf.full = False
    ask(archives, asker(clock))
    shelf.answer("s/a.zip", "x")

    assert "x" in ask(archives, asker(clock))[0].names
    assert any(
        "the process that reads archives cannot be started" in event["log_format"] for event in nothing_left_behind
    )


def test_when_the_daemon_ends(archives: Archives, shelf: Shelf, clock: Clock) -> None:
    """Readings end, and whoever waits, or comes, hears why."""
    heard = [ask(archives, asker(clock), name) for name in ("a.zip", "b.zip")]
    archives.stopService()
    heard.append(ask(archives, asker(clock), "c.zip"))

    assert all(isinstance(told, ShuttingDown) for (told,) in heard)
    assert shelf.ended == ["s/a.zip"]


def test_a_node_that_goes_while_the_file_is_opened(shelf: Shelf, clock: Clock) -> None:
    """No process is started, and no descriptor is left."""
    workers, store = LateWorkers(), shelf
    archives = Archives(store, workers, clock, shelf.examine)  # type: ignore[arg-type]
    node = asker(clock)
    ask(archives, node)
    node.gone.callback(None)
    workers.run()

    assert shelf.reading == []
    assert shelf.opened == ["s/a.zip"]
    assert shelf.all_closed()
