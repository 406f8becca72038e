"""Reads what lies in an uploaded archive: ``examine.py PARENT SIZE``, with the archive as descriptor 3.

A process of its own, because nobody knows what a node has packed: its time and memory are limited, it can open and
write nothing, and the daemon's threads and its interpreter's lock have nothing to do with it. It answers on standard
output: ``+`` and the directory, or ``-`` and why the archive is damaged. Whatever else becomes of it means that the
archive asks for too much. It ends with the daemon, whose end of standard input closes then.

Run by its path, not imported: it starts without Twisted, in some 10 ms.
"""

from __future__ import annotations

import codecs
import fcntl
import os
import resource
import sys
from contextlib import suppress

MEMORY_LIMIT = 256 * 1024 * 1024
"""Bytes of memory at most."""

PROCESSOR_LIMIT = 30
"""Seconds of the processor at most."""

ARCHIVE_DESCRIPTOR = 3
"""The descriptor that the archive comes as."""


def _end_with(parent: int) -> None:
    """End when the daemon does: a signal comes when the pipe closes, and nobody catches it."""
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    if os.getppid() != parent:
        sys.exit("the daemon has ended")


def _confine() -> None:
    """Take only so much from now on, as far as the system lets us."""
    limits = {
        resource.RLIMIT_CPU: PROCESSOR_LIMIT,
        resource.RLIMIT_AS: MEMORY_LIMIT,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: ARCHIVE_DESCRIPTOR + 1,
    }
    for kind, limit in limits.items():
        with suppress(ValueError, OSError):  # the system has a lower one, or none of that kind
            resource.setrlimit(kind, (limit, limit))


def main(parent: str, size: str) -> None:
    """Read, and answer."""
    _end_with(int(parent))
    sys.path.append(sys.argv[0].rsplit("/", 3)[0])
    from onec_twisted.storage.archive import ENCODINGS, ArchiveDamaged, entries
    from onec_twisted.storage.directory import Directory

    for encoding in ENCODINGS:
        codecs.lookup(encoding)  # afterwards no module can be read
    _confine()
    try:
        answer = b"+" + Directory.of(entries(ARCHIVE_DESCRIPTOR, int(size))).as_bytes()
    except ArchiveDamaged as damaged:
        answer = b"-" + str(damaged).encode()
    with open(1, "wb", closefd=False) as output:
        output.write(answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
