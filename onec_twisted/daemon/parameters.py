"""The options of the command line that take one value: their defaults, what --help says of them, and their kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onec_twisted.daemon.logs import FORMATS
from onec_twisted.exchange.texts import LANGUAGES
from onec_twisted.http.interim import InterimResponses
from onec_twisted.ingest.writers import WRITERS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["CHOICES", "FLAGS", "NUMBERS", "PARAMETERS", "PATHS", "REPEATABLE", "SIZES", "TIMES", "YES_OR_NO"]

YES_OR_NO = ("yes", "no")
CHOICES = {
    "durability": ("piece", "handoff", "none"),
    "sessid": ("required", "optional"),
    "status-codes": ("http", "ok"),
    "language": tuple(LANGUAGES),
    "zip": YES_OR_NO,
    "unpack": YES_OR_NO,
    "check-documents": YES_OR_NO,
    "access-log": YES_OR_NO,
    "log-format": tuple(FORMATS),
    "intake": tuple(WRITERS),
    "interim-responses": tuple(one.value for one in InterimResponses),
}
SIZES = ("file-limit", "body-limit", "session-quota", "shop-quota", "min-free", "unpack-limit")
TIMES = (
    *("session-ttl", "lock-timeout", "idle-timeout", "header-timeout"),
    *("import-hold", "import-timeout", "settle", "keep", "history", "expect-every"),
)
NUMBERS = {
    **dict.fromkeys(("connections-per-address", "sessions-per-user", "max-uploads"), 0),
    **dict.fromkeys(("import-tries", "unpack-files", "unpack-ratio", "unpack-depth"), 1),
}
"""The least value of each; 0 stands for no limit."""

PATHS = ("media-root", "import-secret", "import-auth", "store-credentials")
"""Options that name a file or a folder."""

REPEATABLE = ("listen", "path", "auth", "admin-auth", "trusted-proxy", "cors-origin", "cors-header", "notify")
"""Options that may be given several times."""

PARAMETERS: Sequence[Sequence[Any]] = [
    ["config", None, None, "File with options, in TOML; the command line and $ONEC_EXCHANGE_... count for more."],
    ["media-root", None, "media", "Folder for uploads and records; created if it does not exist."],
    [
        "catalog",
        None,
        None,
        "postgresql://USER@HOST/NAME for records that several daemons share; without it, SQLite in --media-root.",
    ],
    ["store", None, None, "s3://BUCKET?endpoint=URL for the files that they share; with --catalog."],
    [
        "store-credentials",
        None,
        None,
        "File with the key to --store, its name in the first line; without it, $AWS_ACCESS_KEY_ID and others.",
    ],
    ["name", None, None, "Name of this daemon among those that share, for people; by default HOST:PID."],
    ["file-limit", None, "100M", "Size of the pieces into which nodes cut files."],
    ["body-limit", None, None, "Largest body, by default --file-limit; beyond that, 413."],
    ["session-quota", None, "20G", "Bytes that one session may store; beyond that, 507."],
    [
        "shop-quota",
        None,
        None,
        "Bytes that all sessions of a shop may store, without it no limit; beyond that, 507.",
    ],
    ["min-free", None, "1G", "Bytes of the disk to leave free; below that, 507."],
    ["session-ttl", None, "86400", "A session unused for this long is removed with its files."],
    ["lock-timeout", None, "30", "How long a piece waits for its file before it gets 503."],
    ["idle-timeout", None, "60", "A body that sends nothing for this long is dropped."],
    ["durability", None, "piece", "When bytes are synced to the disk: piece, handoff or none."],
    ["importer", None, "keep", "Who imports uploads: keep, exec:PROGRAM, http://..., https://..."],
    ["import-hold", None, "10", "How long import waits for its result before it answers progress."],
    ["import-timeout", None, "3600", "Time limit for one attempt of the importer."],
    ["import-tries", None, "16", "Attempts to deliver a hand-off, with growing pauses of up to an hour."],
    ["import-secret", None, None, "File with the secret that signs requests to the site."],
    ["import-auth", None, None, "File with USER:PASSWORD for the site; without it, $ONEC_IMPORT_AUTH."],
    ["orders", None, None, "Address of the site's orders: http://... or https://...; without it, none."],
    ["expect-every", None, None, "How often each user is expected to exchange; without it, by the user's habit."],
    ["unpack", None, "yes", "Whether importers get what archives hold instead of archives: yes or no."],
    ["unpack-limit", None, "10G", "Bytes that an archive may become; a larger one is not imported."],
    ["unpack-files", None, "250000", "Files, or folders, that an archive may hold."],
    ["unpack-ratio", None, "200", "How many times its own size an archive may become, beyond 16M."],
    ["unpack-depth", None, "32", "Folders and file of a name in an archive."],
    ["check-documents", None, "yes", "Whether documents are read before they are imported: yes or no."],
    ["settle", None, "300", "Quiet time after which files without an import request are handed off."],
    ["keep", None, "86400", "How long files stay after everything in their session has been imported."],
    ["history", None, "90d", "How long the journal of exchanges is kept, of at most 100000 exchanges."],
    ["sessid", None, "required", "'optional' also serves old nodes that send only the cookie."],
    ["status-codes", None, "http", "'ok' answers 200 to everything except type=listen."],
    ["language", None, "en", "Language of the messages that people read in 1C: en or ru."],
    ["zip", None, "yes", "Whether nodes pack their files: yes or no."],
    ["access-log", None, "no", "Log each request and each piece: yes or no."],
    ["log-format", None, "text", "Format of log lines: text or json."],
    ["intake", None, "auto", "How bodies are received: auto, buffered, or zero-copy, past the reactor."],
    ["connections-per-address", None, "500", "Connections from one address, 0 for no limit; beyond that, 429."],
    ["sessions-per-user", None, "10000", "Sessions of one user on record, 0 for no limit; beyond that, 429."],
    ["max-uploads", None, "1000", "Concurrent pieces, 0 for no limit; beyond that, 503."],
    ["header-timeout", None, "30", "Time limit for the headers of a request."],
    ["min-rate", None, "128", "Bytes per second that a body must send, 0 for no limit; below that, 408."],
    ["tus-path", None, "/files/", "URL path of resumable uploads, by tus and by RUFH, or off."],
    [
        "interim-responses",
        None,
        "direct",
        "Who gets interim answers (104) to uploads: direct, to requests that show no proxy; always; or never.",
    ],
    [
        "shard",
        None,
        None,
        "Name of this daemon among several; its sessids, cookies and upload ids start with it.",
    ],
    ["admin", None, None, "Twisted endpoint for the status page, /metrics and /health; without it, none."],
]
"""As ``usage.Options`` wants them: name, no short name, default, help."""

FLAGS: Sequence[Sequence[Any]] = [
    ["check", None, "Try all that can be tried without serving, print what to do, and exit with 0 or 1."],
    ["print-config", None, "Print the options in force, and where each is from; start nothing."],
]
"""Options without a value: name, no short name, help."""
