"""Whether a request shows that a proxy has forwarded it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onec_twisted.http.interfaces import IRequest

__all__ = ["BY_A_PROXY", "shows_proxy"]

BY_A_PROXY = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-real-ip", b"forwarded", b"via")
"""Headers of a request that a proxy has forwarded."""


def shows_proxy(request: IRequest) -> bool:
    """Return whether a proxy has forwarded a request: a trusted one, or one that its headers show.

    A proxy that adds none of these headers cannot be told from a client.
    """
    return request.trusted_proxy or any(request.getHeader(name) is not None for name in BY_A_PROXY)
