"""How findings are told."""

from __future__ import annotations

from onec_twisted.daemon.findings import FAIL, OK, WARN, Finding, table


def test_a_line_for_each() -> None:
    """The state, what it is about, and the words, one below the other."""
    found = [Finding(OK, "store", "fine"), Finding(WARN, "min-free", "little"), Finding(FAIL, "catalog", "none")]
    assert table(found) == "ok    store     fine\nWARN  min-free  little\nFAIL  catalog   none\n"
