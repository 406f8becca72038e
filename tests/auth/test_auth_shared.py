"""The door that shops share; what stands behind it is in ``test_daemon_doors``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from attrs import define, field
from in_memory import basic
from twisted.internet.defer import Deferred, ensureDeferred
from zope.interface import implementer
from zope.interface.verify import verifyObject

from onec_twisted.auth.members import Roster
from onec_twisted.auth.shared import SharedDoor
from onec_twisted.http.answer import Answer
from onec_twisted.http.interfaces import IStreamingResource
from onec_twisted.model.errors import MalformedRequest, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from in_memory import InMemory


@implementer(IStreamingResource)
@define
class Door:
    """A door that says its name, and why a request is refused."""

    name: str
    refused: list[Refused | None] = field(factory=list)
    isLeaf: bool = True

    async def respond(self, request: Any, refused: Refused | None = None) -> Answer:
        """Say it."""
        self.refused.append(refused)
        return Answer(body=self.name.encode())


@define
class Asked:
    """A request that claims something."""

    uri: bytes = b"/?type=catalog&mode=file"
    user: str = ""
    token: bytes | None = None
    authorization: bytes | None = None

    def getCookie(self, name: bytes) -> bytes | None:
        """Return the cookie."""
        return self.token

    def getHeader(self, name: str | bytes) -> bytes | None:
        """Return the credentials."""
        return basic(self.user, "?").encode() if self.user else self.authorization


@pytest.fixture
def passed(exchange: InMemory) -> Callable[..., str]:
    """Return where a request gets, with sessions of three users on record; their tokens are their names."""
    records = exchange.catalog.sessions
    for account in ("north:anna", "west:anna", "boris"):
        Deferred.fromCoroutine(records.open(account, account, account, 1.0))
    doors = {name: Door(name) for name in ("default", "north", "south")}
    shared = SharedDoor(doors, Roster({"anna": "north", "dora": "south"}, dict), records)
    verifyObject(IStreamingResource, shared)

    def ask(asked: Any, refused: Refused | None = None) -> str:
        answers: list[Answer] = []
        for times in (1, 2):  # the second time a session is remembered
            ensureDeferred(cast("Coroutine[Any, Any, Answer]", shared.respond(asked, refused))).addCallback(
                answers.append
            )
            name = answers[-1].body.decode()
            assert doors[name].refused == [refused] * times
        assert answers[0].body == answers[1].body
        return name

    return ask


@pytest.mark.parametrize(
    ("asked", "door"),
    [
        (Asked(), "default"),
        (Asked(user="anna"), "north"),
        (Asked(user="stranger"), "default"),
        (Asked(authorization=b"Bearer x"), "default"),
        (Asked(token=b"north:anna"), "north"),
        (Asked(token=b"boris", user="dora"), "default"),
        (Asked(token=b"unknown", user="dora"), "south"),
        (Asked(token=b"west:anna"), "default"),
        (Asked(token=b"north:anna", user="dora", uri=b"/?type=catalog&mode=checkauth"), "south"),
    ],
)
def test_where_a_request_gets(passed: Callable[..., str], asked: Asked, door: str) -> None:
    """By its session, or by the name that it claims; where neither is known here, to the default shop."""
    assert passed(asked) == door


def test_what_is_refused_before_is_worded_there(passed: Callable[..., str]) -> None:
    """In the language of the shop."""
    assert passed(Asked(user="anna"), MalformedRequest()) == "north"
