"""Runs twistd with a slow disk under every file named ``slow…``: bytes for it block their thread, as a disk does.

It is run as a program, by its path. The daemon calls ``os.write`` and its like by those names, so that they can be
replaced here. Whether the brake held is seen from outside, by the speed of the upload.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MARK", "SPEED", "main"]

SPEED = 20_000_000
"""Bytes per second that the slow disk takes."""

MARK = "slow"
"""How the names of the files begin that lie on it."""

SYNC = 0.05
"""Seconds that a sync takes: what is left in the disk's own cache."""

WRITERS = {"write": 0, "writev": 0, "pwrite": 0, "pwritev": 0, "splice": 1, "sendfile": 0, "copy_file_range": 1}
"""The calls that return a number of bytes, and which of their arguments is the file that they go to."""


def is_slow(descriptor: int) -> bool:
    """Tell whether a descriptor is a file on the slow disk."""
    try:
        return os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")).startswith(MARK)
    except OSError:
        return False


def slow_writer(call: Callable[..., Any], argument: int) -> Callable[..., Any]:
    """Return a call that takes its time for the bytes that it wrote to a slow file."""

    def slow(*arguments: Any, **named: Any) -> Any:
        count = call(*arguments, **named)
        if len(arguments) > argument and is_slow(arguments[argument]):
            time.sleep(count / SPEED)
        return count

    return slow


def slow_sync(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a call that takes its time to sync a slow file."""

    def slow(file: Any) -> None:
        call(file)
        if is_slow(file if isinstance(file, int) else file.fileno()):
            time.sleep(SYNC)

    return slow


def main() -> None:
    """Replace the calls, and become twistd."""
    # our folder comes first on the path of a program that is run by its path; its modules are none of twistd's
    del sys.path[0]
    for name, argument in WRITERS.items():
        if hasattr(os, name):
            setattr(os, name, slow_writer(getattr(os, name), argument))
    for name in ("fsync", "fdatasync"):
        setattr(os, name, slow_sync(getattr(os, name)))
    from twisted.scripts.twistd import run

    run()


if __name__ == "__main__":
    main()
