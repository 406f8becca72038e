"""What ``--check`` does: tries all that can be tried without serving, and says what to do about what is wrong.

Something fails if the daemon would not start with it. A warning is for what it would start with, but not work well.
"""

from __future__ import annotations

import os
import socket
import ssl
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from attrs import define, field, frozen
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock

from onec_twisted.catalog.preparation import recorded_version
from onec_twisted.catalog.sql.schema import SCHEMA_VERSION
from onec_twisted.catalog.sqlite import CatalogUnusable
from onec_twisted.daemon.announcement import address_text
from onec_twisted.daemon.checkers import known_users, shown
from onec_twisted.daemon.findings import FAIL, OK, WARN, Finding
from onec_twisted.daemon.listening import certificate_of
from onec_twisted.delivery.client import address_of
from onec_twisted.delivery.importers import make_importer
from onec_twisted.delivery.interfaces import Surroundings
from onec_twisted.delivery.notifiers import make_notifier
from onec_twisted.model.shown import hidden
from onec_twisted.model.text import decoded
from onec_twisted.storage.local import MediaRootTaken, Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onec_twisted.daemon.config import Config, Shop

__all__ = ["findings"]

SITE_PATIENCE = 5.0
"""Seconds that a site gets to accept a connection."""

DAYS_BEFORE_EXPIRY = 14
"""Days before the end of a certificate when it is time to renew it."""

SECONDS_OF_A_DAY = 86400


def findings(config: Config, now: float) -> Iterator[Finding]:
    """Try everything; ``now`` is in seconds since 1970. Blocks, also for the sites that are named."""
    for checker in config.auth:
        yield from _auth("auth", checker)
    for checker in config.admin_auth:
        yield from _auth("admin-auth", checker)
    store = Store(Path(config.media_root).absolute())
    is_running = _is_taken(store)
    yield _media_root(config, store, is_running=is_running)
    yield from _room(config, store)
    if config.catalog is None:
        yield _database(store)
    else:
        yield from _shared(config)
    admin = (config.admin,) if config.admin is not None else ()
    for option, endpoints in (("listen", config.listen), ("admin", admin)):
        for description in endpoints:
            yield from _endpoint(option, description, now, is_running=is_running)
    yield from _sites(config, "")
    for shop in config.shops:
        yield from _shop(shop, config)


def _shared(config: Config) -> Iterator[Finding]:
    """Try what daemons share."""
    try:
        from onec_twisted.daemon.shared_preflight import shared_findings
    except ImportError as error:
        yield Finding(FAIL, "catalog", f"{error.name} is missing: pip install 'onec-twisted[cluster]'")
        return
    yield from shared_findings(config, os.environ)


def _shop(shop: Shop, common: Config) -> Iterator[Finding]:
    """Try what a shop has of its own; what it shares is tried once."""
    own = f"shops.{shop.name} "
    if shop.has_own_auth:
        for checker in shop.config.auth:
            yield from _auth(f"{own}auth", checker)
    lists = [known_users(checker) for checker in common.auth]
    known = {decoded(user) for users in lists for user in users or ()}
    strange = sorted(shop.users - known) if None not in lists else []
    if strange:
        yield Finding(WARN, f"{own}users", f"{', '.join(strange)}: not among the users of auth; add them there")
    if shop.own & {"importer", "orders", "notify"}:
        yield from _sites(shop.config, own)


def _sites(config: Config, whose: str) -> Iterator[Finding]:
    """Try where hand-offs and notices go, and where orders come from."""
    yield from _importer(f"{whose}importer", config)
    if config.orders is not None:
        yield _site(f"{whose}orders", config.orders)
    for description in config.notify:
        yield from _notifier(f"{whose}notify", config, description)


def _auth(option: str, checker: Any) -> Iterator[Finding]:
    users = known_users(checker)
    count = "asked at each login" if users is None else f"{len(users)} user{'' if len(users) == 1 else 's'}"
    yield Finding(OK if users is None or users else WARN, option, f"{shown(checker)}: {count}")


def _is_taken(store: Store) -> bool:
    """Return whether a daemon runs with this media root."""
    if not store.temp.is_dir():
        return False
    try:
        store.lock()
    except MediaRootTaken:
        return True
    except OSError:
        return False
    store.unlock()
    return False


def _media_root(config: Config, store: Store, *, is_running: bool) -> Finding:
    """Try to write a file where files go, or would go."""
    folder = store.temp
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        words = f"{config.media_root}: cannot be written ({error.strerror}); use a folder that the daemon's user owns"
        return Finding(FAIL, "media-root", words)
    words = "used by a daemon that runs" if is_running else "can be written"
    return Finding(OK, "media-root", f"{config.media_root}: {words if folder == store.temp else 'will be created'}")


def _room(config: Config, store: Store) -> Iterator[Finding]:
    folder = store.temp
    while not folder.exists():
        folder = folder.parent
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    if free > config.min_free:
        yield Finding(
            OK, "min-free", f"{free >> 20} MB of the disk are free, {config.min_free >> 20} MB are kept free"
        )
    else:
        words = f"{free >> 20} MB of the disk are free, but {config.min_free >> 20} MB are to be kept free"
        yield Finding(WARN, "min-free", f"{words}: uploads are refused; free some disk space, or lower --min-free")


def _database(store: Store) -> Finding:
    try:
        version = recorded_version(store.database)
    except CatalogUnusable as error:
        return Finding(FAIL, "database", str(error))
    if version is None:
        return Finding(OK, "database", "will be created")
    if version > SCHEMA_VERSION:
        words = f"schema {version} is of a later version of onec-exchange, this one supports {SCHEMA_VERSION}"
        return Finding(FAIL, "database", f"{words}; install the version that wrote it")
    words = "" if version == SCHEMA_VERSION else f", will be migrated to {SCHEMA_VERSION} at the start"
    return Finding(OK, "database", f"schema {version}{words}")


@frozen
class _Address:
    """Where an endpoint would listen: a host and a port, or the path of a unix socket."""

    host: str | None = None
    port: int = 0
    name: bytes = b""


@define(eq=False)
class _Ports:
    """Stands for a reactor: notes where an endpoint would listen, and listens nowhere."""

    wanted: list[_Address] = field(factory=list)

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> None:
        """Note a port."""
        self.wanted.append(_Address(interface, port))

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = "") -> None:
        """Note a port."""
        self.wanted.append(_Address(interface, port))

    def listenUNIX(self, address: str, factory: Any, **options: Any) -> None:
        """Note a socket."""
        self.wanted.append(_Address(name=os.fsencode(address)))


def _endpoint(option: str, description: str, now: float, *, is_running: bool) -> Iterator[Finding]:
    """Say whether an endpoint could be listened on, and what its certificate is worth."""
    if description.startswith("systemd:"):
        yield Finding(OK, option, f"{description}: systemd opens it at the start")
        return
    ports, failed = _Ports(), list[Any]()
    try:
        serverFromString(ports, description).listen(Factory()).addErrback(failed.append)
        if failed:
            failed[0].raiseException()
    except Exception as error:  # the parser of a plugin or of a certificate may raise anything
        words = f"{description}: is malformed ({type(error).__name__}: {error})"
        yield Finding(FAIL, option, f"{words}; write a Twisted endpoint as in tcp:8080:interface=127.0.0.1")
        return
    for address in ports.wanted:
        yield _port(option, description, address, is_running=is_running)
    if description.startswith("ssl:"):
        yield from _certificate(option, description, now)


def _port(option: str, description: str, address: _Address, *, is_running: bool) -> Finding:
    """Try to bind a port, or to connect to a unix socket that is there."""
    where = address_text(address, is_secure=description.startswith("ssl:"))
    try:
        if address.host is None:
            _try_unix(address.name)
        else:
            _try_tcp(address.host, address.port)
    except OSError as error:
        if is_running:
            return Finding(OK, option, f"{where}: in use, as is the media root: by the daemon that runs")
        words = f"{where}: {error.strerror or error}; choose another --{option}"
        return Finding(FAIL, option, f"{words}, or stop the program that uses it")
    return Finding(OK, option, f"{where}: free")


def _try_tcp(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the daemon does
        tried.bind((host, port))


def _try_unix(path: bytes) -> None:
    """Raise ``OSError`` if somebody listens on a unix socket, or none can be made there."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as tried:
        try:
            tried.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            folder = Path(os.fsdecode(path)).parent
            if not os.access(folder, os.W_OK | os.X_OK):
                raise OSError(f"{folder} cannot be written") from None
            return
    raise OSError("somebody listens on it")


def _certificate(option: str, description: str, now: float) -> Iterator[Finding]:
    certificate = certificate_of(description)
    days = int((certificate.expires() - now) // SECONDS_OF_A_DAY)
    count = len(certificate.chain())
    words = f"certificate: {days} days left, {count} certificate{'' if count == 1 else 's'} in its chain"
    if days < 0:
        yield Finding(WARN, option, "certificate: it has expired, and nodes refuse it; renew it")
    elif days < DAYS_BEFORE_EXPIRY:
        yield Finding(WARN, option, f"{words}; renew it")
    else:
        yield Finding(OK, option, words)
    if not certificate.is_linked():
        words = "certificate: its chain has a gap: a certificate in the file is not of the issuer of the one before"
        yield Finding(WARN, option, f"{words}; put the server's first, then each issuer's")


def _importer(option: str, config: Config) -> Iterator[Finding]:
    kind, _, argument = config.importer.partition(":")
    surroundings: Any = Surroundings(Clock(), None, config.import_timeout)  # type: ignore[arg-type]  # nothing runs
    try:
        make_importer(config.importer, surroundings)
    except Exception as error:  # a plugin may raise anything
        yield Finding(FAIL, option, f"{hidden(config.importer)}: {error}")
        return
    if kind in ("http", "https"):
        yield _site(option, f"{kind}:{argument.removeprefix(f'{kind}:')}")
    elif kind == "keep":
        yield Finding(OK, option, "keep: files stay, and nobody imports them")
    else:
        yield Finding(OK, option, hidden(config.importer))


def _notifier(option: str, config: Config, description: str) -> Iterator[Finding]:
    try:
        make_notifier(Clock(), description, config.import_secret or b"")
    except ValueError as error:
        yield Finding(FAIL, option, f"{hidden(description)}: {error}")
        return
    if description.startswith(("http:", "https:")):
        yield _site(option, description)
    else:
        yield Finding(OK, option, description)


def _site(option: str, described: str) -> Finding:
    """Connect to a site, with TLS if it has some; nothing is requested."""
    try:
        url = address_of(described.partition(":")[0], described.partition(":")[2]).url
    except ValueError as error:
        return Finding(FAIL, option, str(error))
    parts = urlsplit(url)
    is_secure = parts.scheme == "https"
    host = parts.hostname or ""
    try:
        with closing(
            socket.create_connection((host, parts.port or (443 if is_secure else 80)), SITE_PATIENCE)
        ) as line:
            if is_secure:
                ssl.create_default_context().wrap_socket(line, server_hostname=host).close()
    except OSError as error:
        reason = getattr(error, "verify_message", "") or error.strerror or str(error)
        words = f"{hidden(url)}: cannot be reached now ({reason})"
        return Finding(WARN, option, f"{words}; start the site, or correct the address")
    return Finding(OK, option, f"{hidden(url)}: reachable")
