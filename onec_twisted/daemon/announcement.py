"""What the log says once the daemon is ready: where it listens, who may log in, and where uploads go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from onec_twisted import __version__
from onec_twisted.daemon.checkers import shown
from onec_twisted.model.shown import hidden

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onec_twisted.daemon.config import Config

__all__ = ["address_text", "announce"]


def address_text(address: Any, *, is_secure: bool) -> str:
    """Return an address at which the daemon listens, as one writes it into 1C; a unix socket by its path."""
    host = getattr(address, "host", None)
    if host is None:
        name = getattr(address, "name", None) or b""
        return f"unix:{name.decode('utf-8', 'replace') if isinstance(name, bytes) else name}"
    return f"{'https' if is_secure else 'http'}://{f'[{host}]' if ':' in host else host}:{address.port}"


def announce(config: Config, addresses: Sequence[str], folder: str, free: int) -> None:
    """Log that the daemon is ready; warn if nothing can be uploaded to ``folder``, with ``free`` bytes of room."""
    Logger(namespace=__name__).info(
        "onec-exchange {version} is ready at {addresses} for {users}{more}; "
        "uploads go to {folder}, then to {importer}",
        version=__version__,
        addresses=", ".join(addresses),
        users=", ".join(shown(checker) for checker in config.auth),
        folder=folder,
        more=f", and for {len(config.shops)} shops" if config.shops else "",
        shops=len(config.shops),
        importer="nobody: --importer=keep imports nothing" if config.importer == "keep" else hidden(config.importer),
    )
    if free <= config.min_free:
        Logger(namespace=__name__).warn(
            "{folder} has {free} free bytes, and --min-free keeps {reserved}: uploads are refused for lack of room",
            folder=folder,
            free=free,
            reserved=config.min_free,
        )
