"""Two daemons that freeze, lose answers and wake up late: every file is what was acknowledged, once and in order.

``test_each_rule_is_needed`` is the control: without a rule of ``Together`` the same draws find bytes doubled.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field
from cluster_daemons import Daemon, Gone, Heap, Waiting

from onec_twisted.catalog.sql import sessions as steps
from onec_twisted.cluster.contents import segments_of
from onec_twisted.cluster.presence import AWAY_AFTER
from onec_twisted.cluster.together import Together
from onec_twisted.ingest.engine import Stored
from onec_twisted.model.names import SafeName

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.cluster.postgresql import PostgreSQL
    from onec_twisted.ingest.daemons import IDaemons

NAME = SafeName(("a",))
PIECES = 8
ATTEMPTS = 12
SEEDS = range(40)
DRAWS = [b"aa", b"aa", b"bbb", b"cccccc"]


@define(eq=False)
class Frozen:
    """A daemon that is frozen, and the request in it: one that it has begun, or one that it has not read."""

    daemon: Daemon
    body: Waiting
    outcome: list[Any] | None
    left: int
    seconds: float = 0.0


@define(eq=False)
class Trial:
    """A node that sends pieces to two daemons, and repeats what was not answered, as 1C does."""

    database: PostgreSQL
    seed: int
    rules: Callable[[Together], IDaemons] = lambda together: together
    heap: Heap = field(factory=Heap)
    chance: random.Random = field(init=False)
    daemons: list[Daemon] = field(init=False)
    frozen: list[Frozen] = field(factory=list)
    acknowledged: bytes = b""

    def __attrs_post_init__(self) -> None:
        """Open a session."""
        self.chance = random.Random(self.seed)
        self.daemons = [Daemon(self.database, self.heap, self.rules) for _ in range(2)]
        self.database.record([(steps.open_session, (self.sessid, self.sessid, "shop", 1.0))])

    @property
    def sessid(self) -> str:
        """Return the sessid, which is its own token, too."""
        return f"{self.seed:032x}"

    def run(self) -> tuple[bytes, list[bytes]]:
        """Send some pieces; return what is stored in the end, and what may be."""
        unsure = b""
        for _ in range(PIECES):
            if self.chance.random() < 0.05:
                self.database.record([(steps.start_epoch, (self.sessid, self.daemons[0].presence.now(), 0))])
                self.acknowledged = b""
            data = self.chance.choice(DRAWS)
            if not any(self.attempt(data) for _ in range(ATTEMPTS)):
                unsure = data
                break
            self.acknowledged += data
        for one in list(self.frozen):
            self.thaw(one)
        segments = self.database.read(segments_of, self.sessid, "a")
        stored = b"".join(self.heap.objects[one.object] for one in segments)
        return stored, [self.acknowledged, self.acknowledged + unsure]

    def attempt(self, data: bytes) -> bool:
        """Send a piece to a daemon that is not frozen; return whether its success arrived."""
        for one in list(self.frozen):
            one.left -= 1
            if one.left <= 0 or len(self.frozen) == len(self.daemons):
                self.thaw(one)
        daemon = self.chance.choice(
            [one for one in self.daemons if one not in [other.daemon for other in self.frozen]]
        )
        fate = self.chance.choices(["arrives", "lost", "frozen", "unread"], [5, 2, 2, 2])[0]
        daemon.presence.beat()  # its clock runs faster than the server's
        body = Waiting(len(data), begun=daemon.clock.seconds(), data=data)
        if fate == "unread":
            self.freeze(Frozen(daemon, body, None, self.chance.randrange(1, 5)))
            return False
        outcome = daemon.send(daemon.session(self.sessid), NAME, body)
        if fate == "frozen":
            for _ in range(self.chance.randrange(6)):
                daemon.step()
            self.freeze(Frozen(daemon, body, outcome, self.chance.randrange(1, 5)))
            return False
        return self.finish(daemon, outcome, arrives=fate == "arrives")

    def freeze(self, frozen: Frozen) -> None:
        """Let a daemon do nothing; its node gives up, and closes its connection.

        A node that waited for long may vanish without a word instead, as when its cable is cut.
        """
        frozen.seconds = self.chance.choice([1.0, AWAY_AFTER + 1])
        if frozen.seconds < AWAY_AFTER or self.chance.random() < 0.5:
            frozen.body.peer = Gone
        self.frozen.append(frozen)

    def thaw(self, frozen: Frozen) -> None:
        """Let a daemon go on with what it was about to do; nobody is there to take the answer."""
        self.frozen.remove(frozen)
        daemon = frozen.daemon
        daemon.clock.advance(frozen.seconds)
        outcome = frozen.outcome
        if outcome is None:
            outcome = daemon.send(daemon.session(self.sessid), NAME, frozen.body)
        self.finish(daemon, outcome, arrives=False)

    def finish(self, daemon: Daemon, outcome: list[Any], *, arrives: bool) -> bool:
        """Let a daemon finish a request; return whether it was stored, and the node knows it."""
        for _ in range(200):
            if outcome:
                break
            daemon.step()
        came = outcome[0]
        if not isinstance(came, Stored):
            return False
        assert came.acknowledgement is not None
        if not arrives:
            came.acknowledgement.lost()
        else:
            came.acknowledgement.sent(None)
        for _ in range(3):
            daemon.step()
        return arrives


@pytest.mark.parametrize("seed", SEEDS)
def test_any_order(database: PostgreSQL, seed: int) -> None:
    """Nothing is lost, nothing is doubled, nothing is mixed."""
    stored, expected = Trial(database, seed).run()
    assert stored in expected


class WithoutPeers(Together):
    """It does not ask whether the sender still waits."""

    def guarded(self, body: Any, write: Any) -> Any:
        """Write whatever."""
        return write

    def has_left(self, body: Any) -> bool:
        """Take it for patient."""
        return False


class WithoutAbsence(Together):
    """It does not ask whether it was away."""

    async def check_in_time(self, session: Any, body: Any) -> None:
        """Take everything for timely."""


class WithoutWaiting(Together):
    """It takes an equal piece for a new one at once, unless its own answer was lost."""

    async def was_lost(self, session: Any, name: Any, record: Any, acknowledgement: Any, answer: Any) -> bool:
        """Do not ask the others."""
        return acknowledgement is not None and not acknowledgement.arrived


def test_each_rule_is_needed(database: PostgreSQL) -> None:
    """Without it, some of the same draws end with other bytes than were acknowledged."""
    found = {}
    for number, without in enumerate((WithoutPeers, WithoutAbsence, WithoutWaiting)):

        def rules(together: Together, without: type[Together] = without) -> IDaemons:
            return without(together.files, together.presence, together.clock)

        wrong = 0
        for seed in SEEDS:
            trial = Trial(database, 1000 * (number + 1) + seed, rules)
            trial.chance = random.Random(seed)
            stored, expected = trial.run()
            wrong += stored not in expected
        found[without.__name__] = wrong
    assert all(found.values()), found
