"""What all pages have in common: the verdict on top, where one is, and the small parts."""

from __future__ import annotations

import pytest
from attrs import evolve
from pages import HOSTILE, NOW, frame, read, source_of

from onec_twisted.admin.pages.frame import LEADS_TO, PAGES, PAGES_OF_SHOPS
from onec_twisted.admin.verdict import REASONS, Reason, Verdict
from onec_twisted.admin.words.english import ENGLISH
from onec_twisted.admin.words.russian import RUSSIAN

BAD = Verdict(
    (
        Reason(kind="unhealthy", said="the daemon is shutting down"),
        Reason(kind="refusing", username="Иван\u202e", count=12, since=NOW - 60, said="<b>No room"),
        Reason(kind="disk", count=12),
        Reason(kind="failed", count=3, said="no price"),
    )
)


def test_a_good_verdict() -> None:
    """In the title, so that a tab shows it, in the icon, and in words."""
    document = read(frame().document("", []))

    assert "✓ All is well" in document.text
    assert document.all("link")[1]["href"] == "status.svg"
    assert document.of_class("verdict")[0]["class"] == "verdict good"


def test_a_bad_verdict_alarms_the_tab() -> None:
    """It says how much is wrong, and its icon is another one; each reason leads to more."""
    document = read(frame(verdict=BAD).document("", []))

    assert document.text.startswith("✗ Needs attention: 4 · onec-exchange")
    assert document.all("link")[1]["href"] == "alarm.svg"
    for said in (
        "Uploads are not accepted – the daemon is shutting down",
        "Requests refused: ИванU+202E – 12, last ",
        "<b>No room",
        "The disk will reach the reserve within 12 h",
        "Failed hand-offs: 3 – no price",
    ):
        assert said in document.text
    assert "handoffs?state=failed" in [link["href"] for link in document.all("a")]


def test_the_reasons_of_health_are_translated() -> None:
    """No language is mixed into the other."""
    text = read(frame(verdict=BAD, words=RUSSIAN).main("", [])).text

    assert "служба обмена останавливается" in text
    assert "shutting" not in text


def test_every_reason_leads_somewhere() -> None:
    """To one of our pages."""
    assert LEADS_TO.keys() == set(REASONS)
    assert {place.partition("?")[0] for place in LEADS_TO.values()} <= set(PAGES)


def test_other_pages_say_it_in_one_line() -> None:
    """Which leads to the reasons; from wherever the page is."""
    document = read(frame(verdict=BAD, page="exchanges", root="../").document("Exchange 7", []))

    assert document.text.startswith("✗ Needs attention: 4 · Exchange 7 · onec-exchange")
    (line,) = document.of_class("verdict")
    assert line["href"] == "../"
    assert "no price" not in document.text


def test_reasons_name_the_shop() -> None:
    """If there are any, beside the user, or of what has failed; more is one step away."""
    verdict = Verdict(
        (
            Reason(kind="refusing", username="north:alice", count=12),
            Reason(kind="failed", count=3, shop="north", said="no price"),
            Reason(kind="overdue", username="bob"),
        )
    )
    document = read(frame(verdict=verdict, shops=("north", "default")).main("", []))

    for said in (
        "Requests refused: alice (north) – 12",
        "Failed hand-offs (north): 3 – no price",
        "Silent for longer than usual: bob (default)",
    ):
        assert said in document.text
    assert [link["href"] for link in document.all("a")] == [
        "refusals?shop=north",
        "handoffs?state=failed&shop=north",
        "exchanges?shop=default",
    ]
    assert "bob (" not in read(frame(verdict=verdict).main("", [])).text


def test_whose_something_is() -> None:
    """The user, with the shop beside if there are any; not on the page of that shop."""
    some = frame(shops=("north",))

    assert read(some.owner("north:alice")).text == "alice north"
    linked = read(some.owner("north:alice", link="x"))
    assert [link["href"] for link in linked.all("a")] == ["x"]
    assert read(evolve(some, here="shops/north?x=1").owner("north:alice")).text == "alice"
    assert read(some.owner("bob", "south")).text == "bob default"
    assert read(some.owner("", "south")).text == " south"
    assert read(frame().owner("bob")).text == "bob"
    assert read(frame().owner("", "default")).text == ""


def test_shops_have_a_page() -> None:
    """If there are any besides the default one."""
    links = [link["href"] for link in read(frame(shops=("north",)).document("", [])).all("a")]

    assert [link for link in links if link in PAGES_OF_SHOPS] == list(PAGES_OF_SHOPS[1:])


def test_navigation() -> None:
    """It says which page this is."""
    document = read(frame(page="handoffs").document("Hand-offs", []))
    links = document.all("a")

    assert [link["href"] for link in links if link.get("aria-current") == "page"] == ["handoffs"]
    assert [link["href"] for link in links if link["href"] in PAGES] == list(PAGES[1:])


def test_the_part_that_changes_tells_the_script_what_the_head_needs() -> None:
    """Title, icon, and as of when it is."""
    (main,) = [one for one in read(frame(verdict=BAD).main("", [])).all("main") if "id" in one]

    assert main["data-title"] == "✗ Needs attention: 4 · onec-exchange"
    assert main["data-icon"] == "alarm.svg"
    assert str(main["data-time"]).count(":") == 2


def test_the_time_zone_is_named() -> None:
    """By its distance from UTC, and when the page was made."""
    text = read(frame().main("", [])).text

    assert "time zone: UTC+" in text or "time zone: UTC-" in text
    assert "as of" in text
    assert "1.2.3" in text


@pytest.mark.parametrize(
    ("back", "length", "exact"), [(0, 8, 8), (60, 8, 8), (86400 * 2, 16, 19), (86400 * 400, 16, 19)]
)
def test_moments(back: float, length: int, exact: int) -> None:
    """Today's is a time of day; another day's has its date; the whole of it is in the title."""
    then = NOW - back if back != 60 else NOW
    document = read(frame().moment(then))

    assert len(document.text) == length
    assert len(read(frame().moment(then, exact=True)).text) == exact
    assert len(str(document.all("time")[0]["title"])) == 25
    assert frame().moment(None) == ""


def test_a_button() -> None:
    """It goes with the token and the way back, asks first, and says what it is about without being deceived."""
    made = frame(root="../", here="exchanges/7").button(
        "handoffs/x/retry", "Retry", HOSTILE, question="Sure?", user="u"
    )
    document = read(made)
    (form,) = document.all("form")

    assert (form["action"], form["method"], form["data-confirm"]) == ("../handoffs/x/retry", "post", "Sure?")
    assert {str(one["name"]): one["value"] for one in document.all("input")} == {
        "token": "secret-token",
        "back": "exchanges/7",
        "user": "u",
    }
    (label,) = [one["aria-label"] for one in document.all("button")]
    assert label == "Retry: <script>alert(1)</script>\"'&[U+202E]gpj.xml"
    assert "<script" not in source_of(made)


def test_a_shard_leaves_room_for_what_distinguishes_its_sessions() -> None:
    """Its name, with which all of them begin, is shown beside the beginning of the rest."""
    assert read(frame().sessid("shop2-" + "a" * 32)).text == "shop2-aaaaaaaa"
    assert read(frame().sessid("b" * 32)).text == "bbbbbbbb"


def test_notices() -> None:
    """What came of a button is said in words of ours; what else is asked for is not said."""
    assert ENGLISH.notices["ended"] in read(frame().document("", [], "ended")).text
    assert "<b>" not in source_of(frame().document("", [], "<b>"))
