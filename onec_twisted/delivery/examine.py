"""Reads the directory of an uploaded archive: ``examine.py PARENT SIZE``, with the archive as descriptor 3.

It runs in a separate process, because archives are untrusted input: its time and memory are limited, it cannot open
or write files, and it occupies neither the daemon's threads nor its interpreter lock. It writes the result to
standard output: ``+`` and the directory, or ``-`` and why the archive is damaged. Any other outcome means that the
archive needs too much time or memory. It ends with the daemon, whose end of standard input closes then.

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
"""Most bytes of memory."""

PROCESSOR_LIMIT = 30
"""Most seconds of processor time."""

ARCHIVE_DESCRIPTOR = 3
"""The descriptor of the archive."""


def _end_with(parent: int) -> None:
    """End when the daemon does: closing the pipe sends a signal that is not handled."""
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    if os.getppid() != parent:
        sys.exit("the daemon has ended")


def _confine() -> None:
    """Set resource limits, as far as the system allows."""
    limits = {
        resource.RLIMIT_CPU: PROCESSOR_LIMIT,
        resource.RLIMIT_AS: MEMORY_LIMIT,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: ARCHIVE_DESCRIPTOR + 1,
    }
    for kind, limit in limits.items():
        with suppress(ValueError, OSError):  # the system has a lower limit, or lacks this one
            resource.setrlimit(kind, (limit, limit))


def main(parent: str, size: str) -> None:
    """Read the archive, and write the result."""
    _end_with(int(parent))
    sys.path.append(sys.argv[0].rsplit("/", 3)[0])
    from onec_twisted.storage.archive import ENCODINGS, ArchiveDamaged, entries
    from onec_twisted.storage.directory import Directory

    for encoding in ENCODINGS:
        codecs.lookup(encoding)  # once confined, no module can be loaded
    _confine()
    try:
        answer = b"+" + Directory.of(entries(ARCHIVE_DESCRIPTOR, int(size))).as_bytes()
    except ArchiveDamaged as damaged:
        answer = b"-" + str(damaged).encode()
    with open(1, "wb", closefd=False) as output:
        output.write(answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
