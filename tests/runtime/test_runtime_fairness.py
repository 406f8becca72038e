"""Nobody has more of what all share than is left for the others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from onec_twisted.runtime.fairness import Places, Sharing

SHOP = "default"


def greedy(places: Places, *path: str) -> int:
    """Take as many as one may have; return how many those are of the shop's first in the path."""
    while places.has_room(path):
        places.take(path)
    return places.of(path[:2])


def test_who_is_alone_has_half() -> None:
    """In the only shop, each who comes later has half of what is left; what is given back can be had again."""
    places = Places(1000)
    assert [greedy(places, SHOP, user) for user in "abcdefghij"] == [500, 250, 125, 63, 31, 16, 8, 4, 2, 1]
    assert places.taken == 1000
    assert not places.has_room((SHOP, "k"))
    places.leave((SHOP, "a"))
    assert not places.has_room((SHOP, "a"))
    assert greedy(places, SHOP, "k") == 1


def test_a_session_leaves_as_many_to_its_user() -> None:
    """So other sessions of that user find something, too."""
    places = Places(1000)
    assert greedy(places, SHOP, "a", "one") == 250
    assert greedy(places, SHOP, "a", "two") == 375
    for _ in range(250):
        places.leave((SHOP, "a", "one"))
    assert places.has_room((SHOP, "a", "one"))


def test_one_place_is_for_whoever_comes_first() -> None:
    """Few places are shared as well as can be."""
    for among_shops in (False, True):
        places = Places(1, Sharing(among_shops))
        assert greedy(places, SHOP, "a", "s") == 1
        assert not places.has_room(("north", "b", "t"))


def test_any_number() -> None:
    """Zero is no limit."""
    places = Places(0)
    for _ in range(100):
        assert places.has_room((SHOP, "a", "s"))
        places.take((SHOP, "a", "s"))


def test_a_shop_with_many_users_leaves_as_many_to_others() -> None:
    """However many users it has; and they leave as many to each other. The default shop is one among them."""
    for shop in (SHOP, "north"):
        places = Places(1000, Sharing(among_shops=True))
        for number in range(100):
            greedy(places, shop, f"{shop}:{number}", "s")
        assert places.of((shop,)) == 500
        assert places.of((shop, f"{shop}:0")) < 250
        assert greedy(places, "south", "south:anna", "s") > 50
        assert greedy(places, "east", "east:boris", "s") > 50


def test_a_fourth_is_kept_for_shops_that_have_none() -> None:
    """Of 16 places, two shops take 8 and 4, so that four others get one each before all are taken."""
    places = Places(16, Sharing(among_shops=True))
    for shop in "abcdefg":
        for user in "pqrstuvwxyz":
            greedy(places, shop, f"{shop}:{user}")
    assert [places.of((shop,)) for shop in "abcdefg"] == [8, 4, 1, 1, 1, 1, 0]


def test_a_shop_that_comes_with_a_reload_has_its_share() -> None:
    """What the users of the only shop have taken counts as that shop's; the other way round it is theirs again."""
    sharing = Sharing()
    places = Places(16, sharing)
    assert [greedy(places, SHOP, user) for user in "ab"] == [8, 4]
    sharing.among_shops = True
    assert not places.has_room((SHOP, "c"))
    assert greedy(places, "north", "north:anna") == 1
    sharing.among_shops = False
    assert greedy(places, SHOP, "c") == 2


@given(
    st.integers(1, 60),
    st.lists(
        st.tuples(
            st.sampled_from([SHOP, "north"]),
            st.sampled_from("abc"),
            st.sampled_from("st"),
            st.booleans(),
            st.booleans(),
        )
    ),
)
def test_the_numbers_add_up(most: int, steps: list[tuple[str, str, str, bool, bool]]) -> None:
    """Whatever comes and goes: never more than there are, and nothing is left when all have gone."""
    held: list[tuple[str, ...]] = []
    places = Places(most)
    for shop, user, session, comes, places.sharing.among_shops in steps:
        path = (shop, user, session)
        if comes and places.has_room(path):
            places.take(path)
            held.append(path)
        elif not comes and path in held:
            places.leave(path)
            held.remove(path)
        assert places.taken == len(held) <= most
        for depth in (1, 2, 3):
            assert places.of(path[:depth]) == sum(one[:depth] == path[:depth] for one in held)
    for one in held:
        places.leave(one)

    assert places.taken == 0
    assert not places._taken
