"""The shops, and one shop, made from values."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from handed_off import handoff
from pages import DAY, NOW, exchange_line, frame, habit, read, source_of
from shops import NORTH, SOUTH

from onec_twisted.admin.pages.shops import MOST_SHOPS_SHOWN, ShopLook, shop_page, shops
from onec_twisted.admin.words.english import ENGLISH
from onec_twisted.catalog.sql.shops import NOTHING
from onec_twisted.model.records import FAILED, WAITING
from onec_twisted.model.shops import ShopView

FRAME = frame(page="shops", shops=("north", "south"))
BUSY = evolve(
    NOTHING,
    held=500,
    sessions=2,
    handoffs={**NOTHING.handoffs, FAILED: 3, WAITING: 1},
    last=exchange_line(number=90, username="north:bob", state=FAILED),
)


def look(**changes: Any) -> ShopLook:
    """Return what the page of a shop is made from."""
    values: dict[str, Any] = {
        "shop": NORTH, "totals": BUSY, "users": (), "recent": (), "handoffs": (), "prospects": {},
    }  # fmt: skip
    return ShopLook(**(values | changes))


def test_a_row() -> None:
    """What a shop holds of its quota, what waits and what has failed, each one step away."""
    document = read(shops(FRAME, {}, [(NORTH, BUSY)], [habit("north:alice", DAY)]))
    links = [link["href"] for link in document.all("a")]

    assert "500 B of 1.0 KB" in document.text
    assert links == [
        "shops/north",
        "exchanges/90",
        "handoffs?shop=north&state=waiting",
        "handoffs?shop=north&state=failed",
    ]
    (dots,) = [one for one in document.all("div") if one.get("role") == "img"]
    assert dots["aria-label"] == "done: 10, failed: 1"


def test_a_shop_that_nobody_has_used() -> None:
    """It has a row without anything."""
    document = read(shops(FRAME, {}, [(SOUTH, NOTHING)], []))

    assert "south0 B" in document.text.replace("\n", "")
    assert [link["href"] for link in document.all("a")] == ["shops/south"]


def test_trouble_comes_first() -> None:
    """What has failed, or is silent; the others as they come."""
    known = [(ShopView(name, None, ()), NOTHING) for name in ("a", "b", "c", "d")]
    known[3] = known[3][0], BUSY
    users = [habit("a:u", DAY), habit("c:u", DAY, last=NOW - 5 * DAY)]
    document = read(shops(FRAME, {}, known, users))

    assert [row["id"] for row in document.all("tr") if row.get("id")] == ["shop-c", "shop-d", "shop-a", "shop-b"]
    assert ENGLISH.overdue in document.text


def test_many_shops() -> None:
    """A page of a hundred is not large, and says how many there are besides; one finds a shop by its name."""
    known = [(ShopView(f"shop{number}", 10**9, ()), BUSY) for number in range(1000)]
    users = [habit(f"shop{number}:u", DAY, count=30) for number in range(200)]
    content = shops(FRAME, {}, known, users)

    assert f"{ENGLISH.not_shown}: {1000 - MOST_SHOPS_SHOWN}" in read(content).text
    assert len(source_of(content)) < 200_000
    document = read(shops(FRAME, {"name": "SHOP77"}, known, users))
    found = [str(row["id"]) for row in document.all("tr") if row.get("id")]
    assert found == ["shop-shop77", *(f"shop-shop77{number}" for number in range(10))]
    assert ENGLISH.none_found in read(shops(FRAME, {"name": "<b>"}, known, users)).text


def test_one_shop() -> None:
    """Its totals, its users, what waits and has failed, its last exchanges, and its own settings."""
    lines = [
        handoff(id="1", username="north:bob", state=FAILED, words="no price"),
        handoff(id="2", username="north:bob", state=WAITING),
    ]
    given = look(users=(habit("north:alice", DAY),), recent=(exchange_line(username="north:bob"),), handoffs=lines)
    document = read(shop_page(FRAME, given))

    assert [section["id"] for section in document.all("section")] == ["users", "handoffs", "exchanges", "options"]
    for said in ("500 B of 1.0 KB", "alice", "no price", "--history", "90 days"):
        assert said in document.text
    links = [link["href"] for link in document.all("a")]
    assert {"handoffs?shop=north", "exchanges?shop=north"} <= set(links)


def test_buttons_of_a_shop() -> None:
    """They are for all that failed of this shop, and of no other."""
    document = read(shop_page(FRAME, look()))

    assert [form["action"] for form in document.all("form")] == ["handoffs/all/retry", "handoffs/all/drop"]
    fields = [(field["name"], field["value"]) for field in document.all("input")]
    assert fields.count(("shop", "north")) == 2
    assert ("user", "") in fields


def test_a_shop_without_settings() -> None:
    """It says that those of the daemon apply; without a quota there is only what it holds."""
    text = read(shop_page(FRAME, look(shop=SOUTH, totals=NOTHING))).text

    assert ENGLISH.no_own_settings in text
    assert "0 B of" not in text
