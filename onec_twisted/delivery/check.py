"""Reads documents before the site gets them: ``check.py PARENT``.

The folder with the documents and their pictures is descriptor 3; a line of JSON on standard input has the documents'
names and sizes. It runs in a separate process, because documents are untrusted input: it can write no files, its time
and memory are limited, and it occupies neither the daemon's threads nor its interpreter lock. It writes one object of
JSON to standard output: ``documents``, and ``broken``, why the last one is. Any other end means that a document needs
too much time or memory. It ends with the daemon, whose end of standard input closes then.

Run by its path, not imported: it starts without Twisted, in some 30 ms.
"""

from __future__ import annotations

import json
import os
import sys

MEMORY_LIMIT = 256 * 1024 * 1024
"""Most bytes of memory."""

PROCESSOR_LIMIT = 900
"""Most seconds of processor time: 100 MB of a document take 2 to 4 of them."""

FOLDER_DESCRIPTOR, MOST_DESCRIPTORS = 3, 16
"""The descriptor of the folder, and how many there may be."""


def main(parent: str) -> None:
    """Read the documents, and write the result."""
    sys.path.append(sys.argv[0].rsplit("/", 3)[0])
    from onec_twisted.delivery.confinement import confine, end_with
    from onec_twisted.storage.document import read_documents

    with open(0, "rb", closefd=False) as orders:
        documents = json.loads(orders.readline())
    end_with(int(parent))
    os.fchdir(FOLDER_DESCRIPTOR)
    confine(memory=MEMORY_LIMIT, seconds=PROCESSOR_LIMIT, file_size=0, descriptors=MOST_DESCRIPTORS)
    found, broken = read_documents(".", documents)
    with open(1, "wb", closefd=False) as output:
        output.write(json.dumps({"documents": [one.as_dict() for one in found], "broken": broken}).encode("ascii"))


if __name__ == "__main__":
    main(*sys.argv[1:])
