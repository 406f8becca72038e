"""A node of an exchange in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from in_memory import InMemory, Reply
    from twisted.internet.defer import Deferred


class Node:
    """A node in a session of its own."""

    def __init__(self, exchange: InMemory, exchange_type: str = "catalog") -> None:
        self.exchange = exchange
        self.exchange_type = exchange_type
        self.cookie, self.sessid = exchange.checkauth(exchange_type)

    def _query(self, query: str) -> str:
        return f"type={self.exchange_type}&{query}&sessid={self.sessid}"

    def send(self, name: str, body: bytes = b"x") -> Reply:
        """Send a piece."""
        return self.exchange.request("POST", self._query(f"mode=file&filename={name}"), body, Cookie=self.cookie)

    def ask(self, query: str) -> bytes:
        """Ask, and return the answer."""
        return self.exchange.request("GET", self._query(query), Cookie=self.cookie).body

    def begin(self, query: str) -> Deferred[Any]:
        """Ask, and do not wait."""
        return self.exchange.send("GET", self._query(query), Cookie=self.cookie)

    def answer(self, waiting: Deferred[Any]) -> bytes:
        """Return the answer to what was begun."""
        return self.exchange.reply(waiting).body
