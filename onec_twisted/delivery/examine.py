"""Reads the directory of an uploaded archive: ``examine.py PARENT SIZE``, with the archive as descriptor 3.

It runs in a separate process, because archives are untrusted input: its time and memory are limited, it cannot open
or write files, and it occupies neither the daemon's threads nor its interpreter lock. It writes the result to
standard output: ``+`` and the directory, or ``-`` and why the archive is damaged. Any other outcome means that the
archive needs too much time or memory. It ends with the daemon, whose end of standard input closes then.

Run by its path, not imported: it starts without Twisted, in some 10 ms.
"""

from __future__ import annotations

import codecs
import sys

MEMORY_LIMIT = 256 * 1024 * 1024
"""Most bytes of memory."""

PROCESSOR_LIMIT = 30
"""Most seconds of processor time."""

ARCHIVE_DESCRIPTOR = 3
"""The descriptor of the archive."""


def main(parent: str, size: str) -> None:
    """Read the archive, and write the result."""
    sys.path.append(sys.argv[0].rsplit("/", 3)[0])
    from onec_twisted.delivery.confinement import confine, end_with
    from onec_twisted.storage.archive import ArchiveDamaged, entries
    from onec_twisted.storage.directory import Directory
    from onec_twisted.storage.spelling import ENCODINGS

    end_with(int(parent))
    for encoding in ENCODINGS:
        codecs.lookup(encoding)  # once confined, no module can be loaded
    confine(memory=MEMORY_LIMIT, seconds=PROCESSOR_LIMIT, file_size=0, descriptors=ARCHIVE_DESCRIPTOR + 1)
    try:
        answer = b"+" + Directory.of(entries(ARCHIVE_DESCRIPTOR, int(size))).as_bytes()
    except ArchiveDamaged as damaged:
        answer = b"-" + str(damaged).encode()
    with open(1, "wb", closefd=False) as output:
        output.write(answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
