"""Refusals of logins, and of requests without a valid session."""

from __future__ import annotations

from onec_twisted.model.refusals.base import Refused

__all__ = [
    "InvalidSession",
    "MissingCredentials",
    "MissingSessid",
    "SessionEnded",
    "SessionRestarted",
    "WrongCredentials",
    "WrongShop",
]


class MissingCredentials(Refused):
    """``checkauth`` without a readable ``Authorization: Basic``, often because a proxy has dropped it."""

    status = 401
    words = "No user name and password reached the server"
    headers = ((b"WWW-Authenticate", b'Basic realm="1C exchange", charset="UTF-8"'),)


class WrongCredentials(Refused):
    """``checkauth`` with a user or password that no checker accepts."""

    status, headers = 401, MissingCredentials.headers
    words = "Wrong user name or password"


class WrongShop(Refused):
    """The right password of a user of another shop: a path lets only the users of its shop in."""

    status = 403
    words = "This user belongs to another shop - correct the address"


class MissingSessid(Refused):
    """The session's public name is not in the query."""

    status = 403
    words = "Missing sessid"


class InvalidSession(Refused):
    """The cookie or sessid is wrong, unknown or expired."""

    status = 403
    words = "Invalid session"


class SessionEnded(Refused):
    """The administrator ended the session while this piece was being received."""

    status = 403
    words = "Session was ended by the administrator"


class SessionRestarted(Refused):
    """``init`` started a new epoch while this piece was being received: it belongs to the old one."""

    status, words = 409, "Session was initialised again"
