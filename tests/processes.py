"""Processes that tests look at from outside, and ports for them."""

from __future__ import annotations

import random
import socket
import time
from pathlib import Path


def is_gone(pid: int) -> bool:
    """Return whether a process ends within a moment, or waits for its parent to notice."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nobody uses now.

    It is below those that the system gives connections of its own (from 32768 on): other tests make many of them.
    """
    for port in random.sample(range(23_000, 29_900), 500):
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
        return port
    raise AssertionError("no port is free")
