"""Tables, lists of facts, filters and pages of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from attrs import frozen
from twisted.web.template import Tag, tags

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from onec_twisted.admin.pages.frame import Frame

__all__ = ["Choice", "Column", "Table", "choices", "entry", "facts", "filters", "further", "with_query"]


@frozen
class Column:
    """A column: its head, and a class.

    ``long`` may break anywhere, ``number`` stands at the right, ``wide`` is left out where there is little room;
    other cells never break.
    """

    head: str
    kind: str = ""


@frozen(kw_only=True)
class Table:
    """A table of a page. ``key`` is its id; ``rows`` maps ids of rows to cells."""

    key: str
    title: str
    columns: Sequence[Column]
    rows: Mapping[str, Sequence[Any]]
    empty: str

    def section(self, *beside: Any, after: Any = "") -> Tag:
        """Return a section with the table, or with a message that it is empty; ``beside`` stands by its title."""
        heading = tags.div(tags.h2(self.title, id=f"{self.key}-title"), beside, class_="heading")
        content: Any = self._table() if self.rows else tags.p(self.empty, class_="quiet")
        return tags.section(heading, content, after, id=self.key)

    def _table(self) -> Tag:
        """Return the table.

        Each cell has its column's name, which a narrow screen shows beside it. Roles are explicit, because the style
        for narrow screens removes the tags' own.
        """
        heads = [tags.th(one.head, scope="col", role="columnheader", class_=one.kind) for one in self.columns]
        body = tags.tbody(role="rowgroup")
        for key, cells in self.rows.items():
            made = [
                tags.td(cell, role="cell", class_=column.kind, **{"data-label": column.head})
                for column, cell in zip(self.columns, cells, strict=True)
            ]
            body(tags.tr(made, id=key, role="row"))
        head = tags.thead(tags.tr(heads, role="row"), role="rowgroup")
        return tags.table(head, body, role="table", **{"aria-labelledby": f"{self.key}-title"})


def facts(rows: Iterable[tuple[str, Any]], key: str) -> Tag:
    """Return a list of names and values."""
    made = [tags.div(tags.dt(name), tags.dd(value, id=f"{key}-{place}")) for place, (name, value) in enumerate(rows)]
    return tags.dl(made, id=key)


Choice = tuple[str, str]
"""A value of a filter, and what it is called."""


def choices(name: str, label: str, chosen: str, offered: Sequence[Choice]) -> Tag:
    """Return a field of a filter with some choices; one that is not offered is offered all the same."""
    known = {value for value, _ in offered}
    offered = [*offered, *([] if chosen in known else [(chosen, chosen)])]
    options = []
    for value, called in offered:
        option = tags.option(called, value=value)
        options.append(option(selected="selected") if value == chosen else option)
    return tags.label(tags.span(label), tags.select(options, name=name))


def entry(name: str, label: str, value: str, kind: str = "search") -> Tag:
    """Return a field of a filter to write in."""
    return tags.label(tags.span(label), tags.input(type=kind, name=name, value=value, autocomplete="off"))


def filters(frame: Frame, fields: Sequence[Tag], *, is_set: bool) -> Tag:
    """Return a form that filters this page; it works without the script."""
    words = frame.words
    clear = [tags.a(words.clear, href="?", class_="clear")] if is_set else []
    form = tags.form(*fields, tags.button(words.apply, type="submit", class_="plain"), clear, class_="filters")
    return form(method="get", role="search", **{"aria-label": words.filter})


def with_query(query: Mapping[str, str], **changed: str) -> str:
    """Return a link to this page with another query, without what is empty."""
    return "?" + urlencode({name: value for name, value in {**query, **changed}.items() if value})


def further(frame: Frame, query: Mapping[str, str], before: str) -> Tag | str:
    """Return links to older rows, and to the newest; empty where all are shown."""
    words = frame.words
    links = []
    if query.get("before"):
        links.append(tags.a(words.newest, href=with_query(query, before=""), rel="prev"))
    if before:
        links.append(tags.a(words.older, href=with_query(query, before=before), rel="next"))
    return tags.nav(links, class_="further", **{"aria-label": words.paging}) if links else ""
