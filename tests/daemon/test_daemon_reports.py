"""What the command shows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from onec_twisted.daemon.reports import (
    exchange_report,
    exchanges_report,
    handoffs_report,
    sessions_report,
    shops_report,
    size,
    status_report,
    table,
    users_report,
)

DOCUMENT = (Path(__file__).parents[2] / "docs" / "admin-api.md").read_text(encoding="utf-8")


def example(path: str) -> Any:
    """Return what the documents show of an answer."""
    found = re.search(rf"`GET /api/v1/{path}`\n\n```json\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0B"), (1023, "1023B"), (1536, "1.5K"), (20 * 2**20, "20M"), (3 * 2**40, "3.0T")]
)
def test_sizes(count: int, text: str) -> None:
    """In powers of 1024."""
    assert size(count) == text


def test_columns_are_aligned_and_foreign_text_is_harmless() -> None:
    """Nothing of a name reaches the terminal as a command."""
    assert (
        table(("A", "B"), [("long name", "x\x1b[31m"), ("b", "y")])
        == "A          B\nlong name  x\\x1b[31m\nb          y"
    )


def test_a_status() -> None:
    """Its verdict comes first, with reasons if it is bad."""
    good = example("status")
    assert status_report(good).startswith("all is well\nonec-exchange 0.1.0, running for 1.0 h\nfree 76G")
    reason = {"kind": "failed", "username": "", "count": 3, "since": None, "said": "no such group"}
    bad = status_report({**good, "good": False, "reasons": [reason]})
    assert bad.startswith("needs attention:\n  failed (3): no such group\n")
    daemons = [
        {"name": "north", "version": "0.1.0", "running": 3600.0, "silent": 0.4},
        {"name": "so\x1buth", "version": "0.2.0", "running": 7200.0, "silent": 60.0},
    ]
    shared = status_report({**good, "daemons": daemons}).splitlines()[-3:]
    assert [line.split() for line in shared] == [
        ["DAEMON", "VERSION", "RUNNING", "SEEN"],
        ["north", "0.1.0", "1.0", "h", "now"],
        [shared[2].split()[0], "0.2.0", "2.0", "h", "60", "s", "ago", "-", "lost"],
    ]
    assert "\x1b" not in shared[2]
    of_shop = status_report({**good, "good": False, "reasons": [{**reason, "shop": "north"}]})
    assert of_shop.startswith("needs attention:\n  failed (3): north - no such group\n")


def test_lists() -> None:
    """A line each."""
    assert "17" in exchanges_report(example("exchanges")["items"])
    assert "import import0_1.xml - The site answered 503" in handoffs_report(example("handoffs")["items"])
    session = {
        "sessid": "5f0c",
        "touched": 1.0,
        "files": 2,
        "held": 2048,
        "waiting": 0,
        "failed": 1,
        "username": "shop",
    }
    assert re.search(r"5f0c +\S+ \S+ +2 +2\.0K +0 +1 +shop", sessions_report([session]))


def test_shops_have_a_column() -> None:
    """If any line is of another than the default one; beside it stands the user's plain name."""
    (line,) = example("exchanges")["items"]
    assert "SHOP" not in exchanges_report([line])
    other = {**line, "username": "north:alice", "shop": "north", "user": "alice"}
    heads, first, second = exchanges_report([line, other]).splitlines()

    assert heads.split()[6:] == ["SHOP", "USER", "MESSAGE"]
    assert first.split()[-2:] == ["default", "shop"]
    assert second.split()[-2:] == ["north", "alice"]
    old = {name: value for name, value in line.items() if name not in {"shop", "user"}}
    assert exchanges_report([old]) == exchanges_report([line])


def test_shops() -> None:
    """What each holds of its quota, its hand-offs, and its last exchange."""
    (shop,) = example("shops")["items"]
    _, line, silent = shops_report([shop, {**shop, "name": "south", "quota": None, "last": None}]).splitlines()

    assert re.search(r"north +5\.0G +100G +4 +0 +1 +\S+ \S+ +succeeded alice", line)
    assert re.search(r"south +5\.0G +- .* - +-$", silent)


def test_users() -> None:
    """Each with the last exchange."""
    (line,) = example("exchanges")["items"]
    row = {
        "username": "shop",
        "shop": "default",
        "user": "shop",
        "recent": [{**line, "state": "failed", "words": "no"}],
    }

    assert re.search(r"^shop +\S+ \S+ +failed +no$", users_report([row]), re.MULTILINE)


def test_one_exchange() -> None:
    """Its files, its tries, and what was refused; what there is none of is left out."""
    (line,) = example("exchanges")["items"]
    made = {
        "event": "import",
        "filename": "import0_1.xml",
        "tries": [{"begun": 1.0, "ended": 2.0, "outcome": "failed", "words": "no"}],
    }
    file = {"name": "import0_1.xml", "size": 10, "type": "catalog", "summary": None}
    shown = exchange_report({"line": line, "files": [file], "imports": [made], "refusals": []})

    assert "from 192.0.2.10, 1C+Enterprise/8.3" in shown
    assert "failed   import import0_1.xml no" in shown
    assert "REFUSED" not in shown
