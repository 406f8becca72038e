"""One verdict: when it is red, and what it says."""

from __future__ import annotations

from typing import Any

import pytest
from pages import DAY, GB, NOW, exchange_line, habit, minutes, refusal

from onec_twisted.admin.verdict import MOST_REASONS, REASONS, Facts, Reason, judge
from onec_twisted.model.daemons import DaemonLine
from onec_twisted.model.journal import RUNNING, UserRow
from onec_twisted.model.records import FAILED


def judged(**facts: Any) -> tuple[Reason, ...]:
    """Return the reasons against a daemon of which this is known."""
    return judge(Facts(now=NOW, **facts)).reasons


def test_a_daemon_that_works() -> None:
    """A night as it should be is green: users come when they do, nothing is refused, the disk has room."""
    verdict = judge(Facts(now=NOW, users=(habit("shop", DAY),), minutes=minutes(1440), reserved=GB))

    assert verdict.good
    assert verdict.reasons == ()


def daemon(name: str, silent: float) -> DaemonLine:
    """Return a daemon that has been silent for so many seconds."""
    return DaemonLine(name=name, version="1", running=9.0, silent=silent, is_this=False, state={})


def test_each_reason_turns_it_red() -> None:
    """In the order in which one would look at them, with what there is to say."""
    reasons = judged(
        health=("the disk has 5 bytes left, --min-free keeps 9",),
        refusals=(refusal(),),
        users=(habit("shop", DAY), habit("late", DAY, last=NOW - 3 * DAY)),
        minutes=minutes(1440, free=2 * GB, loss=2**21),
        reserved=GB,
        failed=3,
        failure="no price",
        damaged=1,
        daemons=(daemon("a", 1.0), daemon("b", 60.0), daemon("c", 3600.0)),
    )

    assert [reason.kind for reason in reasons] == list(REASONS)
    assert reasons[1] == Reason(kind="lost", said="b")
    assert reasons[2] == Reason(
        kind="refusing", username="shop", count=12, since=NOW - 60, said="No room for this file"
    )
    assert (reasons[4].count, reasons[4].said) == (3, "no price")
    assert (reasons[6].username, reasons[6].since) == ("late", NOW - 3 * DAY)


def test_what_failed_of_each_shop() -> None:
    """It is a reason of its own, the worst first; shops without failures have none."""
    reasons = judged(failed_of={"north": (1, "no price"), "south": (0, ""), "default": (7, "no group")})

    assert [(one.kind, one.shop, one.count, one.said) for one in reasons] == [
        ("failed", "default", 7, "no group"),
        ("failed", "north", 1, "no price"),
    ]
    assert len(judged(failed_of={f"{number}": (1, "") for number in range(1000)})) == MOST_REASONS


def test_a_disk_that_is_full_already_is_said_once() -> None:
    """By the reason that ``/health`` gives."""
    assert judged(minutes=minutes(1440, free=GB, loss=2**21), reserved=GB) == ()


def test_strangers_do_not_turn_it_red() -> None:
    """Who only knocks at the door is no user of ours: the page of refusals shows it."""
    assert judged(refusals=(refusal(username=""), refusal(username="admin")), users=(habit("shop", DAY),)) == ()


@pytest.mark.parametrize(
    ("changes", "is_red"),
    [
        ({"started": NOW - 30}, False),
        ({"started": NOW - 30, "state": FAILED}, False),
        ({"started": NOW - 600, "ended": NOW - 30}, False),
        ({"started": NOW - 600, "ended": NOW - 30, "state": FAILED}, True),
        ({"started": NOW - 600, "ended": None, "state": RUNNING}, True),
        ({"started": NOW - 600, "ended": NOW - 90}, True),
    ],
)
def test_a_refusal_matters_until_its_user_gets_through(changes: dict[str, Any], is_red: bool) -> None:
    """With a later login, or with an exchange that succeeded after it."""
    row = UserRow("shop", (exchange_line(**changes),))

    assert bool(judged(refusals=(refusal(),), users=(row,))) is is_red


def test_a_refusal_is_forgotten_after_a_day() -> None:
    """The user who is silent since then is another reason."""
    assert (
        judged(refusals=(refusal(last=NOW - DAY - 1),), users=(habit("shop", 40 * DAY, last=NOW - 20 * DAY),)) == ()
    )


def test_a_user_is_named_once() -> None:
    """With what was refused last; and of many users some."""
    users = tuple(habit(f"u{place}", DAY) for place in range(30))
    twice = [refusal(username=f"u{place % 30}", last=NOW - 60 - place, words=str(place)) for place in range(60)]
    reasons = judged(refusals=tuple(twice), users=users)

    assert len(reasons) == MOST_REASONS
    assert [reason.said for reason in reasons][:3] == ["0", "1", "2"]


def test_a_failed_import_is_one_reason() -> None:
    """Though it is a refusal to its node, too: the hand-off alarms for as long as it is there."""
    row = habit("shop", DAY)

    assert judged(refusals=(refusal(status=200, code="import_failed"),), users=(row,)) == ()


@pytest.mark.parametrize(("status", "lasted", "is_red"), [(503, 10, False), (503, 600, True), (507, 0, True)])
def test_what_a_node_repeats_by_itself(status: int, lasted: float, is_red: bool) -> None:
    """An answer to try again later is part of a busy day, until it lasts."""
    row = UserRow("shop", (exchange_line(started=NOW - 3600, ended=None, state=RUNNING),))
    refused = refusal(status=status, first=NOW - 60 - lasted)

    assert bool(judged(refusals=(refused,), users=(row,))) is is_red
