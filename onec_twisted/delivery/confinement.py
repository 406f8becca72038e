"""What the programs share that read untrusted files: they end with the daemon, and are limited in what they take.

Nothing is imported that would slow their start.
"""

from __future__ import annotations

import fcntl
import os
import resource
import sys
from contextlib import suppress

__all__ = ["confine", "end_with"]

LOWER_PRIORITY = 10
"""How much lower their priority is than that of the daemon."""


def end_with(parent: int) -> None:
    """End when the daemon does: closing its end of standard input sends a signal that is not handled."""
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    if os.getppid() != parent:
        sys.exit("the daemon has ended")


def confine(*, memory: int, seconds: int, file_size: int, descriptors: int) -> None:
    """Set limits, as far as the system allows: bytes of memory and of a file, seconds of the processor.

    A process that may open no descriptor loads no module any more either.
    """
    limits = {
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_FSIZE: file_size,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: descriptors,
    }
    with suppress(OSError):
        os.nice(LOWER_PRIORITY)
    for kind, limit in limits.items():
        with suppress(ValueError, OSError):  # the system has a lower limit, or lacks this one
            resource.setrlimit(kind, (limit, limit))
