"""One shop cannot stop the others: how many slots and places it has at most, and that others find theirs at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from relayed import Site, destinations_to
from twisted.internet.task import Clock

from onec_twisted.delivery.relay import AT_ONCE
from onec_twisted.ingest.transfers import Transfer, Transfers
from onec_twisted.model.errors import TooManyUploads
from onec_twisted.model.records import SUCCEEDED, Session
from onec_twisted.model.shops import DEFAULT_SHOP, account_of
from onec_twisted.runtime.fairness import Sharing
from onec_twisted.testing import FakeBody, FakeImporter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

USERS = 100
PLACES = 1000
OTHERS = ("south", "east", "west", "upper", "lower")


def account(shop: str, number: int) -> str:
    """Return the account of one of a shop's users."""
    return account_of(shop, f"u{number}")


@pytest.fixture(params=["north", DEFAULT_SHOP])
def hanging(request: pytest.FixtureRequest) -> str:
    """The shop whose site hangs, or which is greedy: one of a table, or the default one."""
    return str(request.param)


@pytest.fixture
def sites(tmp_path: Path, hanging: str) -> Iterator[tuple[Site, dict[str, FakeImporter]]]:
    """A relay, and the importers of several shops: the first one's hangs, the others' end at once."""
    site = Site(tmp_path, sharing=Sharing(among_shops=True))
    site.start()
    importers = {hanging: FakeImporter(patient=True), **{shop: FakeImporter() for shop in OTHERS}}
    site.relay.tries.destinations.shops = {
        shop: destinations_to(importer).shops[DEFAULT_SHOP] for shop, importer in importers.items()
    }
    yield site, importers
    site.catalog.recorder.close()


def test_a_site_that_hangs_has_half_of_the_slots(sites: tuple[Site, dict[str, FakeImporter]], hanging: str) -> None:
    """With 100 users it delivers 8 of 16 at once, to the last one, and another shop's are delivered meanwhile."""
    site, importers = sites
    first, south = importers[hanging], importers["south"]
    for number in range(USERS):
        site.hand_off("a.xml", f"n{number}", account(hanging, number))
    assert (AT_ONCE, len(first.running)) == (16, 8)
    for number in range(USERS):
        assert len(south.delivered) == number
        site.hand_off("a.xml", f"s{number}", account("south", number))
        assert site.on_record("a.xml", f"s{number}").state == SUCCEEDED
    assert len(first.delivered) == 8
    most = 0
    while first.running:
        most = max(most, len(first.running))
        first.end()

    assert most == 8
    assert [told.user for told in first.delivered] == [f"u{number}" for number in range(USERS)]
    assert {told.shop for told in first.delivered} == {None if hanging == DEFAULT_SHOP else hanging}
    assert {told.shop for told in south.delivered} == {"south"}


def test_five_sites_that_hang_leave_a_slot_to_the_sixth(
    sites: tuple[Site, dict[str, FakeImporter]], hanging: str
) -> None:
    """They have 8, 4, 1, 1 and 1 of the 16, so the sixth shop's are delivered; all are, once the sites answer."""
    site, importers = sites
    *hang, last = importers
    for shop in importers:
        importers[shop].patient = shop != last
        for number in range(USERS):
            site.hand_off("a.xml", f"{shop}{number}", account(shop, number))
            assert shop != last or site.on_record("a.xml", f"{shop}{number}").state == SUCCEEDED
    assert [len(importers[shop].running) for shop in hang] == [8, 4, 1, 1, 1]
    while any(one.running for one in importers.values()):
        for one in importers.values():
            if one.running:
                one.end()
            assert sum(len(one.running) for one in importers.values()) <= AT_ONCE
    assert [len(one.delivered) for one in importers.values()] == [USERS] * len(importers)


@pytest.fixture
def greedy() -> tuple[Transfers, Callable[[str], list[Transfer]]]:
    """The places of pieces, and what takes all that the users of a shop may have, in ten sessions each."""
    transfers = Transfers(Clock().seconds, PLACES, Sharing(among_shops=True))

    def take(shop: str) -> list[Transfer]:
        """Begin pieces until every session of every user was refused one."""
        begun = []
        for user in range(USERS):
            for number in range(10):
                session = Session(f"{shop}{user}-{number}", account(shop, user), 1, 0, 0.0)
                try:
                    while True:
                        begun.append(transfers.begin(session, "a", FakeBody(1)))
                except TooManyUploads:
                    pass
        return begun

    return transfers, take


def test_a_shop_has_half_of_the_places(
    greedy: tuple[Transfers, Callable[[str], list[Transfer]]], hanging: str
) -> None:
    """However many users and sessions it has: 500 of 1,000, and the next begins at once, with half of the rest.

    The last 250 are kept for shops that have none: each gets one.
    """
    transfers, take = greedy
    north = take(hanging)
    assert len(north) == 500
    assert len({upload.session.username for upload in north}) > 1
    south = take("south")
    assert len(south) == 250
    assert take(hanging) == []
    assert [len(take(f"shop{number}")) for number in range(251)] == [1] * 250 + [0]
    for upload in [*north, *south]:
        transfers.end(upload)

    assert len(transfers) == 250
    assert len(take(hanging)) == 375
