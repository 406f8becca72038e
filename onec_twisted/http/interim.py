"""Which requests may get interim answers (1xx, RFC 9110 section 15.2) before the final one.

Proxies are the reason: nginx takes any but 103 for the final answer, and its client hears nothing more.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from onec_twisted.http.proxied import shows_proxy

if TYPE_CHECKING:
    from onec_twisted.http.interfaces import IRequest

__all__ = ["InterimResponses"]


class InterimResponses(Enum):
    """The values of ``--interim-responses``; ``InterimResponses("direct")`` is the value of that text."""

    DIRECT = "direct"
    """To clients, but not to proxies, as far as requests show them."""

    ALWAYS = "always"
    """To everybody: all proxies in front of the daemon pass them on."""

    NEVER = "never"
    """To nobody: there is a proxy that requests do not show."""

    def allows(self, request: IRequest) -> bool:
        """Return whether a request may get interim answers; ``IRequest.interim`` looks at the rest."""
        if self is InterimResponses.DIRECT:
            return not shows_proxy(request)
        return self is InterimResponses.ALWAYS
