"""Where the records and the object store are, and the keys to them; reads no more than text and one small file."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from attrs import field, frozen

from onec_twisted.cluster.refusals import CannotUseCluster

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "FORM",
    "Credentials",
    "Location",
    "check_catalog",
    "credentials_in",
    "parse_location",
    "read_credentials",
]

FORM = "s3://BUCKET/PREFIX?endpoint=https://HOST"
"""How the address of a store is written; everything but the bucket and the endpoint may be left out."""

CATALOG_FORM = "postgresql://USER@HOST/NAME"
"""How the address of the records is written."""

DEFAULT_REGION = "us-east-1"
"""What is signed for where no region is given; most stores but Amazon's take any."""

PARAMETERS = ("endpoint", "region", "ca")
"""What may stand behind the question mark."""

SECRET_IN_CATALOG = ("password", "sslpassword")
"""What libpq would take behind the question mark."""

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_REGION = re.compile(r"[A-Za-z0-9-]+")
_FOR_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@frozen
class Location:
    """A bucket of an object store, addressed by path, and the prefix of all our keys in it.

    ``endpoint`` is an address with ``http`` or ``https``; ``ca`` is the path of a file with certificates to trust
    besides the system's, empty for none.
    """

    bucket: str
    prefix: str
    endpoint: str
    region: str = DEFAULT_REGION
    ca: str = ""


@frozen
class Credentials:
    """The name of a key, and the key; they are never shown. ``token`` comes with keys that expire."""

    key_id: str = field(repr=False)
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)


def check_catalog(text: str) -> None:
    """Check the value of ``--catalog``: everybody on the machine can read a password on a command line.

    Raises ``CannotUseCluster``; its message repeats nothing of the value.
    """
    try:
        url = urlsplit(text)
        given = [name for name, _ in parse_qsl(url.query, keep_blank_values=True)]
    except ValueError:
        raise CannotUseCluster(f"is no address; write {CATALOG_FORM}") from None
    if url.scheme not in ("postgresql", "postgres") or url.fragment or not url.path.strip("/"):
        raise CannotUseCluster(f"is no address of a database; write {CATALOG_FORM}")
    if ":" in url.netloc.rpartition("@")[0] or any(name in SECRET_IN_CATALOG for name in given):
        raise CannotUseCluster(
            "no password belongs into the address; put it into the file that $PGPASSFILE names, or use a certificate"
        )


def parse_location(text: str) -> Location:
    """Parse the value of ``--store``.

    Raises ``CannotUseCluster``; its message repeats nothing that could be a key.
    """
    try:
        url = urlsplit(text)
    except ValueError:
        raise CannotUseCluster(f"is no address; write {FORM}") from None
    if url.scheme != "s3" or url.fragment:
        raise CannotUseCluster(f"is no address of a store; write {FORM}")
    _refuse_keys(url.netloc)
    if not _BUCKET.fullmatch(url.netloc):
        raise CannotUseCluster(f"names no bucket of 3 to 63 letters and digits; write {FORM}")
    given = dict(parse_qsl(url.query, keep_blank_values=True))
    for name in given:
        if name not in PARAMETERS:
            raise CannotUseCluster(
                f"only {', '.join(PARAMETERS)} may stand behind the question mark; keys are given in the environment"
                " or in a file"
            )
    region = given.get("region", DEFAULT_REGION)
    if not _REGION.fullmatch(region):
        raise CannotUseCluster("the region is a word, as in region=eu-central-1")
    return Location(url.netloc, _prefix_of(url.path), _endpoint_of(given.get("endpoint", "")), region, _ca_of(given))


def credentials_in(environment: Mapping[str, str]) -> Credentials | None:
    """Return the keys in an environment, None if it has none: then the client looks where the cloud puts them.

    Raises ``CannotUseCluster`` when only half of them is there.
    """
    key_id, secret = environment.get("AWS_ACCESS_KEY_ID", ""), environment.get("AWS_SECRET_ACCESS_KEY", "")
    if not key_id and not secret:
        return None
    if not key_id or not secret:
        raise CannotUseCluster("set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or neither")
    return Credentials(key_id, secret, environment.get("AWS_SESSION_TOKEN", ""))


def read_credentials(path: str) -> Credentials:
    """Read a file of two lines: the name of a key, and the key.

    Raises ``CannotUseCluster`` when it cannot be read, when others can read it, or when it has anything else.
    """
    try:
        with open(path, encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & _FOR_OTHERS:
                raise CannotUseCluster(f"{path}: others can read the keys in it; run chmod 600 {path}")
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        words = error.strerror if isinstance(error, OSError) else "it is no text"
        raise CannotUseCluster(f"{path}: cannot be read: {words}") from None
    lines = [line.strip() for line in lines]
    if len(lines) != 2 or not all(lines):
        raise CannotUseCluster(f"{path}: write two lines into it, the name of the key and the key")
    return Credentials(*lines)


def _refuse_keys(authority: str) -> None:
    """Refuse a user and a password in an address: everybody on the machine can read a command line."""
    if "@" in authority:
        raise CannotUseCluster(
            "no keys belong into the address; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a file"
        )


def _prefix_of(path: str) -> str:
    """Return the prefix, without slashes around it."""
    prefix = unquote(path).strip("/")
    if any(part in ("", ".", "..") for part in prefix.split("/")) and prefix:
        raise CannotUseCluster(f"the prefix has an empty part, or one of dots; write {FORM}")
    if not prefix.isprintable():
        raise CannotUseCluster(f"the prefix has characters that cannot be printed; write {FORM}")
    return prefix


def _endpoint_of(text: str) -> str:
    """Return the endpoint, without a slash at its end."""
    if not text:
        raise CannotUseCluster(f"the endpoint is missing; write {FORM}")
    try:
        url = urlsplit(text)
        is_address = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        raise CannotUseCluster("the endpoint is no address; write it as in endpoint=https://s3.example:9000")
    _refuse_keys(url.netloc)
    if url.query or url.fragment:
        raise CannotUseCluster("the endpoint ends with its path; write it as in endpoint=https://s3.example:9000")
    return text.rstrip("/")


def _ca_of(given: Mapping[str, str]) -> str:
    """Return the path of the file with certificates."""
    if given.get("ca") == "":
        raise CannotUseCluster("name a file of certificates, as in ca=/etc/ssl/store.pem")
    return given.get("ca", "")
