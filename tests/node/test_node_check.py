"""The report of ``onec-node check``."""

from __future__ import annotations

from onec_twisted.node.answers import BITRIX, TRADE, Remark
from onec_twisted.node.check import Finding, table


def test_a_report() -> None:
    """Each client's lot first; then each finding, and what to do about it."""
    remark = Remark((TRADE, BITRIX), "init has 3 lines", "answer two")

    assert table([Finding("checkauth"), Finding("init", remark)]) == [
        "1C:Trade 11.5        stumbles",
        "1C:UNF               accepts it",
        "the Bitrix module    stumbles",
        "",
        "checkauth        ok",
        "init             init has 3 lines [1C:Trade 11.5, the Bitrix module]",
        "                 -> answer two",
    ]
