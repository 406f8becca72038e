"""Who the users of each shop are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve
from in_memory import CONFIG
from many_shops import checker, shop
from passwords import line

from onec_twisted.auth.htpasswd import HtpasswdChecker
from onec_twisted.daemon.membership import membership_of
from onec_twisted.testing import inline

if TYPE_CHECKING:
    from pathlib import Path

    from twisted.internet.task import Clock

COMMON = evolve(CONFIG, auth=(checker("anna", "boris"),))


def test_who_may_no_longer_log_in(clock: Clock) -> None:
    """Whose shop is gone, who is in another shop now, and whom no checker has."""
    config = evolve(COMMON, shops=(shop("north", ["anna"], COMMON), shop("south", ["dora"], COMMON, auth=True)))
    membership = membership_of(config, clock)
    accounts = ["anna", "boris", "north:anna", "north:boris", "south:dora", "south:anna", "west:emil", "gone"]
    assert sorted(membership.look(accounts)) == ["anna", "gone", "north:boris", "south:anna", "west:emil"]


def test_a_file_that_shops_share_is_read_once_at_each_look(clock: Clock, tmp_path: Path) -> None:
    """One that is gone has no users at the second look, however many shops it is for."""
    path = tmp_path / "htpasswd"
    path.write_bytes(line("anna", "secret") + line("boris", "secret"))
    common = evolve(CONFIG, auth=(HtpasswdChecker(str(path), inline),))
    config = evolve(common, shops=(shop("north", ["anna"], common), shop("south", ["boris"], common)))
    membership = membership_of(config, clock)
    path.unlink()
    assert membership.look(["north:anna"]) == frozenset()
    assert membership.look(["north:anna"]) == {"north:anna"}


def test_a_user_who_is_new_in_a_shops_own_file(clock: Clock, tmp_path: Path) -> None:
    """Is its user from the next look on; a name that the common checkers have stays the default shop's."""
    path = tmp_path / "htpasswd"
    path.write_bytes(line("dora", "secret"))
    own = shop("south", [], COMMON, auth=True)
    own = evolve(own, config=evolve(own.config, auth=(HtpasswdChecker(str(path), inline),)))
    membership = membership_of(evolve(COMMON, shops=(own,)), clock)
    assert membership.roster.shop_of("dora") == "south"
    path.write_bytes(line("dora", "secret") + line("emil", "secret") + line("boris", "secret"))
    membership.look()
    assert [membership.roster.shop_of(user) for user in ("dora", "emil", "boris")] == ["south", "south", "default"]


def test_guesses_count_wherever_they_are_made(clock: Clock) -> None:
    """An address that guesses in one shop pauses in all; but a directory that hangs keeps out only its own users."""
    config = evolve(COMMON, shops=(shop("south", ["dora"], COMMON, auth=True),))
    membership = membership_of(config, clock)
    common, own = membership.common, membership.shops["south"].access
    assert own.addresses is common.addresses
    assert own.lane is not common.lane, "these checkers may be anywhere"
    again = membership_of(config, clock, beside=common)
    assert again.common.addresses is common.addresses
