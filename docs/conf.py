"""How the site is built: ``tox -e docs``. docs/ru/conf.py builds the Russian one from what is here."""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS))

from zope_interfaces import AutoInterface  # noqa: E402

from onec_twisted import __version__  # noqa: E402

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "onec-exchange"
author = "The onec-twisted authors"
version = release = __version__
language = "en"

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "ru"]
templates_path = [str(DOCS / "_templates")]

myst_enable_extensions = ["attrs_inline"]
myst_heading_anchors = 3
myst_url_schemes = {"http": None, "https": None, "mailto": None, "site": "{{path}}"}
"""``site:`` leads to a page of the other language, which is another build."""

highlight_language = "none"

suppress_warnings = ["misc.highlighting_failure"]
"""Of dialogues with ``>`` and ``<``, and of JSON with an ellipsis."""

nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!onec_twisted\.).*")]
"""Names of Python, Twisted and zope: their documents are not fetched, so that the build needs no network."""

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_format = "short"

html_theme = "furo"
html_title = "onec-exchange"
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/search.html",
        "sidebar/language.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}

LINK = re.compile(r"\[([^]]+)\]\(((?:ru/|\.\./)[\w./-]+)(#[^)\s]*)?\)")
"""A link out of the pages of this language."""


def is_russian(app: Sphinx) -> bool:
    """Return whether this is the build of docs/ru."""
    return Path(app.srcdir) != DOCS


def lead_out(app: Sphinx, docname: str, source: list[str]) -> None:
    """Keep links of the code host working on the site: to the other language, to files (as downloads) and folders."""

    def replaced(match: re.Match[str]) -> str:
        words, target, anchor = match[1], match[2], match[3] or ""
        there = (Path(app.srcdir) / posixpath.dirname(docname) / target).resolve()
        if there.is_dir():
            return words
        if there.suffix != ".md" or not there.is_file():
            return match[0]  # Sphinx has it downloaded, or fails
        if there.is_relative_to(DOCS):
            return f"[{words}](site:{target.removesuffix('.md')}.html{anchor})"
        return f"[{words}](path:{target})"

    source[0] = LINK.sub(replaced, source[0])


def list_the_pages(app: Sphinx, docname: str, source: list[str]) -> None:
    """Make the navigation of what the index lists: a tree for each of its sections."""
    if docname != "index":
        return
    for section in source[0].split("\n## ")[1:]:
        pages = "\n".join(re.findall(r"^\* \[[^]]+\]\(([a-z0-9-]+)\.md\)", section, re.MULTILINE))
        source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {section.partition(chr(10))[0]}\n\n{pages}\n```\n"


def link_to_the_other_language(app: Sphinx, pagename: str, _: str, context: dict[str, Any], __: Any) -> None:
    """Tell the page where it is in the other language; the index stands for a page that is not there."""
    russian = is_russian(app)
    other = DOCS if russian else DOCS / "ru"
    page = pagename if (other / f"{pagename}.md").is_file() else "index"
    up = "../" * (pagename.count("/") + russian)
    context["other_language"] = f"{up}{'' if russian else 'ru/'}{page}.html"
    context["other_language_name"] = "In English" if russian else "По-русски"
    context["other_language_code"] = "en" if russian else "ru"


def setup(app: Sphinx) -> None:
    """Connect what is above."""
    app.add_directive("autointerface", AutoInterface)
    app.connect("source-read", lead_out)
    app.connect("source-read", list_the_pages)
    app.connect("html-page-context", link_to_the_other_language)
