"""``onec-node check``: a dialogue with a tiny document, and what a real 1C would make of the site's answers."""

from __future__ import annotations

import io
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from attrs import frozen

from onec_twisted import commerceml
from onec_twisted.node.answers import BITRIX, TRADE, UNF, NodeError, Refusal, Remark

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from onec_twisted.node.dialogue import Node

__all__ = ["CONNECTION", "NAME", "Finding", "check", "table"]

NAME = "onec-node-check.xml"
"""The document that is sent: CommerceML without goods."""

CLIENTS = (TRADE, UNF, BITRIX)

STRANGER = "onec-node-check"
"""A user whom no site knows: a wrong password for the real one might lock it out."""

CONNECTION = "connection"
"""The step that failed when a site cannot be reached."""


@frozen
class Finding:
    """A step of the dialogue, and who would stumble over what the site answered; none is fine."""

    step: str
    remark: Remark | None = None


def _broken(words: str, cure: str) -> Remark:
    return Remark(CLIENTS, words, cure)


async def check(make: Callable[[str | None], Node]) -> list[Finding]:
    """Run the dialogue; return what was found, in its order.

    ``make`` returns a node: the right user for None, else one of the name that it is given, with another password.
    """
    findings: list[Finding] = []
    if not await _check_stranger(make(STRANGER), findings):
        return findings
    node = make(None)
    if not await _step(findings, "checkauth", node.checkauth, "give the right user, password and address"):
        return findings
    if await _step(findings, "init", node.init, "answer zip=… and file_limit=… to init"):
        content = commerceml.no_orders(datetime.now(timezone.utc))
        sent = await _step(
            findings, "file", lambda: node.send_file(NAME, io.BytesIO(content)), "answer success to a piece"
        )
        if sent:
            await _step(findings, "import", lambda: node.import_file(NAME), "answer success, progress or failure")
    orders = make(None)
    if await _step(findings, "sale checkauth", lambda: orders.checkauth("sale"), "serve type=sale as well"):
        await _step(findings, "sale init", lambda: orders.init("sale", "3.1"), "answer init of type=sale")
        await _step(findings, "sale query", lambda: _read_orders(orders), "answer a document that begins with <?xml")
    await _check_listen(make(None), findings)
    return findings


async def _read_orders(node: Node) -> None:
    await node.query_orders(lambda _: None)


async def _check_stranger(node: Node, findings: list[Finding]) -> bool:
    """Return whether the site can be asked at all."""
    cure = "answer failure to whoever is unknown"
    try:
        await node.checkauth()
    except Refusal:
        findings.append(Finding("stranger"))
    except NodeError as error:
        reached = error.status != 0
        cure = cure if reached else "see that the site listens there, and that nothing is in between"
        findings.append(Finding("stranger" if reached else CONNECTION, _broken(error.words, cure)))
        return reached
    else:
        findings.append(Finding("stranger", _broken("anybody may log in", cure)))
    return True


async def _step(findings: list[Finding], step: str, ask: Callable[[], Awaitable[object]], cure: str) -> bool:
    """Take a step; return whether it went well enough to go on."""
    try:
        answer = await ask()
    except NodeError as error:
        findings.append(Finding(step, _broken(error.words, cure)))
        return False
    remarks = getattr(answer, "remarks", ())
    findings.extend(Finding(step, remark) for remark in remarks)
    if not remarks:
        findings.append(Finding(step))
    return True


async def _check_listen(node: Node, findings: list[Finding]) -> None:
    """See that the Bitrix module is not told to exchange without end (protocol.md, A.2 row 20)."""
    try:
        status = await node.listen()
    except NodeError as error:
        findings.append(Finding("listen", _broken(error.words, "answer 304 to type=listen")))
        return
    words = f"type=listen is answered {status}: an exchange starts at once, again and again"
    remark = Remark((BITRIX,), words, "answer 304 to type=listen") if status < 400 and status != 304 else None
    findings.append(Finding("listen", remark))


def table(findings: list[Finding]) -> list[str]:
    """Return the lines of a report: each client's lot, then each finding with what to do."""
    lines = []
    for client in CLIENTS:
        stumbles = sum(client in finding.remark.clients for finding in findings if finding.remark is not None)
        lines.append(f"{client:<20} {'stumbles' if stumbles else 'accepts it'}")
    lines.append("")
    for finding in findings:
        if finding.remark is None:
            lines.append(f"{finding.step:<16} ok")
        else:
            lines.append(f"{finding.step:<16} {finding.remark.words} [{', '.join(finding.remark.clients)}]")
            lines.append(f"{'':<16} -> {finding.remark.cure}")
    return lines
