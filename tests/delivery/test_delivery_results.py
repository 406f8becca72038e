"""What a site says of an import: a dying site says no success, and a living one is understood."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onec_twisted.delivery.results import BROKEN, FAILURE, PROGRESS, SUCCESS, Result, plain, result_of


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \r\n",
        "\ufeff",
        "OK",
        "success",
        "success\nImported 12",
        "\ufeffSuccess",
        "imported, no failure",
        "failures: 0",
        "progressive discounts imported",
        '{"state": "failure"}',
        '\ufeff[{"error": "<b>"}]',
        "Notice: Undefined variable $x in /srv/shop/import.php on line 7\nsuccess",
        "\nWarning: date(): <timezone> in /srv/a on line 3\n",
    ],
)
def test_success(text: str) -> None:
    """Nothing, JSON, and whatever a site says but of failure; PHP's notices do not end it."""
    assert result_of(text).says == SUCCESS


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("failure", ""),
        ("failure\nNo price", "No price"),
        ("\ufeff\r\n\ufeff Failure \r\nNo price\r\nin line 7", "No price\nin line 7"),
        ("FAILURE: No price", "No price"),
        ("failure<br>No price", "No price"),
        ("failure - Нет цены", "Нет цены"),
        ("\nWarning: a in /b.php on line 3\n\nPHP Notice: c in /b.php on line 4\nfailure\nNo price", "No price"),
    ],
)
def test_failure(text: str, words: str) -> None:
    """In the first line that is the site's own, with its words."""
    assert result_of(text) == Result(FAILURE, words)


def test_progress() -> None:
    """As the exchange of 1C says it."""
    assert result_of("progress\n50 %") == Result(PROGRESS, "50 %")
    assert result_of("\ufeffprogress") == Result(PROGRESS, "")


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE html><html>",
        "\ufeff\n <html>",
        "\x00\u200b<?xml version='1.0'?>",
        "<br />\n<b>Fatal error</b>:  Allowed memory size of 134217728 bytes exhausted in <b>/srv/a.php</b>",
        "\nFatal error: Uncaught PDOException: server has gone away in /srv/a.php:3",
        "Imported 100\nPHP Fatal error:  Maximum execution time of 30 seconds exceeded in /srv/a.php on line 3",
        "Warning: a in /b.php on line 3\n\nParse error: syntax error in /b.php on line 4",
    ],
)
def test_a_dying_site(text: str) -> None:
    """Markup, and what PHP says last, wherever it stands."""
    assert result_of(text) == Result(BROKEN, "")


@given(st.text(alphabet=st.sampled_from("<failure\n\ufeff {[}]:progsucWn12"), max_size=60))
def test_any_text_says_something(text: str) -> None:
    """And never success if it begins with markup or failure."""
    says = result_of(text).says

    assert says in {SUCCESS, PROGRESS, FAILURE, BROKEN}
    first = text.replace("\ufeff", " ").strip().split("\n")[0].strip()
    assert (says == BROKEN) == first.startswith("<")
    assert (says == FAILURE) or first != FAILURE


@pytest.mark.parametrize(
    ("text", "content_type", "words"),
    [
        (" No price\n", "text/plain", "No price"),
        ("failure\nNo price", "text/plain", "No price"),
        ("Progress: 50 %", "", "Progress: 50 %"),
        ("<b>", "text/plain", ""),
        ("No", "text/HTML; charset=utf-8", ""),
        ("{}", "", ""),
    ],
)
def test_words_for_a_person(text: str, content_type: str, words: str) -> None:
    """Plain text only, and not the protocol's own words."""
    assert plain(text, content_type) == words
