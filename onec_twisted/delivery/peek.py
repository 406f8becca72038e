"""Lists the first entries of an uploaded archive: ``peek.py PARENT SIZE MOST``, with the archive as descriptor 3.

A separate process for the same reasons as ``examine``, and confined like it. It writes JSON to standard output: names
and sizes in bytes, how many entries follow them, and why the archive is damaged, if it is.

Run by its path, not imported.
"""

from __future__ import annotations

import codecs
import json
import sys

MEMORY_LIMIT = 256 * 1024 * 1024
"""Most bytes of memory."""

PROCESSOR_LIMIT = 10
"""Most seconds of processor time."""

ARCHIVE_DESCRIPTOR = 3
"""The descriptor of the archive."""


def main(parent: str, size: str, most: str) -> None:
    """Read the archive, and write the result."""
    sys.path.append(sys.argv[0].rsplit("/", 3)[0])
    from onec_twisted.delivery.confinement import confine, end_with
    from onec_twisted.storage.archive import ArchiveDamaged, Held, listed
    from onec_twisted.storage.spelling import ENCODINGS

    end_with(int(parent))
    for encoding in ENCODINGS:
        codecs.lookup(encoding)  # once confined, no module can be loaded
    confine(memory=MEMORY_LIMIT, seconds=PROCESSOR_LIMIT, file_size=0, descriptors=ARCHIVE_DESCRIPTOR + 1)
    entries: list[tuple[str, int]] = []
    hidden, said = 0, ""
    try:
        for one in listed(Held(ARCHIVE_DESCRIPTOR, int(size))):
            if len(entries) < int(most):
                entries.append((one.names()[0], one.size or 0))
            else:
                hidden += 1
    except ArchiveDamaged as damaged:
        said = str(damaged)
    with open(1, "wb", closefd=False) as output:
        output.write(json.dumps({"entries": entries, "hidden": hidden, "said": said}).encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
