"""The administrator's settings as a value: every option once, under its own name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from onec_twisted.model.shops import DEFAULT_SHOP
from onec_twisted.model.shown import hidden

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CannotStart", "Config", "Shop"]


class CannotStart(SystemExit, Exception):
    """The daemon cannot start; the message says why and what to do.

    It is an Exception, so that a forked twistd notifies its parent and removes its pid file; and a SystemExit, so
    that Python prints only the message and exits with status 1.
    """

    def __init__(self, words: str) -> None:
        """Reduce the message to one line, and remove passwords from addresses in it."""
        super().__init__(f"onec-exchange: {hidden(' '.join(words.split()))}")

    def __str__(self) -> str:
        """Return the message."""
        return str(self.code)


def _tuple(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(values)


@frozen(kw_only=True)
class Config:
    """The checked options; ``options`` makes them from a command line, and documents each.

    Sizes are in bytes, times in seconds. Repeatable options are tuples; missing ones are None.
    """

    # Where files go and requests come from
    media_root: str
    listen: tuple[str, ...] = field(converter=_tuple)
    path: tuple[str, ...] = field(converter=_tuple)
    tus_path: str | None
    trusted_proxy: tuple[str, ...] = field(converter=_tuple)
    cors_origin: tuple[bytes, ...] = field(converter=_tuple)
    cors_header: tuple[bytes, ...] = field(converter=_tuple)
    interim_responses: str
    """The value of an ``InterimResponses``."""

    shard: str | None
    """The daemon's name among several, or None."""
    catalog: str | None
    """libpq's address of the records that several daemons share; None for those of this one alone."""
    store: str | None
    """The address of the files that they share."""
    store_credentials: str | None
    """The path of a file with the key to ``store``."""
    name: str | None
    """What people call this one of them."""

    # Who may do what
    auth: tuple[Any, ...] = field(converter=_tuple)
    """Checkers of ``twisted.cred``; so are those of ``admin_auth``."""
    admin: str | None
    admin_auth: tuple[Any, ...] = field(converter=_tuple)

    # What nodes receive
    file_limit: int
    zip: bool
    sessid: str
    status_codes: str
    language: str

    # Limits
    body_limit: int
    session_quota: int
    shop_quota: int | None
    """Bytes that all sessions of a shop may hold together; None for no limit."""
    min_free: int
    connections_per_address: int
    sessions_per_user: int
    max_uploads: int
    min_rate: int
    """Bytes per second."""

    # Time-outs
    session_ttl: float
    lock_timeout: float
    idle_timeout: float
    header_timeout: float

    # Writing to disk
    durability: str
    intake: str

    # Delivery to the site
    importer: str
    import_hold: float
    import_timeout: float
    import_tries: int
    import_secret: bytes | None = field(repr=False)
    import_auth: bytes | None = field(repr=False)
    orders: str | None = field(repr=False)
    notify: tuple[str, ...] = field(converter=_tuple, repr=False)
    expect_every: float | None
    """Seconds; None leaves it to each user's habit."""
    unpack: bool
    unpack_limit: int
    """Bytes that an archive may become."""
    unpack_files: int
    unpack_ratio: int
    """How many times its own size it may become."""
    unpack_depth: int
    """Segments of a name in it."""
    check_documents: bool
    settle: float
    keep: float
    history: float

    # The log
    access_log: bool
    log_format: str

    shops: tuple[Shop, ...] = field(default=(), converter=_tuple)
    """The shops besides the default one; only a file can name them."""

    @property
    def unpack_limits(self) -> tuple[int, int, int, int] | None:
        """Return the limits of an archive, see ``Preparation``; None if none is unpacked."""
        limits = self.unpack_limit, self.unpack_files, self.unpack_ratio, self.unpack_depth
        return limits if self.unpack else None

    @property
    def synced(self) -> bool:
        """Return whether each piece is synced before it is acknowledged."""
        return self.durability == "piece"

    @property
    def always_ok(self) -> bool:
        """Return whether refusals have the status 200."""
        return self.status_codes == "ok"

    def named_shops(self) -> tuple[tuple[str, Config], ...]:
        """Return every shop's name with its settings, the default shop first."""
        return ((DEFAULT_SHOP, self), *((shop.name, shop.config) for shop in self.shops))


@frozen
class Shop:
    """A shop, see ``daemon.shops``: its settings in force, and the options ``own`` that its table sets.

    Its users are those of its own checkers, or else the common ones that ``users`` names.
    """

    name: str
    config: Config
    users: frozenset[str]
    own: frozenset[str]

    @property
    def has_own_auth(self) -> bool:
        """Return whether its users are those of its own checkers."""
        return "auth" in self.own

    @property
    def has_own_path(self) -> bool:
        """Return whether its users, and nobody else, exchange at paths of its own."""
        return "path" in self.own
