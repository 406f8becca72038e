"""The importers ``http:`` and ``https:``: a webhook of the site receives each hand-off as a signed POST."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.web.http import RESPONSES, stringToDatetime
from zope.interface import implementer

from onec_twisted.delivery.interfaces import IImporter
from onec_twisted.delivery.results import BROKEN, FAILURE, PROGRESS, Result, plain, result_of
from onec_twisted.http.client import reason_of, was_cancelled
from onec_twisted.model.errors import ImportFailed, ImportInterrupted
from onec_twisted.model.shown import harmless

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.delivery.client import SiteClient
    from onec_twisted.model.description import Description

__all__ = ["Webhook", "retry_after"]

POLL_INTERVAL = 2.0
"""Seconds between a 202 and the next poll, unless ``Retry-After`` says otherwise."""

SHORTEST_POLL, LONGEST_POLL = 0.1, 60.0
"""Limits of the seconds between polls."""

MOST_REDIRECTS = 5
"""Most redirects that are followed."""

PASSING = frozenset({408, 425, 429})
"""Temporary 4xx statuses (RFC 9110 section 15.5.9, RFC 8470, RFC 6585)."""

GONE = frozenset({404, 410})
LEADING = frozenset({202, 307, 308})
"""Statuses whose ``Location`` is followed."""

QUOTED_LENGTH = 300
"""Characters of an answer that the log quotes."""


@frozen
class _Answer:
    """The site's response: ``text`` is empty unless it was plain text; ``location`` is the URL to follow.

    ``status`` is 202 for any success whose text says ``progress``; ``result`` is what a success says, ``begins`` how.
    """

    status: int
    text: str
    location: str | None
    retry_after: float | None
    result: Result
    begins: str

    def words(self) -> str:
        """Return the text, or the status in words."""
        phrase = RESPONSES.get(self.status, b"").decode("ascii")
        return self.text or f"The site answered {self.status} {phrase}".rstrip()


def retry_after(header: str | None, date: str | None) -> float | None:
    """Return the seconds of a ``Retry-After`` (RFC 9110 section 10.2.3), None if it is missing or invalid.

    A date is compared with ``date``, the response's own Date header, because the clocks may differ.
    """
    text = (header or "").strip()
    if text.isdecimal():
        return float(text[:9])
    try:
        return max(
            0.0, float(stringToDatetime(text.encode("ascii")) - stringToDatetime((date or "").encode("ascii")))
        )
    except (ValueError, IndexError, KeyError):
        return None


@implementer(IImporter)
@frozen(eq=False)
class Webhook:
    """Posts hand-offs to a URL; ``timeout`` limits one try, in seconds."""

    url: str
    client: SiteClient
    timeout: float
    takes_urls = True
    """A site gets addresses of files that are in an object store."""
    _log = Logger()

    async def deliver(self, description: Description, progress: Callable[[str], None]) -> None:
        """Post the description: 2xx is success, 202 means still running, 4xx is failure, all else is retried.

        So is a 2xx with a page or PHP's last message; one that says ``failure`` is a failure.
        """
        clock = self.client.clock
        deadline = clock.seconds() + self.timeout
        body, url, polls, redirects = description.as_json(), self.url, False, 0
        headers = {"Idempotency-Key": description.id, "Accept": "text/plain"}
        if description.attempt:
            headers["X-Onec-Attempt"] = str(description.attempt)
        while True:
            answer = await self._ask(url, None if polls else body, headers, deadline - clock.seconds())
            if answer.status == 202:
                progress(answer.text)
                if answer.location is not None:
                    url, polls = answer.location, True
                wait = POLL_INTERVAL if answer.retry_after is None else max(SHORTEST_POLL, answer.retry_after)
                await deferLater(clock, min(wait, LONGEST_POLL, max(0.0, deadline - clock.seconds())))
            elif answer.status in (307, 308) and answer.location is not None and redirects < MOST_REDIRECTS:
                url, redirects = answer.location, redirects + 1
            elif 200 <= answer.status < 300:
                return self._check(answer, description)
            elif 400 <= answer.status < 500 and answer.status not in (GONE | PASSING if polls else PASSING):
                raise ImportFailed(answer.words())
            else:
                interrupted = ImportInterrupted(answer.words())
                interrupted.retry_after = answer.retry_after or 0.0
                raise interrupted

    def _check(self, answer: _Answer, description: Description) -> None:
        """Raise ``ImportFailed`` or ``ImportInterrupted`` if a 2xx is no success, and log how it begins."""
        result = answer.result
        if result.says not in (FAILURE, BROKEN):
            return
        self._log.warn(
            "{sessid}: the site answered {status}, which is no success: {begins}",
            sessid=description.sessid,
            user=description.user,
            handoff=description.id,
            status=answer.status,
            begins=answer.begins,
        )
        if result.says == FAILURE:
            raise ImportFailed(result.words or f"The site answered {answer.status} and failure")
        interrupted = ImportInterrupted(f"The site answered {answer.status}, but with an error page")
        interrupted.retry_after = answer.retry_after or 0.0
        raise interrupted

    async def _ask(self, url: str, body: bytes | None, headers: dict[str, str], left: float) -> _Answer:
        """Send one request. Raises ``ImportInterrupted`` if there is no valid response."""
        clock = self.client.clock
        deadline = clock.seconds() + left
        if body is not None:
            headers = {**headers, "Content-Type": "application/json"}
        try:
            if left <= 0:
                raise ImportInterrupted(f"The site has not imported it in {self.timeout:.0f} s")
            response = await self.client.ask("GET" if body is None else "POST", url, left, body, headers)
            text = await self.client.text_of(response, max(0.1, deadline - clock.seconds()))
            result = result_of(text)
            goes_on = 200 <= response.code < 300 and result.says == PROGRESS
            status = 202 if goes_on else response.code
            location = self.client.location_of(response, url) if status in LEADING else None
        except (CancelledError, ImportInterrupted):
            raise
        except Exception as error:  # anything that the network, DNS, TLS or a broken site may raise
            if was_cancelled(error):
                raise CancelledError from error
            words = str(error) if isinstance(error, ValueError) else reason_of(error)
            raise ImportInterrupted(f"The site cannot be asked: {words}") from error
        wait = retry_after(_header(response, "retry-after"), _header(response, "date"))
        words = result.words if goes_on else plain(text, _header(response, "content-type") or "")
        begins = harmless(text.strip()[:QUOTED_LENGTH])
        return _Answer(status, words, location, wait, result, begins)


def _header(response: Any, name: str) -> str | None:
    found: str | None = response.headers.getRawHeaders(name, [None])[0]
    return found
