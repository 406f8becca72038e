"""The clauses of RUFH that ``tests/system/test_rufh_conformance.py`` tests, what was seen of each, and the page."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING

import pytest
from attrs import frozen
from rufh_client import VERSIONS
from tus_server import Broken, NotAnnounced, fact_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from rufh_client import Server

PRACTICE = "Practice"
"""How the clauses begin that are not in the draft, but what its clients have come to rely on."""


@frozen
class Clause:
    """What a server should do in some versions; ``holds`` is a sentence that says it, ``test`` names its test."""

    name: str
    strength: str
    holds: str
    test: str
    versions: tuple[int, ...]


CLAUSES: dict[str, Clause] = {}
RESULTS: dict[int, dict[str, str]] = {}
"""By version, and by the names of clauses: what was seen."""


def clause(
    name: str, strength: str, *versions: int
) -> Callable[[Callable[[Server], None]], Callable[[Server], None]]:
    """Let a test stand for a clause of these versions of the draft, of all that are asked if there is none."""

    def register(test: Callable[[Server], None]) -> Callable[[Server], None]:
        """Write down what the clause says, and let the test write down what it sees."""
        assert name not in CLAUSES
        holds = " ".join((inspect.getdoc(test) or "").split())
        CLAUSES[name] = one = Clause(name, strength, holds, test.__name__, versions or VERSIONS)

        @functools.wraps(test)
        def run(rufh: Server) -> None:
            """Run the test."""
            seen = RESULTS.setdefault(rufh.version, {})
            seen[name] = "–"
            if rufh.version not in one.versions:
                pytest.skip("not in this version")
            try:
                test(rufh)
            except NotAnnounced:
                pytest.skip("not announced")
            except (Broken, TimeoutError, ConnectionError) as error:
                fact = fact_of(error)
                seen[name] = f"✗ {fact}"
                raise Broken(f"{name} ({strength}) does not hold: {fact}") from error
            seen[name] = "✓"

        return run

    return register


def all_were_tested() -> bool:
    """Return whether the clauses were tested in all versions."""
    return set(RESULTS) == set(VERSIONS) and all(seen.keys() == CLAUSES.keys() for seen in RESULTS.values())


INTRODUCTION = """\
What the IETF's draft for [resumable uploads](https://datatracker.ietf.org/doc/draft-ietf-httpbis-resumable-upload/)
requires of a server, in our words, and what `tests/system/test_rufh_conformance.py` observed of the daemon.
[rufh.md](rufh.md) says what clients can rely on. The suite uses only the wire, so it can test any server:

```
ONEC_RUFH_URL=http://user:password@127.0.0.1:8080/files/ pytest tests/system/test_rufh_conformance.py
```

For `https://`, `SSL_CERT_FILE` names the certificates to trust, if they are not the system's. The suite fails if this
page is out of date; with `ONEC_RUFH_TABLE=docs/rufh-conformance.md` it rewrites it.

Each clause is tested in the interop versions 6 (drafts 04 and 05), 8 (drafts 09 to 11) and 9 (draft 12). The text of
later drafts, up to 15, was not at hand when this was written.

✓ holds · ✗ does not, and what was observed instead · – is not in this version, or is about something that the server
does not announce

A clause is named after the section or the field of the draft that it comes from. Where the text obliges only the
client, the clause says what a server does not accept. Not tested: what happens when an upload expires, or when the
server has lost bytes that it acknowledged, and the duties of clients.

Deviations on purpose:

* In versions 6 and 8, too, an append with `?1` and without bytes at the end of a complete upload gets the final
  answer again. Their drafts have it refused, but the client that lost the answer would not learn what became of its
  file.
* More bytes for a complete upload get 400 in all versions, but never the problem type `completed-upload`, which draft
  12 has removed.
* In version 6 the limit on time is called `max-age`, as in later drafts, not `expires`. Clients pass over limits that
  they do not know.
"""

IN_PRACTICE = """\
The draft leaves these open, or takes them from other standards; clients in use rely on them, or lose bytes or time
without them. The strength is ours.
"""


def _table(clauses: list[Clause]) -> list[str]:
    """Return a table of what was seen."""
    lines = [
        "| " + " | ".join(["clause", "strength", "what holds", *map(str, VERSIONS), "test"]) + " |",
        "|---" * (4 + len(VERSIONS)) + "|",
    ]
    for one in clauses:
        seen = [RESULTS[version][one.name].replace("|", "\\|") for version in VERSIONS]
        lines.append("| " + " | ".join([one.name, one.strength, one.holds, *seen, f"`{one.test}`"]) + " |")
    return lines


def page() -> str:
    """Return the page: what was seen of the server that was asked."""
    text = [one for one in CLAUSES.values() if not one.name.startswith(PRACTICE)]
    practice = [one for one in CLAUSES.values() if one.name.startswith(PRACTICE)]
    counts = [
        f"{version}: {sum(seen[one.name] == '✓' for one in text)} of {sum(seen[one.name] != '–' for one in text)}"
        for version, seen in sorted(RESULTS.items())
    ]
    return "\n".join(
        [
            "# RUFH, clause by clause\n",
            INTRODUCTION,
            "## The draft\n",
            *_table(text),
            "\nClauses that hold, of those that the version has: " + "; ".join(counts) + ".\n",
            "## Good practice\n",
            IN_PRACTICE,
            *_table(practice),
            "",
        ]
    )
