"""``onec-node check``: runs an exchange with a tiny document, and reports how a real 1C would take the answers."""

from __future__ import annotations

import io
from datetime import datetime, timezone
from typing import TYPE_CHECKING
from xml.parsers import expat

from attrs import frozen
from twisted.internet.defer import CancelledError

from onec_twisted.exchange import commerceml
from onec_twisted.node.answers import BITRIX, TRADE, UNF, NodeError, Refusal, Remark, Strange
from onec_twisted.node.dialogue import Node

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from onec_twisted.node.answers import State
    from onec_twisted.node.dialogue import Sent

__all__ = ["CONNECTION", "NAME", "Finding", "check", "table"]

NAME = "onec-node-check.xml"
"""The document to send: CommerceML without goods."""

CLIENTS = (TRADE, UNF, BITRIX)

STRANGER = "onec-node-check"
"""A user unknown to any site: a wrong password for the real user might lock it out."""

CONNECTION = "connection"
"""The failed step if a site cannot be reached."""


@frozen
class Finding:
    """A step of the dialogue, and a remark on the site's answer; None means that all clients accept it."""

    step: str
    remark: Remark | None = None


def _broken(words: str, cure: str) -> Remark:
    return Remark(CLIENTS, words, cure)


async def check(make: Callable[[str | None], Node]) -> list[Finding]:
    """Run the dialogue; return the findings in order.

    ``make`` returns a node: for the right user if given None, else for the given name, with another password.
    """
    findings: list[Finding] = []
    if not await _check_stranger(make(STRANGER), findings):
        return findings
    node = _Steps(findings, make(None))
    if not await node.step("checkauth", Node.checkauth, "give the right user, password and address"):
        return findings
    if await node.step("init", Node.init, "answer zip=… and file_limit=… to init"):
        try:
            if await node.step("file", _send, "answer success to a piece"):
                await node.step("import", _import, "answer success, progress or failure")
        except CancelledError:
            await node.node.abandon()
            raise
    orders = _Steps(findings, make(None))
    if await orders.step("sale checkauth", lambda node: node.checkauth("sale"), "serve type=sale as well"):
        await orders.step("sale init", lambda node: node.init("sale", "3.1"), "answer init of type=sale")
        await orders.step("sale query", _read_orders, "answer an XML document that begins with <?xml")
    await _check_listen(make(None), findings)
    return findings


async def _send(node: Node) -> Sent:
    return await node.send_file(NAME, io.BytesIO(commerceml.no_orders(datetime.now(timezone.utc))))


async def _import(node: Node) -> State:
    return await node.import_file(NAME)


async def _read_orders(node: Node) -> None:
    """Read the site's orders to the end. Raises ``NodeError``, also if they are not XML."""
    parser = expat.ParserCreate()
    wrong: list[str] = []

    def read(data: bytes, *, is_last: bool = False) -> None:
        try:
            if not wrong:
                parser.Parse(data, is_last)
        except expat.ExpatError as error:
            wrong.append(str(error))

    await node.query_orders(read)
    read(b"", is_last=True)
    if wrong:
        raise Strange(f"query: the document is not XML ({wrong[0]})")


async def _check_stranger(node: Node, findings: list[Finding]) -> bool:
    """Check that the site rejects an unknown user; return whether the site can be reached."""
    cure = "answer failure to unknown users"
    try:
        await node.checkauth()
    except Refusal:
        findings.append(Finding("stranger"))
    except NodeError as error:
        reached = error.status != 0
        cure = cure if reached else "check that the site listens there, and whether it uses http or https"
        findings.append(Finding("stranger" if reached else CONNECTION, _broken(error.words, cure)))
        return reached
    else:
        findings.append(Finding("stranger", _broken("anybody can log in", cure)))
    return True


@frozen
class _Steps:
    """Runs the steps of a node's dialogue, and records the findings."""

    findings: list[Finding]
    node: Node

    async def step(self, step: str, ask: Callable[[Node], Awaitable[object]], cure: str) -> bool:
        """Run a step; return whether the dialogue can continue."""
        before = len(self.node.repeated)
        try:
            answer = await ask(self.node)
        except NodeError as error:
            self.findings.append(Finding(step, _broken(error.words, cure)))
            return False
        remarks = list(getattr(answer, "remarks", ()))
        if len(self.node.repeated) > before:
            words = f"answered only after a retry: {self.node.repeated[before]}"
            remarks.append(_broken(words, "answer the first request: 1C does not retry"))
        self.findings.extend(Finding(step, remark) for remark in remarks)
        if not remarks:
            self.findings.append(Finding(step))
        return True


async def _check_listen(node: Node, findings: list[Finding]) -> None:
    """Check that the answer does not make the Bitrix module exchange without end (docs/protocol.md, N11)."""
    try:
        status = await node.listen()
    except NodeError as error:
        findings.append(Finding("listen", _broken(error.words, "answer 304 to type=listen")))
        return
    words = f"type=listen is answered {status}: exchanges start at once, over and over"
    remark = Remark((BITRIX,), words, "answer 304 to type=listen") if status < 400 and status != 304 else None
    findings.append(Finding("listen", remark))


def table(findings: list[Finding]) -> list[str]:
    """Return the lines of a report: a verdict per client, then each finding with its cure."""
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
