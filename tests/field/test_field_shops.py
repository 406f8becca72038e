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
from onec_twisted.model.shops import DEFAULT_SHOP
from onec_twisted.testing import FakeBody, FakeImporter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

USERS = 100
PLACES = 1000


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[tuple[Site, dict[str, FakeImporter]]]:
    """A relay, and the importers of two shops: the north's hangs, the south's ends at once."""
    site = Site(tmp_path)
    site.start()
    importers = {"north": FakeImporter(patient=True), "south": FakeImporter()}
    site.relay.tries.destinations.shops = {
        shop: destinations_to(importer).shops[DEFAULT_SHOP] for shop, importer in importers.items()
    }
    yield site, importers
    site.catalog.recorder.close()


def test_a_site_that_hangs_has_half_of_the_slots(sites: tuple[Site, dict[str, FakeImporter]]) -> None:
    """With 100 users it delivers 8 of 16 at once, to the last one, and another shop's are delivered meanwhile."""
    site, importers = sites
    north, south = importers["north"], importers["south"]
    for number in range(USERS):
        site.hand_off("a.xml", f"n{number}", f"north:{number}")
    assert (AT_ONCE, len(north.running)) == (16, 8)
    for number in range(USERS):
        assert len(south.delivered) == number
        site.hand_off("a.xml", f"s{number}", f"south:{number}")
        assert site.on_record("a.xml", f"s{number}").state == SUCCEEDED
    assert len(north.delivered) == 8
    most = 0
    while north.running:
        most = max(most, len(north.running))
        north.end()

    assert most == 8
    assert [told.user for told in north.delivered] == [str(number) for number in range(USERS)]
    assert {told.shop for told in north.delivered} == {"north"}
    assert {told.shop for told in south.delivered} == {"south"}


def test_shops_that_hang_leave_slots_to_those_that_come_later(
    sites: tuple[Site, dict[str, FakeImporter]],
) -> None:
    """The second has half of what the first has left; those of both that end make room for both."""
    site, importers = sites
    south = importers["south"]
    south.patient = True
    for shop in ("north", "south"):
        for number in range(USERS):
            site.hand_off("a.xml", f"{shop}{number}", f"{shop}:{number}")
    assert [len(one.running) for one in importers.values()] == [8, 4]
    for one in importers.values():
        while one.running:
            one.end()
            assert sum(len(one.running) for one in importers.values()) <= AT_ONCE
    assert [len(one.delivered) for one in importers.values()] == [USERS, USERS]


@pytest.fixture
def greedy() -> tuple[Transfers, Callable[[str], list[Transfer]]]:
    """The places of pieces, and what takes all that the users of a shop may have, in ten sessions each."""
    transfers = Transfers(Clock().seconds, PLACES)

    def take(shop: str) -> list[Transfer]:
        """Begin pieces until every session of every user was refused one."""
        begun = []
        for user in range(USERS):
            for number in range(10):
                session = Session(f"{shop}{user}-{number}", f"{shop}:{user}", 1, 0, 0.0)
                try:
                    while True:
                        begun.append(transfers.begin(session, "a", FakeBody(1)))
                except TooManyUploads:
                    pass
        return begun

    return transfers, take


def test_a_shop_has_half_of_the_places(greedy: tuple[Transfers, Callable[[str], list[Transfer]]]) -> None:
    """However many users and sessions it has: 500 of 1,000, and the next begins at once, with half of the rest."""
    transfers, take = greedy
    north = take("north")
    assert len(north) == 500
    assert len({upload.session.username for upload in north}) > 1
    south = take("south")
    assert len(south) == 250
    assert take("north") == []
    assert len(take("east")) == 125
    for upload in [*north, *south]:
        transfers.end(upload)

    assert len(transfers) == 125
    assert len(take("north")) == 438
