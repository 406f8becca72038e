"""Nobody has more of what all share than is left for the others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from onec_twisted.runtime.fairness import Places


def greedy(places: Places, *path: str) -> int:
    """Take as many as one may have; return how many those are of the first in the path."""
    while places.has_room(path):
        places.take(path)
    return places.of(path[:1])


def test_who_is_alone_has_half() -> None:
    """Each who comes later has half of what is left; what is given back can be had again."""
    places = Places(1000)
    assert [greedy(places, user) for user in "abcdefghij"] == [500, 250, 125, 63, 31, 16, 8, 4, 2, 1]
    assert places.taken == 1000
    assert not places.has_room(("k",))
    places.leave(("a",))
    assert not places.has_room(("a",))
    assert greedy(places, "k") == 1


def test_a_session_leaves_as_many_to_its_user() -> None:
    """So other sessions of that user find something, too."""
    places = Places(1000)
    assert greedy(places, "a", "one") == 250
    assert greedy(places, "a", "two") == 375
    for _ in range(250):
        places.leave(("a", "one"))
    assert places.has_room(("a", "one"))


def test_one_place_is_for_whoever_comes_first() -> None:
    """Few places are shared as well as can be."""
    places = Places(1)
    assert greedy(places, "a", "s") == 1
    assert not places.has_room(("b", "t"))


def test_any_number() -> None:
    """Zero is no limit."""
    places = Places(0)
    for _ in range(100):
        assert places.has_room(("a", "s"))
        places.take(("a", "s"))


def test_a_shop_with_many_users_leaves_as_many_to_others() -> None:
    """However many users it has; and they leave as many to each other."""
    places = Places(1000)
    for number in range(100):
        greedy(places, "north:", f"north:{number}", "s")
    assert places.of(("north:",)) == 500
    assert places.of(("north:", "north:0")) < 250
    assert greedy(places, "south:", "south:anna", "s") > 50
    assert greedy(places, "boris", "s") > 50


@given(st.integers(1, 60), st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("st"), st.booleans())))
def test_the_numbers_add_up(most: int, steps: list[tuple[str, str, bool]]) -> None:
    """Whatever comes and goes: never more than there are, and nothing is left when all have gone."""
    places, held = Places(most), []
    for user, session, comes in steps:
        if comes and places.has_room((user, session)):
            places.take((user, session))
            held.append((user, session))
        elif not comes and (user, session) in held:
            places.leave((user, session))
            held.remove((user, session))
        assert places.taken == len(held) <= most
        assert places.of((user,)) == sum(one == user for one, _ in held)
    for one in held:
        places.leave(one)

    assert places.taken == 0
    assert not places._taken
