"""The few verbs that are asked of an object store; blocking, for workers.

Asked are only: a PUT is whole or not there, a GET after it sees it, ranges, multipart, ListObjectsV2, DELETE. No
conditions, no ETags, no bulk deletion: stores differ in these.

obstore is the client. With its first call it starts threads, and after a fork every call of the child waits for them
in vain: so an ``S3`` may be made before the daemon detaches, but not be used, not even to sign an address. obstore's
functions must not be called inside an iterator that another of them consumes.
"""

from __future__ import annotations

import errno
import re
import secrets
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from attrs import frozen
from obstore.exceptions import BaseError
from obstore.store import S3Store

from onec_twisted.cluster.refusals import CannotUseCluster
from onec_twisted.model.errors import InsufficientStorage, StorageRemoved

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from obstore.store import ClientConfig, S3Config

    from onec_twisted.cluster.location import Credentials, Location

__all__ = ["S3", "Found", "Tries"]

PART_SIZE = 8 * 1024 * 1024
"""Bytes of a part of an object that is written bit by bit; S3 takes no less than 5 MiB."""

MOST_PARTS = 9000
"""Parts of one object; S3 takes 10,000."""

PARTS_AT_ONCE = 2
"""Parts of one object that are on their way, and in memory, at a time."""

LISTED_AT_ONCE = 1000
"""Keys of a page of a listing: what S3 gives at most."""

FULL = frozenset({"InsufficientStorage", "QuotaExceeded", "XMinioStorageFull", "StorageFull", "507"})
"""Codes of S3's, and the status, that mean that there is no room."""

FAILED = errno.EREMOTE
"""The number of an error of the store's: nodes are told to come again, see ``http.refusals``."""

REMOVED = "NoSuchBucket"
BEYOND = "416"

_STATUS = re.compile(r"status code: (\d{3})\b")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_NO_KEYS = re.compile(r"/latest/(?:api/token|meta-data)")
"""Where the client looks for keys at last: what clouds tell their machines."""

_CERTIFICATE = re.compile(r"InvalidCertificate\(\s*(\w+)")
_KIND = re.compile(r"\bkind: (Connect|Timeout|Interrupted|Request|Decode)\b")
_KINDS = {
    "Connect": "no connection",
    "Timeout": "no answer in time",
    "Interrupted": "the connection broke",
    "Request": "the connection broke",
    "Decode": "the answer makes no sense",
}


@frozen
class Tries:
    """How often a call is tried again, and how long it waits.

    Again on 5xx, 408, 429 and broken connections: ``most`` times, with pauses that grow from ``first_pause`` to
    ``longest_pause`` seconds, and none that would begin ``until`` seconds after the first. A connection takes at most
    ``connecting`` seconds, a whole try ``answering``.
    """

    most: int = 5
    first_pause: float = 0.05
    longest_pause: float = 2.0
    until: float = 20.0
    connecting: float = 3.0
    answering: float = 30.0


@frozen
class Found:
    """An object in a listing: its key, its size in bytes, and when it was written, in seconds since 1970."""

    key: str
    size: int
    changed: float


class _Translated:
    """A context that turns the client's errors into ours: its own have addresses and what the store says of keys."""

    __slots__ = ("key", "verb")

    def __init__(self, verb: str, key: str) -> None:
        """Say in errors what was done with which key."""
        self.verb = verb
        self.key = key

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Raise ``FileNotFoundError``, ``InsufficientStorage``, ``StorageRemoved`` or another ``OSError``."""
        if isinstance(error, BaseError | OSError):
            raise self._translated(error) from None

    def _translated(self, error: BaseException) -> BaseException:
        text = str(error)
        if _NO_KEYS.search(text):
            words = "the object store needs keys; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a file"
            return OSError(FAILED, words, self.key)
        status, code = _STATUS.search(text), _CODE.search(text)
        found = [one[1] for one in (status, code) if one is not None]
        if REMOVED in found:
            return StorageRemoved()
        if isinstance(error, FileNotFoundError):
            return FileNotFoundError(errno.ENOENT, "is not in the object store", self.key)
        if FULL.intersection(found):
            return InsufficientStorage()
        if BEYOND in found:
            return OSError(errno.ERANGE, "ends before the range", self.key)
        certificate, kind = _CERTIFICATE.search(text), _KIND.search(text)
        if certificate is not None:
            found.append(f"its certificate is not trusted: {certificate[1]}")
        elif kind is not None:
            found.append(_KINDS[kind[1]])
        elif not found and "HTTP error" in text:
            found.append("the connection broke")
        words = " ".join(found) or "it cannot be asked"
        return OSError(FAILED, f"the object store did not {self.verb} ({words})", self.key)


class S3:
    """A bucket, blocking; may be called in any thread. Keys are below the prefix of its location.

    Everything raises ``StorageRemoved`` when the bucket is gone, ``InsufficientStorage`` when the store has no room,
    and another ``OSError`` when the store does not do it; none repeats what is secret.
    """

    def __init__(self, location: Location, credentials: Credentials | None, tries: Tries) -> None:
        """Connect to nothing yet; without ``credentials`` the client finds some, as the AWS SDKs do.

        Raises ``CannotUseCluster`` for certificates that cannot be read.
        """
        client: ClientConfig = {
            "allow_http": location.endpoint.startswith("http:"),
            "connect_timeout": timedelta(seconds=tries.connecting),
            "timeout": timedelta(seconds=tries.answering),
            "user_agent": "onec-exchange",
        }
        if location.ca:
            client["root_certificate"] = _certificates(location.ca)
        config: S3Config = {
            "endpoint": location.endpoint,
            "region": location.region,
            "virtual_hosted_style_request": False,
            "disable_bulk_delete": True,
        }
        if credentials is not None:
            config |= {"access_key_id": credentials.key_id, "secret_access_key": credentials.secret}
            if credentials.token:
                config["session_token"] = credentials.token
        try:
            self._store = S3Store(
                location.bucket,
                prefix=location.prefix or None,
                config=config,
                client_options=client,
                retry_config={
                    "max_retries": tries.most,
                    "retry_timeout": timedelta(seconds=tries.until),
                    "backoff": {
                        "init_backoff": timedelta(seconds=tries.first_pause),
                        "max_backoff": timedelta(seconds=tries.longest_pause),
                        "base": 3,
                    },
                },
            )
        except BaseError:
            raise CannotUseCluster(f"no client can be made for {location.endpoint}; check it and its ca=") from None

    def put(self, key: str, body: bytes) -> None:
        """Put an object, in one request."""
        with _Translated("take an object", key):
            obstore.put(self._store, key, body, use_multipart=False)

    def write(self, key: str, blocks: Iterable[bytes], size: int) -> None:
        """Put an object of ``size`` bytes that comes in blocks; it is there as a whole, or not at all.

        What ``blocks`` raises is raised. Then, and when the store fails, parts may stay in the store that no listing
        shows: a rule of the bucket has to remove unfinished uploads.
        """
        with _Translated("take an object", key):
            writer = obstore.open_writer(
                self._store,
                key,
                buffer_size=max(PART_SIZE, -(-size // MOST_PARTS)),
                max_concurrency=PARTS_AT_ONCE,
            )
        for block in blocks:
            with _Translated("take a part of an object", key):
                writer.write(block)
        with _Translated("take an object", key):
            writer.close()

    def read(self, key: str, start: int, size: int) -> tuple[bytes, int]:
        """Return up to ``size`` bytes of an object from ``start`` on, and how long it is; ``size`` is not 0.

        An object that ends before ``start`` counts as empty. Raises ``FileNotFoundError`` when there is none.
        """
        try:
            with _Translated("give an object", key):
                result = obstore.get(self._store, key, options={"range": (start, start + size)})
                return bytes(result.bytes()), result.meta["size"]
        except OSError as error:
            if error.errno == errno.ERANGE:
                return b"", 0
            raise

    def probe(self) -> None:
        """Put an object, read it, and remove it."""
        key, content = f"probe/{secrets.token_hex(8)}", b"x"
        self.put(key, content)
        found = self.read(key, 0, len(content))
        self.delete([key])
        if found != (content, len(content)):
            raise OSError(errno.EIO, "the object store does not return what it was given", key)

    def size(self, key: str) -> int:
        """Return the size of an object, in bytes. Raises ``FileNotFoundError`` when there is none."""
        with _Translated("look for an object", key):
            return obstore.head(self._store, key)["size"]

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; that one is not there is fine."""
        if keys:
            with _Translated("remove objects", keys[0]):
                obstore.delete(self._store, keys)

    def found(self, prefix: str) -> Iterator[Found]:
        """Yield all objects below a prefix, which ends a part of their keys: ``a/b`` does not mean ``a/bc``."""
        with _Translated("list objects", prefix):
            for page in obstore.list(self._store, prefix, chunk_size=LISTED_AT_ONCE):
                for one in page:
                    yield Found(one["path"], one["size"], one["last_modified"].timestamp())

    def folders(self, prefix: str) -> list[str]:
        """Return the parts that follow a prefix in keys which have more parts behind it."""
        with _Translated("list objects", prefix):
            listed = obstore.list_with_delimiter(self._store, prefix)
            return [folder.rpartition("/")[2] for folder in listed["common_prefixes"]]

    def presigned(self, key: str, seconds: float) -> str:
        """Return an address from which anybody can read an object for so long: a secret, at most a week."""
        with _Translated("sign an address", key):
            return obstore.sign(self._store, "GET", key, timedelta(seconds=seconds))


def _certificates(path: str) -> bytes:
    """Return the certificates in a file. Raises ``CannotUseCluster``."""
    try:
        certificates = Path(path).read_bytes()
    except OSError as error:
        raise CannotUseCluster(f"{path}: the certificates cannot be read: {error.strerror}") from None
    if b"-----BEGIN CERTIFICATE-----" not in certificates:
        raise CannotUseCluster(f"{path}: it has no certificate in PEM")
    return certificates
