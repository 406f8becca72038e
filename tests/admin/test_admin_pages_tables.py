"""Tables, filters and the way to older rows."""

from __future__ import annotations

from pages import frame, read, source_of

from onec_twisted.admin.pages.tables import Column, Table, choices, entry, facts, filters, further, with_query

TABLE = Table(
    key="t", title="Things", columns=[Column("A", "long"), Column("B")], rows={"r1": ["x", "y"]}, empty="None there."
)


def test_a_table_can_be_read_aloud() -> None:
    """It has a name, heads of columns, and roles that no style removes; each cell knows its column."""
    document = read(TABLE.section())

    assert document.all("table") == [{"role": "table", "aria-labelledby": "t-title"}]
    assert [head["scope"] for head in document.all("th")] == ["col", "col"]
    assert [(cell["data-label"], cell["class"], cell["role"]) for cell in document.all("td")] == [
        ("A", "long", "cell"),
        ("B", "", "cell"),
    ]
    assert {row.get("role") for row in document.all("tr")} == {"row"}


def test_an_empty_table_says_so() -> None:
    """Instead of heads over nothing."""
    empty = read(Table(key="t", title="Things", columns=TABLE.columns, rows={}, empty="None there.").section())

    assert empty.all("table") == []
    assert "None there." in empty.text


def test_facts() -> None:
    """Names and values, with places for the script."""
    document = read(facts([("Size", "5 B")], "known"))

    assert document.text == "Size5 B"
    assert document.all("dd") == [{"id": "known-0"}]


def test_a_filter() -> None:
    """A form that the browser sends by itself: labelled fields, what is chosen, and the way to all."""
    fields = [choices("state", "State", "b", [("a", "A"), ("b", "B")]), entry("file", "File", 'x"')]
    document = read(filters(frame(), fields, is_set=True))

    assert document.all("form")[0]["method"] == "get"
    assert [option.get("selected") for option in document.all("option")] == [None, "selected"]
    assert document.all("input")[0]["value"] == 'x"'
    assert len(document.all("label")) == 2
    assert document.of_class("clear")[0]["href"] == "?"
    assert read(filters(frame(), fields, is_set=False)).of_class("clear") == []


def test_a_choice_that_is_not_offered() -> None:
    """A user who is not among those listed can be asked for all the same."""
    options = read(choices("user", "User", "nobody", [("", "any")])).all("option")

    assert [(one["value"], one.get("selected")) for one in options] == [("", None), ("nobody", "selected")]


def test_links_to_older_rows_keep_the_filter() -> None:
    """And what is in it is quoted."""
    assert with_query({"file": "a&b=c", "before": "7"}, before="3") == "?file=a%26b%3Dc&before=3"
    links = read(further(frame(), {"user": "Иван", "before": "90"}, "40")).all("a")
    assert [link["href"] for link in links] == [
        "?user=%D0%98%D0%B2%D0%B0%D0%BD",
        "?user=%D0%98%D0%B2%D0%B0%D0%BD&before=40",
    ]
    assert further(frame(), {}, "") == ""


def test_nothing_is_styled_in_line() -> None:
    """The policy forbids it."""
    assert "style=" not in source_of(TABLE.section(), filters(frame(), [], is_set=True))
