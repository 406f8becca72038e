"""Unpacks the archives of a session, and gathers what an importer needs: ``prepare.py PARENT``.

The session's folder is descriptor 3; a line of JSON on standard input is the ``Job``. It runs in a separate process,
because archives are untrusted input: its time, its memory and the size of files are limited, and it occupies neither
the daemon's threads nor its interpreter lock. It writes lines of JSON to standard output: progress, and at the end
``size``, or why it ``failed``, or what it was ``busy`` with, to be tried again. Any other end means that the archive
needs too much time or memory. It ends with the daemon, whose end of standard input closes then.

Run by its path, not imported: it starts without Twisted, in some 20 ms.
"""

from __future__ import annotations

import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MEMORY_LIMIT = 256 * 1024 * 1024
"""Most bytes of memory."""

PROCESSOR_LIMIT = 900
"""Most seconds of processor time: 10 GB take some 100 of them."""

LEAST_FILE = 64 * 1024 * 1024
"""Bytes that a file may always have: the list of an archive's names is one, too."""

FOLDER_DESCRIPTOR, MOST_DESCRIPTORS = 3, 48
"""The descriptor of the session's folder, and how many there may be: one for each folder above a file."""


def _report(event: dict[str, Any]) -> None:
    """Write a line."""
    line = json.dumps(event).encode("ascii") + b"\n"
    while line:
        line = line[os.write(1, line) :]


def main(parent: str) -> None:
    """Do the job, and report the result."""
    sys.path.append(sys.argv[0].rsplit("/", 3)[0])
    from onec_twisted.delivery.confinement import confine, end_with
    from onec_twisted.storage.gathering import Job, gather
    from onec_twisted.storage.unpacking import NoRoom, Unfit

    with open(0, "rb", closefd=False) as orders:
        job = Job.from_json(orders.readline())
    end_with(int(parent))
    os.umask(0)
    os.fchdir(FOLDER_DESCRIPTOR)
    largest = max(job.limits[0], LEAST_FILE)
    confine(memory=MEMORY_LIMIT, seconds=PROCESSOR_LIMIT, file_size=largest, descriptors=MOST_DESCRIPTORS)
    try:
        _report({"size": gather(".", job, _report)})
    except Unfit as unfit:
        _report({"failed": str(unfit)})
    except NoRoom as full:
        _report({"busy": str(full)})
    except OSError as error:
        _report({"busy": f"{error.strerror}{f' ({error.filename})' if error.filename else ''}"})


if __name__ == "__main__":
    main(*sys.argv[1:])
