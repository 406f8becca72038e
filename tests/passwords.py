"""Lines of a password file."""

from __future__ import annotations

import bcrypt

COST = 4


def line(user: str, password: str, cost: int = COST) -> bytes:
    """Return a line as ``htpasswd -B`` writes it."""
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).replace(b"$2b$", b"$2y$")
    return user.encode() + b":" + hashed + b"\n"
