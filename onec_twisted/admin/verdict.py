"""One verdict on the daemon: good, or what needs attention. A pure function of values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from onec_twisted.admin.outlook import HOURS_AHEAD, expected_free, is_overdue
from onec_twisted.model.daemons import LOST_FOR
from onec_twisted.model.errors import ImportFailed
from onec_twisted.model.records import SUCCEEDED
from onec_twisted.runtime.metrics import reason_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onec_twisted.model.daemons import DaemonLine
    from onec_twisted.model.journal import ExchangeLine, Minute, RefusalLine, UserRow

__all__ = ["REASONS", "Facts", "Reason", "Verdict", "judge"]

REASONS = ("unhealthy", "lost", "refusing", "disk", "failed", "damaged", "overdue")
"""Kinds of reasons, in the order in which they are given."""

OWN_REASONS = ("unhealthy",)
"""Those that are of one daemon, though others have the same records."""

REFUSALS_MATTER = 86400.0
"""Seconds for which a refused request of a user counts, unless a later exchange of that user succeeds."""

RETRY_LATER, LASTING = 503, 300.0
"""The status of refusals after which nodes try again by themselves; they count when they last so many seconds."""

SAID_BY_HANDOFFS = reason_of(ImportFailed)
"""The refusal that a failed import is to its node: the failed hand-off is the reason, for as long as it is there."""

MOST_REASONS = 20
"""Most reasons of one kind; more than these help nobody."""


@frozen(kw_only=True)
class Facts:
    """What is judged.

    ``health`` are the reasons of ``/health``; ``failed`` counts hand-offs, of which ``failure`` is the newest's
    message; if there are shops, ``failed_of`` has both for each one instead. ``damaged`` counts files.
    ``minutes`` are those of the last day, ``reserved`` is ``--min-free`` in bytes. ``daemons`` are all that share the
    records, if there are several. Each user is expected to begin an exchange every ``expect_every`` seconds; None
    leaves that to the user's habit.
    """

    now: float
    health: tuple[str, ...] = ()
    failed: int = 0
    failure: str = ""
    failed_of: Mapping[str, tuple[int, str]] = field(factory=dict)
    damaged: int = 0
    reserved: int = 0
    users: tuple[UserRow, ...] = ()
    refusals: tuple[RefusalLine, ...] = ()
    minutes: tuple[Minute, ...] = ()
    expect_every: float | None = None
    daemons: tuple[DaemonLine, ...] = ()


@frozen(kw_only=True)
class Reason:
    """A reason why the verdict is bad.

    ``kind`` is one of ``REASONS``. ``username``, ``count``, ``since`` and ``said`` are given where they make sense:
    ``since`` in seconds since 1970, ``said`` in words of somebody else. ``shop`` is given for what is of a shop, but
    of none of its users.
    """

    kind: str
    username: str = ""
    count: int = 0
    since: float | None = None
    said: str = ""
    shop: str = ""


@frozen
class Verdict:
    """The verdict: good, if there is no reason against it."""

    reasons: tuple[Reason, ...] = field(default=())

    @property
    def good(self) -> bool:
        """Return whether nothing needs attention."""
        return not self.reasons


def judge(facts: Facts) -> Verdict:
    """Return the verdict on what is known."""
    reasons = [Reason(kind="unhealthy", said=said) for said in facts.health]
    lost = [one.name for one in facts.daemons if one.is_lost and one.silent < LOST_FOR]
    reasons += [Reason(kind="lost", said=name) for name in lost[:MOST_REASONS]]
    reasons += _refused(facts)[:MOST_REASONS]
    expected = expected_free(facts.minutes)
    is_low_already = bool(facts.minutes) and facts.minutes[-1].free <= facts.reserved  # that /health says
    if expected is not None and expected <= facts.reserved and not is_low_already:
        reasons.append(Reason(kind="disk", count=HOURS_AHEAD))
    if facts.failed:
        reasons.append(Reason(kind="failed", count=facts.failed, said=facts.failure))
    of_shops = sorted(facts.failed_of.items(), key=lambda one: -one[1][0])  # the worst first
    reasons += [
        Reason(kind="failed", shop=shop, count=count, said=said) for shop, (count, said) in of_shops if count
    ][:MOST_REASONS]
    if facts.damaged:
        reasons.append(Reason(kind="damaged", count=facts.damaged))
    late = [row for row in facts.users if _is_late(row.recent, facts)]
    reasons += [
        Reason(kind="overdue", username=row.username, since=row.recent[0].started) for row in late[:MOST_REASONS]
    ]
    return Verdict(tuple(reasons))


def _is_late(recent: Sequence[ExchangeLine], facts: Facts) -> bool:
    """Return whether a user has been silent for too long."""
    if facts.expect_every is None or not recent:
        return is_overdue(recent, facts.now)
    return facts.now - recent[0].started > facts.expect_every


def _refused(facts: Facts) -> list[Reason]:
    """Return the known users whose requests are refused, and who have not succeeded since."""
    known = {row.username: row.recent for row in facts.users}
    found: dict[str, Reason] = {}
    for line in facts.refusals:  # the latest first
        recent = known.get(line.username, ())
        is_over = facts.now - line.last > REFUSALS_MATTER or any(_is_later(one, line.last) for one in recent)
        if is_over or not recent or line.username in found or _is_harmless(line):
            continue
        found[line.username] = Reason(
            kind="refusing", username=line.username, count=line.count, since=line.last, said=line.words
        )
    return list(found.values())


def _is_harmless(line: RefusalLine) -> bool:
    """Return whether a refusal needs nobody's attention by itself."""
    is_passing = line.status == RETRY_LATER and line.last - line.first < LASTING
    return is_passing or line.code == SAID_BY_HANDOFFS


def _is_later(exchange: ExchangeLine, then: float) -> bool:
    """Return whether an exchange shows that its user gets through again: it began later, or succeeded later."""
    has_succeeded = exchange.state == SUCCEEDED and exchange.ended is not None and exchange.ended > then
    return exchange.started > then or has_succeeded
