"""On what machine, and with what, a run was made."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from pathlib import Path

__all__ = ["describe", "filesystem"]


def filesystem(folder: Path) -> str:
    """Return the type of the filesystem that a folder lies on, as in ``ext4``."""
    best, kind = "", "unknown"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        mount = before.split()[4]
        inside = folder.resolve().is_relative_to(mount)
        if inside and len(mount) >= len(best):
            best, kind = mount, after.split()[0]
    return kind


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def describe(folder: Path) -> dict[str, str]:
    """Return the machine in words, with the filesystem of a folder, and the date."""
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{gigabytes:.0f} GB",
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "filesystem": filesystem(folder),
        "Python": f"Python {platform.python_version()}",
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
    }
