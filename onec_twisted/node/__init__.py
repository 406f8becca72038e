"""The node's side of the exchange: what 1C does, as a library; ``onec-node`` is a command on top of it.

``Node`` speaks with any site of the protocol. Its methods return frozen values, with remarks about what a real 1C
would stumble over.
"""

from __future__ import annotations

from onec_twisted.node.answers import (
    Busy,
    Login,
    NodeError,
    Parameters,
    Refusal,
    Remark,
    State,
    Strange,
    Unreachable,
    Untrusted,
)
from onec_twisted.node.connection import Route, http_client
from onec_twisted.node.dialogue import Node, Sent

__all__ = [
    "Busy",
    "Login",
    "Node",
    "NodeError",
    "Parameters",
    "Refusal",
    "Remark",
    "Route",
    "Sent",
    "State",
    "Strange",
    "Unreachable",
    "Untrusted",
    "http_client",
]
